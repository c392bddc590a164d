// What is read from a repacked copy gives the logits of plain llama.cpp with everything resident and repacked, bit for
// bit, at every budget.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>

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

  void compare(Session& session, Reference& reference, const std::string& where) {
    for (size_t length : {size_t{1}, size_t{3}, size_t{8}, size_t{64}, size_t{300}}) {
      session.clear();
      bool fresh = true;
      for (const std::vector<int32_t>& tokens :
           {test_tokens(length), std::vector<int32_t>{17}, std::vector<int32_t>{400}}) {
        std::vector<float> expected = reference.evaluate(tokens, fresh);
        const auto actual = session.evaluate(tokens);
        if (GetParam().other_bits) {
          std::vector<float>& first = said_[{length, tokens}];
          first = first.empty() && actual ? *actual : first;
          EXPECT_LT(distance(first, expected), 0.02);
          expected = first;
        }
        ASSERT_TRUE(actual) << where << ": " << actual.error().message;
        ASSERT_EQ(actual->size(), expected.size());
        ASSERT_EQ(std::memcmp(actual->data(), expected.data(), expected.size() * sizeof(float)), 0)
            << where << ": logits differ after " << tokens.size() << " tokens of a prompt of " << length;
        fresh = false;
      }
    }
  }

  TempDir folder_;
  std::filesystem::path path_;
  std::map<std::pair<size_t, std::vector<int32_t>>, std::vector<float>> said_;  // by prompt's length and tokens
};

TEST_P(Repacked, LogitsEqualThoseOfAResidentModel) {
  const auto model = open_model(path_);
  ASSERT_TRUE(model);
  for (uint32_t threads : {1U, 2U}) {
    Reference reference(path_, kWindow, 64, threads, 1, true);
    said_.clear();  // attention is shared out differently
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
      ASSERT_NO_FATAL_FAILURE(compare(**session, reference, fmt::format("{} threads, {}", threads, sentence)));
    }
  }
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
