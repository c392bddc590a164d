// Models that can be loaded and write no text, and advice that holds for those whose memory is of another kind.

#include <gmock/gmock.h>

#include "generate/engine/reference_for_test.h"
#include "hypura/generator.h"
#include "hypura/plan.h"
#include "llama/llama_runtime.h"
#include "llama/open/trial_load.h"
#include "make_model/make_model.h"
#include "make_model/zero_model.h"
#include "support/fail.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

std::filesystem::path write(const TempDir& folder, const ZeroModel& model) {
  return folder.write("zeros.gguf", model.bytes());
}

EngineOptions options_for(const std::filesystem::path& path) {
  EngineOptions options;
  options.model = path;
  options.context = 256;
  options.threads = 1;
  options.run_history = false;
  return options;
}

TEST(TrialLoad, ModelsThatWriteNoTextAreRefusedByAllWithOneSentence) {
  const TempDir folder;
  const std::pair<ZeroModel, const char*> cases[] = {{zero_encoder(), "is an encoder, which generates no text"},
                                                     {zero_t5(false), "is an encoder, which generates no text"},
                                                     {zero_t5(true), "has an encoder beside its decoder"},
                                                     {llama_like("llada"), "is a diffusion model"}};
  for (const auto& [model, sentence] : cases) {
    const auto path = write(folder, model);
    Generator::Options served;
    served.engine = options_for(path);
    const Error errors[] = {Engine::open(options_for(path)).error(), plan_model(options_for(path), nullptr).error(),
                            Generator::open(served).error()};
    for (const Error& error : errors) {
      EXPECT_EQ(error.code, ErrorCode::kUsage) << error.message;
      EXPECT_THAT(error.message, HasSubstr(sentence));
      EXPECT_EQ(error.message, errors[0].message);
    }
  }
}

TEST(TrialLoad, ATensorThatIsMissingThoughNotRequiredIsNoCrash) {
  const TempDir folder;
  ASSERT_TRUE(init_llama());
  ZeroModel model = llama_like("qwen3next");  // whose linear attention needs tensors that llama.cpp does not ask for
  for (const char* key : {"ssm.conv_kernel", "ssm.group_count", "ssm.time_step_rank"}) {
    model.number(key, 2);
  }
  model.number("ssm.inner_size", 64).number("ssm.state_size", 32).number("full_attention_interval", 2);
  const auto read = open_model(write(folder, model));
  ASSERT_TRUE(read) << read.error().message;
  const Status status = try_model(*read);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kBadModel) << status.error().message;
}

TEST(TrialLoad, NumbersThatNothingCanBeComputedWithAreRefused) {
  const TempDir folder;
  ASSERT_TRUE(init_llama());
  const auto refusal = [&](const ZeroModel& model) {
    const auto read = open_model(write(folder, model));
    const Status status = read ? try_model(*read) : propagate(read.error());
    return status ? "" : status.error().message;
  };
  for (const uint32_t dimensions : {0U, 7U, 1U << 31, UINT32_MAX}) {
    EXPECT_THAT(refusal(llama_like("qwen2").number("rope.dimension_count", dimensions)), testing::Not(""));
  }
  for (const char* key : {"ssm.inner_size", "ssm.state_size", "ssm.conv_kernel"}) {
    EXPECT_THAT(refusal(zero_mamba().number(key, UINT32_MAX)), testing::Not("")) << key;
  }
}

// The smallest budget that an error advises.
std::optional<uint64_t> advised(const Error& error) {
  const std::string_view words = "smallest budget is about ";
  const size_t at = error.message.find(words);
  if (at == std::string::npos) {
    return std::nullopt;
  }
  std::string size = error.message.substr(at + words.size());
  size = size.substr(0, size.find(':'));
  std::erase(size, ' ');
  return parse_bytes(size).value();
}

void expect_advice_holds(const std::filesystem::path& path) {
  EngineOptions options = options_for(path);
  options.memory = 64 * kKiB;
  const auto refused = Engine::open(options);
  ASSERT_FALSE(refused) << path;
  const auto least = advised(refused.error());
  ASSERT_TRUE(least) << refused.error().message;
  const auto unplanned = plan_model(options, nullptr);
  ASSERT_FALSE(unplanned);
  EXPECT_EQ(advised(unplanned.error()), least) << unplanned.error().message;
  options.memory = least;
  const auto plan = plan_model(options, nullptr);
  EXPECT_TRUE(plan) << plan.error().message;
  const auto engine = Engine::open(options);
  ASSERT_TRUE(engine) << engine.error().message;
  EXPECT_TRUE((*(*engine)->new_session())->complete("a b", greedy(2)));
}

TEST(TrialLoad, TheAdvisedBudgetWorks) {
  const TempDir folder;
  expect_advice_holds(write(folder, zero_mamba()));
  expect_advice_holds(write(folder, llama_like("llama")));
  expect_advice_holds(write(folder, zero_moe()));
  for (const char* arch : {"qwen3moe", "mixtral", "gpt-oss", "fused", "qwen2moe"}) {
    ModelSpec spec;
    spec.arch = arch;
    spec.type = "Q8_0";
    spec.layers = 2;
    spec.output = folder.path() / (std::string(arch) + ".gguf");
    const auto path = make_model(spec);
    ASSERT_TRUE(path) << path.error().message;
    expect_advice_holds(*path);
  }
}

}  // namespace
}  // namespace hypura
