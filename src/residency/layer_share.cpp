#include "residency/layer_share.h"

#include <algorithm>
#include <utility>

#include "residency/spread_order.h"

namespace hypura {

namespace {

class Sharing {
 public:
  Sharing(uint64_t read_here, double bytes_per_second, std::span<const std::optional<SharingWorker>> workers)
      : read_here_(read_here), bytes_per_second_(bytes_per_second), workers_(workers), given_(workers.size()) {}

  // The worker for a layer, which it then has; none: it stays here.
  std::optional<size_t> take(const SharedLayer& layer) {
    std::optional<size_t> best;
    std::pair<double, uint64_t> least = {seconds(std::nullopt, {}), 0};
    for (size_t i = 0; i < workers_.size(); ++i) {
      if (!workers_[i]) {
        continue;
      }
      const std::pair<double, uint64_t> its = {seconds(i, layer), given_[i]};  // of those alike the one with least
      if (best ? its < least : its.first < least.first) {
        best = i;
        least = its;
      }
    }
    if (best) {
      read_here_ -= layer.read_here;
      given_[*best] += layer.bytes;
      asking_ += workers_[*best]->ask_seconds;
    }
    return best;
  }

 private:
  // Of a pass, if that worker had the layer too.
  double seconds(std::optional<size_t> worker, const SharedLayer& layer) const {
    double longest = static_cast<double>(read_here_ - layer.read_here) / bytes_per_second_;
    double asking = asking_;
    for (size_t i = 0; i < workers_.size(); ++i) {
      if (!workers_[i]) {
        continue;
      }
      const uint64_t all = given_[i] + (worker == i ? layer.bytes : 0);
      const uint64_t read = all - std::min(all, workers_[i]->room);
      longest = std::max(longest, static_cast<double>(read) / workers_[i]->bytes_per_second);
      asking += worker == i ? workers_[i]->ask_seconds : 0;
    }
    return longest + asking;
  }

  uint64_t read_here_;
  double bytes_per_second_;
  std::span<const std::optional<SharingWorker>> workers_;
  std::vector<uint64_t> given_;  // bytes
  double asking_ = 0;
};

}  // namespace

std::vector<uint32_t> share_layers(std::span<const SharedLayer> layers, uint64_t other_reads, double bytes_per_second,
                                   std::span<const std::optional<SharingWorker>> workers) {
  uint64_t read_here = other_reads;
  for (const SharedLayer& it : layers) {
    read_here += it.read_here;
  }
  std::vector<uint32_t> order = spread_order(static_cast<uint32_t>(layers.size()));
  std::ranges::stable_sort(order, std::greater<>(), [&](uint32_t it) { return layers[it].read_here; });
  Sharing sharing(read_here, bytes_per_second, workers);
  std::vector<uint32_t> who(layers.size(), kLayerIsHere);
  for (const uint32_t layer : order) {
    if (const auto worker = sharing.take(layers[layer])) {
      who[layer] = static_cast<uint32_t>(*worker + 1);
    }
  }
  return who;
}

}  // namespace hypura
