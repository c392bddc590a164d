#include "load/draft_model.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "backend/gpu/devices/gpu_list.h"
#include "plan/draft_worth.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

const std::filesystem::path& file_of(const OpenRequest& request) {
  return request.options.draft.model;
}

Status check_ram(const OpenRequest& request, uint64_t bytes) {
  if (bytes >= request.budget) {
    return fail(ErrorCode::kBudget, "the draft model {} takes {}, more than the budget of {}: use a smaller one",
                file_of(request).string(), format_bytes(bytes), format_bytes(request.budget));
  }
  return {};
}

uint64_t file_bytes(const std::filesystem::path& file) {
  std::error_code missing;
  const uint64_t size = std::filesystem::file_size(file, missing);
  return missing ? 0 : size;
}

Status check_device(const OpenRequest& request, const DraftPlace& place) {
  if (!place.device || place.bytes.on_device < request.gpu.devices[*place.device].vram) {
    return {};
  }
  return fail(ErrorCode::kBudget, "it takes {}, and {} may be used", format_bytes(place.bytes.on_device),
              format_bytes(request.gpu.devices[*place.device].vram));
}

// At `place`, whose bytes are estimates, and real ones when this returns.
Result<DraftModel> open_at(const OpenRequest& request, Budget& budget, DraftPlace& place) {
  DraftModel draft;
  auto in_ram = budget.reserve(Purpose::kDraftModel, Tier::kRam, place.bytes.in_ram);
  if (!in_ram) {
    return propagate(in_ram.error());
  }
  auto on_device = budget.reserve(Purpose::kDraftModel, Tier::kDevice, place.bytes.on_device);
  if (!on_device) {
    return propagate(on_device.error());
  }
  DrafterParams params = {request.cells(), request.sequences + request.options.idle_sequences, request.threads};
  if (place.device) {
    draft.device = request.gpu.devices[*place.device].info.name;
    params.device = gpu_by_name(draft.device);
  }
  auto drafter = open_model_drafter(file_of(request), params);
  if (!drafter) {
    return propagate(drafter.error());
  }
  place.bytes = (*drafter)->bytes();
  in_ram->correct(place.bytes.in_ram);
  on_device->correct(place.bytes.on_device);
  if (Status status = check_device(request, place); !status) {
    return propagate(status.error());
  }
  if (Status status = check_ram(request, place.bytes.in_ram); !status) {
    return propagate(status.error());
  }
  draft.reserved = std::move(*in_ram);
  draft.on_device = std::move(*on_device);
  draft.drafter = std::move(*drafter);
  return draft;
}

std::string not_there(const OpenRequest& request, const std::string& why) {
  return fmt::format("the draft model {} lies in RAM, and the processors compute it: {}", file_of(request).string(),
                     why);
}

}  // namespace

Result<DraftModel> open_draft_model(OpenRequest& request, Budget& budget) {
  const std::filesystem::path& file = file_of(request);
  if (file.empty()) {
    return DraftModel();
  }
  const DraftPlace in_ram = {std::nullopt, {file_bytes(file), 0}};
  ChosenDraftPlace chosen = choose_draft_place(request, file);
  DraftPlace place = chosen.place.device ? chosen.place : in_ram;
  if (Status status = check_ram(request, place.bytes.in_ram); !status) {
    return propagate(status.error());
  }
  auto draft = open_at(request, budget, place);
  if (!draft && draft.error().code == ErrorCode::kBudget && place.device) {
    chosen.why = fmt::format("{} has no memory for it ({})", request.gpu.devices[*place.device].info.name,
                             draft.error().message);
    place = in_ram;
    draft = check_ram(request, place.bytes.in_ram).and_then([&] { return open_at(request, budget, place); });
  }
  if (!draft) {
    return draft;
  }
  const bool kept = request.overrides.keep_draft_model || request.options.draft.tokens > 0;
  const auto worth = kept ? std::nullopt : draft_worth(request, file, place);
  if (worth && !worth->pays()) {
    DraftModel none;
    none.left_out = left_out_sentence(file, place.bytes, *worth);
    return none;
  }
  draft->not_there = chosen.why.empty() ? "" : not_there(request, chosen.why);
  const OpenRequest left = beside_draft(request, place);
  request.budget = left.budget;
  request.gpu = left.gpu;
  return draft;
}

}  // namespace hypura
