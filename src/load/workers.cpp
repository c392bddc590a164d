#include "load/workers.h"

#include <algorithm>
#include <vector>

#include "llama/llama_runtime.h"
#include "remote/worker_address.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

namespace {

Result<std::vector<WorkerAddress>> addresses_of(const EngineOptions& options) {
  std::vector<WorkerAddress> addresses;
  for (const std::string& text : options.workers) {
    auto address = parse_worker_address(text);
    if (!address) {
      return propagate(address.error());
    }
    if (std::ranges::find(addresses, *address) != addresses.end()) {
      return fail(ErrorCode::kUsage, "worker {} is given twice: a worker serves one machine at a time", text);
    }
    addresses.push_back(std::move(*address));
  }
  return addresses;
}

}  // namespace

Status check_workers(const EngineOptions& options, const ChosenGpu& gpu, const Model& model) {
  if (options.split == WorkerSplit::kLayers) {
    return fail(ErrorCode::kUsage, "workers cannot compute whole layers yet (--split layers): they compute experts");
  }
  if (options.workers.empty()) {
    return {};
  }
  if (options.workers.size() > kMostWorkers) {
    return fail(ErrorCode::kUsage, "{} workers are given, and at most {} can help", options.workers.size(),
                kMostWorkers);
  }
  if (const auto addresses = addresses_of(options); !addresses) {
    return propagate(addresses.error());
  }
  if (model.experts == 0) {
    return fail(ErrorCode::kUsage, "{} has no experts, and workers compute nothing else yet: leave out the workers",
                model.name);
  }
  if (gpu.exists()) {
    return fail(ErrorCode::kUsage,
                "workers help the processors alone yet, and {} would compute here: give --gpu none, or leave out the "
                "workers",
                gpu.name());
  }
  return {};
}

Status join_workers(const EngineOptions& options, const PlanOverrides& overrides, uint64_t fingerprint,
                    OpenModel& model) {
  if (options.workers.empty()) {
    return {};
  }
  if (model.weights == nullptr || model.weights->layout().expert_layers.empty()) {
    logger().warn("no experts are streamed, since the memory holds all of them: the workers are not asked");
    return {};
  }
  return addresses_of(options).and_then([&](const std::vector<WorkerAddress>& addresses) {
    AskingManner manner;
    manner.alike = overrides.alike_workers;
    manner.patience = overrides.worker_patience.value_or(manner.patience);
    return model.weights->ask_workers(addresses, fingerprint, ggml_build(), manner);
  });
}

}  // namespace hypura
