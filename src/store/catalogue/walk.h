// Files below a folder that nobody vouches for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace hypura {

// No place has more; what lies beyond is not looked at.
inline constexpr size_t kMostEntries = 200'000;
inline constexpr int kDeepestFolder = 10;

// The names, relative to `root` and sorted, of what lies below it and is no folder; links to folders are followed, but
// into no folder twice. Names that begin with a dot are passed over, and so is what cannot be read. When there was more
// than the limits allow, `problems` has a sentence.
std::vector<std::string> files_below(const std::filesystem::path& root, std::vector<std::string>& problems);

// The names of what lies in a folder, sorted; empty when it cannot be read.
std::vector<std::string> names_in(const std::filesystem::path& folder);

// The file's path with its folder's links followed: the same text however the way there was written. The file itself
// may be a link, and stays one. As it is where there is no such folder.
std::filesystem::path in_real_folder(const std::filesystem::path& file);

// What is known of a file, or of the one that a link leads to.
struct FileState {
  bool regular = false;
  uint64_t bytes = 0;
  int64_t modified = 0;  // seconds since 1970
};
FileState state_of(const std::filesystem::path& file);

// Whether a regular file begins with the four letters of GGUF.
bool begins_as_gguf(const std::filesystem::path& file);

}  // namespace hypura
