// A server that rests measures the machine again where the profile wants that.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hypura/profile.h"
#include "server/idle_work.h"

namespace hypura {

// What `hypura profile` takes of memory at most: with less for its models, a server does not run it.
inline constexpr uint64_t kProfilingMemory = 1ULL << 30;

// Between two measurements that tell what lasts.
inline constexpr std::chrono::minutes kBetweenMeasurements{5};

enum class Measurement : uint8_t { kNone, kAnew, kOnceMore };

// What a profile wants: to be measured anew where it is doubtful, and once more some minutes after the first time.
Measurement wanted_measurement(const MachineProfile& profile, std::chrono::system_clock::time_point now);

// Runs this program as `hypura profile` in a process of its own, which is killed when it is to end. Null where no
// profile of the model's disk is kept, it wants nothing, `memory` for models is too little, or a process cannot be had
// (told in the log).
std::unique_ptr<IdleWork> begin_idle_profile(const std::filesystem::path& model, std::optional<uint64_t> memory);

// That process, of any program; null when it cannot be started.
std::unique_ptr<IdleWork> begin_process(const std::filesystem::path& program,
                                        const std::vector<std::string>& arguments);

}  // namespace hypura
