// Text in, text out, up to a stop string.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace hypura {

// Holds text back while it could be the beginning of a stop string, so that none is ever passed on, not even partly.
// Whole characters stay whole. Not thread-safe.
class StopStrings {
 public:
  // Empty strings are left out.
  explicit StopStrings(std::vector<std::string> stops);

  // Adds text; gives what can be passed on. After a hit nothing is.
  std::string add(std::string_view text);

  // What was held back, when no more will come.
  std::string finish();

  bool hit() const { return !matched_.empty(); }

  // Which it was: of several at the same place, the first that was given. Empty before a hit.
  const std::string& matched() const { return matched_; }

  // Bytes passed on so far.
  size_t passed() const { return passed_; }

 private:
  std::string pass(size_t count);

  std::vector<std::string> stops_;
  std::string held_;
  std::string matched_;
  size_t passed_ = 0;
};

}  // namespace hypura
