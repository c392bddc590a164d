#include "cli/pull/pull_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "support/printable.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr double kWindowSeconds = 8;
constexpr double kShortestSeconds = 0.5;

}  // namespace

std::string size_sentence(const RemoteModel& model, uint64_t missing, std::optional<uint64_t> free,
                          const std::filesystem::path& folder) {
  const size_t files = model.parts.size();
  std::string text = fmt::format("{}: {}", printable(model.name), format_bytes(model.bytes()));
  if (files > 1) {
    text += fmt::format(" in {} files", files);
  }
  if (missing < model.bytes()) {
    text += fmt::format(", of which {} are still to be fetched", format_bytes(missing));
  }
  if (free) {
    text += fmt::format("; {} are free in {}", format_bytes(*free), folder.string());
  }
  return text;
}

std::string would_run_sentence(const Result<Plan>& plan) {
  return plan ? fmt::format("here it would run like this: {}; {}", plan->sentence, plan->why)
              : fmt::format("here it would not run: {}", plan.error().message);
}

void RateMeter::add(Seconds now, uint64_t bytes) {
  if (!readings_.empty() && bytes < readings_.back().bytes) {  // begun anew
    readings_.clear();
  }
  readings_.push_back({now, bytes});
  while (readings_.size() > 2 && (now - readings_[1].at).count() > kWindowSeconds) {
    readings_.pop_front();
  }
}

double RateMeter::bytes_per_second() const {
  const double seconds = readings_.empty() ? 0 : (readings_.back().at - readings_.front().at).count();
  if (seconds < kShortestSeconds) {
    return 0;
  }
  return static_cast<double>(readings_.back().bytes - readings_.front().bytes) / seconds;
}

std::string progress_words(const FetchProgress& progress, double bytes_per_second) {
  if (progress.state == DownloadProgress::State::kWaiting) {
    return "another program is fetching it, waiting";
  }
  std::string text = fmt::format("{} of {}", format_bytes(progress.bytes), format_bytes(progress.size));
  if (progress.state == DownloadProgress::State::kChecking) {
    return text + ", checking";
  }
  if (bytes_per_second >= 1) {
    const uint64_t left = progress.size - std::min(progress.size, progress.bytes);
    text += fmt::format(", {}/s, {} left", format_bytes(static_cast<uint64_t>(bytes_per_second)),
                        duration_words(static_cast<double>(left) / bytes_per_second));
  }
  return text;
}

std::string duration_words(double seconds) {
  const auto whole = static_cast<uint64_t>(std::ceil(std::max(seconds, 0.0)));
  if (whole < 100) {
    return fmt::format("{} s", whole);
  }
  const uint64_t minutes = (whole + 30) / 60;
  return minutes < 100 ? fmt::format("{} min", minutes) : fmt::format("{} h {} min", minutes / 60, minutes % 60);
}

}  // namespace hypura
