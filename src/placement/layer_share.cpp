#include "placement/layer_share.h"

#include <algorithm>
#include <utility>

#include "residency/spread_order.h"

namespace hypura {

namespace {

class Sharing {
 public:
  Sharing(const SharingHere& here, std::span<const std::optional<SharingWorker>> workers)
      : here_(here), workers_(workers), given_(workers.size()) {}

  void add(const SharedLayer& layer) {
    here_.other_reads += layer.read_here;
    here_.other_computing += layer.seconds;
  }

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
      here_.other_reads -= layer.read_here;
      here_.other_computing += computing_more(*best, layer);
      given_[*best] += layer.bytes;
    }
    return best;
  }

 private:
  // What a pass computes and asks longer where that worker has the layer.
  double computing_more(size_t worker, const SharedLayer& layer) const {
    return workers_[worker]->ask_seconds + (workers_[worker]->slower - 1) * layer.seconds;
  }

  // Of a pass, if that worker had the layer too.
  double seconds(std::optional<size_t> worker, const SharedLayer& layer) const {
    double reading = static_cast<double>(here_.other_reads - layer.read_here) / here_.bytes_per_second;
    for (size_t i = 0; i < workers_.size(); ++i) {
      if (workers_[i]) {
        const uint64_t all = given_[i] + (worker == i ? layer.bytes : 0);
        const uint64_t read = all - std::min(all, workers_[i]->room);
        reading = std::max(reading, static_cast<double>(read) / workers_[i]->bytes_per_second);
      }
    }
    const double computing = here_.other_computing + (worker ? computing_more(*worker, layer) : 0);
    return std::max(reading, computing) + kSharedOverlapLoss * std::min(reading, computing);
  }

  SharingHere here_;  // with the layers that nobody has yet, and `other_computing` with all computing
  std::span<const std::optional<SharingWorker>> workers_;
  std::vector<uint64_t> given_;  // bytes
};

}  // namespace

std::vector<uint32_t> share_layers(std::span<const SharedLayer> layers, const SharingHere& here,
                                   std::span<const std::optional<SharingWorker>> workers) {
  Sharing sharing(here, workers);
  for (const SharedLayer& it : layers) {
    sharing.add(it);
  }
  std::vector<uint32_t> order = spread_order(static_cast<uint32_t>(layers.size()));
  std::ranges::stable_sort(order, std::greater<>(), [&](uint32_t it) { return layers[it].read_here; });
  std::vector<uint32_t> who(layers.size(), kLayerIsHere);
  for (const uint32_t layer : order) {
    if (const auto worker = sharing.take(layers[layer])) {
      who[layer] = static_cast<uint32_t>(*worker + 1);
    }
  }
  return who;
}

}  // namespace hypura
