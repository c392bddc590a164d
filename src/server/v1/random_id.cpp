#include "server/v1/random_id.h"

#include <cstddef>
#include <random>

namespace hypura::v1 {

std::string random_id(std::string_view prefix) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  constexpr int kLength = 24;
  thread_local std::mt19937_64 random{std::random_device{}()};
  std::uniform_int_distribution<size_t> letter(0, kLetters.size() - 1);
  std::string id(prefix);
  for (int i = 0; i < kLength; ++i) {
    id += kLetters[letter(random)];
  }
  return id;
}

}  // namespace hypura::v1
