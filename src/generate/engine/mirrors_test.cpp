// A model that is read from several copies. They lie on one disk here: which is read is decided by what is measured.
#include "store/mirrors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <numeric>

#include "generate/engine/reference_for_test.h"
#include "make_model/make_model.h"
#include "support/log.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Each;
using testing::Gt;
using testing::HasSubstr;

class Mirrors : public testing::Test {
 protected:
  Mirrors() { logger().set_level(spdlog::level::off); }  // of mirrors no longer read
  ~Mirrors() override { logger().set_level(spdlog::level::warn); }

  // The demo model in 20 MiB, with a copy of it at the path `copy_`.
  EngineOptions mirrored() const {
    EngineOptions options;
    options.model = fs::path(HYPURA_SOURCE_DIR) / "models" / "hypura-stories-moe.gguf";
    options.memory = 20 * kMiB;
    options.context = 256;
    options.threads = 1;
    options.ubatch = 32;
    options.outputs = 32;
    options.run_history = false;
    options.mirrors = {copy_};
    if (!fs::exists(copy_)) {
      fs::copy_file(options.model, copy_);
    }
    return options;
  }

  static std::unique_ptr<Engine> open(const EngineOptions& options) {
    auto engine = Engine::open(options);
    EXPECT_TRUE(engine) << engine.error().message;
    return engine ? std::move(*engine) : nullptr;
  }

  static std::string story(Engine& engine, int32_t tokens = 40) {
    const auto session = engine.new_session();
    const auto told = (*session)->complete("Once upon a time, there was a little rabbit", greedy(tokens));
    EXPECT_TRUE(told) << told.error().message;
    return told ? told->text : "";
  }

  static std::vector<float> logits(Engine& engine, const std::vector<int32_t>& tokens) {
    const auto session = engine.new_session();
    const auto found = (*session)->evaluate(tokens);
    EXPECT_TRUE(found) << found.error().message;
    return found.value_or(std::vector<float>());
  }

  static void expect_same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    ASSERT_EQ(a.size(), b.size());
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
  }

  TempDir dir_;
  fs::path copy_ = dir_.path() / "hypura-stories-moe.gguf";
};

TEST_F(Mirrors, TheResultIsTheSameAndAllCopiesAreRead) {
  EngineOptions options = mirrored();
  const auto with = open(options);
  options.mirrors.clear();
  const auto without = open(options);
  ASSERT_TRUE(with && without);
  expect_same_bits(logits(*with, test_tokens(40)), logits(*without, test_tokens(40)));
  EXPECT_EQ(story(*with), story(*without));

  EXPECT_EQ(with->plan().copies, std::vector<std::string>({options.model.string(), copy_.string()}));
  EXPECT_THAT(with->plan().sentence, HasSubstr(", from 2 copies"));
  const EngineStats stats = with->stats();
  ASSERT_EQ(stats.copy_bytes.size(), 2U);
  EXPECT_EQ(std::accumulate(stats.copy_bytes.begin(), stats.copy_bytes.end(), uint64_t{0}),
            stats.load_bytes + stats.streamed_bytes);
  EXPECT_THAT(stats.copy_bytes, Each(Gt((stats.load_bytes + stats.streamed_bytes) / 20)));
  EXPECT_TRUE(without->stats().copy_bytes.empty());
  EXPECT_TRUE(without->plan().copies.empty());
}

TEST_F(Mirrors, ADifferenceOfReadingsIsOneOfEachCopy) {
  EngineStats later;
  later.copy_bytes = {100, 50};
  EngineStats earlier;
  EXPECT_EQ(later.since(earlier).copy_bytes, std::vector<uint64_t>({100, 50}));
  earlier.copy_bytes = {60, 50};
  EXPECT_EQ(later.since(earlier).copy_bytes, std::vector<uint64_t>({40, 0}));
}

TEST_F(Mirrors, AMirrorThatFailsUnderWayIsLeftAlone) {
  EngineOptions options = mirrored();
  const auto with = open(options);
  ASSERT_NE(with, nullptr);
  const std::string begun = story(*with, 5);
  fs::resize_file(copy_, kMiB);
  const std::string told = story(*with);
  options.mirrors.clear();
  EXPECT_EQ(told, story(*open(options)));
  EXPECT_EQ(told.substr(0, begun.size()), begun);
}

TEST_F(Mirrors, ASplitModelMayBeMirroredInPart) {
  ModelSpec spec;
  spec.arch = "qwen3moe";
  spec.type = "Q4_0";
  spec.split = 3;
  spec.output = dir_.path() / "split.gguf";
  const auto path = make_model(spec);
  ASSERT_TRUE(path) << path.error().message;
  const auto model = open_model(*path);
  ASSERT_TRUE(model) << model.error().message;
  ASSERT_EQ(model->files.size(), 3U);
  const fs::path folder = dir_.path() / "copies";
  fs::create_directory(folder);
  for (const size_t part : {0, 2}) {
    fs::copy_file(model->files[part].path, folder / model->files[part].path.filename());
  }
  EngineOptions options = mirrored();
  options.model = *path;
  options.resident = false;
  options.memory = model->bytes;
  options.mirrors = {folder};
  const auto with = open(options);
  options.mirrors.clear();
  const auto without = open(options);
  ASSERT_TRUE(with && without);
  expect_same_bits(logits(*with, test_tokens(20)), logits(*without, test_tokens(20)));
  EXPECT_THAT(with->stats().copy_bytes, Each(Gt(0U)));
}

TEST_F(Mirrors, WhatIsNoCopyIsRefused) {
  const EngineOptions options = mirrored();
  const auto expect_refused = [&](ErrorCode code, const testing::Matcher<std::string>& sentence) {
    const auto engine = Engine::open(options);
    ASSERT_FALSE(engine);
    EXPECT_EQ(engine.error().code, code);
    EXPECT_THAT(engine.error().message, sentence);
  };
  const auto both = AllOf(HasSubstr("'" + copy_.string() + "'"), HasSubstr("'" + options.model.string() + "'"));
  {
    std::fstream file(copy_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(300);
    file.put('\xFF');
  }
  expect_refused(ErrorCode::kBadModel, AllOf(both, HasSubstr("offset 300;")));
  fs::resize_file(copy_, kMiB);
  expect_refused(ErrorCode::kBadModel, both);
  fs::remove(copy_);
  expect_refused(ErrorCode::kIo, HasSubstr("'" + copy_.string() + "': No such file"));
  fs::create_symlink(options.model, copy_);
  expect_refused(ErrorCode::kUsage, AllOf(both, HasSubstr("no second copy")));
}

TEST_F(Mirrors, MoreThanSevenAreTooMany) {
  EngineOptions options = mirrored();
  options.mirrors.resize(8, copy_);
  const auto engine = Engine::open(options);
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, ErrorCode::kUsage);
  EXPECT_THAT(engine.error().message, HasSubstr("8 mirrors are given, but at most 7"));
}

TEST_F(Mirrors, AModelInMemorySaysThatTheyAreNotRead) {
  EngineOptions options = mirrored();
  options.memory = kGiB;
  const auto engine = open(options);
  ASSERT_NE(engine, nullptr);
  ASSERT_EQ(engine->plan().mode(), Mode::kResident);
  EXPECT_THAT(engine->plan().warnings, testing::Contains(HasSubstr("the mirrors are not read")));
  EXPECT_TRUE(engine->plan().copies.empty());
}

StorageProfile disk(double factor) {
  StorageProfile storage;
  storage.points = {{kMiB, 1, true, 1e9 * factor},
                    {kMiB, 8, true, 2e9 * factor},
                    {kMiB, 16, true, 3e9 * factor},
                    {kMiB, 16, false, 4e9 * factor}};
  storage.sequential_bytes_per_second = 4e9 * factor;
  storage.scattered_bytes_per_second = 3e9 * factor;
  return storage;
}

TEST(StorageTogether, EachDiskHasHalfOfTheReads) {
  const StorageProfile both = together(disk(1), disk(2));
  ASSERT_EQ(both.points.size(), 4U);
  EXPECT_EQ(both.points[0].bytes_per_second, 2e9) << "a single read goes to the faster one";
  EXPECT_EQ(both.points[1].bytes_per_second, 6e9) << "half was not measured";
  EXPECT_EQ(both.points[2].bytes_per_second, 6e9);
  EXPECT_EQ(both.points[3].bytes_per_second, 12e9);
  EXPECT_EQ(both.sequential_bytes_per_second, 12e9);
  EXPECT_EQ(both.scattered_bytes_per_second, 9e9);
}

TEST(StorageTogether, WhatBothSustainIsKnownWhenItIsOfEach) {
  StorageProfile one = disk(1);
  StorageProfile other = disk(2);
  one.sustained_bytes_per_second = 1e9;
  EXPECT_EQ(together(one, other).sustained_bytes_per_second, 0);
  other.sustained_bytes_per_second = 2e9;
  EXPECT_EQ(together(one, other).sustained_bytes_per_second, 3e9);
}

TEST(StorageTogether, ADiskThatWasNotMeasuredAddsNothing) {
  const StorageProfile both = together(disk(1), {});
  EXPECT_EQ(both.points[0].bytes_per_second, 1e9);
  EXPECT_EQ(both.points[1].bytes_per_second, 2e9);
  EXPECT_EQ(both.scattered_bytes_per_second, 3e9);
}

}  // namespace
}  // namespace hypura
