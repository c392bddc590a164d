#include "profiling/profile_target.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "backend/speed/compute_speed.h"
#include "llama/llama_runtime.h"
#include "machine/cpu.h"
#include "machine/file_system.h"
#include "machine/memory.h"
#include "machine/system.h"
#include "model/model.h"
#include "storage/open.h"
#include "support/cache_folder.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

namespace fs = std::filesystem;

Status check_path(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status) || ::access(path.c_str(), R_OK) != 0) {
    return fail(ErrorCode::kIo, "cannot read '{}': {}; give a folder or a model file", path.string(),
                error ? error.message() : errno_text(fs::exists(status) ? errno : ENOENT));
  }
  if (!fs::is_regular_file(status) && !fs::is_directory(status)) {
    return fail(ErrorCode::kUsage, "'{}' is neither a folder nor a file; its disk cannot be measured", path.string());
  }
  return {};
}

}  // namespace

Result<ProfileTarget> find_profile_target(const ProfileOptions& options) {
  const fs::path given = options.path.empty() ? "." : options.path;
  if (Status status = check_path(given); !status) {
    return propagate(status.error());
  }
  ProfileTarget target;
  std::error_code error;
  target.path = fs::canonical(given, error);
  if (error) {
    return fail(ErrorCode::kIo, "cannot access '{}': {}", given.string(), error.message());
  }
  target.folder = fs::is_directory(target.path, error) ? target.path : target.path.parent_path();
  auto file_system = file_system_of(target.path);
  if (!file_system) {
    return propagate(file_system.error());
  }
  const auto limits = read_memory_limits();
  if (!limits) {
    return propagate(limits.error());
  }
  target.file_system = std::move(*file_system);
  target.threads = options.threads > 0 ? options.threads : usable_cores();
  target.fingerprint = {
      {"processor", read_cpu().model},
      {"the number of usable cores", fmt::format("{}", usable_cores())},
      {"the number of threads", fmt::format("{}", target.threads)},
      {"memory", format_bytes(limits->total)},
      {"the system", system_release()},
      {"the file system", target.file_system},
      {"ggml", ggml_build()},
      {"Hypura", HYPURA_VERSION},
  };
  if (const auto folder = cache_folder()) {
    target.cache = *folder / profile_file_name(host_name(), target.file_system, target.threads);
  }
  return target;
}

std::vector<std::string> weight_types(const fs::path& path) {
  std::vector<std::string> types;
  const auto model = open_model(path);
  if (!model) {
    return types;
  }
  for (const TensorInfo& tensor : model->tensors) {
    std::string type = type_name(tensor.type);
    if (tensor.shape[1] > 1 && is_weight_type(type) && std::find(types.begin(), types.end(), type) == types.end()) {
      types.push_back(std::move(type));
    }
  }
  return types;
}

Status refresh_memory(MachineProfile& profile) {
  const auto limits = read_memory_limits();
  if (!limits) {
    return propagate(limits.error());
  }
  profile.memory_total = limits->total;
  profile.memory_available = limits->available;
  profile.memory_allowed = limits->allowed();
  profile.cgroup_limit = limits->cgroup_limit;
  return {};
}

Status change_cached_profile(const std::filesystem::path& path, const std::function<void(MachineProfile&)>& change) {
  ProfileOptions options;
  options.path = path;
  const auto target = find_profile_target(options);
  if (!target) {
    return propagate(target.error());
  }
  if (!target->cache) {
    return {};
  }
  CachedProfile cached = load_profile(*target->cache, target->fingerprint);
  if (!cached.profile) {
    return {};
  }
  change(*cached.profile);
  return store_profile(*target->cache, *cached.profile, target->fingerprint);
}

}  // namespace hypura
