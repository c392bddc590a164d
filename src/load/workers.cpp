#include "load/workers.h"

#include <algorithm>
#include <vector>

#include "backend/worker_layers.h"
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

AskingManner manner_of(const PlanOverrides& overrides) {
  AskingManner manner;
  manner.alike = overrides.alike_workers;
  manner.patience = overrides.worker_patience.value_or(manner.patience);
  return manner;
}

// Of a model without experts.
Status join_ffn_workers(const EngineOptions& options, const PlanOverrides& overrides, uint64_t fingerprint,
                        OpenModel& model) {
  if (model.weights == nullptr || worker_layers(model.weights->layout()).empty()) {
    logger().warn("no feed-forward parts are streamed, since the memory holds all of them: the workers are not asked");
    return {};
  }
  return addresses_of(options).and_then([&](const std::vector<WorkerAddress>& addresses) {
    return model.weights->ask_ffn_workers(addresses, fingerprint, ggml_build(), manner_of(overrides),
                                          model.problem.dense_disk.bytes_per_second);
  });
}

}  // namespace

Status check_workers(const EngineOptions& options, const ChosenGpu& gpu, const Model& model) {
  if (options.split == WorkerSplit::kLayers) {
    return fail(ErrorCode::kUsage,
                "workers cannot compute whole layers yet (--split layers): they compute experts, or feed-forward parts "
                "of models without any");
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
  if (model.experts == 0 && options.split == WorkerSplit::kExperts) {
    return fail(ErrorCode::kUsage, "{} has no experts: leave out --split experts", model.name);
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
  if (model.file->experts == 0) {
    return join_ffn_workers(options, overrides, fingerprint, model);
  }
  if (model.weights == nullptr || model.weights->layout().expert_layers.empty()) {
    logger().warn("no experts are streamed, since the memory holds all of them: the workers are not asked");
    return {};
  }
  return addresses_of(options).and_then([&](const std::vector<WorkerAddress>& addresses) {
    return model.weights->ask_workers(addresses, fingerprint, ggml_build(), manner_of(overrides));
  });
}

}  // namespace hypura
