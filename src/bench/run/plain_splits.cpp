#include "bench/run/plain_splits.h"

#include <algorithm>
#include <functional>

#include "bench/run/bench_engine.h"
#include "bench/run/prediction.h"
#include "hypura/devices.h"
#include "model/model.h"
#include "support/fail.h"

namespace hypura {

namespace {

// Beyond so many tokens a pass is no faster, and its buffers only take layers' room.
constexpr uint32_t kLargestPass = 4096;

// The most of 0..`most` for which `fits`; -1: none.
Result<int64_t> most_that_fits(uint32_t most, const std::function<Result<bool>(uint32_t)>& fits) {
  int64_t good = -1;
  int64_t bad = int64_t{most} + 1;
  while (bad - good > 1) {
    const int64_t middle = good + (bad - good) / 2;
    const auto does = fits(static_cast<uint32_t>(middle));
    if (!does) {
      return propagate(does.error());
    }
    (*does ? good : bad) = middle;
  }
  return good;
}

// Which compute by the plan, and what each may use.
Status name_devices(const DevicePlan& plan, PlainSplits& splits) {
  std::vector<DeviceShare> shares = plan.shares;
  if (shares.empty()) {
    shares.push_back({plan.name, plan.budget});
  }
  for (const DeviceShare& share : shares) {
    const auto device = find_gpu(share.name);
    if (!device) {
      return propagate(device.error());
    }
    splits.gpu += (splits.gpu.empty() ? "" : ",") + device->name;
    splits.own_memory = !device->integrated;
    splits.vram.push_back(share.budget);
  }
  return {};
}

}  // namespace

Result<std::vector<PlainSplit>> best_splits(uint32_t layers, bool experts, const SplitFits& fits) {
  const PlainSplit all = {"all in VRAM", -1, 0};
  const auto whole = fits(all);
  if (!whole || *whole) {
    return whole ? Result<std::vector<PlainSplit>>({all}) : propagate(whole.error());
  }
  const auto with_layers = [](uint32_t count) {
    return PlainSplit{fmt::format("-ngl {}", count), static_cast<int32_t>(count), 0};
  };
  const auto with_experts = [layers](uint32_t count) {  // of the last so many layers on the GPU
    return count == 0 ? PlainSplit{"--cpu-moe", -1, layers}
                      : PlainSplit{fmt::format("--n-cpu-moe {}", layers - count), -1, layers - count};
  };
  std::vector<PlainSplit> best;
  const auto by_layers = most_that_fits(layers, [&](uint32_t count) { return fits(with_layers(count)); });
  if (!by_layers) {
    return propagate(by_layers.error());
  }
  if (*by_layers >= 0) {
    best.push_back(with_layers(static_cast<uint32_t>(*by_layers)));
  }
  if (!experts || layers == 0) {
    return best;
  }
  const auto by_experts = most_that_fits(layers - 1, [&](uint32_t count) { return fits(with_experts(count)); });
  if (!by_experts) {
    return propagate(by_experts.error());
  }
  if (*by_experts >= 0) {
    best.push_back(with_experts(0));
  }
  if (*by_experts > 0) {
    best.push_back(with_experts(static_cast<uint32_t>(*by_experts)));
  }
  return best;
}

RunSpec split_spec(RunSpec ours, const PlainSplits& splits, const PlainSplit& split) {
  ours.engine = "plain";
  ours.gpu = splits.gpu;
  ours.gpu_shares = splits.vram;
  ours.gpu_layers = split.gpu_layers;
  ours.cpu_expert_layers = split.cpu_expert_layers;
  ours.ubatch = std::min(ours.prompt_tokens, kLargestPass);
  return ours;
}

Result<PlainSplits> find_plain_splits(const RunSpec& spec) {
  const auto plan = plan_of(spec);
  if (!plan) {
    return propagate(plan.error());
  }
  PlainSplits found;
  if (!plan->device || plan->device->name == "CPU") {
    return found;
  }
  const auto model = open_model(spec.model);
  const Status named = model ? name_devices(*plan->device, found) : propagate(model.error());
  if (!named) {
    return propagate(named.error());
  }
  const auto fits = [&](const PlainSplit& split) {
    return PlainLlama::device_bytes(plain_options(split_spec(spec, found, split)))
        .map([&](const std::vector<uint64_t>& bytes) {
          return std::ranges::equal(bytes, found.vram, std::less_equal());
        });
  };
  auto splits = best_splits(static_cast<uint32_t>(model->layers), model->experts > 0, fits);
  if (!splits) {
    return propagate(splits.error());
  }
  found.splits = std::move(*splits);
  return found;
}

}  // namespace hypura
