// Where this process stands in the cgroup trees, v1 and v2.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hypura {

// A process's directories in one cgroup tree, its own first, the top of what is mounted last; without the root prefix.
// Empty when the tree is not mounted or /proc tells nothing.
using CgroupChain = std::vector<std::filesystem::path>;

// The tree of one v1 controller ("memory", "cpu").
CgroupChain cgroup_v1_chain(const std::filesystem::path& root, std::string_view controller);
// The v2 tree. On hybrid systems it is there without controllers, that is, without their files.
CgroupChain cgroup_v2_chain(const std::filesystem::path& root);

// `path`, absolute, as a path below `root`.
std::filesystem::path below(const std::filesystem::path& root, const std::filesystem::path& path);

// The whole of a small file; none when it cannot be read.
std::optional<std::string> read_text(const std::filesystem::path& file);

// The number that is a word of `text` by itself, spaces and line end around it; none for anything else ("max", "-1").
std::optional<uint64_t> parse_number(std::string_view text);
std::optional<uint64_t> read_number(const std::filesystem::path& file);

// The number after `key` at the start of a line ("inactive_file 4096", "MemTotal:  8 kB"; a unit is not looked at).
std::optional<uint64_t> find_number(std::string_view text, std::string_view key);

}  // namespace hypura
