#include "load/draft_model.h"

#include <filesystem>
#include <system_error>

#include "plan/draft_worth.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

Result<DraftModel> open_draft_model(OpenRequest& request, Budget& budget) {
  const std::filesystem::path& file = request.options.draft.model;
  DraftModel draft;
  if (file.empty()) {
    return draft;
  }
  const auto fits = [&](uint64_t bytes) -> Status {
    if (bytes >= request.budget) {
      return fail(ErrorCode::kBudget, "the draft model {} takes {}, more than the budget of {}: use a smaller one",
                  file.string(), format_bytes(bytes), format_bytes(request.budget));
    }
    return {};
  };
  std::error_code missing;
  const uint64_t size = std::filesystem::file_size(file, missing);
  const uint64_t least = missing ? 0 : size;
  if (Status status = fits(least); !status) {
    return propagate(status.error());
  }
  auto reserved = budget.reserve(Purpose::kDraftModel, Tier::kRam, least);
  if (!reserved) {
    return propagate(reserved.error());
  }
  auto drafter =
      open_model_drafter(file, request.cells(), request.sequences + request.options.idle_sequences, request.threads);
  if (!drafter) {
    return propagate(drafter.error());
  }
  const uint64_t bytes = (*drafter)->bytes();
  reserved->correct(bytes);
  if (Status status = fits(bytes); !status) {
    return propagate(status.error());
  }
  const auto worth = request.overrides.keep_draft_model ? std::nullopt : draft_worth(request, file, bytes);
  if (worth && !worth->pays()) {
    draft.left_out = left_out_sentence(file, bytes, *worth);
    return draft;
  }
  request.budget -= bytes;
  draft.reserved = std::move(*reserved);
  draft.drafter = std::move(*drafter);
  return draft;
}

}  // namespace hypura
