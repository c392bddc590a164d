// Co-activation: how often a token that chose expert a in one layer chose expert b in the next, counted while running,
// and predictions made from that.
//
// Each chosen expert a speaks for or against b by the odds of b after a, compared with the odds of b after anything:
// naive Bayes. On the routing trace of the stories model (2,075 tokens, 6 layers, 32 experts, top-4, learned from
// nothing as it went) the share of what was chosen that was among the first four predictions, and the share of the
// first two predictions that was right:
//
//   naive Bayes, as here                        .384   .460
//   naive Bayes, evidence at its full weight    .387   .462
//   mean of the frequencies of b after each a   .335   .394
//   the token before, same layer                .228   .260
//   most popular of the layer                   .196   .208
//
// Frequencies alone favour what is popular, and that is in the cache anyway: of the misses that could be predicted, at
// a quarter of the experts held, four such predictions would have covered .234, these .327 (at half: .196, .304). It
// learns fast: .283 in the first 50 tokens, .398 from 200 to 400, and no more after that. The constants below were
// chosen on that same trace, and differ by little over wide ranges.
//
// Not thread-safe: the owner serialises.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "residency/expert_predictor.h"

namespace hypura {

class CoActivation : public ExpertPredictor {
 public:
  // After so many uses of an expert all its counts are halved: old ones fade. Recall on the same trace: 32: .381, 64:
  // .384, 128: .385, 256: .384, never: .385. The trace is too short to tell more; rare pairs of larger models want
  // many.
  static constexpr uint16_t kRowLimit = 256;

  // An expert that was used this often is believed as much as the layer's average is. Recall: 2 to 16: .384 to .386,
  // 32: .381, 48: .376. The lower, the more is made of few uses: of the predictions with a confidence of about .54, .48
  // were right with 4, .52 with 16.
  static constexpr double kPriorUses = 16;

  // Experts chosen together (there: four) say the same thing in part, so each one's evidence counts for less. Of the
  // predictions with a confidence of about .35, .54, .74 and .85 this share was right: .33, .52, .72 and .84; at full
  // weight, whose recall is higher by .003, it was .30, .44, .60 and .71, and a threshold on the confidence would mean
  // little.
  static constexpr double kEvidenceWeight = 0.8;

  // For a model of that many layers with experts, at least 1, and experts in each, 1..65534.
  CoActivation(uint32_t layers, uint32_t experts);

  // Bytes that the counts of such a model take: (layers - 1) * (2 * experts^2 + 6 * experts + 4). It never grows.
  // 0.1 MiB for 61 layers of 32 experts, 1.9 MiB for 128, 7.6 MiB for 256, 17 MiB for 384.
  static uint64_t bytes_for(uint32_t layers, uint32_t experts);

  // None for the last layer, and before anything was learned of `layer`. All of `chosen` are below `experts`. Takes
  // time in proportion to experts * chosen: 8 us for 8 of 256.
  size_t predict(uint32_t layer, std::span<const uint16_t> chosen, std::span<ExpertPrediction> out) const override;

  // How likely each expert is to be chosen next: fills `out`, [expert]. Evidence counts at its full weight, so that
  // these tell better what is likelier than how likely it is; before anything was learned all are alike. `layer` is not
  // the last one, all of `chosen` are below `experts`. 7 us for 8 of 256.
  void likelihoods(uint32_t layer, std::span<const uint16_t> chosen, std::span<double> out) const;

  // `layer` is not the last one; all experts are below `experts`.
  void learn(uint32_t layer, std::span<const uint16_t> chosen, std::span<const uint16_t> next) override;

 private:
  void halve(uint32_t layer, uint32_t expert);
  std::vector<double> shares(uint32_t layer, size_t count) const;
  void weigh(uint32_t layer, std::span<const uint16_t> chosen, std::span<const double> shares,
             std::span<double> evidence) const;

  uint32_t layers_;
  uint32_t experts_;
  // By the layer that a step leaves. A pair's count is at most its expert's uses, and those at most kRowLimit. The sums
  // fade with what they sum, so that the average remembers as long as each expert: an average over at most the last 64
  // tokens brought the recall down to .24.
  std::vector<uint16_t> uses_;         // [layer][expert]: tokens that chose it
  std::vector<uint16_t> pairs_;        // [layer][expert][next expert]: of these, chose that one next
  std::vector<uint32_t> column_sums_;  // [layer][next expert]: sum of its pairs
  std::vector<uint32_t> use_sums_;     // [layer]: sum of uses_
};

}  // namespace hypura
