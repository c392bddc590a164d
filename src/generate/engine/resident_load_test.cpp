// A model that stays in memory has the bits that llama.cpp's own loading gives it, in whatever layouts it chooses.

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "generate/engine/reference_for_test.h"
#include "hypura/engine.h"
#include "make_model/make_model.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

struct Kind {
  const char* arch;
  const char* type;
  bool tied = false;
  int split = 1;
};

class ResidentLoad : public testing::TestWithParam<Kind> {};

TEST_P(ResidentLoad, GivesTheLogitsOfLlamaCppsOwn) {
  const TempDir folder;
  ModelSpec spec;
  spec.arch = GetParam().arch;
  spec.type = GetParam().type;
  spec.tied = GetParam().tied;
  spec.split = GetParam().split;
  spec.layers = 2;
  spec.output = folder.path() / "model.gguf";
  const auto path = make_model(spec);
  ASSERT_TRUE(path) << path.error().message;
  for (const bool repack : {true, false}) {
    Reference reference(*path, 64, 64, 1, 1, repack);
    EngineOptions options;
    options.model = *path;
    options.context = 64;
    options.threads = 1;
    options.repack = repack;
    options.run_history = false;
    double last = 0;
    options.progress = [&](double share) {
      EXPECT_GE(share, last);
      last = share;
    };
    const auto engine = Engine::open(options);
    ASSERT_TRUE(engine) << engine.error().message;
    ASSERT_EQ((*engine)->plan().mode(), Mode::kResident) << (*engine)->plan().sentence;
    EXPECT_EQ(last, 1) << "progress ends with all";
    const auto session = (*engine)->new_session();
    ASSERT_TRUE(session) << session.error().message;
    bool fresh = true;
    for (const int32_t token : {300, 411, 522, 633}) {
      const auto logits = (*session)->evaluate(std::vector<int32_t>{token});
      ASSERT_TRUE(logits) << logits.error().message;
      ASSERT_TRUE(*logits == reference.evaluate({token}, std::exchange(fresh, false)))
          << token << (repack ? " repacked" : " as in the file");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ResidentLoad,
                         testing::Values(Kind{"dense", "Q4_0"}, Kind{"dense", "Q8_0", true},
                                         Kind{"dense", "Q4_K", true, 2}, Kind{"qwen3moe", "Q4_K"},
                                         Kind{"qwen3moe", "Q4_0", false, 2}),
                         [](const testing::TestParamInfo<Kind>& kind) {
                           return std::string(kind.param.arch) + "_" + kind.param.type +
                                  (kind.param.tied ? "_tied" : "") + (kind.param.split > 1 ? "_split" : "");
                         });

}  // namespace
}  // namespace hypura
