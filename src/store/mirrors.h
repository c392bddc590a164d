// The copies of a model that it is read from besides its own files.
#pragma once

#include <optional>
#include <vector>

#include "hypura/engine.h"
#include "hypura/profile.h"
#include "model/model.h"
#include "storage/reader.h"

namespace hypura {

// The files of options.mirrors, compared with those of the model. Fails as find_mirrors does (storage/mirror_files.h),
// and with kUsage when there are more than kMostMirrors.
Result<std::vector<Mirror>> mirrors_of(const Model& model, const EngineOptions& options);

// `profile`, of the model's disk, with the speeds of the mirrors' disks added: of those that are other file systems,
// have a cached profile and all of the model's files.
std::optional<MachineProfile> with_mirrors(std::optional<MachineProfile> profile, const Model& model,
                                           const std::vector<Mirror>& mirrors);

// Two disks that share the reads. A single read is as fast as on the faster one; of several each disk has half.
StorageProfile together(const StorageProfile& one, const StorageProfile& other);

}  // namespace hypura
