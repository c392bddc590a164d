// What is read from a repacked copy gives the logits of plain llama.cpp with everything resident and repacked, bit for
// bit, at every budget.
#include <gtest/gtest.h>

#include <utility>

#include "backend/stream_layout.h"
#include "generate/engine/model_cases_for_test.h"
#include "generate/engine/reference_for_test.h"
#include "hypura/repack.h"
#include "make_model/make_model.h"
#include "store/repacked_copy.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr uint32_t kWindow = 512;

struct RepackedCase {
  const char* name;
  const char* arch;
  const char* type;
  const char* down_type;
  int64_t split;
  // ggml's products with one repacked matrix have other last bits than those with several, which llama.cpp computes
  // experts with: prompts are then compared with each other.
  bool other_bits = false;
};

void PrintTo(const RepackedCase& it, std::ostream* out) {
  *out << it.name;
}

class Repacked : public testing::TestWithParam<RepackedCase> {
 protected:
  void SetUp() override {
    const RepackedCase& it = GetParam();
    ModelSpec spec = small_spec(it.arch, it.type, it.down_type, it.split);
    spec.output = folder_.path() / "model.gguf";
    const auto made = make_model(spec);
    ASSERT_TRUE(made) << made.error().message;
    path_ = *made;
    const auto repacked = repack_model(path_);
    if (!repacked && repacked.error().code == ErrorCode::kUsage) {
      GTEST_SKIP() << repacked.error().message;
    }
    ASSERT_TRUE(repacked) << repacked.error().message;
  }

  EngineOptions options(uint32_t threads) const {
    EngineOptions options;
    options.model = path_;
    options.context = kWindow;
    options.ubatch = options.outputs = 64;
    options.threads = threads;
    options.resident = false;
    options.run_history = false;
    return options;
  }

  // With other bits: what the first session says becomes what is expected of all, where plain llama.cpp says nearly so.
  static void take_first(Session& session, std::vector<Expected>& all) {
    for (Expected& it : all) {
      if (it.fresh) {
        session.clear();
      }
      const auto first = session.evaluate(it.tokens);
      ASSERT_TRUE(first) << first.error().message;
      EXPECT_LT(distance(*first, it.logits), 0.02);
      it.logits = *first;
    }
  }

  void expect_at_all_budgets(uint32_t threads) const {
    const auto model = open_model(path_);
    ASSERT_TRUE(model);
    Reference reference(path_, kWindow, 64, threads, 1, true);
    std::vector<Expected> expected = expect_all(reference, {1, 3, 8, 64, 150}, {17, 400});
    bool other_bits = GetParam().other_bits;
    const uint64_t least = smallest_budget(options(threads), model->bytes * 2 + 512 * kMiB);
    for (const double share : {0.0, 0.2, 0.5, 0.8, 1.2}) {
      EngineOptions opened = options(threads);
      opened.memory = least + static_cast<uint64_t>(share * static_cast<double>(model->bytes));
      const auto engine = Engine::open(opened);
      ASSERT_TRUE(engine) << engine.error().message;
      const std::string sentence = (*engine)->plan().sentence;
      EXPECT_NE(sentence.find("repacked copy"), std::string::npos) << sentence;
      const auto session = (*engine)->new_session();
      ASSERT_TRUE(session);
      if (std::exchange(other_bits, false)) {
        ASSERT_NO_FATAL_FAILURE(take_first(**session, expected));
      }
      ASSERT_NO_FATAL_FAILURE(expect_same_logits(**session, expected, sentence));
    }
  }

  TempDir folder_;
  std::filesystem::path path_;
};

TEST_P(Repacked, LogitsEqualThoseOfAResidentModel) {
  expect_at_all_budgets(1);
}

TEST_P(Repacked, LogitsEqualThoseOfAResidentModelOnTwoThreads) {
  expect_at_all_budgets(2);
}

INSTANTIATE_TEST_SUITE_P(Models, Repacked,
                         testing::Values(RepackedCase{"dense", "dense", "Q4_0", "", 1},
                                         RepackedCase{"dense_split", "dense", "Q4_0", "", 3},
                                         RepackedCase{"qwen3moe", "qwen3moe", "Q4_0", "", 1},
                                         RepackedCase{"mixtral", "mixtral", "Q4_0", "", 1},
                                         RepackedCase{"qwen2moe", "qwen2moe", "Q4_0", "", 1},
                                         RepackedCase{"qwen3moe_mixed", "qwen3moe", "Q4_K", "Q6_K", 2, true},
                                         RepackedCase{"fused", "fused", "Q4_0", "", 1}),
                         [](const auto& it) { return std::string(it.param.name); });

}  // namespace
}  // namespace hypura
