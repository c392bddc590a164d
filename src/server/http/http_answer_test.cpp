// Answers as they reach clients, over real sockets: streams, clients that go, a server that stops.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "server/http/http_service_for_test.h"
#include "server/http/raw_client_for_test.h"

namespace hypura {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

class HttpAnswerTest : public HttpServerTest {
 protected:
  // Requests are kept for the test to answer.
  HttpAnswerTest() {
    service.on_request = [this](const std::shared_ptr<Exchange>& exchange) {
      const std::lock_guard lock(mutex_);
      exchanges_.push_back(exchange);
      came_.notify_all();
    };
    limits.half_closed_time = milliseconds(20);
  }

  // The requests once there are `count`; the test holds them alone from then on.
  std::vector<std::shared_ptr<Exchange>> exchanges(size_t count = 1) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(came_.wait_for(lock, std::chrono::seconds(5), [&] { return exchanges_.size() >= count; }));
    return std::exchange(exchanges_, {});
  }

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<std::shared_ptr<Exchange>> exchanges_;
};

TEST_F(HttpAnswerTest, PiecesArriveOneByOne) {
  serve();
  RawClient client(port());
  client.ask("GET /stream");
  const auto exchange = exchanges().at(0);
  exchange->start(text_response("first"));
  const std::string head = client.read_until("\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(head, HasSubstr("X-Accel-Buffering: no\r\n"));
  EXPECT_THAT(head, HasSubstr("Cache-Control: no-cache\r\n"));
  EXPECT_EQ(client.read_chunk(), "first");
  exchange->write("second");
  EXPECT_EQ(client.read_chunk(), "second");
  exchange->write("");  // would end a chunked body
  exchange->write(std::string(100000, 'z'));
  EXPECT_EQ(client.read_chunk().size(), 100000U);
  exchange->finish();
  EXPECT_EQ(client.read_chunk(), "");
  client.ask("GET /next");
  exchanges().at(0)->respond(text_response("again"));
  EXPECT_EQ(client.read_response().body, "again");
}

TEST_F(HttpAnswerTest, AnAnswerIsToldWhenItIsQuietForLong) {
  limits.quiet_time = milliseconds(20);
  serve();
  RawClient client(port());
  client.ask("GET /stream");
  const auto exchange = exchanges().at(0);
  exchange->on_quiet([weak = std::weak_ptr(exchange), begun = std::make_shared<bool>(false)] {
    if (const auto self = weak.lock(); self && !std::exchange(*begun, true)) {
      self->start(text_response(""));
    } else if (self) {
      self->write("still here");
    }
  });
  EXPECT_THAT(client.read_until("\r\n\r\n"), HasSubstr(" 200 "));
  EXPECT_EQ(client.read_chunk(), "still here");
  EXPECT_EQ(client.read_chunk(), "still here");
  exchange->finish();
  std::string rest = client.read_chunk();
  while (rest == "still here") {  // on its way already
    rest = client.read_chunk();
  }
  EXPECT_EQ(rest, "");
}

TEST_F(HttpAnswerTest, ADefaultCachingRuleCanBeReplaced) {
  serve();
  RawClient client(port());
  client.ask("GET /stream");
  HttpResponse response = text_response("");
  response.headers.emplace_back("Cache-Control", "no-store");
  const auto exchange = exchanges().at(0);
  exchange->start(response);
  const std::string head = client.read_until("\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("no-store"));
  EXPECT_THAT(head, testing::Not(HasSubstr("no-cache")));
}

TEST_F(HttpAnswerTest, OldClientsGetAStreamThatEndsWithTheConnection) {
  serve();
  RawClient client(port());
  client.send("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const auto exchange = exchanges().at(0);
  exchange->start(text_response("a"));
  exchange->write("b");
  exchange->finish();
  const std::string head = client.read_until("\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(head, testing::Not(HasSubstr("chunked")));
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(client.take_all(), "ab");
}

TEST_F(HttpAnswerTest, AStreamForHeadIsItsHeadOnly) {
  serve();
  RawClient client(port());
  client.ask("HEAD /stream");
  const auto exchange = exchanges().at(0);
  exchange->start(text_response("a"));
  exchange->write("b");
  exchange->finish();
  EXPECT_EQ(client.read_response(false).status, 200);
  client.ask("GET /next");
  exchanges().at(0)->respond(text_response("clean"));
  EXPECT_EQ(client.read_response().body, "clean");
}

TEST_F(HttpAnswerTest, ASecondAnswerIsNoAnswer) {
  serve();
  RawClient client(port());
  client.ask("GET /x");
  const auto exchange = exchanges().at(0);
  exchange->write("too early");
  exchange->respond(text_response("one"));
  exchange->respond(text_response("two"));
  exchange->start(text_response("three"));
  exchange->finish();
  EXPECT_EQ(client.read_response().body, "one");
  client.ask("GET /y");
  exchange->respond(text_response("four"));
  exchanges().at(0)->respond(text_response("five"));
  EXPECT_EQ(client.read_response().body, "five");
}

TEST_F(HttpAnswerTest, HeaderValuesCannotBeginAHeader) {
  serve();
  RawClient client(port());
  client.ask("GET /x");
  HttpResponse response = text_response("ok");
  response.headers.emplace_back("X-Echo", "a\r\nX-Evil: b");
  exchanges().at(0)->respond(response);
  EXPECT_TRUE(client.read_response().has("X-Echo: aX-Evil: b\r\n"));
}

TEST_F(HttpAnswerTest, ARouteThatThrowsIsAnInternalError) {
  service.on_request = [](const std::shared_ptr<Exchange>&) { throw std::runtime_error("broken"); };
  serve();
  RawClient client(port());
  client.ask("GET /x");
  const RawResponse response = client.read_response();
  EXPECT_EQ(response.status, 500);
  EXPECT_THAT(response.body, HasSubstr("broken"));
}

TEST_F(HttpAnswerTest, ARequestThatIsForgottenIsAnInternalError) {
  serve();
  RawClient client(port());
  client.ask("GET /x");
  exchanges();
  EXPECT_EQ(client.read_response().status, 500);
  EXPECT_EQ(service.outcomes(1)[0].second.status, 500);
}

TEST_F(HttpAnswerTest, AStreamThatIsForgottenHasNoEnd) {
  serve();
  RawClient client(port());
  client.ask("GET /x");
  exchanges().at(0)->start(text_response("begun"));
  EXPECT_TRUE(client.closed());
  EXPECT_THAT(client.take_all(), testing::EndsWith("5\r\nbegun\r\n"));
}

TEST_F(HttpAnswerTest, AClientThatGoesIsNoticedAtOnce) {
  serve();
  for (const bool streaming : {false, true}) {
    for (const bool reset : {false, true}) {
      RawClient client(port());
      client.ask("GET /gone");
      const auto exchange = exchanges().at(0);
      Event gone;
      exchange->on_gone([&gone] { gone.happen(); });
      if (streaming) {
        exchange->start(text_response("a"));
        client.read_until("a\r\n");
      }
      reset ? client.reset() : client.close();
      EXPECT_TRUE(gone.wait()) << streaming << reset;
      exchange->write("nobody reads this");
      exchange->finish();
    }
  }
  for (const auto& [path, outcome] : service.outcomes(4)) {
    EXPECT_EQ(outcome.status, 499);
  }
}

// It has sent all that it has to send, and waits.
TEST_F(HttpAnswerTest, AHalfClosedClientGetsItsAnswer) {
  serve();
  for (const bool patient : {false, true}) {
    RawClient client(port());
    client.ask("GET /whole");
    client.half_close();
    const auto exchange = exchanges().at(0);
    Event gone;
    exchange->on_gone([&gone] { gone.happen(); });
    EXPECT_FALSE(gone.wait(milliseconds(patient ? 100 : 0)));
    exchange->respond(text_response("the answer"));
    EXPECT_TRUE(client.closed());
    const std::string all = client.take_all();
    EXPECT_EQ(all.find("HTTP/1.1 100 Continue\r\n\r\n"), patient ? 0 : std::string::npos);
    EXPECT_THAT(all, HasSubstr("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(all, testing::EndsWith("\r\n\r\nthe answer"));
  }
  for (const auto& [path, outcome] : service.outcomes(2)) {
    EXPECT_EQ(outcome.status, 200);
  }
}

TEST_F(HttpAnswerTest, AHalfClosedClientGetsItsStream) {
  serve();
  RawClient client(port());
  client.ask("GET /stream");
  const auto exchange = exchanges().at(0);
  Event gone;
  exchange->on_gone([&gone] { gone.happen(); });
  exchange->start(text_response("first"));
  client.half_close();
  EXPECT_FALSE(gone.wait(milliseconds(100)));
  exchange->write("second");
  exchange->finish();
  EXPECT_TRUE(client.closed());
  EXPECT_THAT(client.take_all(), testing::EndsWith("\r\n\r\n5\r\nfirst\r\n06\r\nsecond\r\n0\r\n\r\n"));
  EXPECT_EQ(service.outcomes(1)[0].second.status, 200);
}

TEST_F(HttpAnswerTest, WhoAsksLateIsToldToo) {
  serve();
  RawClient client(port());
  client.ask("GET /gone");
  const auto exchange = exchanges().at(0);
  Event early;
  exchange->on_gone([&early] { early.happen(); });
  client.reset();
  ASSERT_TRUE(early.wait());
  Event late;
  exchange->on_gone([&late] { late.happen(); });
  EXPECT_TRUE(late.wait());
}

TEST_F(HttpAnswerTest, TokensCountedAfterTheClientWentAreReported) {
  serve();
  RawClient client(port());
  client.ask("GET /gone");
  auto exchange = exchanges().at(0);
  Event gone;
  exchange->on_gone([&gone] { gone.happen(); });
  client.close();
  ASSERT_TRUE(gone.wait());
  exchange->count_tokens(20, 7);
  exchange.reset();
  const HttpOutcome outcome = service.outcomes(1)[0].second;
  EXPECT_EQ(outcome.status, 499);
  EXPECT_EQ(outcome.prompt_tokens, 20U);
  EXPECT_EQ(outcome.answer_tokens, 7U);
}

TEST_F(HttpAnswerTest, GoneIsNotCalledForAnAnswerThatIsComplete) {
  serve();
  RawClient client(port());
  client.ask("GET /x");
  const auto exchange = exchanges().at(0);
  const auto called = std::make_shared<std::atomic<bool>>(false);
  exchange->on_gone([called] { *called = true; });
  exchange->respond(text_response("done"));
  client.read_response();
  client.close();
  service.outcomes(1);
  EXPECT_FALSE(*called);
  EXPECT_EQ(called.use_count(), 1);  // let go: such callbacks hold the exchange
}

TEST_F(HttpAnswerTest, ANextRequestThatWaitsDoesNotHideThatTheClientGoes) {
  serve();
  RawClient client(port());
  client.ask("GET /1");
  const auto exchange = exchanges().at(0);
  Event gone;
  exchange->on_gone([&gone] { gone.happen(); });
  client.ask("GET /2");
  client.close();
  EXPECT_TRUE(gone.wait());
}

TEST_F(HttpAnswerTest, AClientThatDoesNotReadIsDropped) {
  limits.outbox_bytes = 64 << 10;
  serve();
  RawClient client(port(), 4096);
  client.ask("GET /stream");
  const auto exchange = exchanges().at(0);
  Event gone;
  exchange->on_gone([&gone] { gone.happen(); });
  exchange->start(text_response("a"));
  bool dropped = false;
  for (int i = 0; i < 1000 && !dropped; ++i) {
    exchange->write(std::string(64 << 10, 'x'));
    dropped = gone.wait(milliseconds(1));
  }
  EXPECT_TRUE(dropped);
}

TEST_F(HttpAnswerTest, AClientThatStopsReadingIsDroppedInTime) {
  limits.write_time = milliseconds(50);
  serve();
  RawClient client(port(), 4096);
  client.ask("GET /whole");
  exchanges().at(0)->respond(text_response(std::string(8 << 20, 'x')));
  EXPECT_EQ(service.outcomes(1)[0].second.status, 499);
}

TEST_F(HttpAnswerTest, AnAnswerBiggerThanTheOutboxArrives) {
  limits.outbox_bytes = 64 << 10;
  serve();
  RawClient client(port());
  client.ask("GET /whole");
  exchanges().at(0)->respond(text_response(std::string(8 << 20, 'x')));
  EXPECT_EQ(client.read_response().body.size(), 8U << 20);
}

TEST_F(HttpAnswerTest, HundredsOfQuietStreamsAreServed) {
  constexpr size_t kStreams = 200;
  serve();
  std::vector<std::unique_ptr<RawClient>> clients;
  for (size_t i = 0; i < kStreams; ++i) {
    clients.push_back(std::make_unique<RawClient>(port()));
    clients.back()->ask("GET /" + std::to_string(i));
  }
  const auto streams = exchanges(kStreams);
  ASSERT_EQ(streams.size(), kStreams);
  for (const auto& stream : streams) {
    stream->start(text_response(stream->request().path));
  }
  for (size_t i = 0; i < kStreams; ++i) {
    clients[i]->read_until("\r\n\r\n");
    EXPECT_EQ(clients[i]->read_chunk(), "/" + std::to_string(i));
  }
  for (const auto& stream : streams) {
    stream->write("more");
    stream->finish();
  }
  for (const auto& client : clients) {
    EXPECT_EQ(client->read_chunk(), "more");
    EXPECT_EQ(client->read_chunk(), "");
  }
}

TEST_F(HttpAnswerTest, StoppingWaitsForAnswers) {
  serve();
  RawClient idle(port());
  idle.ask("GET /idle");
  exchanges().at(0)->respond(text_response("x"));
  idle.read_response();
  RawClient client(port());
  client.ask("GET /stream");
  auto exchange = exchanges().at(0);
  exchange->start(text_response("a"));
  client.read_until("a\r\n");
  std::thread stopping([this] { server().stop(std::chrono::seconds(5)); });
  EXPECT_TRUE(idle.closed());
  exchange->write("b");
  exchange->finish();
  exchange.reset();
  EXPECT_EQ(client.read_chunk(), "b");
  EXPECT_EQ(client.read_chunk(), "");
  EXPECT_TRUE(client.closed());
  client.close();
  stopping.join();
}

TEST_F(HttpAnswerTest, StoppingEndsAnswersThatTakeTooLong) {
  serve();
  RawClient client(port());
  client.ask("GET /stream");
  const auto exchange = exchanges().at(0);
  exchange->start(text_response("a"));
  client.read_until("a\r\n");
  exchange->on_gone([weak = std::weak_ptr(exchange)] {
    if (const auto self = weak.lock()) {
      self->write("cut short");
      self->finish();
    }
  });
  std::thread stopping([this] { server().stop(milliseconds(20)); });
  EXPECT_EQ(client.read_chunk(), "cut short");
  EXPECT_EQ(client.read_chunk(), "");
  client.close();
  stopping.join();
  exchange->on_gone([] { ADD_FAILURE(); });
}

TEST_F(HttpAnswerTest, WhatIsHeldAfterTheServerStoppedDoesNoHarm) {
  limits.last_words_time = milliseconds(20);
  serve();
  RawClient client(port());
  client.ask("GET /x");
  auto exchange = exchanges().at(0);
  Event gone;
  exchange->on_gone([&gone] { gone.happen(); });
  client.close();
  server().stop(milliseconds(0));
  EXPECT_TRUE(gone.wait());
  exchange->respond(text_response("late"));
  exchange.reset();
}

TEST_F(HttpAnswerTest, LargeRequestsHoldUpNobody) {
  std::mutex busy;
  std::unique_lock hold(busy);
  std::atomic<int> small{0};
  limits.large_body = 1000;
  service.on_request = [&](const std::shared_ptr<Exchange>& exchange) {
    if (exchange->request().body.size() >= 1000) {
      const std::lock_guard waits(busy);
    }
    small += exchange->request().body.empty() ? 0 : 1;
    exchange->respond(text_response("done"));
  };
  serve();
  std::vector<std::unique_ptr<RawClient>> large;
  for (int i = 0; i < 8; ++i) {
    large.push_back(std::make_unique<RawClient>(port()));
    large.back()->ask("POST /large", "", std::string(1000, 'x'));
  }
  RawClient client(port());
  for (const char* body : {"", "x", ""}) {
    client.ask("POST /small", "", body);
    EXPECT_EQ(client.read_response().body, "done");
  }
  EXPECT_EQ(small, 1) << "and no large one was answered";
  hold.unlock();
  for (const auto& it : large) {
    EXPECT_EQ(it->read_response().body, "done");
  }
}

}  // namespace
}  // namespace hypura
