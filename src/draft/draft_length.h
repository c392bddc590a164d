// How many tokens to draft for a pass: from what passes took and how often drafts were accepted. Pure arithmetic.
//
// A pass of n tokens that also verifies d drafted tokens of each of s answers takes T(n + s d), and c for each drafted
// token. When each is accepted with probability p, given that those before it were, every answer gets 1 + p + .. + p^d
// tokens (Y. Leviathan et al., Fast Inference from Transformers via Speculative Decoding, ICML 2023, equation 1). T, p
// and c are measured while running: where a pass reads its weights from disk, T hardly grows with its tokens and long
// drafts pay; where each token wants experts of its own, or everything is in memory, T grows and they may never pay.
//
// Not thread-safe: the owner serialises.
#pragma once

#include <cstdint>
#include <map>

namespace hypura {

// Tokens expected of a pass that verifies `drafted`, each of which is accepted with probability `acceptance` when those
// before it were: 1 to 1 + drafted.
double expected_tokens(double acceptance, uint32_t drafted);

// T: seconds that a pass of so many tokens takes, as passes of late did.
class PassCosts {
 public:
  void note(uint32_t tokens, double seconds);

  // 0 before any pass was noted. Between sizes that were seen it is a straight line; beyond the largest it goes on as
  // between the last two, or by a hundredth a token when one size was seen.
  double seconds(uint32_t tokens) const;

  uint32_t largest() const { return seen_.empty() ? 0 : seen_.rbegin()->first; }

 private:
  struct Seen {
    double seconds = 0;
    uint32_t passes = 0;
  };
  std::map<uint32_t, Seen> seen_;
};

// How good one source of drafts is.
class DraftQuality {
 public:
  // Of `drafted` tokens the first `accepted` were what the model says; making them took `seconds`.
  void note(uint32_t drafted, uint32_t accepted, double seconds);

  double expected(uint32_t drafted) const { return expected_tokens(acceptance(), drafted); }

  // The probability that a drafted token is accepted when those before it were.
  double acceptance() const { return accepted_ / tried_; }
  // Of making one drafted token.
  double seconds() const { return seconds_; }

 private:
  // Before anything is known: mostly accepted, so that it is tried; a few failures say otherwise.
  double accepted_ = 1.5;
  double tried_ = 2;
  double seconds_ = 0;
  bool timed_ = false;
};

// A pass that is over, drafted tokens and all.
struct DraftedPass {
  uint32_t tokens = 0;   // without those drafted
  uint32_t answers = 0;  // that could have drafts
  uint32_t drafted = 0;
  uint32_t accepted = 0;
  double pass_seconds = 0;
  double draft_seconds = 0;
};

class DraftLength {
 public:
  // Never more than `most`.
  explicit DraftLength(uint32_t most) : most_(most) {}

  // Tokens to draft for each of `answers` in a pass of `tokens` tokens: those that promise the most tokens a second; 0
  // when none promise more than a pass without. Sometimes a few all the same, to see whether that still holds: of the
  // time of all passes about a sixtieth is spent on that in vain.
  uint32_t choose(const DraftQuality& quality, uint32_t tokens, uint32_t answers) const;

  void note(const DraftedPass& pass);

 private:
  PassCosts costs_;
  uint32_t most_;
  double spent_ = 0;  // seconds of late, all passes
  double lost_ = 0;   // seconds more than the same tokens would have taken without drafts
  uint32_t tries_ = 0;
};

}  // namespace hypura
