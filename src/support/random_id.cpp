#include "support/random_id.h"

#include <random>

namespace hypura {

std::string random_id(std::string_view prefix, size_t length) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  thread_local std::mt19937_64 random{std::random_device{}()};
  std::uniform_int_distribution<size_t> letter(0, kLetters.size() - 1);
  std::string id(prefix);
  for (size_t i = 0; i < length; ++i) {
    id += kLetters[letter(random)];
  }
  return id;
}

}  // namespace hypura
