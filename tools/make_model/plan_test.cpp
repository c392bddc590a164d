#include "make_model/plan.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "make_model/header.h"
#include "make_model/weights.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::AllOf;
using testing::Ge;
using testing::HasSubstr;
using testing::Le;
using testing::UnorderedElementsAreArray;

ModelSpec spec_of(std::string arch, std::string type = "Q4_0") {
  ModelSpec spec;
  spec.output = "model.gguf";
  spec.arch = std::move(arch);
  spec.type = std::move(type);
  return spec;
}

std::vector<uint8_t> bytes_of(const TensorPlan& tensor, TensorSource& source) {
  std::vector<uint8_t> bytes(tensor.bytes());
  source.fill_rows(tensor, 0, bytes);
  return bytes;
}

// The root of the mean square.
double size_of_values(const TensorPlan& tensor, const std::vector<uint8_t>& bytes) {
  std::vector<float> values(tensor.values());
  if (tensor.type == GGML_TYPE_F32) {
    std::memcpy(values.data(), bytes.data(), bytes.size());
  } else {
    ggml_get_type_traits(tensor.type)->to_float(bytes.data(), values.data(), static_cast<int64_t>(values.size()));
  }
  double squares = 0.0;
  for (const float value : values) {
    squares += static_cast<double>(value) * value;
  }
  return std::sqrt(squares / static_cast<double>(values.size()));
}

class PlanTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loaded = load_vocab({});
    ASSERT_TRUE(loaded) << loaded.error().message;
    vocab_ = std::move(*loaded);
  }

  void expect_usage(const ModelSpec& spec, const std::string& words) {
    const auto plan = plan_model(spec, vocab_);
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code, ErrorCode::kUsage);
    EXPECT_THAT(plan.error().message, HasSubstr(words));
  }

  Vocab vocab_;
};

TEST_F(PlanTest, DonorHasSpecialTokens) {
  EXPECT_EQ(vocab_.tokens, 8192);
  EXPECT_GT(std::count(vocab_.special.begin(), vocab_.special.end(), true), 0);
}

TEST_F(PlanTest, VocabularyCanBePadded) {
  ASSERT_FALSE(pad_vocab(vocab_, 8191));
  ASSERT_FALSE(pad_vocab(vocab_, int64_t{1} << 40));
  const auto status = pad_vocab(vocab_, 10000);
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(vocab_.tokens, 10000);
  EXPECT_TRUE(vocab_.special.at(9999));
  for (const char* name : {"tokens", "token_type"}) {
    const int64_t key = gguf_find_key(vocab_.keys.get(), fmt::format("tokenizer.ggml.{}", name).c_str());
    ASSERT_GE(key, 0) << name;
    EXPECT_EQ(gguf_get_arr_n(vocab_.keys.get(), key), 10000) << name;
  }
  const int64_t tokens = gguf_find_key(vocab_.keys.get(), "tokenizer.ggml.tokens");
  EXPECT_STREQ(gguf_get_arr_str(vocab_.keys.get(), tokens, 9999), "[PAD9999]");
  const auto plan = plan_model(spec_of("dense"), vocab_);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->tensors.front().dims, (std::vector<int64_t>{256, 10000}));
}

// 61 layers of 384 experts, as the largest open models have: nothing in the way of a trillion parameters.
TEST_F(PlanTest, ATrillionParametersFit) {
  ModelSpec spec = spec_of("qwen3moe");
  spec.layers = 61;
  spec.embedding = 7168;
  spec.heads = 64;
  spec.kv_heads = 8;
  spec.experts = 384;
  spec.experts_used = 8;
  spec.expert_ff = 2048;
  spec.split = 20;
  const auto plan = plan_model(spec, vocab_);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_GT(plan->parameters(), uint64_t{1'000'000'000'000});
  const auto parts = make_parts(*plan, vocab_);
  ASSERT_EQ(parts.size(), 20);
  for (const Part& part : parts) {
    EXPECT_FALSE(part.tensors.empty());
  }
}

TEST_F(PlanTest, SizeGivesNaturalDimensions) {
  ModelSpec moe = spec_of("qwen3moe");
  moe.size = 6 * kGiB;
  const auto plan = plan_model(moe, vocab_);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->shape.embedding, 2048);
  EXPECT_EQ(plan->shape.experts, 64);
  EXPECT_THAT(plan->shape.layers, AllOf(Ge(22), Le(30)));

  ModelSpec dense = spec_of("dense");
  dense.size = 6 * kGiB;
  const auto dense_plan = plan_model(dense, vocab_);
  ASSERT_TRUE(dense_plan) << dense_plan.error().message;
  EXPECT_EQ(dense_plan->shape.embedding, 4096);
  EXPECT_THAT(dense_plan->shape.layers, AllOf(Ge(40), Le(56)));
}

TEST_F(PlanTest, SizeIsMetForEveryArchitecture) {
  for (const char* arch :
       {"dense", "mixtral", "qwen3moe", "qwen2moe", "gpt-oss", "fused", "deepseek2", "glm4moe", "qwen3next"}) {
    for (const uint64_t size : {256 * kMiB, 3 * kGiB, 40 * kGiB, 300 * kGiB}) {
      ModelSpec spec = spec_of(arch);
      spec.size = size;
      const auto plan = plan_model(spec, vocab_);
      ASSERT_TRUE(plan) << arch << ": " << plan.error().message;
      const double ratio = static_cast<double>(plan->tensor_bytes()) / static_cast<double>(size);
      EXPECT_THAT(ratio, AllOf(Ge(0.85), Le(1.15))) << arch << " " << size;
    }
  }
}

TEST_F(PlanTest, DownTypeChangesOnlyDownTensors) {
  ModelSpec spec = spec_of("qwen3moe", "Q4_0");
  spec.down_type = "Q6_K";
  const auto plan = plan_model(spec, vocab_);
  ASSERT_TRUE(plan) << plan.error().message;
  for (const TensorPlan& tensor : plan->tensors) {
    if (tensor.name.find("ffn_down") != std::string::npos) {
      EXPECT_EQ(tensor.type, GGML_TYPE_Q6_K) << tensor.name;
    } else {
      EXPECT_TRUE(tensor.type == GGML_TYPE_Q4_0 || tensor.type == GGML_TYPE_F32) << tensor.name;
    }
  }
}

// As llama.cpp's quantiser makes it: Q6_K for the output, and in half of the layers for values and down matrices; types
// of small blocks where rows are no multiple of 256.
TEST_F(PlanTest, MixturesHaveSeveralTypes) {
  ModelSpec spec = spec_of("dense", "Q4_K_M");
  spec.layers = 16;
  const auto plan = plan_model(spec, vocab_);
  ASSERT_TRUE(plan) << plan.error().message;
  std::map<std::string, std::vector<int64_t>> favoured;
  for (const TensorPlan& tensor : plan->tensors) {
    if (tensor.type == GGML_TYPE_Q6_K) {
      favoured[tensor.layer < 0 ? tensor.name : tensor.name.substr(tensor.name.find('.', 4) + 1)].push_back(
          tensor.layer);
    } else {
      EXPECT_TRUE(tensor.type == GGML_TYPE_Q4_K || tensor.type == GGML_TYPE_F32) << tensor.name;
    }
  }
  const std::vector<int64_t> layers = {0, 1, 4, 7, 10, 13, 14, 15};
  EXPECT_EQ(favoured, (std::map<std::string, std::vector<int64_t>>{
                          {"output.weight", {-1}}, {"attn_v.weight", layers}, {"ffn_down.weight", layers}}));

  spec = spec_of("glm4moe", "Q4_K_M");
  spec.layers = 16;
  const auto narrow = plan_model(spec, vocab_);
  ASSERT_TRUE(narrow) << narrow.error().message;
  for (const TensorPlan& tensor : narrow->tensors) {
    if (tensor.name.ends_with("ffn_down_exps.weight")) {
      const bool more = std::find(layers.begin(), layers.end(), tensor.layer) != layers.end();
      EXPECT_EQ(tensor.type, more ? GGML_TYPE_Q8_0 : GGML_TYPE_Q5_0) << tensor.name;
    }
  }

  const auto experts = plan_model(spec_of("gpt-oss", "MXFP4_MOE"), vocab_);
  ASSERT_TRUE(experts) << experts.error().message;
  for (const TensorPlan& tensor : experts->tensors) {
    if (tensor.type != GGML_TYPE_F32) {
      EXPECT_EQ(tensor.type == GGML_TYPE_MXFP4, tensor.name.find("_exps.") != std::string::npos) << tensor.name;
    }
  }
}

TEST_F(PlanTest, RefusesWhatCannotBe) {
  expect_usage(spec_of("gpt5"), "--arch gpt5 is unknown; choose one of dense, mixtral");
  expect_usage(spec_of("dense", "Q3_Z"), "--type Q3_Z is unknown");
  ModelSpec spec = spec_of("dense", "Q4_K_M");
  spec.down_type = "Q6_K";
  expect_usage(spec, "--type Q4_K_M decides the types of all matrices");
  spec = spec_of("dense", "Q4_K");
  spec.embedding = 320;
  expect_usage(spec, "--embedding is 320, but q4_K rows must be a multiple of 256");
  spec = spec_of("dense");
  spec.experts = 8;
  expect_usage(spec, "has no experts");
  spec = spec_of("mixtral");
  spec.experts_used = 9;
  expect_usage(spec, "--experts-used 9 is more than the 8 experts");
  spec = spec_of("dense");
  spec.heads = 4;
  spec.kv_heads = 3;
  expect_usage(spec, "4 heads cannot share 3 key-value heads");
  spec = spec_of("dense");
  spec.size = kGiB;
  spec.layers = 3;
  expect_usage(spec, "give either --size or --layers");
  spec = spec_of("dense");
  spec.size = kMiB;
  expect_usage(spec, "is too small");
  spec = spec_of("qwen3next");
  spec.layers = 3;
  expect_usage(spec, "its first layer with attention as the 4th");
  spec = spec_of("dense");
  spec.split = 1000;
  expect_usage(spec, "more parts than the model's");
  spec = spec_of("dense");
  spec.layers = -1;
  expect_usage(spec, "--layers -1 is out of range");
}

TEST_F(PlanTest, PartsAreEvenAndComplete) {
  ModelSpec spec = spec_of("mixtral");
  spec.layers = 8;
  spec.split = 5;
  const auto plan = plan_model(spec, vocab_);
  ASSERT_TRUE(plan) << plan.error().message;
  const auto parts = make_parts(*plan, vocab_);
  ASSERT_EQ(parts.size(), 5);
  EXPECT_EQ(parts[1].path, "model-00002-of-00005.gguf");
  size_t tensors = 0;
  for (const Part& part : parts) {
    tensors += part.tensors.size();
    const double share =
        static_cast<double>(part.bytes - part.header.size()) / (static_cast<double>(plan->tensor_bytes()) / 5);
    EXPECT_THAT(share, AllOf(Ge(0.7), Le(1.3))) << part.path;
  }
  EXPECT_EQ(tensors, plan->tensors.size());
}

TEST_F(PlanTest, EveryTensorCanHaveItsOwnPart) {
  ModelSpec spec = spec_of("dense");
  spec.layers = 1;
  auto plan = plan_model(spec, vocab_);
  ASSERT_TRUE(plan) << plan.error().message;
  plan->spec.split = static_cast<int64_t>(plan->tensors.size());
  for (const Part& part : make_parts(*plan, vocab_)) {
    EXPECT_EQ(part.tensors.size(), 1);
  }
}

// 128 experts of 256-wide K-quant rows: one block a row, the hardest case for telling rows apart.
TEST_F(PlanTest, NoTwoRowsAreEqual) {
  for (const char* type : {"Q4_0", "Q8_0", "Q2_K", "Q4_K", "Q6_K", "F16", "MXFP4_MOE"}) {
    ModelSpec spec = spec_of("qwen3moe", type);
    spec.layers = 1;
    const auto plan = plan_model(spec, vocab_);
    ASSERT_TRUE(plan) << plan.error().message;
    TensorSource source(*plan, vocab_);
    std::set<std::string> seen;
    uint64_t rows = 0;
    for (const TensorPlan& tensor : plan->tensors) {
      if (tensor.fill == Fill::kNorm) {
        continue;
      }
      std::vector<uint8_t> bytes(tensor.bytes());
      source.fill_rows(tensor, 0, bytes);
      const size_t row_bytes = bytes.size() / tensor.rows();
      for (uint64_t row = 0; row < tensor.rows(); ++row) {
        seen.emplace(reinterpret_cast<const char*>(bytes.data()) + row * row_bytes, row_bytes);
      }
      rows += tensor.rows();
    }
    EXPECT_EQ(seen.size(), rows) << type;
  }
}

TEST_F(PlanTest, RowsDoNotDependOnHowTheyAreAskedFor) {
  const auto plan = plan_model(spec_of("mixtral", "Q4_K"), vocab_);
  ASSERT_TRUE(plan) << plan.error().message;
  TensorSource whole(*plan, vocab_);
  TensorSource pieces(*plan, vocab_);
  const TensorPlan& tensor = plan->tensors.front();
  const size_t row_bytes = tensor.bytes() / tensor.rows();
  std::vector<uint8_t> all(tensor.bytes());
  std::vector<uint8_t> one(row_bytes);
  whole.fill_rows(tensor, 0, all);
  for (const uint64_t row : {uint64_t{0}, uint64_t{77}, tensor.rows() - 1}) {
    pieces.fill_rows(tensor, row, one);
    EXPECT_TRUE(std::equal(one.begin(), one.end(), all.begin() + static_cast<std::ptrdiff_t>(row * row_bytes))) << row;
  }
}

// Twelve layers are enough for pools whose size depends on the depth. A fused model's first layer alone has other
// tensors than the rest, and so begins other pools.
TEST_F(PlanTest, KeptTensorsHaveTheBytesOfTheWholeModel) {
  for (const char* arch :
       {"dense", "mixtral", "qwen3moe", "qwen2moe", "gpt-oss", "fused", "deepseek2", "glm4moe", "qwen3next"}) {
    ModelSpec spec = spec_of(arch);
    spec.layers = 12;
    spec.quiet_after = 2;
    const auto whole = plan_model(spec, vocab_);
    spec.keep_layers = whole && leading_dense_layers(*whole) > 0 ? 1 : 4;
    const auto kept = plan_model(spec, vocab_);
    ASSERT_TRUE(whole && kept) << arch;
    EXPECT_EQ(whole->layers, 12);
    EXPECT_EQ(kept->layers, spec.keep_layers);
    TensorSource whole_source(*whole, vocab_);
    TensorSource kept_source(*kept, vocab_);
    auto next = kept->tensors.begin();
    for (const TensorPlan& tensor : whole->tensors) {
      const auto bytes = bytes_of(tensor, whole_source);
      if (tensor.layer >= spec.keep_layers) {
        continue;
      }
      ASSERT_NE(next, kept->tensors.end()) << arch << ": " << tensor.name << " is missing";
      EXPECT_EQ(next->name, tensor.name) << arch;
      EXPECT_TRUE(bytes_of(*next, kept_source) == bytes) << arch << ": " << tensor.name;
      ++next;
    }
    EXPECT_EQ(next, kept->tensors.end()) << arch;
  }
}

// An MTP layer is the first layer once more, with a projection that hands it the embedding.
TEST_F(PlanTest, MtpLayersRepeatTheFirst) {
  ModelSpec spec = spec_of("fused");
  spec.layers = 3;
  spec.mtp = 2;
  const auto plan = plan_model(spec, vocab_);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->layers, 3);
  TensorSource source(*plan, vocab_);
  std::map<std::string, std::vector<uint8_t>> bytes;
  for (const TensorPlan& tensor : plan->tensors) {
    bytes[tensor.name] = bytes_of(tensor, source);
  }
  size_t copies = 0;
  for (const TensorPlan& tensor : plan->tensors) {
    const std::string of_layer = tensor.layer < 0 ? "" : tensor.name.substr(std::string_view("blk.0.").size());
    if (tensor.layer == 0) {
      EXPECT_EQ(bytes[tensor.name], bytes["blk.3." + of_layer]) << tensor.name;
      EXPECT_EQ(bytes[tensor.name], bytes["blk.4." + of_layer]) << tensor.name;
      EXPECT_NE(bytes[tensor.name], bytes["blk.1." + of_layer]) << tensor.name;
      ++copies;
    }
  }
  EXPECT_EQ(copies, 15U);
  const auto& projection = bytes["blk.3.nextn.eh_proj.weight"];
  const auto width = static_cast<size_t>(plan->shape.embedding);
  std::vector<float> row(2 * width);
  ASSERT_EQ(projection.size(), width * row.size() * sizeof(float));
  std::memcpy(row.data(), projection.data() + 5 * row.size() * sizeof(float), row.size() * sizeof(float));
  EXPECT_EQ(std::count(row.begin(), row.end(), 0.0F), static_cast<std::ptrdiff_t>(row.size() - 2));
  EXPECT_GT(row[5], 1.0F);
  EXPECT_EQ(row[width + 5], kStateShare);
}

TEST_F(PlanTest, MtpLayersThatCannotBeAreRefused) {
  ModelSpec dense = spec_of("dense");
  dense.mtp = 1;
  EXPECT_THAT(plan_model(dense, vocab_).error().message, AllOf(HasSubstr("--mtp"), HasSubstr("--arch fused")));
  ModelSpec spec = spec_of("fused");
  spec.mtp = 99;
  EXPECT_THAT(plan_model(spec, vocab_).error().message, HasSubstr("--mtp 99"));
  spec.mtp = 1;
  spec.keep_layers = 1;
  EXPECT_THAT(plan_model(spec, vocab_).error().message, AllOf(HasSubstr("--keep-layers"), HasSubstr("--mtp")));
}

TEST_F(PlanTest, SizeIsThatOfTheWholeModel) {
  ModelSpec spec = spec_of("dense");
  spec.size = 6 * kGiB;
  const auto whole = plan_model(spec, vocab_);
  spec.keep_layers = 2;
  const auto kept = plan_model(spec, vocab_);
  ASSERT_TRUE(whole && kept);
  EXPECT_EQ(kept->shape.layers, whole->shape.layers);
  EXPECT_EQ(kept->shape.embedding, whole->shape.embedding);
  EXPECT_EQ(kept->layers, 2);
  EXPECT_LT(kept->tensor_bytes(), whole->tensor_bytes() / 10);
  EXPECT_LT(kept->parameters(), whole->parameters() / 10);
}

// A quiet layer adds a tenth; of the rest only its router differs, which allows for what the hidden state has become.
TEST_F(PlanTest, QuietLayersAddLess) {
  const std::pair<const char*, std::vector<std::string>> cases[] = {
      {"dense", {"attn_output.weight", "ffn_down.weight"}},
      {"mixtral", {"attn_output.weight", "ffn_down_exps.weight"}},
      {"qwen2moe", {"attn_output.weight", "ffn_down_exps.weight", "ffn_down_shexp.weight"}},
      {"gpt-oss", {"attn_output.weight", "attn_output.bias", "ffn_down_exps.weight", "ffn_down_exps.bias"}},
      {"fused", {"attn_output.weight", "ffn_down_exps.weight", "ffn_down_shexp.weight"}},
      {"deepseek2", {"attn_output.weight", "ffn_down_exps.weight", "ffn_down_shexp.weight"}}};
  for (const auto& [arch, expected] : cases) {
    ModelSpec spec = spec_of(arch);
    spec.layers = 12;
    const auto loud = plan_model(spec, vocab_);
    spec.quiet_after = 10;
    const auto quiet = plan_model(spec, vocab_);
    ASSERT_TRUE(loud && quiet) << arch;
    ASSERT_EQ(loud->tensors.size(), quiet->tensors.size()) << arch;
    TensorSource loud_source(*loud, vocab_);
    TensorSource quiet_source(*quiet, vocab_);
    std::vector<std::string> quieter;
    for (size_t i = 0; i < loud->tensors.size(); ++i) {
      const TensorPlan& tensor = quiet->tensors[i];
      ASSERT_EQ(tensor.name, loud->tensors[i].name);
      ASSERT_EQ(tensor.bytes(), loud->tensors[i].bytes());
      const auto before = bytes_of(loud->tensors[i], loud_source);
      const auto after = bytes_of(tensor, quiet_source);
      if (before == after) {
        continue;
      }
      ASSERT_GE(tensor.layer, spec.quiet_after) << arch << ": " << tensor.name;
      if (tensor.fill == Fill::kRouter) {
        continue;
      }
      EXPECT_NEAR(size_of_values(tensor, after) / size_of_values(tensor, before), kQuietShare, 0.002) << tensor.name;
      quieter.push_back(tensor.name);
    }
    std::vector<std::string> names;
    for (const std::string& name : expected) {
      names.push_back("blk.10." + name);
      names.push_back("blk.11." + name);
    }
    EXPECT_THAT(quieter, UnorderedElementsAreArray(names)) << arch;
  }
}

TEST_F(PlanTest, DepthsBeyondTheModelAreRefused) {
  const std::pair<std::string, int64_t ModelSpec::*> flags[] = {{"--quiet-after", &ModelSpec::quiet_after},
                                                                {"--keep-layers", &ModelSpec::keep_layers}};
  for (const auto& [flag, member] : flags) {
    ModelSpec spec = spec_of("dense");
    spec.layers = 5;
    for (const int64_t value : {-1, 6}) {
      spec.*member = value;
      expect_usage(spec, fmt::format("{} {} is out of range; the whole model has 5 layers", flag, value));
    }
    spec.*member = 5;
    const auto plan = plan_model(spec, vocab_);
    ASSERT_TRUE(plan) << plan.error().message;
    EXPECT_EQ(plan->tensors.size(), plan->whole.size());
    spec.layers = 0;
    spec.size = 6 * kGiB;
    spec.*member = 200;
    expect_usage(spec, flag + " 200 is out of range");
  }
  ModelSpec spec = spec_of("dense");
  spec.layers = 5;
  spec.keep_layers = 1;
  spec.split = 13;
  expect_usage(spec, "more parts than the model's 12 tensors");
}

}  // namespace
}  // namespace hypura
