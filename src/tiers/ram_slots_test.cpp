#include "tiers/ram_slots.h"

#include <gtest/gtest.h>

#include "tiers/fake_reader_for_test.h"
#include "tiers/layers_for_test.h"

namespace hypura {
namespace {

class RamSlotsTest : public testing::Test {
 protected:
  void SetUp() override {
    auto slots = RamSlots::create(disk_.layers(), reader_, 3);
    ASSERT_TRUE(slots) << slots.error().message;
    slots_ = std::move(*slots);
  }

  void expect_data(const TierSlots::Fill& fill) {
    const std::vector<ExpertPart>& parts = disk_.layers()[fill.source.layer].parts;
    for (uint32_t part = 0; part < parts.size(); ++part) {
      const Extent extent = parts[part].tensor->expert_extent(fill.source.expert);
      const std::byte* data = slots_->view(fill.source.layer, part).at(fill.slot);
      for (uint64_t i = 0; i < extent.length; ++i) {
        ASSERT_EQ(data[i], disk_byte(extent.file, extent.offset + i)) << "part " << part << ", byte " << i;
      }
    }
  }

  ExpertsOnDisk disk_{2, 4};
  FakeReader reader_;
  std::unique_ptr<RamSlots> slots_;
};

TEST_F(RamSlotsTest, FillsASlotWithAllMatricesOfAnExpert) {
  const TierSlots::Fill fill = slots_->fill(1, {1, 3}, Priority::kPrefetch);
  ASSERT_EQ(reader_.groups().size(), 1U);
  EXPECT_EQ(reader_.groups()[0].requests.size(), 2U);
  EXPECT_EQ(reader_.groups()[0].priority, Priority::kPrefetch);
  EXPECT_FALSE(reader_.misplaced);
  EXPECT_FALSE(slots_->ended(fill));
  reader_.end_all();
  EXPECT_TRUE(slots_->ended(fill));
  ASSERT_TRUE(slots_->wait(fill));
  slots_->realign(fill);
  expect_data(fill);
}

TEST_F(RamSlotsTest, SlotsDoNotDisturbEachOther) {
  std::vector<TierSlots::Fill> fills;
  for (uint32_t slot = 0; slot < 3; ++slot) {
    fills.push_back(slots_->fill(slot, {slot % 2, slot}, Priority::kDemand));
  }
  for (const size_t i : {2, 0, 1}) {
    ASSERT_TRUE(slots_->wait(fills[i]));
    slots_->realign(fills[i]);
  }
  for (const TierSlots::Fill& fill : fills) {
    expect_data(fill);
  }
  EXPECT_FALSE(reader_.misplaced);
}

TEST_F(RamSlotsTest, ReadsGoToMemoryThatTheReaderKnows) {
  static_cast<void>(slots_->fill(2, {0, 0}, Priority::kDemand));
  for (const ReadRequest& request : reader_.groups()[0].requests) {
    EXPECT_GE(request.destination, reader_.registered.data());
    EXPECT_LE(request.destination + request.length, reader_.registered.data() + reader_.registered.size());
  }
}

TEST_F(RamSlotsTest, AFailureIsTheReaders) {
  const TierSlots::Fill failed = slots_->fill(0, {0, 0}, Priority::kDemand);
  reader_.fail_group(failed.reads, {ErrorCode::kIo, "the disk is gone"});
  EXPECT_TRUE(slots_->ended(failed));
  EXPECT_EQ(slots_->wait(failed).error().code, ErrorCode::kIo);

  reader_.issue_at_once = false;
  const TierSlots::Fill cancelled = slots_->fill(0, {0, 0}, Priority::kDemand);
  slots_->cancel(cancelled);
  EXPECT_EQ(slots_->wait(cancelled).error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace hypura
