#include "load/workers.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "backend/cpu_kernels.h"
#include "backend/worker_block.h"
#include "backend/worker_layers.h"
#include "llama/llama_runtime.h"
#include "machine/memory.h"
#include "placement/ffn_cost.h"
#include "plan/context_choice.h"
#include "plan/worker_plans.h"
#include "remote/worker_address.h"
#include "remote/worker_link.h"
#include "support/fail.h"
#include "support/log.h"
#include "support/units.h"

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
  manner.other_seconds = model.problem.experts.empty() ? ffn_seconds(model.problem).other : 0;
  manner.alike = request.overrides.alike_workers;
  manner.patience = request.overrides.worker_patience.value_or(manner.patience);
  for (size_t i = 0; i < request.options.workers.size(); ++i) {
    manner.left_out.push_back(request.leaves_out(i));
  }
  return manner;
}

// Which workers refuse layers of which models. Any thread.
class Refusals {
 public:
  bool has(const std::string& worker, uint64_t fingerprint) {
    const std::lock_guard lock(mutex_);
    return all_.contains({worker, fingerprint});
  }
  void add(const std::string& worker, uint64_t fingerprint) {
    const std::lock_guard lock(mutex_);
    all_.emplace(worker, fingerprint);
  }

 private:
  std::mutex mutex_;
  std::set<std::pair<std::string, uint64_t>> all_;
};

Refusals& refusals() {
  static Refusals all;
  return all;
}

// Layers that keep something else of what was before than keys and values.
bool has_other_state(const Model& model) {
  return std::ranges::any_of(model.tensors, [](const TensorInfo& tensor) {
    return tensor.name.find(".ssm_") != std::string::npos || tensor.name.find(".time_mix_") != std::string::npos ||
           tensor.name.find(".shortconv.") != std::string::npos;
  });
}

// What does not go together with whole layers on a worker.
Status check_layers(const EngineOptions& options, const Model& model) {
  const auto no = [](const std::string& why) {
    return Status(fail(ErrorCode::kUsage, "{}: leave out --split layers", why));
  };
  if (has_other_state(model)) {
    return no(fmt::format("{} has layers with another state than keys and values, which workers do not compute whole",
                          model.name));
  }
  if (options.draft.mtp) {
    return no("beside workers with whole layers no MTP layers draft yet (a draft model or n-grams do)");
  }
  return {};
}

WorkerWay planned_way(const WorkerWay& measured, const OpenRequest& request) {
  constexpr double kAtOnce = std::numeric_limits<double>::infinity();
  const auto& fixed = request.overrides.worker_round_trip;
  return fixed ? WorkerWay{*fixed, *fixed, kAtOnce, kAtOnce} : measured;
}

// What was found before of those that were left out stays.
void note_found(std::vector<FoundWorker> found, OpenRequest& request) {
  request.workers.resize(found.size());
  for (size_t i = 0; i < found.size(); ++i) {
    if (!request.leaves_out(i)) {
      request.workers[i] = PlannedWorker();
      request.workers[i].found = std::move(found[i]);
      request.workers[i].found.way = planned_way(request.workers[i].found.way, request);
    }
  }
}

}  // namespace

Status check_workers(const EngineOptions& options, const ChosenGpu& gpu, const Model& model) {
  if (options.workers.empty()) {
    return options.split != WorkerSplit::kLayers
               ? Status()
               : fail(ErrorCode::kUsage, "--split layers divides a model between machines: name the other by --worker");
  }
  if (options.workers.size() > kMostWorkers) {
    return fail(ErrorCode::kUsage, "{} workers are given, and at most {} can help", options.workers.size(),
                kMostWorkers);
  }
  if (const auto addresses = addresses_of(options); !addresses) {
    return propagate(addresses.error());
  }
  if (gpu.exists()) {
    return fail(ErrorCode::kUsage,
                "workers help the processors alone yet, and {} would compute here: give --gpu none, or leave out the "
                "workers",
                gpu.name());
  }
  return options.split == WorkerSplit::kLayers ? check_layers(options, model) : Status();
}

namespace {

// In the place of a GPU.
ChosenDevice as_device(const std::string& name, const WorkerVerdict& verdict, const WorkerWay& way,
                       const OpenRequest& request) {
  constexpr double kOverhead = 100e-6;  // seconds of a visit besides what is on the way
  constexpr double kUnmeasured = 1e8;   // bytes a second
  const auto row = static_cast<double>(request.model.embedding_length) * sizeof(float);
  const auto on_the_way = [&](double rate) { return row / (rate > 0 ? rate : kUnmeasured); };
  ChosenDevice device;
  device.info.name = name;
  device.info.memory_free = device.info.memory_total = device.vram = verdict.peer_memory;
  if (verdict.experts > 1) {
    device.most_rows = verdict.most_pairs;
    device.slot_bytes = verdict.slot_bytes;
  }
  const bool dense = request.model.experts == 0;
  device.slower = slower_there(verdict, request.layout(!dense, dense, false), request.history.profile, request.threads);
  device.visit_seconds =
      way.round_trip + kOverhead + on_the_way(way.send_bytes_per_second) + on_the_way(way.receive_bytes_per_second);
  return device;
}

// Of passes with so many rows as are asked for, where they are.
bool takes_passes(const WorkerVerdict& verdict, const EngineOptions& options) {
  return verdict.experts <= 1 || options.ubatch <= verdict.most_pairs;
}

std::string passes_too_long(const WorkerVerdict& verdict, const EngineOptions& options) {
  return fmt::format(
      "it computes experts of {} rows at most, and passes are to have {}: give it more memory, or leave out --ubatch",
      verdict.most_pairs, options.ubatch);
}

// From here on layers are workers', one in the place of a GPU each. Where that was asked for, each has some.
void begin_layers(OpenRequest& request) {
  request.gpu = {};
  request.gpu.named = request.options.split == WorkerSplit::kLayers;
  request.options.split = WorkerSplit::kLayers;
  request.workers.clear();
}

}  // namespace

Result<LayersWorkers> connect_layers(const OpenRequest& request, uint64_t fingerprint,
                                     const std::optional<std::vector<std::string>>& names) {
  LayersWorkers workers;
  const auto addresses = addresses_of(request.options);
  if (!addresses) {
    return propagate(addresses.error());
  }
  WorkerHello hello;
  hello.identity = worker_identity(fingerprint, false, ggml_build(), cpu_kernels());
  hello.threads = request.threads;
  for (const WorkerAddress& address : *addresses) {
    const std::string name = to_string(address);
    if (names && std::ranges::find(*names, name) == names->end()) {
      continue;
    }
    if (refusals().has(name, fingerprint)) {
      logger().warn("worker {} is not asked: it has refused to compute layers of this model", name);
      continue;
    }
    auto worker = RemoteLayers::connect(address, hello, request.overrides.worker_patience);
    if (!worker) {
      logger().warn("worker {} does not help: {}; it is done without", name, worker.error().message);
      continue;
    }
    const WorkerVerdict& verdict = (*worker)->verdict();
    if (!takes_passes(verdict, request.options)) {
      logger().warn("worker {} does not help: {}; it is done without", name, passes_too_long(verdict, request.options));
      continue;
    }
    logger().info("worker {} joins: {} for layers, {} threads, {:.2f} ms away", name, format_bytes(verdict.peer_memory),
                  verdict.threads, 1000 * (*worker)->way().round_trip);
    workers.push_back(std::move(*worker));
  }
  return workers;
}

void take_workers(const LayersWorkers& workers, OpenRequest& request) {
  if (workers.empty()) {
    return;
  }
  begin_layers(request);
  for (const std::unique_ptr<RemoteLayers>& it : workers) {
    request.gpu.devices.push_back(as_device(it->name(), it->verdict(), planned_way(it->way(), request), request));
    request.gpu.workers.push_back(it.get());
  }
}

bool may_have_layers(const EngineOptions& options, const Model& model) {
  return check_layers(options, model).has_value();
}

std::string no_layers_of(const FoundWorker& worker, const OpenRequest& request) {
  const WorkerVerdict& verdict = *worker.verdict;
  if (verdict.peer_memory == 0) {
    return "its memory has no room for any";
  }
  if (verdict.threads != request.threads) {
    return fmt::format("it computes with {} threads, and this machine with {}", verdict.threads, request.threads);
  }
  if (verdict.identity.repacked != 0) {
    return "it reads a repacked copy";
  }
  return takes_passes(verdict, request.options) ? "" : passes_too_long(verdict, request.options);
}

OpenRequest with_found_layers(const OpenRequest& request, uint64_t fingerprint) {
  OpenRequest layers = request;
  begin_layers(layers);
  for (const PlannedWorker& it : request.workers) {
    const FoundWorker& found = it.found;
    if (found.verdict && no_layers_of(found, request).empty() && !refusals().has(found.name, fingerprint)) {
      layers.gpu.devices.push_back(as_device(found.name, *found.verdict, found.way, request));
      layers.gpu.workers.push_back(nullptr);
    }
  }
  return layers;
}

void note_refusal(const RemoteLayers& worker) {
  refusals().add(worker.name(), worker.fingerprint());
}

namespace {

// Those that the options name, from now on.
Status ask_workers(const OpenRequest& request, uint64_t fingerprint, OpenModel& model) {
  StreamedWeights& weights = *model.weights;
  const auto addresses = addresses_of(request.options);
  if (!addresses) {
    return propagate(addresses.error());
  }
  const AskingManner manner = manner_of(request, model);
  return request.model.experts > 0 ? weights.ask_workers(*addresses, fingerprint, ggml_build(), manner)
                                   : weights.ask_ffn_workers(*addresses, fingerprint, ggml_build(), manner,
                                                             model.problem.dense_disk.bytes_per_second);
}

}  // namespace

Status join_workers(OpenRequest& request, uint64_t fingerprint, OpenModel& model) {
  if (request.options.workers.empty() || request.options.split == WorkerSplit::kLayers) {
    return {};
  }
  const bool dense = request.model.experts == 0;
  if (model.weights == nullptr || worker_layers(model.weights->layout()).empty()) {
    if (dense) {
      logger().warn(
          "no feed-forward parts are streamed, since the memory holds all of them: the workers are not asked");
    }
    return {};
  }
  if (Status status = ask_workers(request, fingerprint, model); !status) {
    return status;
  }
  note_found(model.weights->found_workers(), request);
  choose_workers(request, model.problem, model.plan.placement);
  for (size_t i = 0; i < request.workers.size(); ++i) {
    if (!request.leaves_out(i)) {
      continue;
    }
    model.weights->dismiss_worker(i);
    if (const FoundWorker& found = request.workers[i].found; !found.verdict) {  // of the others the plan says why
      logger().warn(
          "worker {} does not help: {}; it is not asked again, since the model would not fit beside the memory for "
          "messages to it",
          found.name, found.why);
    }
  }
  return {};
}

Status look_for_workers(OpenRequest& request, uint64_t fingerprint) {
  if (request.options.workers.empty() || request.options.split == WorkerSplit::kLayers) {
    return {};
  }
  OpenRequest plain = request;
  if (plain.context == 0) {
    plain.context = std::min(kPlainContext, static_cast<uint32_t>(std::max<int64_t>(plain.model.context_length, 1)));
  }
  const auto problem = placement_problem(plain);
  if (!problem) {
    return {};  // what is wrong the plan will say
  }
  const auto placement = place(*problem);
  if (placement && !computes_with_workers(*problem, *placement)) {
    return {};
  }
  const auto addresses = addresses_of(request.options);
  if (!addresses) {
    return propagate(addresses.error());
  }
  const bool dense = problem->experts.empty();
  const StreamLayout layout = request.layout(!dense, dense, request.reads_repacked());
  WorkerHello hello;
  hello.identity = worker_identity(fingerprint, layout.repacked, ggml_build(), cpu_kernels());
  WorkerLinkOptions patience;
  patience.connect = std::max(patience.connect, request.overrides.worker_patience.value_or(patience.connect));
  auto found = find_workers(*addresses, hello, worker_room(layout), patience);
  if (!found) {
    return propagate(found.error());
  }
  note_found(std::move(*found), request);
  return {};
}

}  // namespace hypura
