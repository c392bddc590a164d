#include "plan/gpu_words.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "placement/gpu_cost.h"
#include "placement/gpu_host.h"
#include "placement/gpu_placement.h"
#include "plan/gpu_figures.h"
#include "plan/gpu_problem.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

std::string share_words(double share) {
  return fmt::format("{:.0f} %", share * 100);
}

std::string speed_words(double per_second) {
  return fmt::format("{:.{}f}", per_second, per_second >= 99.5 ? 0 : per_second >= 0.995 ? 1 : 2);
}

uint32_t slots_on_device(const PlacementProblem& problem, const Placement& placement) {
  const std::vector<uint32_t>& slots = placement.gpu->layer_slots;
  return placement.experts.streamed ? std::accumulate(slots.begin(), slots.end(), 0U) : problem.expert_slots();
}

// To a tenth of a unit, and up.
uint64_t no_less(uint64_t bytes) {
  const uint64_t unit = bytes >= kGiB ? kGiB : kMiB;
  const uint64_t tenths = bytes * 10 / unit + 1;
  return tenths * unit / 10 + 1;
}

}  // namespace

namespace {

// Of the devices that have layers.
std::vector<DeviceShare> shares_of(const OpenRequest& request, const PlacementProblem& problem,
                                   const Placement& placement) {
  std::vector<DeviceShare> shares;
  uint32_t next = problem.gpu->host.layers;
  for (size_t i = 0; i < problem.gpu->devices.size(); ++i) {
    const GpuPart& device = problem.gpu->devices[i];
    if (device.layers == 0) {
      continue;
    }
    DeviceShare share = {request.gpu.devices[i].info.name, device.budget, gpu_device_bytes(problem, placement, device),
                         next, device.layers};
    next += device.layers;
    share.layers -= next == problem.gpu->layers.size() ? 1 : 0;  // the output
    for (size_t layer = device.first_streamed; layer < device.end_streamed; ++layer) {
      share.experts += placement.experts.streamed ? placement.gpu->layer_slots[layer]
                                                  : problem.experts[problem.layer_groups[layer]].experts;
    }
    shares.push_back(std::move(share));
  }
  return shares;
}

}  // namespace

std::string shares_words(const std::vector<DeviceShare>& shares) {
  std::string text;
  for (size_t i = 0; shares.size() > 1 && i < shares.size(); ++i) {
    const DeviceShare& it = shares[i];
    const bool last = i + 1 == shares.size();
    const std::string output = it.layers == 0 ? "the output" : " and the output";
    text += i == 0 ? "layers " : ", ";
    text += it.layers == 0   ? ""
            : it.layers == 1 ? fmt::format("{}", it.first_layer)
                             : fmt::format("{} to {}", it.first_layer, it.first_layer + it.layers - 1);
    text += fmt::format("{} on {}", last ? output : "", it.name);
  }
  return text + (text.empty() ? "" : "; ");
}

namespace {

// "layers 0 to 3 of 24 on the processors; "; empty where they have none.
std::string host_words(const GpuProblem& gpu, const DensePlacement& dense) {
  const uint32_t layers = gpu.host.layers;
  const std::string which = layers == 1 ? "layer 0" : fmt::format("layers 0 to {}", layers - 1);
  const std::string ring = dense.ring_bytes == 0
                               ? ""
                               : fmt::format(", {} of their weights streamed for every token through a ring of {}",
                                             format_bytes(dense.streamed_bytes), format_bytes(dense.ring_bytes));
  return layers == 0 ? "" : fmt::format("{} of {} on the processors{}; ", which, gpu.layers.size() - 1, ring);
}

}  // namespace

uint64_t budget_of(const std::vector<DeviceShare>& shares) {
  uint64_t bytes = 0;
  for (const DeviceShare& it : shares) {
    bytes += it.budget;
  }
  return bytes;
}

namespace {

// As DevicePlan::upload_rates.
std::vector<double> upload_rates(const OpenRequest& request, const PlacementProblem& problem,
                                 const Placement& placement) {
  std::vector<double> rates;
  for (size_t i = 0; i < problem.gpu->devices.size(); ++i) {
    const GpuPart& device = problem.gpu->devices[i];
    const GpuDeviceInfo& info = request.gpu.devices[i].info;
    const bool measured = !request.gpu.is_processor() && GpuFigures(gpu_profile(request, info.name), info).has_copies();
    if (device.layers > 0) {
      rates.push_back(measured ? problem.gpu->speeds_for(device, placement.ubatch).upload_bytes_per_second : 0);
    }
  }
  return rates;
}

}  // namespace

DevicePlan device_plan(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement) {
  const PassCost token = pass_cost(problem, placement, 1);
  DevicePlan plan;
  plan.name = joined_names(used_names(request, placement));
  plan.shares = shares_of(request, problem, placement);
  plan.budget = budget_of(plan.shares);
  const auto first = std::ranges::find(request.gpu.devices, plan.shares.front().name,
                                       [](const ChosenDevice& device) { return device.info.name; });
  plan.description = first->info.description;
  if (plan.shares.size() == 1) {
    plan.shares.clear();
  }
  plan.all_layers = static_cast<uint32_t>(problem.gpu->layers.size() - 1);
  if (problem.gpu->host.layers > 0) {
    plan.layers = plan.all_layers - problem.gpu->host.layers;
  }
  plan.experts = slots_on_device(problem, placement);
  plan.weights = problem.gpu->weights() + (placement.experts.streamed ? 0 : problem.expert_bytes);
  plan.stages = placement.gpu->stages;
  if (placement.experts.streamed) {
    plan.hit_rate = 1 - token.device_misses / token.uses;
    plan.ram_hit_rate = (token.device_misses - token.misses) / token.uses;
  }
  plan.uploaded_bytes_per_token = token.uploaded;
  plan.upload_rates = upload_rates(request, problem, placement);
  plan.compute_seconds = token.compute;
  plan.upload_seconds = token.uploading;
  plan.cut_seconds = token.cutting;
  plan.disk_seconds = token.reading;
  plan.mixed = placement.gpu->mixed && placement.experts.streamed;
  plan.cpu_seconds = token.processors;
  return plan;
}

std::vector<LedgerLine> gpu_ledger(const PlacementProblem& problem, const Placement& placement) {
  const GpuProblem& gpu = *problem.gpu;
  const UbatchChoice& pass = problem.ubatch_choice(placement);
  const uint64_t host_kv = gpu.host_kv(placement.kv_type);
  const ExpertPlacement& experts = placement.experts;
  const Purpose weights = experts.streamed ? Purpose::kResidentWeights : Purpose::kWeights;
  const std::string type = placement.kv_type == KvType::kF16 ? "" : fmt::format(", {}", to_string(placement.kv_type));
  std::vector<LedgerLine> ledger;
  const auto add = [&](Tier tier, Purpose purpose, uint64_t bytes, const std::string& note = {}) {
    if (bytes > 0) {
      ledger.push_back({purpose, bytes, note, tier});
    }
  };
  add(Tier::kDevice, weights, gpu.weights() + (experts.streamed ? 0 : problem.expert_bytes));
  if (experts.streamed) {
    add(Tier::kDevice, Purpose::kExpertSlots, placement.gpu->slot_bytes,
        fmt::format(" ({} of {})", slots_on_device(problem, placement), experts.all));
    add(Tier::kDevice, Purpose::kExpertBuffers, gpu.used() * gpu.other);
    add(Tier::kDevice, Purpose::kStaging, placement.gpu->staging_bytes);
  }
  add(Tier::kDevice, Purpose::kKvCache, problem.kv_choice(placement).bytes - host_kv, type);
  add(Tier::kDevice, Purpose::kComputeBuffers, gpu_compute_bytes(gpu, placement));
  const bool rows = placement.tables.streamed;
  const DensePlacement& dense = placement.dense;
  add(Tier::kRam, weights,
      gpu.host_weights - (rows ? problem.tables.bytes : 0) + host_weight_bytes(problem, dense.streamed));
  add(Tier::kRam, Purpose::kPinnedWeights, dense.pinned_bytes);
  add(Tier::kRam, Purpose::kRing, dense.ring_bytes);
  add(Tier::kRam, Purpose::kTableRows, table_buffer_bytes(problem, Mode::kExpertStreaming, rows));
  if (experts.streamed) {
    add(Tier::kRam, Purpose::kExpertSlots, experts.slots * problem.slot_stride,
        fmt::format(" ({} of {})", experts.slots, experts.all));
    add(Tier::kRam, Purpose::kExpertBuffers, gpu_buffer_bytes(problem, placement));
  }
  add(Tier::kRam, Purpose::kKvCache, host_kv, type);
  add(Tier::kRam, Purpose::kComputeBuffers, pass.bytes + gpu.host_bytes(pass));
  add(Tier::kRam, Purpose::kVocabulary, problem.other);
  return ledger;
}

std::string gpu_plan_sentence(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement) {
  const std::vector<DeviceShare> shares = shares_of(request, problem, placement);
  const std::vector<std::string> names = used_names(request, placement);
  const bool several = shares.size() > 1;
  const std::string remark = request.gpu.remark(names);
  std::string text =
      fmt::format("{} ({}) on {} in ", request.model.name, format_bytes(request.model.bytes), joined_names(names));
  text += problem.gpu->in_ram
              ? fmt::format("{} of RAM{}, {} of them with the GPU{}: ", format_bytes(request.budget),
                            request.budget_remark, format_bytes(std::min(request.budget, budget_of(shares))), remark)
              : fmt::format("{} of {} memory{} and {} of RAM{}: ", format_bytes(budget_of(shares)),
                            several ? "their" : "its", remark, format_bytes(request.budget), request.budget_remark);
  text += host_words(*problem.gpu, placement.dense) + shares_words(shares);
  if (!placement.experts.streamed) {
    return text + (several ? "fits, all weights on the GPUs" : "fits, all weights on the GPU");
  }
  const uint32_t all = problem.expert_slots();
  const uint32_t on_device = slots_on_device(problem, placement);
  text += fmt::format("{} resident {}, with {} of {} experts ({} %)", format_bytes(problem.gpu->weights()),
                      several ? "there" : "on the GPU", on_device, all, on_device * 100 / all);
  text += problem.gpu->in_ram
              ? ", which are RAM's"
              : fmt::format("; {} more in RAM", std::min(placement.experts.slots, all - std::min(all, on_device)));
  return text + (placement.gpu->stages
                     ? fmt::format("; prompts bring whole layers, {} tokens at once", placement.ubatch)
                     : "; prompts bring some experts at a time: there is no room for two layers");
}

std::string gpu_token_sentence(const Plan& plan) {
  const DevicePlan& device = *plan.device;
  if (!device.hit_rate) {
    return "limited by the GPU's computing";
  }
  const std::array<std::pair<double, const char*>, 5> parts = {
      {{device.compute_seconds, "the GPU's computing"},
       {device.upload_seconds, "copies to the GPU"},
       {device.cpu_seconds, "the processors' computing"},
       {device.cut_seconds, "waiting for the router's choices"},
       {device.disk_seconds, "the disk"}}};
  const auto most = std::ranges::max_element(parts);
  const bool below = *device.ram_hit_rate > 0 || device.uploaded_bytes_per_token > 0;
  std::string text = fmt::format("a token finds {} of its experts on the GPU", share_words(*device.hit_rate));
  text += below ? fmt::format(" and {} in RAM", share_words(*device.ram_hit_rate)) : "";
  text += fmt::format(", by {}", plan.prediction.hit_rate_source);
  if (device.mixed) {
    text += "; the processors compute what is not on the GPU";
  } else if (below) {
    text += fmt::format("; it copies {} there", format_bytes(static_cast<uint64_t>(device.uploaded_bytes_per_token)));
  }
  if (plan.prediction.bytes_per_token > 0) {
    text += fmt::format("{} {} from disk", device.mixed ? ", of which it reads" : " and reads",
                        format_bytes(static_cast<uint64_t>(plan.prediction.bytes_per_token)));
  }
  return text + fmt::format("; most of its time goes to {}", most->second);
}

Status check_mixed(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement) {
  const bool in_ram = problem.gpu && problem.gpu->in_ram;
  if (!request.options.mixed_compute || (placement.gpu && request.model.experts > 0 && !in_ram)) {
    return {};
  }
  std::string reason = request.gpu.passed_over.empty() ? "no GPU is used" : request.gpu.passed_over;
  if (request.model.experts == 0) {
    reason = request.model.name + " has no experts";
  } else if (in_ram) {
    reason = request.gpu.name() + " computes in the machine's memory, where nothing is copied";
  } else if (request.gpu_layers() != nullptr) {
    reason = request.gpu.name() + " has whole layers";
  } else if (problem.gpu) {
    reason = why_no_gpu(request, problem, placement).substr(2);
  }
  return fail(ErrorCode::kUsage,
              "--mixed-compute is for a GPU with slots for some of a model's experts, and {}: leave it out", reason);
}

std::optional<PassCost> mixed_other_way(const PlacementProblem& problem, const Placement& placement) {
  if (!placement.gpu || !placement.experts.streamed || problem.gpu->in_ram) {
    return std::nullopt;
  }
  PlacementProblem other = problem;
  other.gpu->mixed = !placement.gpu->mixed;
  const auto placed = place_on_gpu(other);
  return placed ? std::optional(pass_cost(other, *placed, 1)) : std::nullopt;
}

std::string mixed_warning(const PlacementProblem& problem, const Placement& placement) {
  constexpr double kWorthSaying = 1.05;
  if (!placement.gpu || !problem.gpu->mixed) {
    return {};
  }
  if (!placement.experts.streamed) {
    return "all experts lie on the GPU: --mixed-compute changes nothing";
  }
  const double with = pass_cost(problem, placement, 1).seconds;
  const auto without = mixed_other_way(problem, placement);
  return without && with > kWorthSaying * without->seconds
             ? fmt::format("--mixed-compute makes tokens slower here, by the plan: {} tokens/s, and {} without it",
                           speed_words(1 / with), speed_words(1 / without->seconds))
             : std::string();
}

std::string why_no_gpu(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement) {
  if (!problem.gpu && !problem.split && !request.gpu.passed_over.empty()) {
    return "; " + request.gpu.passed_over;
  }
  if (!problem.gpu || placement.gpu) {
    return {};
  }
  const bool several = request.gpu.devices.size() > 1;
  std::string text = fmt::format("; {} {} nothing: ", request.gpu.name(), several ? "compute" : "computes");
  const auto with = place_on_gpu(problem);
  if (with) {
    text += fmt::format("the processors are faster, with {} {} tokens/s are expected", several ? "them" : "it",
                        speed_words(1 / pass_cost(problem, *with, 1).seconds));
    return text + (request.gpu.cut_seconds > 0
                       ? fmt::format(", where a layer waits {:.0f} us for its router's choice, measured now",
                                     request.gpu.cut_seconds * 1e6)
                       : "");
  }
  if (!problem.gpu->obstacle.empty()) {
    return text + problem.gpu->obstacle;
  }
  const bool lacks = too_small_device(problem) != nullptr;
  if (!lacks && !problem.gpu->undivided.empty()) {
    return text + problem.gpu->undivided;
  }
  if (!lacks) {
    return text + "what stays in RAM beside it does not fit";
  }
  const std::string least = format_bytes(no_less(minimum_vram(problem)));
  const std::string most = format_bytes(request.gpu.vram());
  return text + (problem.gpu->may_stream
                     ? fmt::format("{} may be used of its memory, and {} are the least, of which {} are weights that "
                                   "must lie there",
                                   most, least, format_bytes(problem.gpu->weights()))
                     : fmt::format("all of the model takes {} there, of {} that may be used{}{}", least, most,
                                   problem.gpu->undivided.empty() ? "" : ", and ", problem.gpu->undivided));
}

tl::unexpected<Error> gpu_too_small(const OpenRequest& request, const PlacementProblem& problem) {
  if (!problem.gpu->obstacle.empty()) {
    return fail(ErrorCode::kUsage, "{} cannot run on this GPU: {}; leave out --gpu", request.model.name,
                problem.gpu->obstacle);
  }
  if (const GpuPart* device = too_small_device(problem)) {
    const auto number = static_cast<size_t>(device - problem.gpu->devices.data());
    return fail(ErrorCode::kBudget,
                "{} cannot run on {} in {} of its memory: with {} tokens of context the smallest is about {}, of which "
                "{} are weights that must lie there",
                request.model.name, request.gpu.devices[number].info.name, format_bytes(device->budget),
                request.context, format_bytes(no_less(minimum_vram(problem, *device))), format_bytes(device->weights));
  }
  const uint64_t ram = minimum_gpu_ram(problem);
  if (ram <= problem.budget) {
    return fail(
        ErrorCode::kBudget,
        "{} cannot run on {} in {} of GPU memory and {} of RAM: llama.cpp takes more than the {} and {} that were "
        "estimated",
        request.model.name, request.gpu.name(), format_bytes(request.gpu.vram()), format_bytes(request.budget),
        format_bytes(minimum_vram(problem)), format_bytes(ram));
  }
  return fail(ErrorCode::kBudget, "{} cannot run on {} in {} of RAM: {} takes about {} at least", request.model.name,
              request.gpu.name(), format_bytes(request.budget),
              problem.gpu->in_ram ? "all of it" : "what stays there beside the GPU", format_bytes(no_less(ram)));
}

}  // namespace hypura
