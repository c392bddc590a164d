// For tests: an engine that drafts as much as it may.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "generate/engine/engine_impl.h"

namespace hypura {

// It takes passes of every size for equally long, and has seen so many that those of the test change little of that:
// how long drafts are would otherwise depend on how fast these small models are just now. Null, and the test fails,
// when the model does not open.
inline std::unique_ptr<EngineImpl> open_eager(const EngineOptions& options, const PlanOverrides& overrides = {}) {
  auto engine = open_engine(options, overrides);
  EXPECT_TRUE(engine) << engine.error().message;
  if (!engine) {
    return nullptr;
  }
  if ((*engine)->drafting() != nullptr) {
    for (uint32_t pass = 0; pass < 10 * (kMostDrafted + 1); ++pass) {
      const uint32_t drafted = pass % (kMostDrafted + 1);
      (*engine)->drafting()->note_pass({1, 1, drafted, drafted, 1e6, 0});
    }
  }
  return std::move(*engine);
}

}  // namespace hypura
