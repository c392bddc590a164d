#include "load/workers.h"

#include <algorithm>
#include <vector>

#include "backend/cpu_kernels.h"
#include "backend/worker_block.h"
#include "backend/worker_layers.h"
#include "llama/llama_runtime.h"
#include "plan/worker_plans.h"
#include "remote/worker_address.h"
#include "remote/worker_link.h"
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
    if (!options.trust_network && !is_loopback(*address)) {
      return fail(ErrorCode::kUsage,
                  "worker {} is reached over a network, where nothing is encrypted and no password asked for: whoever "
                  "is on the way can read and change what is computed. Reach it through WireGuard, ssh -L or stunnel "
                  "(docs/guide/workers.md), and give --trust-network where its address is not of this machine",
                  text);
    }
    addresses.push_back(std::move(*address));
  }
  return addresses;
}

AskingManner manner_of(const OpenRequest& request, const OpenModel& model) {
  AskingManner manner;
  manner.here = speed_here(model.problem);
  manner.alike = request.overrides.alike_workers;
  manner.patience = request.overrides.worker_patience.value_or(manner.patience);
  return manner;
}

// Of a model without experts.
Status join_ffn_workers(const OpenRequest& request, uint64_t fingerprint, OpenModel& model) {
  if (model.weights == nullptr || worker_layers(model.weights->layout()).empty()) {
    logger().warn("no feed-forward parts are streamed, since the memory holds all of them: the workers are not asked");
    return {};
  }
  return addresses_of(request.options).and_then([&](const std::vector<WorkerAddress>& addresses) {
    return model.weights->ask_ffn_workers(addresses, fingerprint, ggml_build(), manner_of(request, model),
                                          model.problem.dense_disk.bytes_per_second);
  });
}

void note_found(std::vector<FoundWorker> found, OpenRequest& request) {
  request.workers.clear();
  for (FoundWorker& it : found) {
    request.workers.emplace_back().found = std::move(it);
  }
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

Status join_workers(OpenRequest& request, uint64_t fingerprint, OpenModel& model) {
  if (!request.options.workers.empty() && request.model.experts == 0) {
    return join_ffn_workers(request, fingerprint, model);
  }
  if (request.options.workers.empty() || model.weights == nullptr || model.weights->layout().expert_layers.empty()) {
    return {};
  }
  StreamedWeights& weights = *model.weights;
  const Status asked = addresses_of(request.options).and_then([&](const std::vector<WorkerAddress>& addresses) {
    return weights.ask_workers(addresses, fingerprint, ggml_build(), manner_of(request, model));
  });
  if (!asked) {
    return asked;
  }
  note_found(weights.found_workers(), request);
  choose_workers(request, model.problem, model.plan.placement);
  for (size_t i = 0; i < request.workers.size(); ++i) {
    if (request.workers[i].choice && !request.workers[i].choice->asked) {
      weights.dismiss_worker(i);
    }
  }
  return {};
}

Status look_for_workers(OpenRequest& request, uint64_t fingerprint, const Placement& placement,
                        PlacementProblem& problem) {
  if (request.options.workers.empty() || !placement.experts.streamed) {
    return {};
  }
  const auto addresses = addresses_of(request.options);
  if (!addresses) {
    return propagate(addresses.error());
  }
  const StreamLayout layout = request.layout(true, false, request.reads_repacked());
  WorkerHello hello;
  hello.identity = worker_identity(fingerprint, layout.repacked, ggml_build(), cpu_kernels());
  WorkerLinkOptions patience;
  patience.connect = std::max(patience.connect, request.overrides.worker_patience.value_or(patience.connect));
  auto found = find_workers(*addresses, hello, worker_room(layout), patience);
  if (!found) {
    return propagate(found.error());
  }
  note_found(std::move(*found), request);
  choose_workers(request, problem, placement);
  return {};
}

}  // namespace hypura
