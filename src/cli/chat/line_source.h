// Where a conversation's lines come from.
#pragma once

#include <istream>
#include <optional>
#include <string>

#include "hypura/result.h"

namespace hypura {

// Not thread-safe.
class LineSource {
 public:
  virtual ~LineSource() = default;

  // The next line, without its end; nothing at the end of input. Fails with kIo when reading fails.
  virtual Result<std::optional<std::string>> next() = 0;
};

// Lines of a stream: no prompt, no editing. Borrows the stream.
class StreamLineSource : public LineSource {
 public:
  explicit StreamLineSource(std::istream& input) : input_(input) {}
  Result<std::optional<std::string>> next() override;

 private:
  std::istream& input_;
};

}  // namespace hypura
