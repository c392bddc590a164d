#include "server/answering.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/fake_host_for_test.h"

namespace hypura {
namespace {

// Writes an answer as plain text.
class PlainFormat : public AnswerFormat {
 public:
  void on_lease(const ModelLease& lease) override { load_seconds_ = lease.load_seconds; }
  HttpResponse on_begin() override { return text(fmt::format("<{}>", load_seconds_), 200); }
  std::string on_piece(AnswerPiece piece) override { return piece.content; }
  std::string on_quiet() override { return "~"; }
  std::string on_end(const AnswerEnd& end) override { return fmt::format("[{}]", end.answer_tokens); }
  std::string on_error(const Error& error) override { return "!" + error.message; }
  HttpResponse whole(AnswerPiece answer, const AnswerEnd& /*end*/) override { return text(answer.content, 200); }
  HttpResponse refusal(const Error& error) override { return text(error.message, http_status(error.code)); }

 private:
  static HttpResponse text(std::string body, int status) {
    HttpResponse response;
    response.status = status;
    response.content_type = "text/plain";
    response.body = std::move(body);
    return response;
  }

  double load_seconds_ = 0;
};

class AnsweringTest : public testing::Test {
 protected:
  FakeApi api{{}};
  std::shared_ptr<FakeExchange> exchange = std::make_shared<FakeExchange>("POST", "/");

  AnsweringTest() {
    AnswerPiece a;
    a.content = "a";
    AnswerPiece b;
    b.content = "b";
    api.generator().pieces = {a, b};
    api.generator().end.answer_tokens = 2;
  }

  void run(bool stream, AnswerRequest request = {}) {
    AnswerJob job;
    job.model = api.host.models().front();
    job.request = std::move(request);
    job.stream = stream;
    job.format = std::make_unique<PlainFormat>();
    run_answer(api.context, exchange, std::move(job));
  }
};

TEST_F(AnsweringTest, StreamsPieces) {
  run(true);
  EXPECT_TRUE(exchange->streamed());
  EXPECT_TRUE(exchange->done());
  EXPECT_EQ(exchange->pieces(), (std::vector<std::string>{"<0>a", "b", "[2]"}));
  EXPECT_EQ(exchange->answers(), 1);
  EXPECT_EQ(api.host.leases, 0);
}

TEST_F(AnsweringTest, AnAnswerWithoutPiecesStillBegins) {
  api.generator().pieces = {};
  run(true);
  EXPECT_EQ(exchange->body(), "<0>[2]");
  EXPECT_TRUE(exchange->done());
}

TEST_F(AnsweringTest, CollectsPieces) {
  run(false);
  EXPECT_FALSE(exchange->streamed());
  EXPECT_EQ(exchange->body(), "ab");
  EXPECT_EQ(api.host.leases, 0);
}

TEST_F(AnsweringTest, HoldsTheLeaseWhileTheAnswerRuns) {
  api.generator().hold = true;
  run(true);
  EXPECT_EQ(api.host.leases, 1);
  EXPECT_FALSE(exchange->streamed());
  api.generator().give(1, {});
  EXPECT_TRUE(exchange->streamed());
  api.generator().play(1);
  EXPECT_TRUE(exchange->done());
  EXPECT_EQ(api.host.leases, 0);
}

TEST_F(AnsweringTest, AsksForNoMoreContextThanThereIs) {
  api.generator().context = 100;
  AnswerRequest request;
  request.context_tokens = 4000;
  run(false, request);
  EXPECT_EQ(api.generator().requests.at(0).context_tokens, 100U);
}

TEST_F(AnsweringTest, ErrorsBeforeTheFirstByteHaveTheirStatus) {
  const std::vector<std::pair<ErrorCode, int>> table = {{ErrorCode::kUsage, 400},    {ErrorCode::kContextFull, 400},
                                                        {ErrorCode::kBusy, 503},     {ErrorCode::kBadModel, 500},
                                                        {ErrorCode::kBudget, 500},   {ErrorCode::kIo, 500},
                                                        {ErrorCode::kInternal, 500}, {ErrorCode::kCancelled, 503}};
  for (const auto& [code, status] : table) {
    for (const bool stream : {false, true}) {
      exchange = std::make_shared<FakeExchange>("POST", "/");
      api.generator().refusal = Error{code, "no"};
      run(stream);
      EXPECT_FALSE(exchange->streamed());
      EXPECT_EQ(exchange->status(), status);
      EXPECT_EQ(api.host.leases, 0);
    }
  }
}

TEST_F(AnsweringTest, AModelThatDoesNotLoadIsAnError) {
  api.host.load_error = Error{ErrorCode::kBudget, "too big"};
  run(true);
  EXPECT_EQ(exchange->status(), 500);
  EXPECT_EQ(exchange->body(), "too big");
}

TEST_F(AnsweringTest, AnAnswerThatFailsBeforeItsFirstPieceIsAnError) {
  api.generator().pieces = {};
  api.generator().end.stop = StopReason::kError;
  api.generator().end.error = Error{ErrorCode::kIo, "disk"};
  run(true);
  EXPECT_FALSE(exchange->streamed());
  EXPECT_EQ(exchange->status(), 500);
  EXPECT_EQ(exchange->body(), "disk");
}

TEST_F(AnsweringTest, AnAnswerThatFailsLaterEndsWithTheError) {
  api.generator().end.stop = StopReason::kError;
  api.generator().end.error = Error{ErrorCode::kIo, "disk"};
  run(true);
  EXPECT_EQ(exchange->status(), 200);
  EXPECT_EQ(exchange->body(), "<0>ab!disk");
  EXPECT_TRUE(exchange->done());
}

TEST_F(AnsweringTest, AnAnswerThatFailsIsNoWholeAnswer) {
  api.generator().end.stop = StopReason::kError;
  api.generator().end.error = Error{ErrorCode::kIo, "disk"};
  run(false);
  EXPECT_EQ(exchange->status(), 500);
  EXPECT_EQ(exchange->body(), "disk");
}

TEST_F(AnsweringTest, AClosingServerEndsAnAnswerWithAnError) {
  api.generator().end.stop = StopReason::kCancelled;
  run(true);
  EXPECT_EQ(exchange->body(), "<0>ab!the answer was cancelled, because the server is closing its model");
}

TEST_F(AnsweringTest, AClientThatGoesCancelsItsAnswer) {
  api.generator().hold = true;
  run(true);
  exchange->go();
  EXPECT_EQ(api.generator().cancelled, (std::vector<Generator::AnswerId>{1}));
  EXPECT_EQ(api.host.leases, 0);
}

TEST_F(AnsweringTest, AClientThatGoesWhileTheModelLoadsAsksForNothing) {
  api.host.hold = true;
  run(true);
  exchange->go();
  api.host.load();
  EXPECT_TRUE(api.generator().requests.empty());
  EXPECT_EQ(api.host.leases, 0);
}

TEST_F(AnsweringTest, AClientThatGoesWhileItsAnswerIsQueuedCancelsIt) {
  // The client goes after the queue took the answer and before its number is known.
  class GoingGenerator : public FakeGenerator {
   public:
    explicit GoingGenerator(std::shared_ptr<FakeExchange> exchange) : exchange_(std::move(exchange)) { hold = true; }
    Result<AnswerId> submit(AnswerRequest request, std::shared_ptr<AnswerSink> sink) override {
      auto id = FakeGenerator::submit(std::move(request), std::move(sink));
      exchange_->go();
      return id;
    }

   private:
    std::shared_ptr<FakeExchange> exchange_;
  };
  api.host.generator = std::make_shared<GoingGenerator>(exchange);
  run(true);
  EXPECT_EQ(api.generator().cancelled, (std::vector<Generator::AnswerId>{1}));
  EXPECT_EQ(api.generator().held(), 0U);
  EXPECT_EQ(api.host.leases, 0);
}

TEST_F(AnsweringTest, AHeadDoesNotWaitForeverForTheFirstPiece) {
  api.generator().hold = true;
  run(true);
  EXPECT_FALSE(exchange->streamed());
  EXPECT_TRUE(exchange->quiet());
  EXPECT_EQ(exchange->body(), "<0>");
  EXPECT_TRUE(exchange->quiet());
  EXPECT_EQ(exchange->body(), "<0>~");
  api.generator().play(1);
  EXPECT_EQ(exchange->pieces(), (std::vector<std::string>{"<0>", "~", "a", "b", "[2]"}));
  EXPECT_TRUE(exchange->done());
  exchange->quiet();
  EXPECT_EQ(exchange->body(), "<0>~ab[2]") << "nothing comes after the end";
  EXPECT_EQ(exchange->answers(), 1);
  EXPECT_EQ(api.host.leases, 0);
}

TEST_F(AnsweringTest, WhatFailsAfterTheHeadEndsTheStream) {
  api.generator().hold = true;
  api.generator().pieces = {};
  api.generator().end.stop = StopReason::kError;
  api.generator().end.error = Error{ErrorCode::kIo, "disk"};
  run(true);
  exchange->quiet();
  api.generator().play(1);
  EXPECT_EQ(exchange->status(), 200);
  EXPECT_EQ(exchange->body(), "<0>!disk");
  EXPECT_EQ(exchange->answers(), 1);
  EXPECT_TRUE(exchange->done());
}

TEST_F(AnsweringTest, NoHeadGoesOutBeforeTheAnswerIsTaken) {
  api.host.hold = true;
  api.generator().refusal = Error{ErrorCode::kContextFull, "too long"};
  run(true);
  EXPECT_FALSE(exchange->quiet());
  api.host.load();
  EXPECT_FALSE(exchange->quiet());
  EXPECT_EQ(exchange->status(), 400);
  EXPECT_EQ(exchange->body(), "too long");
}

TEST_F(AnsweringTest, SpacesComeBeforeAWholeAnswerThatIsLongInComing) {
  api.generator().hold = true;
  run(false);
  EXPECT_EQ(exchange->answers(), 0);
  EXPECT_TRUE(exchange->quiet());
  EXPECT_TRUE(exchange->streamed());
  EXPECT_EQ(exchange->status(), 200);
  exchange->quiet();
  EXPECT_EQ(exchange->body(), "  ");
  EXPECT_FALSE(exchange->done());
  api.generator().play(1);
  EXPECT_EQ(exchange->body(), "  ab");
  EXPECT_TRUE(exchange->done());
  exchange->quiet();
  EXPECT_EQ(exchange->body(), "  ab") << "nothing comes after the end";
  EXPECT_EQ(exchange->answers(), 1);
}

TEST_F(AnsweringTest, AWholeAnswerThatFailsAfterItsHeadSaysSo) {
  api.generator().hold = true;
  api.generator().pieces = {};
  api.generator().end.stop = StopReason::kError;
  api.generator().end.error = Error{ErrorCode::kIo, "disk"};
  run(false);
  exchange->quiet();
  api.generator().play(1);
  EXPECT_EQ(exchange->status(), 200);
  EXPECT_EQ(exchange->body(), " disk");
  EXPECT_TRUE(exchange->done());
  EXPECT_EQ(exchange->answers(), 1);
}

// Answers on a thread of its own, without end until it is cancelled.
class EndlessGenerator : public FakeGenerator {
 public:
  ~EndlessGenerator() override { join(); }

  Result<AnswerId> submit(AnswerRequest /*request*/, std::shared_ptr<AnswerSink> sink) override {
    thread_ = std::thread([this, to = std::move(sink)] {
      while (!stopped_) {
        to->on_piece({"x", "", {}, {}});
      }
      AnswerEnd cut;
      cut.stop = StopReason::kCancelled;
      to->on_end(cut);
    });
    return 1;
  }
  void cancel(AnswerId /*id*/) override { stopped_ = true; }

  void join() {
    if (thread_.joinable()) {
      thread_.join();
    }
  }

 private:
  std::atomic<bool> stopped_{false};
  std::thread thread_;
};

TEST_F(AnsweringTest, AClientMayGoAtAnyMoment) {
  for (int i = 0; i < 50; ++i) {
    exchange = std::make_shared<FakeExchange>("POST", "/");
    const auto generator = std::make_shared<EndlessGenerator>();
    api.host.generator = generator;
    std::thread client([to = exchange] { to->go(); });
    run(i % 2 == 0);
    client.join();
    exchange->go();  // when it went before there was anybody to tell
    generator->join();
    EXPECT_EQ(api.host.leases, 0);
  }
}

TEST_F(AnsweringTest, ItMayBeQuietAtAnyMoment) {
  for (int i = 0; i < 50; ++i) {
    exchange = std::make_shared<FakeExchange>("POST", "/");
    const auto generator = std::make_shared<EndlessGenerator>();
    api.host.generator = generator;
    std::atomic<bool> ended{false};
    std::thread server([&ended, to = exchange] {
      while (!ended) {
        to->quiet();
      }
    });
    run(true);
    exchange->go();
    generator->join();
    ended = true;
    server.join();
    EXPECT_EQ(exchange->answers(), 1);
    // Cancelled before anything was sent, it is refused.
    EXPECT_TRUE(!exchange->streamed() || exchange->body().rfind("<0>") == 0U) << "one head, before all else";
    EXPECT_TRUE(exchange->done());
  }
}

TEST_F(AnsweringTest, AClientThatGoesAfterwardsCancelsNothing) {
  run(true);
  exchange->go();
  EXPECT_TRUE(api.generator().cancelled.empty());
}

// Several choices, each piece with its number.
class CountingFormat : public ChoicesFormat {
 public:
  HttpResponse on_begin() override { return {}; }
  std::string on_choice_piece(size_t choice, AnswerPiece piece) override {
    return std::to_string(choice) + piece.content;
  }
  std::string on_choice_end(size_t choice, const AnswerEnd& /*end*/) override { return fmt::format("[{}]", choice); }
  std::string on_all_ended(const std::vector<AnswerChoice>& choices) override {
    return fmt::format("<{}>", choices.size());
  }
  std::string on_error(const Error& error) override { return "!" + error.message; }
  HttpResponse all(std::vector<AnswerChoice> choices) override {
    HttpResponse response;
    for (const AnswerChoice& choice : choices) {
      response.body += choice.answer.content + ",";
    }
    return response;
  }
  HttpResponse refusal(const Error& error) override {
    HttpResponse response;
    response.status = http_status(error.code);
    return response;
  }
};

class ChoicesTest : public AnsweringTest {
 protected:
  void run_choices(size_t count, bool stream) {
    AnswerJob job;
    job.model = api.host.models().front();
    job.more.resize(count - 1);
    job.stream = stream;
    job.format = std::make_unique<CountingFormat>();
    run_answer(api.context, exchange, std::move(job));
  }
};

TEST_F(ChoicesTest, AllAreGivenInOneAnswer) {
  run_choices(3, false);
  EXPECT_EQ(exchange->body(), "ab,ab,ab,");
  EXPECT_EQ(exchange->answers(), 1);
  EXPECT_EQ(api.generator().requests.size(), 3U);
  EXPECT_EQ(api.host.leases, 0);
}

TEST_F(ChoicesTest, PiecesComeAsTheyAreMade) {
  api.generator().hold = true;
  run_choices(2, true);
  AnswerPiece x;
  x.content = "x";
  api.generator().give(2, x);
  api.generator().give(1, x);
  api.generator().play(2);
  EXPECT_FALSE(exchange->done());
  api.generator().play(1);
  EXPECT_EQ(exchange->body(), "1x0x1a1b[1]0a0b[0]<2>");
  EXPECT_TRUE(exchange->done());
  EXPECT_EQ(api.host.leases, 0);
}

TEST_F(ChoicesTest, AFewAreAskedForAtATime) {
  api.generator().hold = true;
  run_choices(20, false);
  EXPECT_EQ(api.generator().held(), 8U);
  for (Generator::AnswerId id = 1; id <= 20; ++id) {
    EXPECT_EQ(exchange->done(), false);
    api.generator().play(id);
  }
  EXPECT_EQ(api.generator().requests.size(), 20U);
  EXPECT_TRUE(exchange->done());
}

TEST_F(ChoicesTest, WhenOneFailsAllDo) {
  for (const bool stream : {false, true}) {
    exchange = std::make_shared<FakeExchange>("POST", "/");
    api.host.generator = std::make_shared<FakeGenerator>();
    api.generator().hold = true;
    run_choices(20, stream);
    if (stream) {
      AnswerPiece x;
      x.content = "x";
      api.generator().give(3, x);
    }
    api.generator().end.stop = StopReason::kError;
    api.generator().end.error = Error{ErrorCode::kIo, "broken"};
    api.generator().play(2);
    EXPECT_EQ(exchange->body(), stream ? "2x!broken" : "");
    EXPECT_EQ(exchange->answers(), 1);
    EXPECT_TRUE(exchange->done());
    EXPECT_EQ(api.generator().requests.size(), 8U) << "no more are asked for";
    EXPECT_EQ(api.generator().cancelled.size(), 7U);
    EXPECT_EQ(api.host.leases, 0);
  }
}

TEST_F(ChoicesTest, AreCancelledWhenTheClientGoes) {
  api.generator().hold = true;
  run_choices(12, true);
  api.generator().play(1);
  exchange->go();
  EXPECT_EQ(api.generator().held(), 0U);
  EXPECT_EQ(api.generator().requests.size(), 9U);
  EXPECT_EQ(api.host.leases, 0);
}

TEST_F(ChoicesTest, WhoGoesWhileAskingLeavesNothingBehind) {
  const auto go = [this](const AnswerPiece&) { exchange->go(); };
  class GoingFormat : public CountingFormat {
   public:
    explicit GoingFormat(std::function<void(const AnswerPiece&)> goes) : goes_(std::move(goes)) {}
    void on_lease(const ModelLease& /*lease*/) override { goes_({}); }

   private:
    std::function<void(const AnswerPiece&)> goes_;
  };
  AnswerJob job;
  job.model = api.host.models().front();
  job.more.resize(3);
  job.format = std::make_unique<GoingFormat>(go);
  run_answer(api.context, exchange, std::move(job));
  EXPECT_TRUE(api.generator().requests.empty());
  EXPECT_EQ(api.host.leases, 0);
}

}  // namespace
}  // namespace hypura
