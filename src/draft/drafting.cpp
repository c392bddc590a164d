#include "draft/drafting.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "support/elapsed.h"
#include "support/log.h"

namespace hypura {

Drafting::Drafting(std::vector<std::unique_ptr<Drafter>> drafters, uint32_t tokens) : tokens_(tokens) {
  for (std::unique_ptr<Drafter>& it : drafters) {
    sources_.push_back({std::move(it), {}});
  }
}

Draft Drafting::draft(uint32_t sequence, std::span<const int32_t> tokens, uint32_t capacity, uint32_t pass_tokens,
                      uint32_t answers) {
  const auto start = std::chrono::steady_clock::now();
  for (size_t i = 0; i < sources_.size(); ++i) {
    Source& source = sources_[i];
    const uint32_t length = tokens_ > 0 ? tokens_ : length_.choose(source.quality, pass_tokens, answers);
    const uint32_t most = std::min(capacity, length);
    if (source.drafter == nullptr || most == 0) {
      continue;
    }
    auto drafted = source.drafter->draft(sequence, tokens, most);
    if (!drafted) {
      logger().warn("drafting stopped: {}", drafted.error().message);
      source.drafter.reset();
    } else if (!drafted->empty()) {
      return {std::move(*drafted), i, seconds_since(start)};
    }
  }
  return {{}, 0, seconds_since(start)};
}

void Drafting::note_verified(const Draft& draft, uint32_t accepted) {
  if (!draft.tokens.empty()) {
    sources_[draft.source].quality.note(static_cast<uint32_t>(draft.tokens.size()), accepted, draft.seconds);
  }
}

void Drafting::note_forgotten(uint32_t sequence, uint32_t left) {
  for (const Source& it : sources_) {
    if (it.drafter != nullptr) {
      it.drafter->note_forgotten(sequence, left);
    }
  }
}

void Drafting::note_copied(uint32_t from, uint32_t to, uint32_t count) {
  for (const Source& it : sources_) {
    if (it.drafter != nullptr) {
      it.drafter->note_copied(from, to, count);
    }
  }
}

}  // namespace hypura
