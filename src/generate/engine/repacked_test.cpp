#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "backend/repacked_layout.h"
#include "generate/engine/reference_for_test.h"
#include "ggml.h"
#include "hypura/engine.h"
#include "hypura/plan.h"
#include "hypura/profile.h"
#include "hypura/repack.h"
#include "llama/llama_runtime.h"
#include "make_model/make_model.h"
#include "store/repacked_copy.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Repacking : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(init_llama());
    if (!has_repacked_layout(GGML_TYPE_Q4_0, 256, 64)) {
      GTEST_SKIP() << "ggml has no faster layout of Q4_0 for this processor";
    }
    path_ = make("Q4_0");
  }

  fs::path make(const char* type) {
    ModelSpec spec;
    spec.arch = "qwen3moe";
    spec.type = type;
    spec.output = folder_.path() / (std::string(type) + ".gguf");
    const auto made = make_model(spec);
    EXPECT_TRUE(made);
    return *made;
  }

  static std::string bytes_of(const fs::path& path) {
    std::string bytes(fs::file_size(path), '\0');
    std::ifstream(path, std::ios::binary).read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return bytes;
  }

  RepackedCopy found() const { return find_repacked(open_model(path_).value()); }

  EngineOptions options() const {
    EngineOptions options;
    options.model = path_;
    options.context = 256;
    options.resident = false;
    options.run_history = false;
    return options;
  }

  TempDir folder_;
  fs::path path_;
};

TEST_F(Repacking, WritesACopyWithEveryTensorInItsPlace) {
  EXPECT_TRUE(found().files.empty());
  EXPECT_EQ(found().problem, "") << "there is no copy to complain of";
  double last = 0;
  const auto repacked = repack_model(path_, [&](double share) {
    EXPECT_GE(share, last);
    last = share;
    return true;
  });
  ASSERT_TRUE(repacked) << repacked.error().message;
  EXPECT_DOUBLE_EQ(last, 1);
  const auto model = open_model(path_);
  ASSERT_TRUE(model);
  EXPECT_EQ(repacked->bytes, model->bytes);
  EXPECT_EQ(repacked->files, std::vector<fs::path>{repacked_name(path_)});
  const std::string plain = bytes_of(path_);
  const std::string copy = bytes_of(repacked_name(path_));
  EXPECT_EQ(copy.size(), repacked_label_offset(plain.size()) + kRepackedLabelBytes);
  EXPECT_EQ(copy.substr(0, 4), std::string(4, '\0')) << "no program takes it for a model";
  uint64_t other = 0;
  for (const TensorInfo& tensor : model->tensors) {
    const std::string before = plain.substr(tensor.extent.offset, tensor.extent.length);
    const std::string after = copy.substr(tensor.extent.offset, tensor.extent.length);
    other += before == after ? 0 : tensor.extent.length;
    if (tensor.type == GGML_TYPE_F32 || tensor.name == "token_embd.weight") {
      EXPECT_EQ(before, after) << tensor.name;
    }
  }
  EXPECT_EQ(other, repacked->repacked_bytes);
  EXPECT_EQ(found().files, repacked->files);
}

TEST_F(Repacking, StoppingLeavesTheFolderAsItWas) {
  const auto files = [&] { return std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()); };
  const auto before = files();
  double last = 0;
  const auto repacked = repack_model(path_, [&](double share) {
    last = share;
    return share < 0.5;
  });
  ASSERT_FALSE(repacked);
  EXPECT_EQ(repacked.error().code, ErrorCode::kCancelled);
  EXPECT_THAT(repacked.error().message, HasSubstr(repacked_name(path_).string()));
  EXPECT_GE(last, 0.5);
  EXPECT_LT(last, 1);
  EXPECT_EQ(files(), before);
}

TEST_F(Repacking, StoppingInTheSecondPartRemovesTheFirstsCopy) {
  ModelSpec spec;
  spec.type = "Q4_0";
  spec.split = 3;
  spec.output = folder_.path() / "parts.gguf";
  const auto first = make_model(spec);
  ASSERT_TRUE(first);
  const auto copies = [&] {
    return std::count_if(fs::directory_iterator(folder_.path()), fs::directory_iterator(),
                         [](const auto& entry) { return entry.path().string().find(".packed") != std::string::npos; });
  };
  const auto repacked = repack_model(*first, [&](double share) { return share < 0.5; });
  ASSERT_FALSE(repacked);
  EXPECT_EQ(copies(), 0);
}

TEST_F(Repacking, WhatAKilledProgramLeftIsRemoved) {
  fs::path leftover = repacked_name(path_);
  leftover += ".partial";
  std::ofstream(leftover) << "half of a copy";
  ASSERT_TRUE(repack_model(path_));
  EXPECT_FALSE(fs::exists(leftover));
  EXPECT_EQ(found().problem, "");
}

TEST_F(Repacking, WhatIsNoFileIsNotWaitedFor) {
  ASSERT_EQ(::mkfifo(repacked_name(path_).c_str(), 0600), 0);
  EXPECT_THAT(found().problem, HasSubstr("is not a file"));
  EXPECT_TRUE(Engine::open(options()));
  fs::remove(repacked_name(path_));
  fs::create_directory(repacked_name(path_));
  EXPECT_THAT(found().problem, HasSubstr("is not a file"));
}

TEST_F(Repacking, ARowGroupIsMadeAsTheWholeMatrixIs) {
  const size_t row = ggml_row_size(GGML_TYPE_Q4_0, 256);
  std::vector<std::byte> plain(row * 40);
  for (size_t i = 0; i < plain.size(); ++i) {
    plain[i] = static_cast<std::byte>(i * 31 + i / 7);
  }
  std::vector<std::byte> whole(plain.size());
  std::vector<std::byte> parts(plain.size());
  repack_rows(GGML_TYPE_Q4_0, 256, 40, plain.data(), whole.data());
  repack_rows(GGML_TYPE_Q4_0, 256, 16, plain.data(), parts.data());
  repack_rows(GGML_TYPE_Q4_0, 256, 24, plain.data() + 16 * row, parts.data() + 16 * row);
  EXPECT_EQ(parts, whole);
  EXPECT_NE(whole, plain);
  EXPECT_FALSE(has_repacked_layout(GGML_TYPE_F32, 256, 64));
  EXPECT_FALSE(has_repacked_layout(GGML_TYPE_Q4_0, 256, 63));
}

TEST_F(Repacking, ACopyThatDoesNotBelongToTheModelIsNotRead) {
  ASSERT_TRUE(repack_model(path_));
  const fs::path copy = repacked_name(path_);
  const auto time = fs::last_write_time(copy);

  fs::last_write_time(path_, time + std::chrono::hours(1));
  EXPECT_THAT(found().problem, HasSubstr("older than the model"));
  fs::last_write_time(path_, time - std::chrono::hours(1));
  EXPECT_EQ(found().problem, "");

  std::fstream file(copy, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(repacked_label_offset(fs::file_size(path_)) + 30));
  file.put('?');
  file.close();
  EXPECT_THAT(found().problem, HasSubstr(copy.string()));
  EXPECT_TRUE(found().files.empty());
  const auto plan = plan_model(options(), nullptr);
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->warnings, testing::Contains(HasSubstr("run `hypura repack` again")));

  fs::resize_file(copy, 1000);
  EXPECT_NE(found().problem, "");
}

TEST_F(Repacking, IsLeftAloneWhenSoToldAndWhereKernelsAreToBePlain) {
  ASSERT_TRUE(repack_model(path_));
  EngineOptions plain = options();
  EXPECT_THAT(plan_model(plain, nullptr)->sentence, HasSubstr("repacked copy"));
  plain.repacked = false;
  EXPECT_THAT(plan_model(plain, nullptr)->sentence, testing::Not(HasSubstr("repacked copy")));
  plain.repacked = true;
  plain.repack = false;
  EXPECT_THAT(plan_model(plain, nullptr)->sentence, testing::Not(HasSubstr("repacked copy")));
}

TEST_F(Repacking, PlansSayWhatACopyWouldGive) {
  EngineOptions plain = options();
  plain.repacked = true;
  const auto without = plan_model(plain, nullptr);
  ASSERT_TRUE(without) << without.error().message;
  EXPECT_GT(without->repacked_tokens_per_second, without->prediction.tokens_per_second);
  plain.repack = false;
  EXPECT_EQ(plan_model(plain, nullptr)->repacked_tokens_per_second, 0) << "other kernels are wanted";
  plain.repack = true;
  ASSERT_TRUE(repack_model(path_));
  const auto with = plan_model(plain, nullptr);
  ASSERT_TRUE(with);
  EXPECT_EQ(with->repacked_tokens_per_second, 0) << "it is read";
  EXPECT_NEAR(with->prediction.tokens_per_second, without->repacked_tokens_per_second, 1e-9);
}

TEST_F(Repacking, SaysBeforehandWhatACopyGives) {
  const auto gain = predict_repack_gain(options(), nullptr);
  ASSERT_TRUE(gain) << gain.error().message;
  EXPECT_EQ(gain->nothing, "");
  EXPECT_THAT(gain->assumed, HasSubstr("assumed speeds"));
  EXPECT_GT(gain->tokens_per_second, gain->plain.prediction.tokens_per_second);
  EXPECT_LT(gain->prefill512_seconds, gain->plain.prediction.prefill512_seconds);
  ASSERT_TRUE(repack_model(path_));
  EXPECT_EQ(gain->copy_bytes, fs::file_size(repacked_name(path_)));
  EXPECT_EQ(predict_repack_gain(options(), nullptr)->tokens_per_second, gain->tokens_per_second)
      << "whether there is one already or not";
}

TEST_F(Repacking, SaysBeforehandWhenACopyGivesNothing) {
  EngineOptions resident = options();
  resident.resident = true;
  EXPECT_THAT(predict_repack_gain(resident, nullptr)->nothing, HasSubstr("fits into"));
  EngineOptions other = options();
  other.model = make("F16");
  EXPECT_THAT(predict_repack_gain(other, nullptr)->nothing, HasSubstr("no faster layout"));
  MachineProfile profile;  // of a processor whose kernels are as fast either way
  profile.threads = 1;
  profile.kernels = {{"q4_0", 10e9, 4e9, 7.5e9, 4e9}, {"f32", 10e9, 4e9}};
  EngineOptions one_thread = options();
  one_thread.threads = 1;
  const auto gain = predict_repack_gain(one_thread, &profile);
  ASSERT_TRUE(gain) << gain.error().message;
  EXPECT_THAT(gain->nothing, HasSubstr("as long with it as without"))
      << gain->tokens_per_second << " and " << gain->plain.prediction.tokens_per_second << ", "
      << gain->prefill512_seconds << " and " << gain->plain.prediction.prefill512_seconds;
  other.model = folder_.path() / "missing.gguf";
  EXPECT_EQ(predict_repack_gain(other, nullptr).error().code, ErrorCode::kIo);
}

// Which matrices are streamed depends on whether the MTP layers draft; what is repacked does not.
TEST_F(Repacking, ServesAModelWithMtpLayersWhetherTheyDraftOrNot) {
  ModelSpec spec;
  spec.arch = "fused";
  spec.type = "Q4_0";
  spec.mtp = 2;
  spec.output = folder_.path() / "mtp.gguf";
  path_ = make_model(spec).value();
  ASSERT_TRUE(repack_model(path_));
  const std::vector<int32_t> prompt = {300, 411, 522, 633, 744};
  for (const bool drafts : {false, true}) {
    std::vector<float> plain;
    for (const bool repacked : {false, true}) {
      EngineOptions opened = options();
      opened.repacked = repacked;
      opened.draft.mtp = drafts;
      const auto engine = Engine::open(opened);
      ASSERT_TRUE(engine) << engine.error().message;
      EXPECT_EQ((*engine)->plan().sentence.find("repacked copy") != std::string::npos, repacked);
      const auto logits = (*engine)->new_session().value()->evaluate(prompt);
      ASSERT_TRUE(logits) << logits.error().message;
      if (plain.empty()) {
        plain = *logits;
        continue;
      }
      EXPECT_LT(distance(*logits, plain), 0.02) << "other last bits, but no other numbers";
    }
  }
}

TEST_F(Repacking, RefusesWhatWouldGainNothing) {
  const fs::path path = make("F16");
  const auto repacked = repack_model(path);
  ASSERT_FALSE(repacked);
  EXPECT_EQ(repacked.error().code, ErrorCode::kUsage);
  EXPECT_THAT(repacked.error().message, testing::AllOf(HasSubstr(path.string()), HasSubstr("gain nothing")));
  EXPECT_FALSE(fs::exists(repacked_name(path)));
}

TEST_F(Repacking, AFailureLeavesNothingBehind) {
  fs::create_directory(fs::path(repacked_name(path_)) += ".partial");  // where the new file is to be
  const auto repacked = repack_model(path_);
  ASSERT_FALSE(repacked);
  EXPECT_EQ(repacked.error().code, ErrorCode::kIo);
  EXPECT_THAT(repacked.error().message, HasSubstr(repacked_name(path_).string()));
  EXPECT_FALSE(fs::exists(repacked_name(path_)));
  EXPECT_EQ(repack_model(folder_.path() / "missing.gguf").error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace hypura
