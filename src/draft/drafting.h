// Speculative decoding: drafts the next tokens of answers, and learns how many are worth verifying. Verified tokens are
// always the model's own: a draft decides when they are computed, never what they are (docs/design/drafting.md).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "draft/draft_length.h"
#include "draft/drafter.h"

namespace hypura {

// Most tokens drafted for one answer at a time.
inline constexpr uint32_t kMostDrafted = 16;

// A draft, and where it came from.
struct Draft {
  std::vector<int32_t> tokens;
  size_t source = 0;
  double seconds = 0;  // that making it took
};

// Not thread-safe: one thread at a time.
class Drafting {
 public:
  // Earlier drafters are asked first; the next when they know nothing. Each draft has `tokens` tokens, if there are so
  // many; 0: as many as pay.
  explicit Drafting(std::vector<std::unique_ptr<Drafter>> drafters, uint32_t tokens = 0);

  // At most `capacity` tokens that may follow `tokens`, for one of the `answers` of a pass that has `pass_tokens`
  // tokens besides; none when no draft is thought to pay.
  Draft draft(uint32_t sequence, std::span<const int32_t> tokens, uint32_t capacity, uint32_t pass_tokens,
              uint32_t answers);

  // The first `accepted` tokens of a draft were what the model says.
  void note_verified(const Draft& draft, uint32_t accepted);

  // A pass is over, and all its drafts are verified.
  void note_pass(const DraftedPass& pass) { length_.note(pass); }

  // An empty sequence holds the first `count` tokens of another now.
  void note_copied(uint32_t from, uint32_t to, uint32_t count);

  // A sequence has forgotten all but its first `left` tokens.
  void note_forgotten(uint32_t sequence, uint32_t left);

 private:
  struct Source {
    std::unique_ptr<Drafter> drafter;  // null once it failed
    DraftQuality quality;
  };

  std::vector<Source> sources_;
  const uint32_t tokens_;  // of each draft; 0: as many as pay
  DraftLength length_{kMostDrafted};
};

}  // namespace hypura
