#include "cli/inspect/figures.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/inspect/words.h"
#include "support/printable.h"
#include "support/units.h"

namespace hypura {

namespace {

std::string read_note(const Prediction& prediction) {
  const std::string time = seconds_words(prediction.decode_seconds);
  if (prediction.bytes_per_token < 1) {
    return fmt::format("{} a token, nothing read from disk", time);
  }
  return fmt::format("{} and {} from disk a token", time,
                     format_bytes(static_cast<uint64_t>(prediction.bytes_per_token)));
}

// The plan tells it whatever the context; a prompt that does not fit is left out.
void add_prompt(std::vector<Figure>& figures, const Plan& plan, uint32_t tokens, double seconds) {
  if (seconds > 0 && tokens <= plan.context) {
    figures.push_back({fmt::format("prompt of {}", tokens), seconds_words(seconds), rate_words(tokens / seconds)});
  }
}

void add_improvement(std::vector<Figure>& figures, const Plan& plan, const char* label, double then) {
  const double now = plan.prediction.tokens_per_second;
  if (then <= 0 || now <= 0) {
    return;
  }
  const double gain = then / now - 1;
  figures.push_back({label, rate_words(then), gain < 0.0005 ? "no gain" : "+" + percent_words(gain)});
}

const char* limit_words(Limit limit) {
  return limit == Limit::kDisk ? "the disk" : limit == Limit::kUpload ? "copies to the GPU" : "computing";
}

void add_device(std::vector<Figure>& figures, const DevicePlan& device) {
  if (device.layers) {
    figures.push_back({"layers on GPU", fmt::format("{} of {}", *device.layers, device.all_layers),
                       "and the output; the processors compute the others"});
  }
  for (const DeviceShare& share : device.shares) {
    figures.push_back({"on " + share.name, fmt::format("{} layers", share.layers),
                       fmt::format("in {} of {}", format_bytes(share.bytes), format_bytes(share.budget))});
  }
  if (device.hit_rate) {
    figures.push_back({"experts on GPU", percent_words(*device.hit_rate),
                       fmt::format("of those asked for; {} in RAM", percent_words(device.ram_hit_rate.value_or(0)))});
    if (device.mixed) {
      figures.push_back({"processors", seconds_words(device.cpu_seconds), "a token, for the experts not on the GPU"});
    }
    figures.push_back({"copied to GPU", format_bytes(static_cast<uint64_t>(device.uploaded_bytes_per_token)),
                       "a token, beside what lies there"});
  }
}

}  // namespace

double share_of_bound(const Prediction& prediction) {
  const double bound = prediction.bound_tokens_per_second;
  return bound > 0 ? std::clamp(prediction.tokens_per_second / bound, 0.0, 1.0) : 0.0;
}

std::vector<Figure> predictions(const Plan& plan) {
  const Prediction& prediction = plan.prediction;
  std::vector<Figure> figures;
  figures.push_back({"decode", rate_words(prediction.tokens_per_second), read_note(prediction)});
  if (std::ranges::any_of(plan.workers, &WorkerPlan::asked) && plan.alone_tokens_per_second > 0) {
    figures.push_back({"without workers", rate_words(plan.alone_tokens_per_second), "this machine alone"});
  }
  if (prediction.full_context_tokens_per_second > 0) {
    figures.push_back({"at the end", rate_words(prediction.full_context_tokens_per_second),
                       fmt::format("with {} tokens in the context", plan.context)});
  }
  if (prediction.calibration) {
    figures.push_back(
        {"earlier runs", fmt::format("{:.2f} x", *prediction.calibration), "the estimated time; included above"});
  }
  if (prediction.bound_tokens_per_second > 0) {
    figures.push_back({"physical bound", rate_words(prediction.bound_tokens_per_second),
                       fmt::format("set by {}; {} of it predicted", limit_words(prediction.bound_by),
                                   percent_words(share_of_bound(prediction)))});
  }
  if (prediction.hit_rate) {
    figures.push_back({"experts found", percent_words(*prediction.hit_rate),
                       fmt::format("in memory when asked for ({})", printable(prediction.hit_rate_source))});
  }
  if (plan.device) {
    add_device(figures, *plan.device);
  }
  add_prompt(figures, plan, 512, prediction.prefill512_seconds);
  add_prompt(figures, plan, 4096, prediction.prefill4096_seconds);
  if (prediction.load_seconds > 0) {
    figures.push_back({"loading", seconds_words(prediction.load_seconds), "reading what stays in memory"});
  }
  if (prediction.first_token_seconds > 0) {
    figures.push_back({"first token", seconds_words(prediction.first_token_seconds), "loading and a prompt of 512"});
  }
  if (prediction.memory_peak > 0) {
    figures.push_back({"memory peak", format_bytes(prediction.memory_peak), "of the whole process"});
  }
  return figures;
}

std::vector<std::pair<const char*, double>> improved_speeds(const Plan& plan) {
  const bool mixed = plan.device && plan.device->mixed;
  return {{mixed ? "no mixed compute" : "mixed compute", plan.mixed_other_way_tokens_per_second},
          {"1 GiB more VRAM", plan.more_vram_tokens_per_second},
          {"1 GiB more RAM", plan.more_memory_tokens_per_second},
          {"1 GB/s more disk", plan.more_disk_tokens_per_second},
          {"a repacked copy", plan.repacked_tokens_per_second}};
}

std::vector<Figure> improvements(const Plan& plan) {
  std::vector<Figure> figures;
  for (const auto& [label, then] : improved_speeds(plan)) {
    add_improvement(figures, plan, label, then);
  }
  return figures;
}

}  // namespace hypura
