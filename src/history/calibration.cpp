#include "history/calibration.h"

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

constexpr double kOtherBringing = 0.1;  // of a token's time

double believable(double factor) {
  return std::clamp(factor, 1 / kLargestFactor, kLargestFactor);
}

Result<std::filesystem::path> calibration_file(const Model& model) {
  return file_about(model, "run-history", "json");
}

CalibrationFactors read_factors(const std::filesystem::path& path, const std::string& measured_at) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {  // opening a pipe would wait for its writer
    return {};
  }
  std::ifstream file(path);
  const nlohmann::json saved = nlohmann::json::parse(file, nullptr, false);
  if (!saved.is_object() || saved.value("profile", nlohmann::json()) != measured_at) {
    return {};
  }
  CalibrationFactors factors;
  const nlohmann::json listed = saved.value("calibration_factors", nlohmann::json::object());
  for (const auto& [key, value] : listed.items()) {
    if (value.is_number()) {
      factors[key] = believable(value);
    }
  }
  return factors;
}

Status write_factors(const std::filesystem::path& path, const std::string& measured_at,
                     const CalibrationFactors& factors) {
  const nlohmann::json saved = {{"profile", measured_at}, {"calibration_factors", factors}};
  return write_file_atomically(path, saved.dump(2) + "\n");
}

}  // namespace

void DecodeCalibration::note(const TokenPass& pass) {
  if (noted_++ < kSkipped) {
    return;
  }
  if (latest_.size() < kMost) {
    latest_.push_back(pass);
  } else {
    latest_[(noted_ - kSkipped - 1) % kMost] = pass;
  }
}

std::optional<double> DecodeCalibration::factor(const PlacementProblem& problem, const Placement& placement,
                                                uint32_t predicted_at) const {
  if (latest_.size() < kFewest) {
    return std::nullopt;
  }
  double seconds = 0;
  double bytes = 0;
  double position = 0;
  double missed = 0;
  for (const TokenPass& pass : latest_) {
    seconds += pass.seconds;
    bytes += static_cast<double>(pass.bytes);
    position += pass.position;
    missed += static_cast<double>(pass.missed);
  }
  const auto passes = static_cast<double>(latest_.size());
  const PassCost predicted = pass_cost(problem_after(problem, position / passes - predicted_at), placement, 1);
  const DiskSpeed& disk = placement.experts.streamed ? problem.expert_disk : problem.dense_disk;
  double other = std::abs(bytes / passes - predicted.bytes) / disk.bytes_per_second;
  if (predicted.device_misses > 0) {
    const double bringing = placement.gpu->mixed ? predicted.processors : predicted.uploading;
    other += std::abs(missed / passes - predicted.device_misses) * bringing / predicted.device_misses;
  }
  if (other > kOtherBringing * predicted.seconds) {
    return std::nullopt;
  }
  return seconds / passes / predicted.seconds;
}

CalibrationFactors load_calibration(const Model& model, const std::string& measured_at) {
  const auto path = calibration_file(model);
  return path ? read_factors(*path, measured_at) : CalibrationFactors();
}

Status save_calibration(const Model& model, const std::string& measured_at, const std::string& key, double factor) {
  const auto path = calibration_file(model);
  if (!path) {
    return propagate(path.error());
  }
  CalibrationFactors factors = read_factors(*path, measured_at);
  const auto before = factors.find(key);
  factors[key] = before != factors.end() ? std::sqrt(before->second * believable(factor)) : believable(factor);
  return write_factors(*path, measured_at, factors);
}

Status forget_calibration(const Model& model, const std::string& measured_at, const std::string& beginning) {
  const auto path = calibration_file(model);
  if (!path) {
    return propagate(path.error());
  }
  CalibrationFactors factors = read_factors(*path, measured_at);
  const size_t forgotten = std::erase_if(factors, [&](const auto& it) { return it.first.starts_with(beginning); });
  return forgotten == 0 ? Status() : write_factors(*path, measured_at, factors);
}

}  // namespace hypura
