#include <algorithm>
#include <cctype>
#include <sstream>

#include "machine/cgroup_linux.h"
#include "machine/gpu_drivers.h"

namespace hypura {

namespace {

namespace fs = std::filesystem;

bool is_version(std::string_view word) {
  return !word.empty() && std::isdigit(static_cast<unsigned char>(word.front())) != 0 &&
         word.find('.') != std::string_view::npos && std::all_of(word.begin(), word.end(), [](char c) {
           return std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '.';
         });
}

// Of the first line, "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024".
std::string version_in(const std::string& text) {
  std::istringstream words(text.substr(0, text.find('\n')));
  for (std::string word; words >> word;) {
    if (is_version(word)) {
      return word;
    }
  }
  return {};
}

bool has_render_node(const fs::path& folder) {
  std::error_code error;
  const fs::directory_iterator files(folder, error);
  return !error && std::any_of(begin(files), end(files), [](const fs::directory_entry& file) {
    return file.path().filename().string().starts_with("renderD");
  });
}

}  // namespace

GpuDrivers read_gpu_drivers(const fs::path& root) {
  GpuDrivers drivers;
  for (const char* file : {"/proc/driver/nvidia/version", "/sys/module/nvidia/version"}) {
    if (drivers.nvidia_version.empty()) {
      drivers.nvidia_version = version_in(read_text(below(root, file)).value_or(""));
    }
  }
  std::error_code error;
  drivers.nvidia = !drivers.nvidia_version.empty() || fs::exists(below(root, "/dev/nvidiactl"), error);
  drivers.render_node = has_render_node(below(root, "/dev/dri"));
  return drivers;
}

}  // namespace hypura
