#include "store/names/gguf_files.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

TEST(GgufFiles, TellTheQuantization) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"Qwen3-30B-A3B-Q4_K_M.gguf", "Q4_K_M"},
      {"model.q8_0.gguf", "Q8_0"},
      {"Qwen3-UD-Q4_K_XL-00001-of-00003.gguf", "UD-Q4_K_XL"},
      {"BF16/model-00001-of-00002.gguf", "BF16"},
      {"llama_7b_iq2_xxs.gguf", "IQ2_XXS"},
      {"gpt-oss-20b-mxfp4.gguf", "MXFP4"},
      {"Qwen2.5-7B.gguf", ""},
  };
  for (const auto& [file, quant] : cases) {
    EXPECT_EQ(quant_of(file), quant) << file;
  }
}

TEST(GgufFiles, SplitSetsAreOneModel) {
  const auto sets =
      gguf_sets({"b-00002-of-00002.gguf", "README.md", "a-Q8_0.gguf", "b-00001-of-00002.gguf", "mmproj-F16.gguf",
                 "x.imatrix.gguf", "c-00003-of-00003.gguf", "d-00004-of-00003.gguf", "m.safetensors"});
  ASSERT_EQ(sets.size(), 3U);
  EXPECT_EQ(sets[0].files, std::vector<std::string>{"a-Q8_0.gguf"});
  EXPECT_EQ(sets[1].files, (std::vector<std::string>{"b-00001-of-00002.gguf", "b-00002-of-00002.gguf"}));
  EXPECT_TRUE(sets[1].whole());
  EXPECT_FALSE(sets[2].whole());
}

TEST(GgufFiles, OneOfSeveralIsChosen) {
  const auto several = gguf_sets({"m-Q2_K.gguf", "m-Q8_0.gguf", "m-Q4_K_M.gguf", "m-UD-Q3_K_XL.gguf"});
  EXPECT_EQ(choose_set(several, "", "x")->stem, "m-Q4_K_M");
  EXPECT_EQ(choose_set(several, "q2_k", "x")->stem, "m-Q2_K");
  EXPECT_EQ(choose_set(several, "Q3_K_XL", "x")->stem, "m-UD-Q3_K_XL");
  EXPECT_EQ(choose_set(several, "m-q8_0", "x")->stem, "m-Q8_0");
  const auto none = choose_set(several, "Q6_K", "hf.co/o/r");
  ASSERT_FALSE(none.has_value());
  EXPECT_EQ(none.error().message, "hf.co/o/r has no Q6_K; it has Q2_K, Q4_K_M, Q8_0, UD-Q3_K_XL");
  EXPECT_EQ(choose_set(gguf_sets({"m-Q8_0.gguf", "m-Q2_K.gguf"}), "", "x")->stem, "m-Q8_0");
  EXPECT_EQ(choose_set(gguf_sets({"n.gguf", "m.gguf"}), "", "x")->stem, "m");
  EXPECT_EQ(choose_set({}, "", "x").error().code, ErrorCode::kBadModel);
  const auto twins = choose_set(gguf_sets({"a-Q4_0.gguf", "b-Q4_0.gguf"}), "Q4_0", "x");
  ASSERT_FALSE(twins.has_value());
  EXPECT_EQ(choose_set(gguf_sets({"a-Q4_0.gguf", "b-Q4_0.gguf"}), "b-Q4_0", "x")->stem, "b-Q4_0");
}

}  // namespace
}  // namespace hypura
