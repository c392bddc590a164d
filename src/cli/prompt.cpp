#include "cli/prompt.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "support/units.h"

namespace hypura {

namespace {

constexpr size_t kMaxPrompt = 64 * kMiB;

Result<std::string> read_all(std::istream& input, const std::string& name) {
  std::string text;
  std::string block(64 * kKiB, '\0');
  while (input.read(block.data(), static_cast<std::streamsize>(block.size())) || input.gcount() > 0) {
    text.append(block, 0, static_cast<size_t>(input.gcount()));
    if (text.size() > kMaxPrompt) {
      return fail(ErrorCode::kUsage, "the prompt in {} is larger than {}, more than any context holds", name,
                  format_bytes(kMaxPrompt));
    }
  }
  if (input.bad()) {
    return fail(ErrorCode::kIo, "{} could not be read: {}", name, std::strerror(errno));
  }
  if (text.ends_with('\n')) {
    text.resize(text.size() - (text.ends_with("\r\n") ? 2 : 1));
  }
  return text;
}

Result<std::string> read_file(const std::filesystem::path& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return fail(ErrorCode::kIo, "--file {}: {}", path.string(), std::strerror(errno));
  }
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    return fail(ErrorCode::kIo, "--file {}: is a directory; name a text file", path.string());
  }
  return read_all(file, path.string());
}

// How many bytes the UTF-8 character at the front has; 0 when it is none.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  const size_t length = first < 0x80   ? 1
                        : first < 0xC2 ? 0
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                        : first < 0xF5 ? 4
                                       : 0;
  if (length == 0 || length > text.size()) {
    return 0;
  }
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) {
      return 0;
    }
  }
  const bool too_long = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool no_character = (first == 0xED && byte(1) > 0x9F) || (first == 0xF4 && byte(1) > 0x8F);
  return too_long || no_character ? 0 : length;
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
    return checked(read_all(input, "standard input"), "standard input");
  }
  return std::nullopt;
}

}  // namespace hypura
