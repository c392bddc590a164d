#include "plan/draft_worth.h"

#include <fmt/format.h>

#include <algorithm>

#include "draft/draft_length.h"
#include "draft/drafting.h"
#include "llama/open/memory_estimate.h"
#include "placement/placement.h"
#include "plan/gpu_layers.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

// So good that a draft model is left out only where it is of no use to anybody.
constexpr double kGoodAcceptance = 0.9;

// With the length of drafts that gives the most; none is one of the choices.
double drafted_rate(const PlacementProblem& problem, const Placement& placement, double draft_seconds) {
  const uint32_t most = std::min(kMostDrafted, placement.ubatch - 1);
  double best = 0;
  for (uint32_t drafted = 0; drafted <= most; ++drafted) {
    const double seconds = pass_cost(problem, placement, 1 + drafted).seconds + drafted * draft_seconds;
    best = std::max(best, expected_tokens(kGoodAcceptance, drafted) / seconds);
  }
  return best;
}

// Of the draft model, to make one token.
std::optional<double> draft_seconds(const OpenRequest& request, const Model& draft, const DraftPlace& place) {
  const EngineOptions as_it_comes;
  const RunHistory machine{request.history.profile, {}, {}, {}, {}};
  OpenRequest its = {as_it_comes, draft, place.bytes.in_ram, request.threads, request.context, machine};
  if (place.device) {
    its.gpu.devices = {request.gpu.devices[*place.device]};
  }
  const auto problem = placement_problem(its);
  if (!problem) {
    return std::nullopt;
  }
  return problem->gpu ? problem->gpu->devices.front().speeds.front().resident.first : problem->resident.first;
}

std::string gpu_name(const OpenRequest& request, size_t device) {
  return request.gpu.devices[device].info.name;
}

}  // namespace

std::optional<DraftWorth> draft_worth(const PlacementProblem& whole, const PlacementProblem& left,
                                      double draft_seconds) {
  const auto alone = place(whole);
  const auto beside = place(left);
  if (!alone || !beside) {
    return std::nullopt;
  }
  return DraftWorth{1 / pass_cost(whole, *alone, 1).seconds, drafted_rate(left, *beside, draft_seconds)};
}

OpenRequest beside_draft(OpenRequest request, const DraftPlace& place) {
  request.budget -= std::min(request.budget, place.bytes.in_ram);
  if (place.device) {
    uint64_t& vram = request.gpu.devices[*place.device].vram;
    vram -= std::min(vram, place.bytes.on_device);
  }
  return request;
}

std::optional<DraftWorth> draft_worth(const OpenRequest& request, const std::filesystem::path& file,
                                      const DraftPlace& place) {
  OpenRequest all = request;
  OpenRequest rest = beside_draft(request, place);
  const auto whole = planned_problem(all);
  const auto left = planned_problem(rest);
  const auto draft = open_model(file);
  if (!whole || !left || !draft || rest.budget == 0) {
    return std::nullopt;
  }
  const auto seconds = draft_seconds(request, *draft, place);
  return seconds ? draft_worth(*whole, *left, *seconds) : std::nullopt;
}

std::optional<size_t> device_for_draft(const OpenRequest& request) {
  const std::vector<ChosenDevice>& devices = request.gpu.devices;
  if (devices.empty() || request.gpu.on_ram || request.gpu.computes_in_ram() || request.gpu.has_workers()) {
    return std::nullopt;
  }
  return static_cast<size_t>(std::ranges::max_element(devices, {}, &ChosenDevice::vram) - devices.begin());
}

DraftPlace estimated_draft_place(const OpenRequest& request, const Model& draft, std::optional<size_t> device) {
  const uint64_t buffers = estimate_context_bytes(draft, request.cells(), KvType::kF16, request.sequences) +
                           estimate_compute_bytes(draft, kDraftPassTokens, request.cells(), request.sequences);
  if (!device) {
    return {std::nullopt, {draft.bytes + buffers, 0}};
  }
  uint64_t table = 0;
  bool has_output = false;
  for (const TensorInfo& tensor : draft.tensors) {
    table += tensor.role == TensorRole::kEmbedding ? tensor.extent.length : 0;
    has_output = has_output || tensor.role == TensorRole::kOutput;
  }
  // What it is given, and the logits that come back.
  const uint64_t rows = kDraftPassTokens * static_cast<uint64_t>(draft.embedding_length) +
                        request.sequences * static_cast<uint64_t>(draft.vocabulary);
  return {device, {table + rows * sizeof(float), draft.bytes - (has_output ? table : 0) + buffers}};
}

ChosenDraftPlace choose_draft_place(const OpenRequest& request, const std::filesystem::path& file) {
  const auto device = device_for_draft(request);
  const auto draft = device ? open_model(file) : fail(ErrorCode::kUsage, "there is no choice");
  if (!draft) {
    return {};  // opening the file will tell what is wrong with it
  }
  const DraftPlace there = estimated_draft_place(request, *draft, device);
  const auto on_device = draft_worth(request, file, there);
  const auto in_ram = draft_worth(request, file, estimated_draft_place(request, *draft, std::nullopt));
  if (on_device && (!in_ram || on_device->with > in_ram->with || request.overrides.draft_on_gpu)) {
    return {there, {}};
  }
  const std::string name = gpu_name(request, *device);
  return {{},
          on_device
              ? fmt::format("with its {} in {}'s memory fewer tokens/s are expected",
                            format_bytes(there.bytes.on_device), name)
              : fmt::format("{} has no room for its {} beside the model", name, format_bytes(there.bytes.on_device))};
}

std::string left_out_sentence(const std::filesystem::path& file, const DraftBytes& bytes, const DraftWorth& worth) {
  return fmt::format(
      "the draft model {} is left out: its {} of the memory are worth more to the model itself; with drafts {:.2g} % "
      "fewer tokens/s are expected, even if nine of ten are accepted",
      file.string(), format_bytes(bytes.in_ram + bytes.on_device), 100 * (1 - worth.with / worth.without));
}

}  // namespace hypura
