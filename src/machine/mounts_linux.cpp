#include "machine/mounts_linux.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>

#include "machine/cgroup_linux.h"

namespace hypura {

namespace {

// The kernel writes space, tab, newline and backslash in mountinfo as \ and three octal digits.
std::string unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned code = 0;
    const char* begin = text.data() + i + 1;
    if (text[i] == '\\' && text.size() - i > 3 && std::from_chars(begin, begin + 3, code, 8).ptr == begin + 3) {
      out += static_cast<char>(code);
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup rw": any number of fields before the dash.
std::optional<Mount> parse_mount(const std::string& line) {
  std::vector<std::string> fields;
  std::istringstream in(line);
  for (std::string field; std::getline(in, field, ' ');) {
    fields.push_back(field);
  }
  const auto dash = std::find(fields.begin(), fields.end(), "-");
  if (dash - fields.begin() < 6 || fields.end() - dash < 4) {
    return std::nullopt;
  }
  return Mount{unescape(fields[3]), unescape(fields[4]), dash[1], unescape(dash[2]), dash[3]};
}

}  // namespace

std::vector<Mount> read_mounts(const std::filesystem::path& root) {
  std::vector<Mount> mounts;
  std::istringstream in(read_text(below(root, "/proc/self/mountinfo")).value_or(""));
  for (std::string line; std::getline(in, line);) {
    if (std::optional<Mount> mount = parse_mount(line)) {
      mounts.push_back(std::move(*mount));
    }
  }
  return mounts;
}

}  // namespace hypura
