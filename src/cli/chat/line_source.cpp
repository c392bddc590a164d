#include "cli/chat/line_source.h"

#include "support/fail.h"

namespace hypura {

Result<std::optional<std::string>> StreamLineSource::next() {
  std::string line;
  if (!std::getline(input_, line)) {
    if (input_.bad()) {
      return fail(ErrorCode::kIo, "standard input could not be read");
    }
    return std::nullopt;
  }
  if (line.ends_with('\r')) {
    line.pop_back();
  }
  return line;
}

}  // namespace hypura
