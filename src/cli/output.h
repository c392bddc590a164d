// Text to a file descriptor at once, with every failure noticed. Nothing is buffered, so that an answer is seen as it
// is made. Not thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "hypura/result.h"

namespace hypura {

class Output {
 public:
  // Borrows `fd`; `name` is for error messages. SIGPIPE must be ignored.
  Output(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}

  // Writes all of it and waits as long as that takes. After a failure it does nothing more and stays false.
  bool write(std::string_view text);

  // Ends the line if one was begun.
  bool end_line() { return at_line_start_ || write("\n"); }

  // The reader went away. Not an error: it has seen enough.
  bool closed() const { return closed_; }

  // kIo once a write failed for any other reason.
  const Status& status() const { return status_; }

  bool is_terminal() const;

 private:
  int fd_;
  std::string name_;
  bool at_line_start_ = true;
  bool closed_ = false;
  Status status_;
};

}  // namespace hypura
