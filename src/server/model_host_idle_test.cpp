// What a host does while no model is loaded.

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "server/fake_generator_for_test.h"
#include "server/model_host_local.h"

namespace hypura {
namespace {

using std::chrono::milliseconds;

// Goes on until it is told that it has finished.
class FakeWork : public IdleWork {
 public:
  FakeWork(std::atomic<int>& alive, std::atomic<bool>& finished) : alive_(alive), finished_(finished) { ++alive_; }
  ~FakeWork() override { --alive_; }
  std::string ended() override { return finished_ ? "done" : ""; }

 private:
  std::atomic<int>& alive_;
  std::atomic<bool>& finished_;
};

// Of two models that go as soon as their leases end.
class IdleHostTest : public testing::Test {
 protected:
  IdleHostTest() {
    idle.after = milliseconds(1);
    idle.again = milliseconds(1);
    idle.look = milliseconds(1);
    idle.begin = [this](const std::filesystem::path& file) -> std::unique_ptr<IdleWork> {
      for_file = file.string();
      ++begun;
      return wanted ? std::make_unique<FakeWork>(alive, finished) : nullptr;
    };
  }

  void make() {
    ModelHostOptions options;
    options.models.push_back({"", "/models/Alpha.gguf"});
    options.models.push_back({"", "/models/Beta.gguf"});
    options.keep_alive = KeepAlive{milliseconds(0)};
    options.idle = idle;
    options.read_card = [](const std::filesystem::path& path) {
      ModelCard card;
      card.name = path.stem().string();
      return card;
    };
    options.open = [this](const Generator::Options& /*what*/) -> Result<std::unique_ptr<Generator>> {
      while (!may_open) {
        std::this_thread::sleep_for(milliseconds(1));
      }
      return std::make_unique<FakeGenerator>();
    };
    options.check = [](const std::filesystem::path& /*file*/) { return Status(); };
    auto made = make_model_host(std::move(options));
    ASSERT_TRUE(made) << made.error().message;
    host = std::move(*made);
  }

  std::future<Result<ModelLease>> ask(size_t number) {
    auto promise = std::make_shared<std::promise<Result<ModelLease>>>();
    auto future = promise->get_future();
    host->lease(host->models().at(number), std::nullopt,
                [promise](Result<ModelLease> lease) { promise->set_value(std::move(lease)); });
    return future;
  }

  static bool becomes(const std::atomic<int>& number, int value) {
    for (int i = 0; i < 5000 && number != value; ++i) {
      std::this_thread::sleep_for(milliseconds(1));
    }
    return number == value;
  }

  IdleWorkOptions idle;
  std::string for_file;  // read when `begun` has changed
  std::atomic<int> begun = 0;
  std::atomic<int> alive = 0;
  std::atomic<bool> finished = false;
  std::atomic<bool> wanted = true;
  std::atomic<bool> may_open = true;  // opening waits for it
  std::unique_ptr<ModelHost> host;    // goes first
};

TEST_F(IdleHostTest, WorksOnceNoModelIsLoaded) {
  make();
  std::this_thread::sleep_for(milliseconds(10));
  EXPECT_EQ(begun, 0) << "no model was loaded yet";
  {
    const auto lease = ask(0).get();
    ASSERT_TRUE(lease);
    std::this_thread::sleep_for(milliseconds(10));
    EXPECT_EQ(begun, 0) << "a model is loaded";
  }
  ASSERT_TRUE(becomes(alive, 1));
  EXPECT_EQ(for_file, "/models/Alpha.gguf");
  finished = true;
  EXPECT_TRUE(becomes(alive, 0));
  std::this_thread::sleep_for(milliseconds(10));
  EXPECT_EQ(begun, 1) << "done is done, until another model was loaded";
}

TEST_F(IdleHostTest, WhatIsAskedForEndsIt) {
  make();
  ASSERT_TRUE(ask(0).get());
  ASSERT_TRUE(becomes(alive, 1));
  may_open = false;
  auto asked = ask(1);
  EXPECT_TRUE(becomes(alive, 0)) << "before the model is loaded";
  may_open = true;
  EXPECT_TRUE(asked.get());
  EXPECT_TRUE(becomes(alive, 1)) << "it was not done";
  host.reset();
  EXPECT_EQ(alive, 0);
}

TEST_F(IdleHostTest, ThereMayBeNothingToDo) {
  wanted = false;
  make();
  ASSERT_TRUE(ask(0).get());
  ASSERT_TRUE(becomes(begun, 1));
  std::this_thread::sleep_for(milliseconds(10));
  EXPECT_EQ(begun, 1);
}

TEST_F(IdleHostTest, NotTooOften) {
  idle.again = std::chrono::hours(1);
  make();
  ASSERT_TRUE(ask(0).get());
  ASSERT_TRUE(becomes(begun, 1));
  ASSERT_TRUE(ask(0).get());
  ASSERT_TRUE(becomes(alive, 0));
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(begun, 1) << "an hour has not passed";
}

}  // namespace
}  // namespace hypura
