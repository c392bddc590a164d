#include "residency/prediction_record.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

// Of every ten predictions so many are right.
void note_many(PredictionRecord& record, uint32_t layer, size_t place, size_t count, int right_of_ten, int times) {
  for (int i = 0; i < times; ++i) {
    record.note(layer, place, count, (i * right_of_ten) % 10 < right_of_ten);
  }
}

TEST(PredictionRecord, BeginsByReadingAndGivesUpWithinAFewTokens) {
  PredictionRecord record(2);
  note_many(record, 1, 3, 4, 0, 1);
  EXPECT_TRUE(record.pays(1, 3, 4));
  note_many(record, 1, 3, 4, 0, 2);
  EXPECT_FALSE(record.pays(1, 3, 4));
}

TEST(PredictionRecord, TellsLayersAndPlacesApart) {
  PredictionRecord record(3);
  note_many(record, 1, 0, 4, 3, 100);
  note_many(record, 2, 0, 4, 8, 100);
  note_many(record, 2, 3, 4, 3, 100);
  EXPECT_FALSE(record.pays(1, 0, 4));
  EXPECT_TRUE(record.pays(2, 0, 4));
  EXPECT_FALSE(record.pays(2, 3, 4));
  EXPECT_TRUE(record.pays(2, 1, 4)) << "nothing is known of it";
}

// A place that is not read any more is noted all the same.
TEST(PredictionRecord, ChangesItsMind) {
  PredictionRecord record(1);
  note_many(record, 0, 7, 8, 1, 1000);
  EXPECT_FALSE(record.pays(0, 7, 8));
  note_many(record, 0, 7, 8, 9, 200);
  EXPECT_TRUE(record.pays(0, 7, 8));
}

// Predictions for several tokens are more than there are places.
TEST(PredictionRecord, ManyPredictionsShareThePlaces) {
  PredictionRecord record(1);
  for (size_t place = 32; place < 64; ++place) {
    note_many(record, 0, place, 64, 2, 20);
  }
  EXPECT_TRUE(record.pays(0, 31, 64));
  EXPECT_FALSE(record.pays(0, 32, 64));
  EXPECT_FALSE(record.pays(0, 63, 64));
  EXPECT_FALSE(record.pays(0, 3, 4)) << "the last quarter, whoever counts";
}

}  // namespace
}  // namespace hypura
