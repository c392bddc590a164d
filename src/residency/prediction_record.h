// How often predictions about a layer's experts were right, by where they stood among the layer's predictions: whether
// what is predicted is worth reading.
//
// Only predictions of experts that were not in memory count, since only they are ever read. They are right less often
// than the others: what is in memory is what is chosen often. What was predicted and not read counts as well, so that a
// place that does not pay goes on being observed, at no cost.
//
// Measured on the stories model, its own router predicting, 35 % of the experts in slots: of the missing experts that
// were predicted for layer 1 0.11 to 0.19 were chosen, whatever their place; for layer 5 0.92 to 0.96 of those in the
// first place and 0.37 to 0.43 of those in the fourth. Without a look at the record, wrong predictions added 36 to 63 %
// to what decoding missed; with it 3 or 4 % (docs/lab/experiments.md).
//
// Not thread-safe: the owner serialises.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace hypura {

class PredictionRecord {
 public:
  // A right read hides its own time, a wrong one takes the disk's and some of the processors', while these compute.
  // Measured: with 0, 0.6, 0.7 and 0.8 decoding is as fast, and bytes are fewer each time.
  static constexpr double kLeastRight = 0.75;

  // Latest predictions that a share is of, about. With 10 to 200 bytes read differ by 2 %.
  static constexpr uint32_t kMemory = 64;

  // Of predictions for that many layers. At first all places count as right nine times of ten.
  explicit PredictionRecord(uint32_t layers);

  // Whether prediction number `place` of `count` for the layer, if its expert is not in memory, is worth reading.
  bool pays(uint32_t layer, size_t place, size_t count) const { return it(layer, place, count).share >= kLeastRight; }

  // Such a prediction, read or not, was right or wrong.
  void note(uint32_t layer, size_t place, size_t count, bool right);

 private:
  // Places are told apart as far as one token's predictions are; those of several tokens together are more.
  static constexpr size_t kPlaces = 8;

  struct Place {
    double share = 0.9;  // that was right
    uint32_t noted = 8;  // weight of the share so far, at most kMemory
  };

  static size_t index(size_t place, size_t count) { return place * kPlaces / count; }
  const Place& it(uint32_t layer, size_t place, size_t count) const { return places_[layer][index(place, count)]; }

  std::vector<std::array<Place, kPlaces>> places_;
};

}  // namespace hypura
