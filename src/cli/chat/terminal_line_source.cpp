#include "cli/chat/terminal_line_source.h"

#include <fcntl.h>
#include <histedit.h>
#include <sys/select.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <utility>

#include "cli/chat/history_file.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

namespace {

constexpr int kHistoryLines = 1000;
constexpr std::array kSignals = {SIGINT, SIGWINCH, SIGCONT};

// The write end of a pipe: a signal handler may write(2), and the wait for a key then sees it, on whichever thread
// the signal arrived.
std::atomic<int> signal_pipe = -1;
static_assert(std::atomic<int>::is_always_lock_free);

void forward_signal(int number) {
  const int before = errno;
  const auto byte = static_cast<unsigned char>(number);
  // A full pipe means that enough signals are waiting to be seen.
  [[maybe_unused]] const ssize_t written = ::write(signal_pipe, &byte, 1);
  errno = before;
}

// libedit shows what the locale can write, so one that writes UTF-8 is looked for; only for characters, since numbers
// and messages must not change.
void set_utf8_locale() {
  for (const char* name : {"", "C.UTF-8", "en_US.UTF-8"}) {
    if (std::setlocale(LC_CTYPE, name) != nullptr && MB_CUR_MAX > 1) {
      return;
    }
  }
}

class TerminalLineSource : public LineSource {
 public:
  TerminalLineSource() = default;
  ~TerminalLineSource() override;
  TerminalLineSource(const TerminalLineSource&) = delete;
  TerminalLineSource& operator=(const TerminalLineSource&) = delete;

  Status open(std::optional<std::filesystem::path> history);
  Result<std::optional<std::string>> next() override;

 private:
  enum class Wake { kKey, kInterrupt, kError };

  // Which signals arrived.
  struct Signals {
    bool interrupt = false;
    bool resize = false;
    bool resume = false;
    bool any() const { return interrupt || resize || resume; }
  };

  static int read_character(EditLine* edit, wchar_t* character);
  void load_history(std::optional<std::filesystem::path> history);
  void remember(const std::string& line);
  Signals take_signals();
  Wake wait_for_key();

  EditLine* edit_ = nullptr;
  History* history_ = nullptr;
  std::filesystem::path history_path_;  // empty: not kept
  std::array<int, 2> pipe_ = {-1, -1};
  std::array<struct sigaction, kSignals.size()> before_ = {};  // while opened_
  bool opened_ = false;
  bool interrupted_ = false;
};

char* prompt(EditLine*) {
  static char text[] = "> ";
  return text;
}

Status TerminalLineSource::open(std::optional<std::filesystem::path> history) {
  set_utf8_locale();
  if (::pipe(pipe_.data()) != 0) {
    return fail(ErrorCode::kInternal, "cannot create a pipe for signals");
  }
  for (const int fd : pipe_) {
    ::fcntl(fd, F_SETFL, O_NONBLOCK);
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  signal_pipe = pipe_[1];
  edit_ = el_init("hypura", stdin, stderr, stderr);
  history_ = history_init();
  if (edit_ == nullptr || history_ == nullptr) {
    return fail(ErrorCode::kInternal, "cannot start the line editor on this terminal");
  }
  el_set(edit_, EL_CLIENTDATA, this);
  el_set(edit_, EL_PROMPT, &prompt);
  el_set(edit_, EL_EDITOR, "emacs");
  el_set(edit_, EL_SIGNAL, 0);
  el_set(edit_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_wset(edit_, EL_GETCFN, &TerminalLineSource::read_character);
  el_set(edit_, EL_HIST, ::history, history_);
  HistEvent event;
  ::history(history_, &event, H_SETSIZE, kHistoryLines);
  ::history(history_, &event, H_SETUNIQUE, 1);
  load_history(std::move(history));
  el_source(edit_, nullptr);
  // Also between lines, so that a late Ctrl-C meant for an answer does not end the program.
  struct sigaction action = {};
  action.sa_handler = forward_signal;
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], &action, &before_[i]);
  }
  opened_ = true;
  return {};
}

TerminalLineSource::~TerminalLineSource() {
  for (size_t i = 0; opened_ && i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], &before_[i], nullptr);
  }
  if (history_ != nullptr) {
    history_end(history_);
  }
  if (edit_ != nullptr) {
    el_end(edit_);
  }
  signal_pipe = -1;
  for (const int fd : pipe_) {
    if (fd >= 0) {
      ::close(fd);
    }
  }
}

void TerminalLineSource::load_history(std::optional<std::filesystem::path> history) {
  if (!history || !prepare_history_file(*history)) {
    logger().debug("the history is not kept: {} cannot be written", history ? history->string() : "its folder");
    return;
  }
  history_path_ = std::move(*history);
  std::error_code ignored;
  HistEvent event;
  if (std::filesystem::file_size(history_path_, ignored) > 0 &&
      ::history(history_, &event, H_LOAD, history_path_.c_str()) < 0) {
    logger().debug("the history {} could not be read", history_path_.string());
  }
}

void TerminalLineSource::remember(const std::string& line) {
  if (line.find_first_not_of(" \t") == std::string::npos) {
    return;
  }
  HistEvent event;
  ::history(history_, &event, H_ENTER, line.c_str());
  if (!history_path_.empty() && ::history(history_, &event, H_SAVE, history_path_.c_str()) < 0) {
    logger().debug("the history {} could not be written", history_path_.string());
  }
}

TerminalLineSource::Signals TerminalLineSource::take_signals() {
  Signals arrived;
  unsigned char number = 0;
  while (::read(pipe_[0], &number, 1) == 1) {
    arrived.interrupt |= number == SIGINT;
    arrived.resize |= number == SIGWINCH;
    arrived.resume |= number == SIGCONT;
  }
  return arrived;
}

TerminalLineSource::Wake TerminalLineSource::wait_for_key() {
  while (true) {
    fd_set ready;
    FD_ZERO(&ready);
    FD_SET(STDIN_FILENO, &ready);
    FD_SET(pipe_[0], &ready);
    // select, because poll does not take terminals on every macOS.
    if (::select(pipe_[0] + 1, &ready, nullptr, nullptr, nullptr) < 0) {
      if (errno == EINTR) {
        continue;  // the pipe says which signal it was
      }
      return Wake::kError;
    }
    const Signals arrived = take_signals();
    if (arrived.interrupt) {
      return Wake::kInterrupt;
    }
    if (arrived.resize) {
      el_resize(edit_);
    }
    if (arrived.resume) {
      // The shell had the terminal in between and left it in its own mode.
      el_set(edit_, EL_PREP_TERM, 1);
      el_set(edit_, EL_REFRESH);
    }
    if (!arrived.any()) {
      return Wake::kKey;
    }
  }
}

// libedit's question for the next character: 1 when there is one, 0 at the end of input, -1 to drop the line.
int TerminalLineSource::read_character(EditLine* edit, wchar_t* character) {
  void* data = nullptr;
  el_get(edit, EL_CLIENTDATA, &data);
  auto* self = static_cast<TerminalLineSource*>(data);
  std::mbstate_t state = {};
  while (true) {
    if (const Wake wake = self->wait_for_key(); wake != Wake::kKey) {
      self->interrupted_ = wake == Wake::kInterrupt;
      return -1;
    }
    char byte = 0;
    const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
    if (count <= 0) {
      return count == 0 ? 0 : -1;
    }
    const size_t used = std::mbrtowc(character, &byte, 1, &state);
    if (used <= 1) {
      return 1;
    }
    if (used == static_cast<size_t>(-1)) {
      state = {};  // not a character: wait for the next
    }
  }
}

Result<std::optional<std::string>> TerminalLineSource::next() {
  // What arrived since the last line: only the size of the terminal still matters.
  if (take_signals().any()) {
    el_resize(edit_);
  }
  while (true) {
    interrupted_ = false;
    // Before the prompt is seen, so that whoever types at its sight, Ctrl-D say, is heard by the editor.
    el_set(edit_, EL_PREP_TERM, 1);
    int length = 0;
    const char* text = el_gets(edit_, &length);
    if (interrupted_) {
      std::fputs("^C\n", stderr);
      el_reset(edit_);
      continue;
    }
    if (text == nullptr || length <= 0) {
      std::fputs("\n", stderr);
      return std::nullopt;
    }
    std::string line(text, static_cast<size_t>(length));
    while (line.ends_with('\n') || line.ends_with('\r')) {
      line.pop_back();
    }
    remember(line);
    return line;
  }
}

}  // namespace

Result<std::unique_ptr<LineSource>> open_terminal_line_source(std::optional<std::filesystem::path> history) {
  auto source = std::make_unique<TerminalLineSource>();
  if (auto status = source->open(std::move(history)); !status) {
    return propagate(status.error());
  }
  return source;
}

}  // namespace hypura
