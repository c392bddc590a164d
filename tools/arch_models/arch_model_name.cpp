#include <cctype>

#include "arch_models/arch_models.h"

namespace hypura {

std::string ArchModel::name() const {
  std::string result = architecture + (experts ? "_experts" : "");
  for (char& c : result) {
    c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  }
  return result;
}

}  // namespace hypura
