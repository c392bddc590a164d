#include "residency/prediction_record.h"

#include <algorithm>

namespace hypura {

PredictionRecord::PredictionRecord(uint32_t layers) : places_(layers) {}

void PredictionRecord::note(uint32_t layer, size_t place, size_t count, bool right) {
  Place& it = places_[layer][index(place, count)];
  it.noted = std::min(it.noted + 1, kMemory);
  it.share += ((right ? 1.0 : 0.0) - it.share) / it.noted;
}

}  // namespace hypura
