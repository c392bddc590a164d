// An Output whose text a test can read, or whose reader it can take away.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <optional>
#include <string>

#include "cli/output.h"

namespace hypura {

// Holds what fits a pipe (64 KiB); writing more would wait for ever.
class CapturedOutput {
 public:
  CapturedOutput() {
    std::signal(SIGPIPE, SIG_IGN);
    EXPECT_EQ(::pipe(pipe_.data()), 0);
    EXPECT_EQ(::fcntl(pipe_[0], F_SETFL, O_NONBLOCK), 0);
    output_.emplace(pipe_[1], "the pipe");
  }
  ~CapturedOutput() {
    close_reader();
    ::close(pipe_[1]);
  }
  CapturedOutput(const CapturedOutput&) = delete;
  CapturedOutput& operator=(const CapturedOutput&) = delete;

  Output& output() { return *output_; }

  // What was written since the last call.
  std::string text() {
    std::string all;
    std::array<char, 4096> block = {};
    for (ssize_t count = 0; (count = ::read(pipe_[0], block.data(), block.size())) > 0;) {
      all.append(block.data(), static_cast<size_t>(count));
    }
    return all;
  }

  void close_reader() {
    if (pipe_[0] >= 0) {
      ::close(pipe_[0]);
      pipe_[0] = -1;
    }
  }

 private:
  std::array<int, 2> pipe_ = {-1, -1};
  std::optional<Output> output_;
};

}  // namespace hypura
