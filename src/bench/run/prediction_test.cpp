#include "bench/run/prediction.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

TEST(Predict, SaysNothingOfPassesWithDrafts) {
  RunSpec spec;
  spec.model = "/no/such/model.gguf";
  spec.draft_ngrams = true;
  const PredictedRun predicted = predict(spec);
  EXPECT_FALSE(predicted.known);
  EXPECT_NE(predicted.remark.find("drafts"), std::string::npos) << predicted.remark;
}

}  // namespace
}  // namespace hypura
