#include "machine/cgroup_linux.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>

#include "machine/mounts_linux.h"

namespace hypura {

namespace {

namespace fs = std::filesystem;

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) {
    parts.push_back(part);
  }
  return parts;
}

bool lists(const std::string& comma_list, std::string_view word) {
  const std::vector<std::string> words = split(comma_list, ',');
  return std::find(words.begin(), words.end(), word) != words.end();
}

template <class Matches>
std::optional<Mount> find_mount(const fs::path& root, Matches matches) {
  for (const Mount& mount : read_mounts(root)) {
    if (matches(mount)) {
      return mount;
    }
  }
  return std::nullopt;
}

// This process's path in the tree with the given controller, or in v2 for "". Lines: "4:cpu,cpuacct:/a/b", "0::/a/b".
std::optional<std::string> cgroup_path(const fs::path& root, std::string_view controller) {
  for (const std::string& line : split(read_text(below(root, "/proc/self/cgroup")).value_or(""), '\n')) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) {
      continue;
    }
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? line.rfind("0::", 0) == 0 : lists(controllers, controller)) {
      return line.substr(second + 1);
    }
  }
  return std::nullopt;
}

// The part of `path` below the mount's root. In a container the two may have nothing to do with each other: then the
// container's own group is what is mounted.
fs::path inside_mount(const fs::path& path, const fs::path& mount_root) {
  fs::path relative = path.lexically_normal().lexically_relative(mount_root.lexically_normal());
  if (relative.empty() || *relative.begin() == ".." || relative == ".") {
    return {};
  }
  return relative;
}

CgroupChain make_chain(const fs::path& root, const std::optional<Mount>& mount,
                       const std::optional<std::string>& path) {
  if (!mount || !path) {
    return {};
  }
  fs::path relative = inside_mount(*path, mount->root);
  std::error_code error;
  if (!fs::is_directory(below(root, fs::path(mount->point) / relative), error)) {
    relative.clear();
  }
  CgroupChain chain;
  for (; !relative.empty(); relative = relative.parent_path()) {
    chain.push_back(fs::path(mount->point) / relative);
  }
  chain.emplace_back(mount->point);
  return chain;
}

}  // namespace

CgroupChain cgroup_v1_chain(const fs::path& root, std::string_view controller) {
  const auto matches = [&](const Mount& mount) { return mount.type == "cgroup" && lists(mount.options, controller); };
  return make_chain(root, find_mount(root, matches), cgroup_path(root, controller));
}

CgroupChain cgroup_v2_chain(const fs::path& root) {
  return make_chain(root, find_mount(root, [](const Mount& mount) { return mount.type == "cgroup2"; }),
                    cgroup_path(root, ""));
}

fs::path below(const fs::path& root, const fs::path& path) {
  return root.empty() ? path : root / path.relative_path();
}

std::optional<std::string> read_text(const fs::path& file) {
  std::ifstream in(file);
  if (!in) {
    return std::nullopt;
  }
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (in.bad()) {
    return std::nullopt;
  }
  return text;
}

std::optional<uint64_t> parse_number(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view word = text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc() || end != word.data() + word.size()) {
    return std::nullopt;
  }
  return number;
}

std::optional<uint64_t> read_number(const fs::path& file) {
  return parse_number(read_text(file).value_or(""));
}

std::optional<uint64_t> find_number(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.substr(0, key.size()) != key || line.size() == key.size() ||
        (line[key.size()] != ' ' && line[key.size()] != '\t')) {
      continue;
    }
    const std::string_view rest = line.substr(std::min(line.find_first_not_of(" \t", key.size()), line.size()));
    return parse_number(rest.substr(0, rest.find(' ')));
  }
  return std::nullopt;
}

}  // namespace hypura
