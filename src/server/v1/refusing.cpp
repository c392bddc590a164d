#include "server/v1/refusing.h"

#include <utility>

namespace hypura::v1 {

void refuse(Fields& fields, std::string sentence) {
  fields.refuse({ErrorCode::kUsage, std::move(sentence)});
}

void join_status(Fields& whole, const Fields& part) {
  if (!part.status()) {
    whole.refuse(part.status().error());
  }
}

}  // namespace hypura::v1
