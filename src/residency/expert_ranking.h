// How much each expert of one layer is worth keeping, told from what tokens chose there so far.
//
// An expert is worth the share of late tokens that chose it, which fades with half_life_tokens(), and kNextWeight times
// the likelihood that the next token chooses it, given what the last one chose: naive Bayes over how often one choice
// followed another in this layer (CoActivation, from token to token). Both are in 0..1.
//
// The worth of an expert does not depend on what is held. Not thread-safe: the owner serialises.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "residency/coactivation.h"

namespace hypura {

// What a pass chose in one layer.
struct PassChoice {
  std::span<const uint16_t> chosen;  // [token][used] experts
  uint32_t used = 1;
  bool decode = false;

  uint32_t tokens() const { return static_cast<uint32_t>(chosen.size() / used); }
};

class ExpertRanking {
 public:
  // Where a token uses an eighth of the experts.
  static constexpr double kHalfLifeTokens = 22;
  static constexpr double kNextWeight = 0.8;

  // The fewer of the experts a token uses, the longer uses have to count to tell experts apart, and the more the text
  // changes meanwhile: as the root of it. The best half-lives on the stories model's own choice of 4, of its first 2
  // and of its first 1 of 32 experts are 16, 31 and 44 tokens (docs/lab/experiments.md).
  static double half_life_tokens(uint32_t experts, uint32_t used);

  // For a layer of that many experts, 1..65534.
  explicit ExpertRanking(uint32_t experts);

  // Bytes that the rankings of `layers` layers take: 2 * experts^2 + 30 * experts for each. They never grow, but for
  // what a pass chose.
  static uint64_t bytes_for(uint32_t layers, uint32_t experts);

  // A pass has come to the layer. Tokens of a prompt follow each other; those of a decode pass each follow one of the
  // decode pass before, when that had as many, or the last one of a prompt. Numbers that are no expert's are skipped.
  void note(const PassChoice& pass);

  // What the expert is worth after the last note().
  double worth(uint32_t expert);

 private:
  void fade(const PassChoice& pass);
  void learn(const PassChoice& pass);
  void learn_step(std::span<const uint16_t> before, std::span<const uint16_t> after);
  void look_ahead();

  uint32_t experts_;
  std::vector<double> shares_;  // of late tokens, by expert
  CoActivation follows_;        // of two layers: a token's choice and the next one's
  std::vector<uint16_t> last_;  // what the next pass's tokens may follow, as PassChoice::chosen
  uint32_t last_used_ = 1;
  bool looked_ = true;        // next_ is of last_
  std::vector<double> next_;  // by expert: how likely it is chosen next
  std::vector<double> one_;   // the same after one of last_
  std::vector<uint16_t> before_;
  std::vector<uint16_t> after_;
};

}  // namespace hypura
