#include "cli/chat/terminal_line_source.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

// What the child process does at its terminal: shows each line it got, then why it ended.
[[noreturn]] void echo_lines(const std::filesystem::path& history) {
  auto source = open_terminal_line_source(history);
  if (!source) {
    ::_exit(1);
  }
  std::fputs("ready\n", stdout);
  std::fflush(stdout);
  while (true) {
    const auto line = (*source)->next();
    if (!line || !*line) {
      source->reset();
      std::fputs(line ? "end\n" : "error\n", stdout);
      std::fflush(stdout);
      ::_exit(0);
    }
    std::fprintf(stdout, "got [%s]\n", (*line)->c_str());
    std::fflush(stdout);
  }
}

// A child process with a terminal of its own, and this test at the keyboard.
class Terminal {
 public:
  explicit Terminal(const std::filesystem::path& history) {
    keyboard_ = ::posix_openpt(O_RDWR | O_NOCTTY);
    EXPECT_EQ(::grantpt(keyboard_), 0);
    EXPECT_EQ(::unlockpt(keyboard_), 0);
    const std::string name = ::ptsname(keyboard_);
    child_ = ::fork();
    if (child_ == 0) {
      ::setsid();
      const int terminal = ::open(name.c_str(), O_RDWR);
      for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        ::dup2(terminal, fd);
      }
      ::close(keyboard_);
      ::setenv("TERM", "xterm", 1);
      ::setenv("LC_ALL", "C", 1);
      echo_lines(history);
    }
  }
  ~Terminal() {
    ::close(keyboard_);
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(std::string_view keys) {
    EXPECT_EQ(::write(keyboard_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }

  // Waits until `text` shows up after what was awaited before.
  bool shows(std::string_view text) {
    while (true) {
      if (const size_t at = screen_.find(text); at != std::string::npos) {
        screen_.erase(0, at + text.size());
        return true;
      }
      pollfd ready{keyboard_, POLLIN, 0};
      std::array<char, 4096> block = {};
      const ssize_t count = ::poll(&ready, 1, 20'000) > 0 ? ::read(keyboard_, block.data(), block.size()) : 0;
      if (count <= 0) {
        ADD_FAILURE() << "'" << text << "' did not come, only: " << screen_;
        return false;
      }
      screen_.append(block.data(), static_cast<size_t>(count));
    }
  }

 private:
  int keyboard_ = -1;
  pid_t child_ = -1;
  std::string screen_;
};

TEST(TerminalLineSource, EditsInAnyLocale) {
  const TempDir dir;
  Terminal terminal(dir.path() / "history");
  ASSERT_TRUE(terminal.shows("ready") && terminal.shows("> "));
  terminal.type("Größe 日本x\x7f\r");
  EXPECT_TRUE(terminal.shows("got [Größe 日本]"));
}

TEST(TerminalLineSource, CtrlCStartsTheLineAnew) {
  const TempDir dir;
  Terminal terminal(dir.path() / "history");
  ASSERT_TRUE(terminal.shows("ready") && terminal.shows("> "));
  terminal.type("wrong");
  ASSERT_TRUE(terminal.shows("g"));
  terminal.type("\x03");
  ASSERT_TRUE(terminal.shows("^C") && terminal.shows("> "));
  terminal.type("right\r");
  EXPECT_TRUE(terminal.shows("got [right]"));
}

TEST(TerminalLineSource, CtrlDEnds) {
  const TempDir dir;
  Terminal terminal(dir.path() / "history");
  ASSERT_TRUE(terminal.shows("ready") && terminal.shows("> "));
  terminal.type("\x04");
  EXPECT_TRUE(terminal.shows("end"));
}

TEST(TerminalLineSource, RemembersLinesFromRunToRun) {
  const TempDir dir;
  const auto history = dir.path() / "state" / "history";
  {
    Terminal terminal(history);
    ASSERT_TRUE(terminal.shows("ready") && terminal.shows("> "));
    terminal.type("first line\r");
    ASSERT_TRUE(terminal.shows("got [first line]") && terminal.shows("> "));
    terminal.type("second\r");
    ASSERT_TRUE(terminal.shows("got [second]"));
  }
  EXPECT_EQ(std::filesystem::status(history).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  Terminal terminal(history);
  ASSERT_TRUE(terminal.shows("ready") && terminal.shows("> "));
  terminal.type("\x10\x10\r");  // Ctrl-P: the line before
  EXPECT_TRUE(terminal.shows("got [first line]"));
}

TEST(TerminalLineSource, WorksWithoutAHistoryFile) {
  const TempDir dir;
  std::ofstream(dir.path() / "file") << "x";
  Terminal terminal(dir.path() / "file" / "history");
  ASSERT_TRUE(terminal.shows("ready") && terminal.shows("> "));
  terminal.type("kept here only\r");
  ASSERT_TRUE(terminal.shows("got [kept here only]") && terminal.shows("> "));
  terminal.type("\x10\r");
  EXPECT_TRUE(terminal.shows("got [kept here only]"));
}

TEST(StreamLineSource, GivesLinesWithoutTheirEnds) {
  std::istringstream input("unix\ndos\r\n\nlast");
  StreamLineSource lines(input);
  for (const char* expected : {"unix", "dos", "", "last"}) {
    EXPECT_EQ(lines.next().value(), expected);
  }
  EXPECT_EQ(lines.next().value(), std::nullopt);
}

}  // namespace
}  // namespace hypura
