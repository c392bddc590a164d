#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <future>
#include <thread>

#include "server/fake_generator_for_test.h"
#include "server/model_host_local.h"
#include "server/model_host_names.h"
#include "support/fail.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

// Notes when it goes, and on which thread.
class NotedGenerator : public FakeGenerator {
 public:
  NotedGenerator(std::string name, std::vector<std::string>& log, std::mutex& mutex)
      : name_(std::move(name)), log_(log), mutex_(mutex) {
    note("open ");
    plan_summary.ledger = {{Purpose::kWeights, 1000}, {Purpose::kKvCache, 24}};
  }
  ~NotedGenerator() override {
    EXPECT_EQ(closed, 1) << name_ << ": what it learned is to be saved before it goes";
    note("close ");
  }

 private:
  void note(const std::string& what) {
    const std::lock_guard lock(mutex_);
    log_.push_back(what + name_);
  }

  std::string name_;
  std::vector<std::string>& log_;
  std::mutex& mutex_;
};

class ModelHostTest : public testing::Test {
 protected:
  void make(std::vector<std::filesystem::path> files = {"/models/Alpha.gguf", "/models/beta-00001-of-00002.gguf"}) {
    ModelHostOptions options;
    for (const std::filesystem::path& file : files) {
      options.models.push_back({"", file});
    }
    options.keep_alive = KeepAlive{keep};
    options.read_card = [](const std::filesystem::path& path) {
      ModelCard card;
      card.name = path.stem().string();
      card.name.resize(std::min(card.name.find("-0000"), card.name.size()));
      return card;
    };
    options.open = [this](const Generator::Options& what) -> Result<std::unique_ptr<Generator>> {
      const std::string file = what.engine.model.stem().string();
      while (!may_open) {
        std::this_thread::sleep_for(milliseconds(1));
      }
      if (broken) {
        return fail(ErrorCode::kBadModel, "{} is damaged", file);
      }
      opened_with = what.engine.memory.value_or(0);
      return std::make_unique<NotedGenerator>(file, log_, log_mutex_);
    };
    options.check = [this](const std::filesystem::path& file) -> Status {
      ++checks;
      return file.stem() == unusable ? Status(fail(ErrorCode::kBadModel, "{} cannot be loaded", unusable)) : Status();
    };
    auto made = make_model_host(std::move(options));
    ASSERT_TRUE(made) << made.error().message;
    host = std::move(*made);
  }

  // Made anew, with a file among others that cannot be read.
  Result<std::unique_ptr<ModelHost>> with_unreadable(std::vector<std::filesystem::path> files) {
    ModelHostOptions options;
    for (const std::filesystem::path& file : files) {
      options.models.push_back({"", file});
    }
    options.read_card = [](const std::filesystem::path& path) -> Result<ModelCard> {
      ModelCard card;
      card.name = path.stem().string();
      return card.name.starts_with("bad") ? Result<ModelCard>(fail(ErrorCode::kBadModel, "{} is damaged", card.name))
                                          : card;
    };
    options.open = [](const Generator::Options& what) -> Result<std::unique_ptr<Generator>> {
      return fail(ErrorCode::kBadModel, "asked for {}", what.engine.model.string());
    };
    return make_model_host(std::move(options));
  }

  ModelPtr model(size_t number) { return host->models().at(number); }

  std::future<Result<ModelLease>> ask(size_t number, std::optional<Nanoseconds> time = std::nullopt) {
    auto promise = std::make_shared<std::promise<Result<ModelLease>>>();
    auto future = promise->get_future();
    host->lease(model(number), time ? std::optional(KeepAlive{*time}) : std::nullopt,
                [promise](Result<ModelLease> lease) { promise->set_value(std::move(lease)); });
    return future;
  }

  std::vector<std::string> log() {
    const std::lock_guard lock(log_mutex_);
    return log_;
  }

  bool wait_for_log(size_t entries) {
    for (int i = 0; i < 1000 && log().size() < entries; ++i) {
      std::this_thread::sleep_for(milliseconds(2));
    }
    return log().size() >= entries;
  }

  Nanoseconds keep = std::chrono::minutes(5);
  bool broken = false;
  std::string unusable;                  // a model that cannot be loaded
  std::atomic<int> checks = 0;           // how often that was asked
  std::atomic<bool> may_open{true};      // opening waits for it
  std::atomic<uint64_t> opened_with{0};  // bytes; 0: it was told nothing

 private:
  std::mutex log_mutex_;
  std::vector<std::string> log_;

 protected:
  std::unique_ptr<ModelHost> host;  // goes first: its models write to the log
};

TEST_F(ModelHostTest, AModelIsNotUnloadedForOneThatCannotBeLoaded) {
  unusable = "Beta";
  make({"/models/Alpha.gguf", "/models/Beta.gguf", "/models/Gamma.gguf"});
  const auto lease = ask(0).get();
  ASSERT_TRUE(lease);
  EXPECT_EQ(checks, 0) << "the first one is just loaded";
  for (int i = 0; i < 3; ++i) {
    const auto refused = ask(1).get();  // though Alpha is in use
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "Beta cannot be loaded");
  }
  EXPECT_EQ(checks, 1);
  EXPECT_THAT(log(), ElementsAre("open Alpha"));
}

TEST_F(ModelHostTest, AFileThatCannotBeReadHarmsNoOther) {
  const auto made = with_unreadable({"/m/bad1.gguf", "/m/good.gguf", "/m/bad2.gguf", "/m/better.gguf"});
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_EQ((*made)->models().size(), 2U);
  EXPECT_EQ((*made)->find("bad1"), nullptr);
  const ModelPtr better = (*made)->find("better");
  ASSERT_NE(better, nullptr);
  std::promise<std::string> said;
  (*made)->lease(better, std::nullopt, [&](const Result<ModelLease>& lease) { said.set_value(lease.error().message); });
  EXPECT_EQ(said.get_future().get(), "asked for /m/better.gguf") << "names and files stay together";
  const auto none = with_unreadable({"/m/bad1.gguf", "/m/bad2.gguf"});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message, "bad1 is damaged");
}

TEST_F(ModelHostTest, KnowsItsModelsWithoutLoadingThem) {
  make();
  EXPECT_EQ(model(0)->name, "Alpha:latest");
  EXPECT_EQ(model(1)->name, "beta:latest");
  for (const char* name : {"Alpha", "alpha", "ALPHA:latest", "alpha:local", "library/alpha", "library/alpha:latest",
                           "Alpha.gguf", "alpha.gguf:latest"}) {
    EXPECT_EQ(host->find(name), model(0)) << name;
  }
  EXPECT_EQ(host->find("beta-00001-of-00002.gguf"), model(1));
  for (const char* name : {"", ":latest", "alpha:cloud", "alpha:7b", "alph", "alpha2", "other/alpha", "library/"}) {
    EXPECT_EQ(host->find(name), nullptr) << name;
  }
  EXPECT_EQ(host->current(), nullptr);
  EXPECT_TRUE(host->loaded().empty());
  EXPECT_TRUE(log().empty());
}

TEST_F(ModelHostTest, LoadsOnceAndTellsHowLongThatTook) {
  make();
  auto first = ask(0).get();
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_GT(first->load_seconds, 0);
  auto second = ask(0).get();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->load_seconds, 0);
  EXPECT_EQ(first->generator, second->generator);
  EXPECT_EQ(host->current(), first->generator);
  const auto loaded = host->loaded();
  ASSERT_EQ(loaded.size(), 1U);
  EXPECT_EQ(loaded[0].model, model(0));
  EXPECT_EQ(loaded[0].memory, 1024U);
  EXPECT_EQ(loaded[0].context, 4096U);
  ASSERT_TRUE(loaded[0].expires);
  const auto left = *loaded[0].expires - std::chrono::system_clock::now();
  EXPECT_GT(left, std::chrono::minutes(4));
  EXPECT_LE(left, std::chrono::minutes(5));
  EXPECT_THAT(log(), ElementsAre("open Alpha"));
}

TEST_F(ModelHostTest, AnotherModelWaitsForTheFirstOnesAnswers) {
  make();
  auto alpha = ask(0).get();
  ASSERT_TRUE(alpha);
  auto beta = ask(1);
  auto alpha_again = ask(0);  // must not overtake
  EXPECT_EQ(beta.wait_for(milliseconds(20)), std::future_status::timeout);
  *alpha = ModelLease();
  auto beta_lease = beta.get();
  ASSERT_TRUE(beta_lease);
  EXPECT_EQ(host->loaded().at(0).model, model(1));
  EXPECT_EQ(alpha_again.wait_for(milliseconds(20)), std::future_status::timeout);
  *beta_lease = ModelLease();
  EXPECT_TRUE(alpha_again.get());
  EXPECT_THAT(log(), ElementsAre("open Alpha", "close Alpha", "open beta-00001-of-00002", "close beta-00001-of-00002",
                                 "open Alpha"));
}

TEST_F(ModelHostTest, IsNeverClosedWhileSomebodyLooksAtIt) {
  keep = Nanoseconds(0);
  make();
  auto lease = ask(0).get();
  ASSERT_TRUE(lease);
  std::shared_ptr<Generator> looking = host->current();
  *lease = ModelLease();
  auto beta = ask(1);
  EXPECT_EQ(beta.wait_for(milliseconds(20)), std::future_status::timeout);
  EXPECT_THAT(log(), ElementsAre("open Alpha"));
  EXPECT_EQ(host->current(), nullptr);
  looking.reset();
  EXPECT_TRUE(beta.get());
}

TEST_F(ModelHostTest, IsUnloadedAfterItsTime) {
  keep = milliseconds(30);
  make();
  auto lease = ask(0).get();
  std::this_thread::sleep_for(milliseconds(60));
  EXPECT_THAT(log(), ElementsAre("open Alpha"));  // the time begins with the end of the lease
  *lease = ModelLease();
  EXPECT_TRUE(wait_for_log(2));
  EXPECT_TRUE(host->loaded().empty());
  EXPECT_TRUE(ask(0).get());
}

TEST_F(ModelHostTest, ARequestSaysHowLongItStays) {
  make();
  *ask(0, Nanoseconds(-1)).get() = ModelLease();
  EXPECT_FALSE(host->loaded().at(0).expires);
  *ask(0, Nanoseconds::max()).get() = ModelLease();
  const auto expires = host->loaded().at(0).expires;
  ASSERT_TRUE(expires);
  EXPECT_GT(*expires - std::chrono::system_clock::now(), std::chrono::hours(24 * 365 * 50));
  *ask(0, Nanoseconds(0)).get() = ModelLease();
  EXPECT_TRUE(wait_for_log(2));
}

TEST_F(ModelHostTest, IsOpenedAgainWhereAGpuHasNoMemoryLeft) {
  make();
  auto lease = ask(0).get();
  dynamic_cast<FakeGenerator&>(*lease->generator).reopen = true;
  auto next = ask(0);
  EXPECT_EQ(next.wait_for(milliseconds(20)), std::future_status::timeout) << "an answer still runs";
  *lease = ModelLease();
  lease = next.get();
  ASSERT_TRUE(lease);
  EXPECT_THAT(log(), ElementsAre("open Alpha", "close Alpha", "open Alpha"));
  dynamic_cast<FakeGenerator&>(*lease->generator).reopen = true;
  *lease = ModelLease();
  EXPECT_TRUE(wait_for_log(4)) << "its memory is given back at once";
}

TEST_F(ModelHostTest, UnloadsWhenAskedAfterTheAnswers) {
  make();
  std::promise<void> never_loaded;
  host->unload(model(1), [&] { never_loaded.set_value(); });
  EXPECT_EQ(never_loaded.get_future().wait_for(milliseconds(0)), std::future_status::ready);
  auto lease = ask(0).get();
  std::promise<void> unloaded;
  auto done = unloaded.get_future();
  host->unload(model(0), [&] { unloaded.set_value(); });
  EXPECT_EQ(done.wait_for(milliseconds(20)), std::future_status::timeout);
  *lease = ModelLease();
  done.get();
  EXPECT_THAT(log(), ElementsAre("open Alpha", "close Alpha"));
}

TEST_F(ModelHostTest, UnloadingWhileItLoadsWaitsForBoth) {
  may_open = false;
  make();
  auto lease = ask(0);
  std::this_thread::sleep_for(milliseconds(10));
  std::promise<void> unloaded;
  auto done = unloaded.get_future();
  host->unload(model(0), [&] { unloaded.set_value(); });
  EXPECT_EQ(done.wait_for(milliseconds(10)), std::future_status::timeout);
  may_open = true;
  *lease.get() = ModelLease();
  done.get();
  EXPECT_THAT(log(), ElementsAre("open Alpha", "close Alpha"));
}

TEST_F(ModelHostTest, TellsAllWhoWaitedWhyItCannotLoad) {
  broken = true;
  may_open = false;
  make();
  auto first = ask(0);
  auto second = ask(0);
  std::this_thread::sleep_for(milliseconds(10));
  may_open = true;
  for (auto* future : {&first, &second}) {
    const auto lease = future->get();
    ASSERT_FALSE(lease);
    EXPECT_THAT(lease.error().message, HasSubstr("Alpha is damaged"));
  }
  EXPECT_TRUE(host->loaded().empty());
}

TEST_F(ModelHostTest, ADestroyedHostRefusesWhoWaitsAndClosesItsModel) {
  make();
  auto lease = ask(0).get();
  auto waits = ask(1);
  std::thread destroying([this] { host.reset(); });
  std::this_thread::sleep_for(milliseconds(10));
  *lease = ModelLease();
  destroying.join();
  const auto refused = waits.get();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kCancelled);
  EXPECT_THAT(log(), ElementsAre("open Alpha", "close Alpha"));
}

TEST_F(ModelHostTest, ManyThreadsShareIt) {
  keep = Nanoseconds(0);
  make();
  std::atomic<int> served{0};
  std::vector<std::thread> threads;
  for (size_t i = 0; i < 4; ++i) {
    threads.emplace_back([this, i, &served] {
      for (int n = 0; n < 20; ++n) {
        served += ask(i % 2).get().has_value() ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(served, 80);
}

TEST(ModelHostOptionsTest, TwoModelsOfOneNameAreRefused) {
  ModelHostOptions options;
  options.models = {{"", "/a/m.gguf"}, {"", "/b/M.gguf"}};
  options.read_card = [](const std::filesystem::path& path) {
    ModelCard card;
    card.name = path.stem().string();
    return card;
  };
  const auto host = make_model_host(options);
  ASSERT_FALSE(host);
  EXPECT_EQ(host.error().code, ErrorCode::kUsage);
  EXPECT_THAT(host.error().message, testing::AllOf(HasSubstr("/a/m.gguf"), HasSubstr("/b/M.gguf")));
}

// The bytes of a model, its chat template replaced by another one of the same length.
std::string with_template(std::string model, std::string text) {
  const std::string key = "tokenizer.chat_template";
  const size_t at = model.find(key) + key.size() + sizeof(uint32_t);  // the type: a string, with its length before it
  uint64_t length = 0;
  std::memcpy(&length, model.data() + at, sizeof(length));
  text.resize(length, ' ');
  return model.replace(at + sizeof(length), length, text);
}

TEST(ModelHostOptionsTest, AHostileTemplateHarmsNoOtherModel) {
  const auto path = std::filesystem::path(HYPURA_SOURCE_DIR) / "models" / "hypura-stories-draft.gguf";
  std::string model(std::filesystem::file_size(path), '\0');
  std::ifstream(path, std::ios::binary).read(model.data(), static_cast<std::streamsize>(model.size()));
  const TempDir dir;
  ModelHostOptions options;
  options.models = {{"", path}};
  for (const auto& [name, text] : std::vector<std::pair<const char*, const char*>>{
           {"deep.gguf", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"},
           {"long.gguf", "{% for i in range(1000000000) %}{% endfor %}"},
           {"large.gguf", "{{ 'x' * 1000000000000 }}"}}) {
    options.models.push_back({"", dir.write(name, with_template(model, text))});
  }
  options.generator.engine.context = 256;
  const auto host = make_model_host(options);
  ASSERT_TRUE(host) << host.error().message;
  ASSERT_EQ((*host)->models().size(), 4U);
  for (const ModelPtr& served : (*host)->models()) {
    std::promise<Result<ModelLease>> promise;
    (*host)->lease(served, std::nullopt, [&](Result<ModelLease> lease) { promise.set_value(std::move(lease)); });
    const Result<ModelLease> lease = promise.get_future().get();
    ASSERT_TRUE(lease) << served->name << ": " << lease.error().message;
    AnswerRequest request;
    ChatMessage& message = request.messages.emplace_back();
    message.role = "user";
    message.content = "Hello.";
    EXPECT_TRUE(lease->generator->render(request)) << served->name;
  }
}

TEST(ModelDigest, TellsModelsApart) {
  const TempDir dir;
  const auto file = dir.write("m.gguf", std::string(100000, 'x'));
  ModelCard card;
  card.metadata = "{}";
  const std::string digest = model_digest(card, file);
  EXPECT_EQ(digest.size(), 64U);
  EXPECT_EQ(digest.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_EQ(model_digest(card, file), digest);
  dir.write("m.gguf", std::string(99999, 'x') + "y");
  EXPECT_NE(model_digest(card, file), digest);
  dir.write("m.gguf", std::string(100000, 'x'));
  card.bytes = 1;
  EXPECT_NE(model_digest(card, file), digest);
}

TEST(ServedName, HasATag) {
  ModelCard card;
  card.name = "Qwen3:30b";
  EXPECT_EQ(served_name(card), "Qwen3-30b:latest");
}

TEST_F(ModelHostTest, WhatIsLoadedLaterHasTheMemoryThatIsSet) {
  make();
  EXPECT_TRUE(ask(0, Nanoseconds(0)).get());
  EXPECT_EQ(opened_with, 0U) << "as the machine allows";
  host->limit_memory(1000);
  EXPECT_TRUE(ask(1, Nanoseconds(0)).get());
  EXPECT_EQ(opened_with, 1000U);
  host->limit_memory(std::nullopt);
  EXPECT_TRUE(ask(0, Nanoseconds(0)).get());
  EXPECT_EQ(opened_with, 0U);
}

}  // namespace
}  // namespace hypura
