// The page that the server shows, bundled from web/ into one document that loads nothing. The build makes the
// definition.
#pragma once

#include <string>

namespace hypura {

struct PageData {
  std::string html;
  std::string policy;  // its Content-Security-Policy
  std::string tag;     // its ETag, quotes and all
};

// Any thread.
const PageData& page_data();

}  // namespace hypura
