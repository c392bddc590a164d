// Texts that are looked for at each place of another text.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hypura {

// Immutable, so that any thread may read it.
class Spellings {
 public:
  static constexpr size_t kNone = SIZE_MAX;

  Spellings() = default;
  explicit Spellings(std::vector<std::string> texts);

  // The number of the shortest and of the longest one that `text` begins with; kNone when it begins with none.
  struct Found {
    size_t shortest = kNone;
    size_t longest = kNone;
  };
  Found at_beginning(std::string_view text) const;

  const std::string& operator[](size_t number) const { return texts_[number]; }
  bool empty() const { return texts_.empty(); }

 private:
  std::vector<std::string> texts_;  // sorted
  std::array<bool, 256> begins_ = {};
};

}  // namespace hypura
