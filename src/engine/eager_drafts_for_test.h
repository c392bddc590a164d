// For tests: an engine that drafts as much as it may.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "engine/engine_impl.h"

namespace hypura {

// It takes each pass for long, whatever its tokens: how long drafts are would otherwise depend on how fast these small
// models are just now. Null, and the test fails, when the model does not open.
inline std::unique_ptr<EngineImpl> open_eager(const EngineOptions& options) {
  auto engine = open_engine(options);
  EXPECT_TRUE(engine) << engine.error().message;
  if (!engine) {
    return nullptr;
  }
  if ((*engine)->drafting() != nullptr) {
    for (const uint32_t drafted : {0U, kMostDrafted}) {
      (*engine)->drafting()->note_pass({1, 1, drafted, drafted, 1e6, 0});
    }
  }
  return std::move(*engine);
}

}  // namespace hypura
