// Pieces of tokens in, whole UTF-8 characters out.
#pragma once

#include <string>
#include <string_view>

namespace hypura {

// Holds back the bytes of a character that is not complete yet. Not thread-safe.
class TextStream {
 public:
  // Adds a piece; gives the text that is complete now. Bytes that can never become a character are passed on as they
  // are: they are what the model said.
  std::string add(std::string_view piece);

  // What was held back, when no more will come.
  std::string finish();

 private:
  std::string held_;
};

}  // namespace hypura
