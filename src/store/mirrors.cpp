#include "store/mirrors.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "machine/file_system.h"
#include "storage/mirror_files.h"
#include "support/fail.h"

namespace hypura {

namespace {

// Headers end where the first tensor begins; a part without tensors is all header.
std::vector<MirroredFile> mirrored_files(const Model& model) {
  std::vector<MirroredFile> files;
  for (const ModelFile& file : model.files) {
    files.push_back({file.path, file.size});
  }
  for (const TensorInfo& tensor : model.tensors) {
    uint64_t& header = files[tensor.extent.file].header_bytes;
    header = std::min(header, tensor.extent.offset);
  }
  return files;
}

// 0 when it was not measured.
double rate_at(const StorageProfile& storage, const StoragePoint& like, uint32_t depth) {
  for (const StoragePoint& point : storage.points) {
    if (point.block_bytes == like.block_bytes && point.scattered == like.scattered && point.depth == depth) {
      return point.bytes_per_second;
    }
  }
  return 0;
}

// With half of `like.depth` under way; where that was not measured, with all.
double rate_at_half(const StorageProfile& storage, const StoragePoint& like) {
  const double half = rate_at(storage, like, like.depth / 2);
  return half > 0 ? half : rate_at(storage, like, like.depth);
}

}  // namespace

Result<std::vector<Mirror>> mirrors_of(const Model& model, const EngineOptions& options) {
  if (options.mirrors.size() > kMostMirrors) {
    return fail(ErrorCode::kUsage, "{} mirrors are given, but at most {} can be read; leave some out",
                options.mirrors.size(), kMostMirrors);
  }
  return find_mirrors(mirrored_files(model), options.mirrors, options.direct_io);
}

StorageProfile together(const StorageProfile& one, const StorageProfile& other) {
  StorageProfile sum = one;
  for (StoragePoint& point : sum.points) {
    point.bytes_per_second = point.depth == 1 ? std::max(point.bytes_per_second, rate_at(other, point, 1))
                                              : rate_at_half(one, point) + rate_at_half(other, point);
  }
  sum.sequential_bytes_per_second += other.sequential_bytes_per_second;
  sum.scattered_bytes_per_second += other.scattered_bytes_per_second;
  const bool both = one.sustained_bytes_per_second > 0 && other.sustained_bytes_per_second > 0;
  sum.sustained_bytes_per_second = both ? one.sustained_bytes_per_second + other.sustained_bytes_per_second : 0;
  return sum;
}

std::optional<MachineProfile> with_mirrors(std::optional<MachineProfile> profile, const Model& model,
                                           const std::vector<Mirror>& mirrors) {
  if (!profile || mirrors.empty()) {
    return profile;
  }
  std::set<std::string> counted;
  for (const ModelFile& file : model.files) {
    counted.insert(file_system_of(file.path).value_or(""));
  }
  for (const Mirror& mirror : mirrors) {
    const bool whole = std::none_of(mirror.begin(), mirror.end(), [](const auto& file) { return file.empty(); });
    const auto disk = file_system_of(whole ? mirror.front() : std::filesystem::path());
    if (!disk || !counted.insert(*disk).second) {
      continue;
    }
    ProfileOptions of_its_disk;
    of_its_disk.path = mirror.front();
    if (const auto measured = cached_profile(of_its_disk)) {
      profile->storage = together(profile->storage, measured->storage);
    }
  }
  return profile;
}

}  // namespace hypura
