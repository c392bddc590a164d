#include "load/draft_model.h"

#include <filesystem>
#include <system_error>

#include "plan/draft_worth.h"
#include "support/units.h"

namespace hypura {

Result<DraftModel> open_draft_model(OpenRequest& request) {
  const std::filesystem::path& file = request.options.draft.model;
  DraftModel draft;
  if (file.empty()) {
    return draft;
  }
  const auto fits = [&](uint64_t bytes) -> Status {
    if (bytes >= request.budget) {
      return fail(ErrorCode::kBudget, "the draft model {} takes {}, more than the budget of {}: take a smaller one",
                  file.string(), format_bytes(bytes), format_bytes(request.budget));
    }
    return {};
  };
  std::error_code missing;
  const uint64_t least = std::filesystem::file_size(file, missing);
  if (Status status = fits(missing ? 0 : least); !status) {
    return propagate(status.error());
  }
  auto drafter = open_model_drafter(file, request.context, request.sequences, request.threads);
  if (!drafter) {
    return propagate(drafter.error());
  }
  const uint64_t bytes = (*drafter)->bytes();
  if (Status status = fits(bytes); !status) {
    return propagate(status.error());
  }
  const auto worth = request.options.by_hand.keep_draft_model ? std::nullopt : draft_worth(request, file, bytes);
  if (worth && !worth->pays()) {
    draft.left_out = left_out_sentence(file, bytes, *worth);
    return draft;
  }
  request.budget -= bytes;
  draft.bytes = bytes;
  draft.drafter = std::move(*drafter);
  return draft;
}

}  // namespace hypura
