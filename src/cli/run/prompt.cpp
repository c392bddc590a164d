#include "cli/run/prompt.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <string_view>

#include "support/fail.h"
#include "support/units.h"
#include "support/utf8.h"

namespace hypura {

namespace {

constexpr size_t kMaxPrompt = 64 * kMiB;

ssize_t read_some(int fd, char* to, size_t count) {
  ssize_t got = -1;
  do {
    got = ::read(fd, to, count);
  } while (got < 0 && errno == EINTR);
  return got;
}

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// Gives how many bytes it read: 0 at the end, -1 when reading fails, with errno set.
using ReadBytes = std::function<ssize_t(char* to, size_t count)>;

Result<std::string> read_all(const ReadBytes& read, const std::string& name) {
  std::string text;
  std::string block(64 * kKiB, '\0');
  for (;;) {
    const ssize_t count = read(block.data(), block.size());
    if (count < 0) {
      return fail(ErrorCode::kIo, "{} could not be read: {}", name, std::strerror(errno));
    }
    if (count == 0) {
      break;
    }
    text.append(block, 0, static_cast<size_t>(count));
    if (text.size() > kMaxPrompt) {
      return fail(ErrorCode::kUsage, "the prompt in {} is larger than {}, more than any context holds", name,
                  format_bytes(kMaxPrompt));
    }
  }
  if (text.starts_with(kByteOrderMark)) {  // as editors on Windows begin files
    text.erase(0, kByteOrderMark.size());
  }
  if (text.ends_with('\n')) {
    text.resize(text.size() - (text.ends_with("\r\n") ? 2 : 1));
  }
  return text;
}

Result<std::string> read_stream(std::istream& input) {
  return read_all(
      [&input](char* to, size_t count) -> ssize_t {
        input.read(to, static_cast<std::streamsize>(count));
        return input.bad() ? -1 : static_cast<ssize_t>(input.gcount());
      },
      "standard input");
}

// A shell's <(command) is a pipe, so pipes are read too. One that nobody writes to is opened without waiting, and is
// empty.
Result<std::string> read_file(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    return fail(ErrorCode::kIo, "--file {}: {}", path.string(), std::strerror(errno));
  }
  struct stat status = {};
  ::fstat(fd, &status);
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  Result<std::string> text =
      S_ISDIR(status.st_mode)
          ? Result<std::string>(fail(ErrorCode::kIo, "--file {}: is a directory; name a text file", path.string()))
          : read_all([fd](char* to, size_t count) { return read_some(fd, to, count); }, path.string());
  ::close(fd);
  return text;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) {
      return false;
    }
    text.remove_prefix(length);
  }
  return true;
}

Result<std::optional<std::string>> checked(const Result<std::string>& text, const std::string& source) {
  if (!text) {
    return propagate(text.error());
  }
  if (text->find_first_not_of(" \t\r\n") == std::string::npos) {
    return fail(ErrorCode::kUsage, "the prompt from {} is empty", source);
  }
  if (!is_utf8(*text)) {
    return fail(ErrorCode::kUsage, "the prompt from {} is not UTF-8 text", source);
  }
  return *text;
}

}  // namespace

Result<std::optional<std::string>> read_prompt(const RunOptions& options, std::istream& input, bool input_is_terminal) {
  const bool from_input = options.file ? *options.file == "-" : !input_is_terminal;
  if (options.prompt) {
    return checked(*options.prompt, "--prompt");
  }
  if (options.file && !from_input) {
    return checked(read_file(*options.file), options.file->string());
  }
  if (from_input) {
    return checked(read_stream(input), "standard input");
  }
  return std::nullopt;
}

}  // namespace hypura
