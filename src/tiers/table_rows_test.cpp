#include "tiers/table_rows.h"

#include <gtest/gtest.h>

#include <numeric>
#include <optional>
#include <string>

#include "tiers/direct_place.h"
#include "tiers/fake_reader_for_test.h"

namespace hypura {
namespace {

class TableRowsTest : public testing::Test {
 protected:
  static constexpr uint64_t kRow = 1000;
  static constexpr int64_t kRows = 500;

  void SetUp() override {
    tensor_.name = "table";
    tensor_.type = 0;
    tensor_.shape = {static_cast<int64_t>(kRow / 4), kRows, 1, 1};
    tensor_.extent = {0, 700, kRow * kRows};
  }

  void make(uint32_t slots) {
    auto rows = TableRows::create({&tensor_, slots}, reader_, stats_, in_memory_, [this] { ++rests_; });
    ASSERT_TRUE(rows) << rows.error().message;
    rows_ = std::move(*rows);
  }

  void expect_row(int32_t row, int32_t slot) {
    ASSERT_LT(static_cast<uint32_t>(slot), rows_->slot_count());
    for (uint64_t i = 0; i < kRow; ++i) {
      ASSERT_EQ(rows_->slots()[static_cast<uint64_t>(slot) * kRow + i],
                disk_byte(0, tensor_.extent.offset + static_cast<uint64_t>(row) * kRow + i))
          << "row " << row << ", byte " << i;
    }
  }

  // All of them, in as many steps as it takes.
  void look_up(std::span<const int32_t> rows) {
    while (!rows.empty()) {
      std::vector<int32_t> slots(rows.size());
      const auto count = rows_->look_up(rows, slots);
      ASSERT_TRUE(count) << count.error().message;
      ASSERT_GT(*count, 0U);
      for (size_t i = 0; i < *count; ++i) {
        expect_row(rows[i], slots[i]);
      }
      rows = rows.subspan(*count);
    }
  }
  void look_up(std::initializer_list<int32_t> rows) { look_up(std::vector<int32_t>(rows)); }

  uint64_t bytes_read() const {
    uint64_t bytes = 0;
    for (const FakeReader::Group& group : reader_.groups()) {
      for (const ReadRequest& request : group.requests) {
        bytes +=
            round_up(request.offset + request.length, kDirectAlignment) - round_down(request.offset, kDirectAlignment);
      }
    }
    return bytes;
  }

  TensorInfo tensor_;
  FakeReader reader_;
  StoreStats stats_;
  std::function<const std::byte*(int64_t)> in_memory_;
  int rests_ = 0;
  std::unique_ptr<TableRows> rows_;
};

TEST_F(TableRowsTest, RowsAreReadOnceAndTogether) {
  make(8);
  look_up({400, 3, 250, 3});
  ASSERT_EQ(reader_.groups().size(), 1U);
  ASSERT_EQ(reader_.groups()[0].requests.size(), 3U);
  EXPECT_LT(reader_.groups()[0].requests[0].offset, reader_.groups()[0].requests[1].offset) << "as they lie on disk";
  EXPECT_EQ(rests_, 1);
  look_up({3, 400});
  EXPECT_EQ(reader_.groups().size(), 1U);
  EXPECT_EQ(stats_.table_lookups, 6U);
  EXPECT_EQ(stats_.table_reads, 3U);
  EXPECT_FALSE(reader_.misplaced);
}

TEST_F(TableRowsTest, NoBlockIsReadTwice) {
  make(static_cast<uint32_t>(kRows));
  std::vector<int32_t> all(kRows);
  std::iota(all.begin(), all.end(), 0);
  look_up(all);
  EXPECT_LE(bytes_read(), kRow * kRows + 16 * kDirectAlignment) << "some rounds, whose ends may share a block";
  EXPECT_FALSE(reader_.misplaced);
}

TEST_F(TableRowsTest, MoreRowsThanSlotsComeInSteps) {
  make(3);
  look_up({9, 8, 7, 6, 5, 9, 9, 1, 2, 3});
  look_up({3, 2, 1});
  EXPECT_EQ(stats_.table_lookups, 13U);
  EXPECT_GT(reader_.groups().size(), 3U);
}

TEST_F(TableRowsTest, WhatIsExpectedIsOnItsWayAndReadOnce) {
  make(8);
  const std::vector<int32_t> rows = {1, 100, 200};
  rows_->expect(rows);
  EXPECT_EQ(reader_.under_way().size(), 1U);
  EXPECT_EQ(rests_, 0);
  reader_.end_all();
  look_up({1, 100, 200, 300});
  EXPECT_EQ(reader_.groups().size(), 2U);
  EXPECT_EQ(reader_.groups()[1].requests.size(), 1U);
  rows_->expect(rows);
  EXPECT_EQ(reader_.groups().size(), 2U) << "all are there";
  rows_->expect(std::vector<int32_t>{5, 600});
  EXPECT_EQ(reader_.groups().size(), 2U) << "there is no row 600: these are no rows of it";
}

TEST_F(TableRowsTest, WhatIsInMemoryIsNotRead) {
  std::vector<std::byte> row(kRow);
  for (uint64_t i = 0; i < kRow; ++i) {
    row[i] = disk_byte(0, tensor_.extent.offset + 7 * kRow + i);
  }
  in_memory_ = [&](int64_t wanted) { return wanted == 7 ? row.data() : nullptr; };
  make(4);
  rows_->expect(std::vector<int32_t>{7});
  EXPECT_TRUE(reader_.groups().empty());
  look_up({7, 8, 7});
  EXPECT_EQ(stats_.table_reads, 1U);
}

TEST_F(TableRowsTest, ARowThatIsNotThereIsAnError) {
  make(4);
  std::vector<int32_t> slots(1);
  for (const int32_t row : {-1, static_cast<int32_t>(kRows)}) {
    const auto count = rows_->look_up(std::vector<int32_t>{row}, slots);
    ASSERT_FALSE(count);
    EXPECT_NE(count.error().message.find("table"), std::string::npos);
  }
}

TEST_F(TableRowsTest, AFailedReadIsAnErrorAndMayBeTriedAgain) {
  make(4);
  reader_.fail_next = Error{ErrorCode::kIo, "cannot read"};
  std::vector<int32_t> slots(2);
  const auto failed = rows_->look_up(std::vector<int32_t>{5, 300}, slots);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kIo);
  EXPECT_EQ(failed.error().message, "table: cannot read");
  look_up({5, 300});
  reader_.fail_next = Error{ErrorCode::kIo, "cannot read"};
  rows_->expect(std::vector<int32_t>{6});
  look_up({6, 5});
  EXPECT_TRUE(reader_.under_way().empty());
}

TEST_F(TableRowsTest, NoReadOutlivesIt) {
  make(4);
  rows_->expect(std::vector<int32_t>{5});
  rows_.reset();
  EXPECT_TRUE(reader_.under_way().empty());
}

}  // namespace
}  // namespace hypura
