// What is copied ahead to a device is right whenever the device does what it was given: nothing that a copy reads or
// writes is used for something else before the copy has run.
#include "backend/gpu/prefetch/upload_prefetch.h"

#include "backend/gpu/device_slots.h"
#include "backend/gpu/expert_upload.h"
#include "backend/gpu/gpu_fixture_for_test.h"

namespace hypura {
namespace {

constexpr uint32_t kBelow = 8;  // slots in RAM

// Over a device that runs nothing before something waits for it.
class UploadPrefetchTest : public GpuFixture {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(GpuFixture::SetUp());
    ASSERT_NO_FATAL_FAILURE(open_even(4));  // for its device
    late()->set_idle(true);
    const std::vector<uint32_t> slots(layers().size(), 4);
    below_ = ExpertStore::create(layers(), *reader_, below_stats_, {kBelow, 4, {0, 2, 0, 2, 0, 0}}, [] {}).value();
    source_ = std::make_unique<ExpertUpload>(layers(), *below_, device(), stats_);
    auto made = DeviceSlots::create(layers(), slots, device(), *source_).value();
    slots_ = made.get();
    store_ = ExpertStore::over(
        layers(), stats_, {0, 0, {}, slots}, std::move(made), [] {}, below_.get());
    staging_ = LayerStaging::create(layers(), {}, *slots_, *store_, device(), *source_).value();
    prefetch_ = std::make_unique<UploadPrefetch>(
        UploadPrefetch::Parts{layers(), device(), *store_, *below_, staging_.get(), stats_});
  }

  void TearDown() override {
    late()->set_idle(false);
    if (prefetch_ != nullptr) {
      prefetch_->settle();
      source_->settle();
      ggml_backend_synchronize(device().copy_stream());
      ggml_backend_synchronize(device().stream());
    }
    prefetch_.reset();
    staging_.reset();
    store_.reset();
    source_.reset();
    below_.reset();
    GpuFixture::TearDown();
  }

  std::span<const ExpertLayer> layers() const { return layout_.expert_layers; }

  // A slot of RAM has it, for as long as others do not take it.
  void read(uint32_t layer, uint32_t expert) {
    below_->acquire(layer, {{}, 1, true}, {{expert}});
    const Status status = below_->wait(0);
    ASSERT_TRUE(status) << status.error().message;
    below_->finish();
  }

  // Whether the expert is at `place` of the device's tensors for its layer.
  bool holds(std::span<ggml_tensor* const> matrices, uint32_t place, LayerExpert it) const {
    const ExpertLayer& layer = layers()[it.layer];
    for (size_t part = 0; part < matrices.size(); ++part) {
      const uint64_t slice = layer.parts[part].slice_bytes;
      std::vector<char> expected(slice);
      std::vector<char> actual(slice);
      const Extent& extent = layer.parts[part].tensor->extent;
      std::ifstream file(model_.files[extent.file].path, std::ios::binary);
      file.seekg(static_cast<std::streamoff>(extent.offset + it.expert * slice));
      file.read(expected.data(), static_cast<std::streamsize>(slice));
      ggml_backend_tensor_get(matrices[part], actual.data(), place * matrices[part]->nb[2], slice);
      if (actual != expected) {
        return false;
      }
    }
    return true;
  }

  // The layer that predictions were for chooses one expert.
  void choose(uint32_t layer, uint32_t expert) {
    const uint32_t chosen[] = {expert};
    prefetch_->note_chosen(layer, chosen);
    source_->settle();
    store_->acquire(layer, {{}, 1, true}, chosen);
    for (size_t lease = store_->hits(); lease < store_->leases().size(); ++lease) {
      ASSERT_TRUE(store_->wait(lease));
    }
    store_->finish();
    source_->settle();
  }

  // The expert is predicted for the layer, and goes from where it was copied ahead into a slot.
  void prefetch_into_slot(uint32_t layer, uint32_t expert, uint32_t slot) {
    const ExpertPrediction predicted[] = {{expert, 1}};
    prefetch_->begin(layer, predicted);
    UploadItem item = {expert, slot};
    const auto brought = prefetch_->take({&item, 1});
    ASSERT_TRUE(brought);
    source_->copy_one(device().stream(), layer, *brought, item.from, slots_->matrices(layer), slot);
    prefetch_->taken();
  }

  StoreStats below_stats_;
  GpuStats stats_;
  std::unique_ptr<ExpertStore> below_;
  std::unique_ptr<ExpertUpload> source_;
  DeviceSlots* slots_ = nullptr;
  std::unique_ptr<ExpertStore> store_;
  std::unique_ptr<LayerStaging> staging_;
  std::unique_ptr<UploadPrefetch> prefetch_;
};

// RAM gives a slot to another expert when the copy that reads it has run, and then it does.
TEST_P(UploadPrefetchTest, RamsSlotsAreGivenAwayOnceTheirCopiesEnded) {
  ASSERT_NO_FATAL_FAILURE(read(1, 7));
  const ExpertPrediction seventh[] = {{7, 1}};
  prefetch_->begin(1, seventh);
  EXPECT_TRUE(prefetch_->has(1, 7));
  prefetch_->begin(2, {});
  for (uint32_t i = 0; i < 4 * kBelow; ++i) {
    ASSERT_NO_FATAL_FAILURE(read(1, 10 + i % kBelow));
  }
  EXPECT_FALSE(below_->resident(1, 7)) << "its slot is still held";
  ggml_backend_synchronize(device().copy_stream());
  EXPECT_TRUE(holds(staging_->matrices(1), 0, {1, 7}));
}

// What was copied ahead lies where layers pass through until it was copied from there into a slot.
TEST_P(UploadPrefetchTest, ItsPlaceIsGivenAwayOnceItWasTaken) {
  ASSERT_NO_FATAL_FAILURE(read(1, 7));
  ASSERT_NO_FATAL_FAILURE(read(3, 7));
  ASSERT_NO_FATAL_FAILURE(prefetch_into_slot(1, 7, 2));
  const ExpertPrediction seventh[] = {{7, 1}};
  prefetch_->begin(3, seventh);  // comes to lie in the same place
  EXPECT_TRUE(prefetch_->has(3, 7));
  ggml_backend_synchronize(device().copy_stream());
  EXPECT_TRUE(holds(staging_->matrices(3), 0, {3, 7}));
  ggml_backend_synchronize(device().stream());
  EXPECT_TRUE(holds(slots_->matrices(1), 2, {1, 7}));
}

// What computes waits for what was copied ahead.
TEST_P(UploadPrefetchTest, WhatIsTakenHasArrived) {
  ASSERT_NO_FATAL_FAILURE(read(1, 7));
  ASSERT_NO_FATAL_FAILURE(prefetch_into_slot(1, 7, 2));
  ggml_backend_synchronize(device().stream());
  EXPECT_TRUE(holds(slots_->matrices(1), 2, {1, 7}));
}

// Predictions that were wrong of late are neither copied nor read; once they are right again, they are.
TEST_P(UploadPrefetchTest, OnlyWhatIsMostlyRightIsBrought) {
  const ExpertPrediction seventh[] = {{7, 1}};
  const auto copies = [&](uint32_t chosen) {
    EXPECT_NO_FATAL_FAILURE(read(1, 7));
    prefetch_->begin(1, seventh);
    const bool brought = prefetch_->has(1, 7);
    EXPECT_NO_FATAL_FAILURE(choose(1, chosen));
    return brought;
  };
  EXPECT_TRUE(copies(9));
  for (int i = 0; i < 3; ++i) {
    copies(9);
  }
  EXPECT_FALSE(copies(9));
  EXPECT_EQ(stats_.prefetches_used, 0U);

  const ExpertPrediction twentieth[] = {{20, 1}};
  const auto reads = [&](uint32_t layer, uint32_t chosen) {
    const uint64_t before = below_stats_.prefetches;
    prefetch_->begin(layer, twentieth);
    EXPECT_FALSE(prefetch_->has(layer, 20));
    EXPECT_NO_FATAL_FAILURE(choose(layer, chosen));
    return below_stats_.prefetches > before;
  };
  EXPECT_TRUE(reads(1, 9)) << "what was copied in vain says nothing of what is read";
  for (int i = 0; i < 3; ++i) {
    reads(1, 9);
  }
  EXPECT_FALSE(reads(1, 9));
  EXPECT_TRUE(reads(2, 9)) << "nothing is known of that layer";
}

INSTANTIATE_TEST_SUITE_P(Over, UploadPrefetchTest, testing::Values(Inner::kLate), inner_name);

}  // namespace
}  // namespace hypura
