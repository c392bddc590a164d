#include "server/memory_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "server/fake_host_for_test.h"
#include "server/json/json.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

class Keeps : public testing::Test {
 protected:
  Keeps() {
    api_.generator().memory_state.opened = api_.generator().memory_state.limit = 16 * kGiB;
    api_.generator().memory_state.least = 2 * kGiB;
  }

  void start(bool follows) {
    MemoryKeeperOptions options;
    options.follows = follows;
    options.every = std::chrono::milliseconds(1);
    options.look = [this] {
      MemoryLook look;
      look.seconds = ++looks_;  // a second each
      look.affordable = affordable_;
      return look;
    };
    options.signals = [this]() -> std::optional<MemoryWish> {
      const int signal = signal_.exchange(0);
      return signal == 0   ? std::nullopt
             : signal == 1 ? std::optional(MemoryWish(MemoryLeast()))
                           : std::optional(MemoryWish(MemoryAuto()));
    };
    keeper_ = std::make_unique<MemoryKeeper>(api_.host, std::move(options));
    api_.context.memory = keeper_.get();
  }

  void load() {
    api_.host.lease(api_.host.models().front(), {}, [](const Result<ModelLease>&) {});
  }

  // Waits until the model has so much.
  void expect_limit(uint64_t bytes) {
    for (int i = 0; i < 20000 && api_.generator().memory().limit != bytes; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(api_.generator().memory().limit, bytes);
  }

  std::pair<int, Json> post(const std::string& body) {
    const auto exchange = api_.post("/hypura/memory", body);
    EXPECT_TRUE(exchange->wait());
    const auto json = parse_json(exchange->body());
    EXPECT_TRUE(json) << exchange->body();
    return {exchange->status(), json ? *json : Json()};
  }

  FakeApi api_{memory_routes()};
  std::atomic<uint64_t> affordable_{16 * kGiB};
  std::atomic<int> looks_{0};
  std::atomic<int> signal_{0};
  std::unique_ptr<MemoryKeeper> keeper_;  // last
};

TEST_F(Keeps, FollowsTheMachineDownAndUp) {
  load();
  start(true);
  affordable_ = 8 * kGiB;
  expect_limit(8 * kGiB);
  affordable_ = kGiB;
  expect_limit(2 * kGiB);
  affordable_ = 32 * kGiB;
  expect_limit(16 * kGiB);
  EXPECT_TRUE(keeper_->state().follows);
}

TEST_F(Keeps, AFixedMemoryStaysUntilTheOwnerSaysOtherwise) {
  load();
  start(false);
  affordable_ = 8 * kGiB;
  while (looks_ == 0 && signal_ == 0) {  // it does not even look
    signal_ = 1;
  }
  expect_limit(2 * kGiB);
  signal_ = 2;
  expect_limit(16 * kGiB);
  EXPECT_EQ(looks_, 0);
  const auto [status, json] = post(R"({"memory": "4G"})");
  EXPECT_EQ(status, 200);
  EXPECT_EQ(json["model"]["limit"], 4 * kGiB);
  EXPECT_EQ(json["by_hand"], "4.0 GiB");
  EXPECT_EQ(json["follows"], false);
  EXPECT_EQ(api_.host.memory_limit, 4 * kGiB) << "for what is loaded later";
}

TEST_F(Keeps, WhatIsSetByHandHoldsAgainstTheMachine) {
  start(true);
  EXPECT_EQ(post(R"({"memory": 6442450944})").second["model"], nullptr) << "before a model is loaded";
  load();
  expect_limit(6 * kGiB);
  affordable_ = 3 * kGiB;
  EXPECT_EQ(post(R"({"memory": "least"})").second["by_hand"], "least");
  expect_limit(2 * kGiB);
  const auto [status, json] = post(R"({"memory": "auto"})");
  EXPECT_EQ(json["by_hand"], nullptr);
  EXPECT_EQ(json["follows"], true);
  EXPECT_EQ(api_.host.memory_limit, std::nullopt);
  expect_limit(3 * kGiB);
}

TEST_F(Keeps, RefusesWithASentence) {
  load();
  start(true);
  for (const char* body : {"", "{}", "[]", R"({"memory": -1})", R"({"memory": 0})", R"({"memory": "much"})",
                           R"({"memory": null})", R"({"memory": "1G", "more": 1})", R"({"memory": 1.5})"}) {
    const auto [status, json] = post(body);
    EXPECT_EQ(status, 400) << body;
    EXPECT_TRUE(json["error"].is_string()) << body;
  }
  const auto [status, json] = post(R"({"memory": "1G"})");
  EXPECT_EQ(status, 400);
  EXPECT_THAT(json["error"].get<std::string>(), HasSubstr("cannot run in"));
  auto elsewhere = std::make_shared<FakeExchange>("POST", "/hypura/memory", R"({"memory": "4G"})");
  elsewhere->set_from_here(false);
  memory_routes().at(1).handle(api_.context, elsewhere);
  EXPECT_EQ(elsewhere->status(), 403);
  EXPECT_EQ(keeper_->state().wish, std::nullopt);
  EXPECT_EQ(keeper_->state().model->limit, 16 * kGiB);
  EXPECT_EQ(Json::parse(api_.call("GET", "/hypura/memory")->body())["model"]["least"], 2 * kGiB);
}

TEST_F(Keeps, GoesWithoutAModelAndWithAnotherOne) {
  start(true);
  load();
  affordable_ = 4 * kGiB;
  expect_limit(4 * kGiB);
  api_.host.unload(api_.host.models().front(), [] {});
  EXPECT_EQ(keeper_->state().model.has_value(), false);
  auto other = std::make_shared<FakeGenerator>();
  other->memory_state.opened = other->memory_state.limit = 8 * kGiB;
  api_.host.replace(std::move(other));
  load();
  expect_limit(4 * kGiB);
}

}  // namespace
}  // namespace hypura
