#include "server/http/http_exchange.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace hypura {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr seconds kLong(10);

class NotingPort : public AnswerPort {
 public:
  void post(uint64_t /*turn*/, ExchangeStep step) override { kinds.push_back(step.kind); }

  std::vector<ExchangeStep::Kind> kinds;
};

class HttpExchangeTest : public testing::Test {
 protected:
  void want_quiet() {
    exchange.on_quiet([calls = calls_] { ++*calls; });
  }
  int calls() const { return *calls_; }
  bool still_wanted() const { return calls_.use_count() > 1; }

  std::shared_ptr<NotingPort> port = std::make_shared<NotingPort>();
  HttpExchange exchange{port, 1, std::make_shared<AnswerRecord>()};

 private:
  std::shared_ptr<int> calls_ = std::make_shared<int>(0);
};

TEST_F(HttpExchangeTest, TellsEachTimeThatItWasQuietForLong) {
  exchange.check_quiet(steady_clock::now() + seconds(100), kLong);  // nobody wants to know
  want_quiet();
  const auto since = steady_clock::now();
  exchange.check_quiet(since + seconds(1), kLong);
  EXPECT_EQ(calls(), 0);
  exchange.check_quiet(since + seconds(10), kLong);
  EXPECT_EQ(calls(), 1);
  exchange.check_quiet(since + seconds(19), kLong);
  EXPECT_EQ(calls(), 1);
  exchange.check_quiet(since + seconds(20), kLong);
  EXPECT_EQ(calls(), 2);
}

TEST_F(HttpExchangeTest, WhatIsWrittenBreaksTheQuiet) {
  want_quiet();
  auto before = steady_clock::now();
  const auto pass_time = [] { std::this_thread::sleep_for(std::chrono::milliseconds(2)); };
  pass_time();
  exchange.start({});
  exchange.check_quiet(before + kLong, kLong);
  EXPECT_EQ(calls(), 0);
  before = steady_clock::now();
  pass_time();
  exchange.write("more");
  exchange.check_quiet(before + kLong, kLong);
  EXPECT_EQ(calls(), 0);
  exchange.check_quiet(steady_clock::now() + kLong, kLong);
  EXPECT_EQ(calls(), 1);
}

TEST_F(HttpExchangeTest, IsNotQuietWhenItIsComplete) {
  want_quiet();
  exchange.start({});
  exchange.finish();
  EXPECT_FALSE(still_wanted()) << "such callbacks may hold the exchange";
  exchange.check_quiet(steady_clock::now() + seconds(100), kLong);
  want_quiet();
  exchange.check_quiet(steady_clock::now() + seconds(100), kLong);
  EXPECT_EQ(calls(), 0);
  EXPECT_FALSE(still_wanted());
}

TEST_F(HttpExchangeTest, TellsNobodyWhenTheClientHasGone) {
  want_quiet();
  exchange.gone(true);
  exchange.check_quiet(steady_clock::now() + seconds(100), kLong);
  EXPECT_EQ(calls(), 0);
}

TEST_F(HttpExchangeTest, WritingWhileItIsToldIsPossible) {
  exchange.on_quiet([this] {
    exchange.start({});
    exchange.finish();
  });
  exchange.check_quiet(steady_clock::now() + seconds(100), kLong);
  EXPECT_EQ(port->kinds, (std::vector{ExchangeStep::Kind::kStart, ExchangeStep::Kind::kFinish}));
}

}  // namespace
}  // namespace hypura
