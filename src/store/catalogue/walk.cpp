#include "store/catalogue/walk.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string_view>
#include <utility>

namespace hypura {
namespace {

namespace fs = std::filesystem;

struct Walk {
  const fs::path& root;
  std::vector<std::string>& problems;
  std::vector<std::string> files;
  std::set<std::pair<uint64_t, uint64_t>> folders;  // device and number of those entered
  size_t seen = 0;
  bool cut = false;
};

void walk(Walk& state, const fs::path& below, int depth) {
  struct stat status = {};
  const fs::path folder = state.root / below;
  if (::stat(folder.c_str(), &status) != 0 ||
      !state.folders.insert({static_cast<uint64_t>(status.st_dev), static_cast<uint64_t>(status.st_ino)}).second) {
    return;
  }
  for (const std::string& name : names_in(folder)) {
    if (++state.seen > kMostEntries || depth > kDeepestFolder) {
      state.cut = true;
      return;
    }
    std::error_code none;
    if (name.starts_with('.')) {
      continue;
    }
    if (fs::is_directory(folder / name, none)) {
      walk(state, below / name, depth + 1);
    } else {
      state.files.push_back((below / name).string());
    }
  }
}

}  // namespace

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
    if (names.size() > kMostEntries) {
      break;
    }
  }
  std::ranges::sort(names);
  return names;
}

std::vector<std::string> files_below(const fs::path& root, std::vector<std::string>& problems) {
  Walk state{root, problems, {}, {}};
  walk(state, {}, 0);
  if (state.cut) {
    problems.push_back(fmt::format("{}: has more than {} files or {} folders in one another; the rest is not listed",
                                   root.string(), kMostEntries, kDeepestFolder));
  }
  std::ranges::sort(state.files);
  return std::move(state.files);
}

fs::path in_real_folder(const fs::path& file) {
  std::error_code error;
  const fs::path folder = fs::canonical(file.parent_path(), error);
  return error ? file : folder / file.filename();
}

FileState state_of(const fs::path& file) {
  struct stat status = {};
  if (::stat(file.c_str(), &status) != 0) {
    return {};
  }
  return {S_ISREG(status.st_mode), static_cast<uint64_t>(status.st_size), static_cast<int64_t>(status.st_mtime)};
}

bool begins_as_gguf(const fs::path& file) {
  constexpr std::string_view kMagic = "GGUF";
  // Opening a pipe would wait for its other end.
  if (!state_of(file).regular) {
    return false;
  }
  std::string magic(kMagic.size(), '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(magic.data(), static_cast<std::streamsize>(magic.size()));
  return in && magic == kMagic;
}

}  // namespace hypura
