// A store over a disk that is not there, for the tests of this room.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "tiers/expert_store.h"
#include "tiers/fake_reader_for_test.h"
#include "tiers/layers_for_test.h"

namespace hypura {

using Experts = std::vector<uint32_t>;

class StoreFixture : public testing::Test {
 protected:
  static constexpr uint32_t kLayers = 3;
  static constexpr uint32_t kExperts = 6;

  void make(uint32_t slots, uint32_t spare, std::vector<uint32_t> quotas = {}) {
    auto made =
        ExpertStore::create(disk.layers(), reader, stats, {slots, spare, std::move(quotas)}, [this] { ++rests; });
    ASSERT_TRUE(made) << made.error().message;
    store = std::move(*made);
  }

  // One token chooses `experts`, ascending.
  void acquire(uint32_t layer, const Experts& experts, bool decode = true) {
    const std::vector<uint16_t> chosen(experts.begin(), experts.end());
    store->acquire(layer, {chosen, std::max(1U, static_cast<uint32_t>(chosen.size())), decode}, experts);
  }

  static std::vector<ExpertPrediction> predictions(const Experts& experts) {
    std::vector<ExpertPrediction> all;
    for (const uint32_t expert : experts) {
      all.push_back({expert, 1});
    }
    return all;
  }

  void predict(uint32_t layer, const Experts& experts) { store->prefetch(layer, predictions(experts)); }

  // Of a prompt.
  void stream_ahead(uint32_t layer, const Experts& experts) { store->stream_ahead(layer, predictions(experts)); }

  Experts leased() const {
    Experts experts;
    for (const ExpertStore::Lease& lease : store->leases()) {
      experts.push_back(lease.expert());
    }
    return experts;
  }

  // That a pinned lease has all of its expert.
  void expect_data(uint32_t layer, const ExpertStore::Lease& lease) {
    const std::vector<ExpertPart>& parts = disk.layers()[layer].parts;
    for (uint32_t part = 0; part < parts.size(); ++part) {
      const Extent extent = parts[part].tensor->expert_extent(lease.expert());
      const std::byte* data = store->view(layer, part).at(lease.slot());
      for (uint64_t i = 0; i < extent.length; ++i) {
        ASSERT_EQ(data[i], disk_byte(extent.file, extent.offset + i))
            << "expert " << lease.expert() << " of layer " << layer << ", part " << part << ", byte " << i;
      }
    }
  }

  // Waits for all leases as an executor does, looks at their data, and finishes the layer.
  void use_all(uint32_t layer) {
    for (size_t i = 0; i < store->leases().size(); ++i) {
      const Status status = store->wait(i);
      ASSERT_TRUE(status) << status.error().message;
      expect_data(layer, store->leases()[i]);
      if (i >= store->hits()) {
        store->release_misses(i + 1);
      }
    }
    store->finish();
  }

  void use(uint32_t layer, const Experts& experts, bool decode = true) {
    acquire(layer, experts, decode);
    use_all(layer);
  }

  ExpertsOnDisk disk{kLayers, kExperts};
  FakeReader reader;
  StoreStats stats;
  int rests = 0;
  std::unique_ptr<ExpertStore> store;
};

}  // namespace hypura
