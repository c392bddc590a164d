#include "history/decode_pace.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "history/model_fingerprint.h"
#include "support/atomic_file.h"
#include "support/fail.h"

namespace hypura {

namespace {

constexpr double kOtherReading = 0.1;  // of a token's time

double believable(double pace) {
  return std::clamp(pace, 1 / kFarthestPace, kFarthestPace);
}

Result<std::filesystem::path> pace_file(const Model& model) {
  return file_about(model, "pace", "json");
}

Paces read_paces(const std::filesystem::path& path, const std::string& measured_at) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {  // opening a pipe would wait for its writer
    return {};
  }
  std::ifstream file(path);
  const nlohmann::json saved = nlohmann::json::parse(file, nullptr, false);
  if (!saved.is_object() || saved.value("profile", nlohmann::json()) != measured_at) {
    return {};
  }
  Paces paces;
  const nlohmann::json listed = saved.value("paces", nlohmann::json::object());
  for (const auto& [key, value] : listed.items()) {
    if (value.is_number()) {
      paces[key] = believable(value);
    }
  }
  return paces;
}

}  // namespace

void DecodePace::note(const TokenPass& pass) {
  if (noted_++ < kSkipped) {
    return;
  }
  if (latest_.size() < kMost) {
    latest_.push_back(pass);
  } else {
    latest_[(noted_ - kSkipped - 1) % kMost] = pass;
  }
}

std::optional<double> DecodePace::against(const PlacementProblem& problem, const Placement& placement,
                                          uint32_t said_at) const {
  if (latest_.size() < kFewest) {
    return std::nullopt;
  }
  double seconds = 0;
  double bytes = 0;
  double position = 0;
  for (const TokenPass& pass : latest_) {
    seconds += pass.seconds;
    bytes += static_cast<double>(pass.bytes);
    position += pass.position;
  }
  const auto passes = static_cast<double>(latest_.size());
  const PassCost said = pass_cost(problem_after(problem, position / passes - said_at), placement, 1);
  const DiskSpeed& disk = streams_experts(placement.mode) ? problem.expert_disk : problem.dense_disk;
  const double other_reading = std::abs(bytes / passes - said.bytes) / disk.bytes_per_second;
  return other_reading <= kOtherReading * said.seconds ? std::optional(seconds / passes / said.seconds) : std::nullopt;
}

Paces saved_paces(const Model& model, const std::string& measured_at) {
  const auto path = pace_file(model);
  return path ? read_paces(*path, measured_at) : Paces();
}

Status save_pace(const Model& model, const std::string& measured_at, const std::string& key, double pace) {
  const auto path = pace_file(model);
  if (!path) {
    return propagate(path.error());
  }
  Paces paces = read_paces(*path, measured_at);
  const auto before = paces.find(key);
  paces[key] = before != paces.end() ? std::sqrt(before->second * believable(pace)) : believable(pace);
  const nlohmann::json saved = {{"profile", measured_at}, {"paces", paces}};
  return write_file_atomically(*path, saved.dump(2) + "\n");
}

}  // namespace hypura
