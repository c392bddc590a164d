// Requests as clients send them, over real sockets: what is read, what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "server/http/http_service_for_test.h"
#include "server/http/raw_client_for_test.h"

namespace hypura {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

class HttpRequestTest : public HttpServerTest {
 protected:
  HttpRequestTest() { service.on_request = echo; }
};

TEST_F(HttpRequestTest, AConnectionTakesOneRequestAfterTheOther) {
  serve();
  RawClient client(port());
  for (const char* path : {"/a", "/b?x=1"}) {
    client.ask(std::string("GET ") + path);
    const RawResponse response = client.read_response();
    EXPECT_EQ(response.status, 200);
    EXPECT_TRUE(response.has("Connection: keep-alive\r\n"));
    EXPECT_TRUE(response.has("Date: "));
    EXPECT_TRUE(response.has("X-Test: yes\r\n"));
    EXPECT_THAT(response.body, HasSubstr(std::string(path).substr(0, 2)));
  }
  const auto outcomes = service.outcomes(2);
  EXPECT_EQ(outcomes[1].first, "/b");
  EXPECT_EQ(outcomes[1].second.status, 200);
  EXPECT_GT(outcomes[1].second.sent_bytes, 50U);
}

TEST_F(HttpRequestTest, RequestsSentTogetherAreAnsweredInOrder) {
  serve();
  RawClient client(port());
  client.send(
      "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
      "\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(client.read_response().body, "GET /1?|");
  EXPECT_EQ(client.read_response().body, "POST /2?|abc");
  EXPECT_EQ(client.read_response().body, "GET /3?|");
}

TEST_F(HttpRequestTest, AClientOnThisMachineIsKnownAsOne) {
  std::atomic<bool> from_here = false;
  service.on_request = [&](const std::shared_ptr<Exchange>& exchange) {
    from_here = exchange->request().from_here;
    exchange->respond({});
  };
  serve();
  RawClient client(port());
  client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n");
  client.read_response();
  EXPECT_TRUE(from_here);
}

TEST_F(HttpRequestTest, BytesMayComeOneByOne) {
  serve();
  RawClient client(port());
  for (const char byte : std::string_view("POST /x%20y?a=%20 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")) {
    client.send({&byte, 1});
  }
  EXPECT_EQ(client.read_response().body, "POST /x y?a=%20|body");
}

TEST_F(HttpRequestTest, ABodyMayComeInChunks) {
  serve();
  RawClient client(port());
  client.ask("POST /c", "Transfer-Encoding: chunked\r\n");
  client.send("3\r\nabc\r\n");
  client.send("A;ext=1\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n");
  EXPECT_EQ(client.read_response().body, "POST /c?|abc0123456789");
  client.ask("GET /next");
  EXPECT_EQ(client.read_response().body, "GET /next?|");
}

TEST_F(HttpRequestTest, AClientThatAsksFirstIsToldToGoOn) {
  serve();
  RawClient client(port());
  client.ask("POST /e", "Expect: 100-continue\r\nContent-Length: 5\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("hello");
  EXPECT_EQ(client.read_response().body, "POST /e?|hello");
}

TEST_F(HttpRequestTest, HeadHasNoBody) {
  serve();
  RawClient client(port());
  client.ask("HEAD /h");
  const RawResponse response = client.read_response(false);
  EXPECT_EQ(response.status, 200);
  EXPECT_TRUE(response.has("Content-Length: 9\r\n"));
  client.ask("GET /after");
  EXPECT_EQ(client.read_response().body, "GET /after?|");
}

TEST_F(HttpRequestTest, OldClientsAreClosedUnlessTheyAsk) {
  serve();
  RawClient old(port());
  old.send("GET /old HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.read_response().body, "GET /old?|");
  EXPECT_TRUE(old.closed());
  RawClient keeping(port());
  keeping.send("GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_TRUE(keeping.read_response().has("Connection: keep-alive\r\n"));
  keeping.send("GET /again HTTP/1.0\r\n\r\n");
  EXPECT_EQ(keeping.read_response().body, "GET /again?|");
}

TEST_F(HttpRequestTest, AClientMayCloseAfterItsRequest) {
  serve();
  RawClient client(port());
  client.ask("GET /bye", "Connection: close\r\n");
  client.half_close();
  const RawResponse response = client.read_response();
  EXPECT_EQ(response.body, "GET /bye?|");
  EXPECT_TRUE(response.has("Connection: close\r\n"));
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(service.outcomes(1)[0].second.status, 200);
}

TEST_F(HttpRequestTest, ABodyTooLongIsRefusedBeforeItIsSent) {
  limits.body_bytes = 1000;
  serve();
  RawClient client(port());
  client.ask("POST /big", "Content-Length: 1001\r\nExpect: 100-continue\r\n");
  const RawResponse response = client.read_response();
  EXPECT_EQ(response.status, 413);
  EXPECT_THAT(response.body, HasSubstr("\"/big\""));
  EXPECT_THAT(response.body, HasSubstr("1000 bytes"));
  EXPECT_TRUE(response.has("Connection: close\r\n"));
  EXPECT_TRUE(client.closed());
}

TEST_F(HttpRequestTest, ChunksThatAddUpToTooMuchAreRefused) {
  limits.body_bytes = 1000;
  serve();
  RawClient client(port());
  client.ask("POST /big", "Transfer-Encoding: chunked\r\n");
  const std::string half = "1f4\r\n" + std::string(500, 'x') + "\r\n";
  client.send(half + half + half);
  EXPECT_EQ(client.read_response().status, 413);
  EXPECT_TRUE(client.closed());
}

TEST_F(HttpRequestTest, ABodyOfTheLimitIsTaken) {
  limits.body_bytes = 300000;
  serve();
  RawClient client(port());
  const std::string body(limits.body_bytes, 'y');
  client.ask("POST /b", "", body);
  EXPECT_EQ(client.read_response().body, "POST /b?|" + body);
}

TEST_F(HttpRequestTest, AHeaderTooLongIsRefused) {
  limits.header_bytes = 4096;
  serve();
  RawClient client(port());
  client.send("GET /long HTTP/1.1\r\nHost: a\r\nX: " + std::string(5000, 'x'));
  EXPECT_EQ(client.read_response().status, 431);
  EXPECT_TRUE(client.closed());
}

TEST_F(HttpRequestTest, HalfARequestIsNotWaitedForLong) {
  limits.header_time = milliseconds(50);
  serve();
  RawClient client(port());
  client.send("GET /half HTTP/1.1\r\nHo");
  EXPECT_EQ(client.read_response().status, 408);
  EXPECT_TRUE(client.closed());
}

TEST_F(HttpRequestTest, ABodyMustKeepComing) {
  limits.body_time = milliseconds(50);
  serve();
  RawClient client(port());
  client.ask("POST /slow", "Content-Length: 10\r\n");
  client.send("12345");
  const RawResponse response = client.read_response();
  EXPECT_EQ(response.status, 408);
  EXPECT_THAT(response.body, HasSubstr("/slow"));
}

TEST_F(HttpRequestTest, ABodyMustNotComeInDrops) {
  limits.body_time = milliseconds(100);
  limits.body_bytes_per_second = 1 << 20;
  serve();
  RawClient client(port());
  client.ask("POST /drops", "Content-Length: 1000\r\n");
  for (int i = 0; i < 30; ++i) {
    client.send("x");
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_EQ(client.read_response().status, 408);
}

TEST_F(HttpRequestTest, AnIdleConnectionIsClosedWithoutAWord) {
  limits.idle_time = milliseconds(50);
  serve();
  RawClient client(port());
  client.ask("GET /one");
  client.read_response();
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(client.take_all(), "");
}

TEST_F(HttpRequestTest, TooManyConnectionsAreToldSo) {
  limits.connections = 2;
  serve();
  RawClient first(port());
  RawClient second(port());
  first.ask("GET /1");
  second.ask("GET /2");
  EXPECT_EQ(first.read_response().status, 200);
  EXPECT_EQ(second.read_response().status, 200);
  RawClient third(port());
  EXPECT_EQ(third.read_response().status, 503);
  first.close();
  EXPECT_TRUE(third.closed());
  third.close();
}

TEST_F(HttpRequestTest, ARequestCanBeRefusedByItsHeader) {
  service.on_header = [](const HttpRequest& request) -> std::optional<HttpResponse> {
    HttpResponse forbidden;
    forbidden.status = 403;
    forbidden.content_type.clear();
    return request.header("x-open") == "yes" ? std::nullopt : std::optional(forbidden);
  };
  serve();
  RawClient client(port());
  client.ask("GET /closed");
  const RawResponse refused = client.read_response();
  EXPECT_EQ(refused.status, 403);
  EXPECT_TRUE(refused.has("Content-Length: 0\r\n"));
  EXPECT_FALSE(refused.has("Content-Type"));
  client.ask("GET /open", "X-Open: yes\r\n");  // nothing of the first request is left over
  EXPECT_EQ(client.read_response().body, "GET /open?|");
  client.ask("POST /closed", "Content-Length: 100000000\r\n");
  EXPECT_EQ(client.read_response().status, 413);
  RawClient other(port());
  other.ask("POST /closed", "Content-Length: 1000000\r\n");
  EXPECT_EQ(other.read_response().status, 403);
  other.send(std::string(500000, 'x'));  // goes nowhere
  EXPECT_TRUE(other.closed());
}

struct Malformed {
  const char* bytes;
  int status;
};

class MalformedRequest : public HttpServerTest, public testing::WithParamInterface<Malformed> {};

TEST_P(MalformedRequest, IsAnsweredAndTheConnectionClosed) {
  service.on_request = echo;
  serve();
  RawClient client(port());
  client.send(GetParam().bytes);
  const RawResponse response = client.read_response();
  EXPECT_EQ(response.status, GetParam().status);
  EXPECT_TRUE(response.has("application/json"));
  EXPECT_TRUE(client.closed());
}

INSTANTIATE_TEST_SUITE_P(
    All, MalformedRequest,
    testing::Values(
        Malformed{"hello\r\n\r\n", 400}, Malformed{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400},
        Malformed{"GET / HTTP/1.1\r\n\r\n", 400}, Malformed{"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
        Malformed{"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400}, Malformed{"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Malformed{"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400}, Malformed{"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
        Malformed{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400},
        Malformed{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
        Malformed{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        Malformed{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
        Malformed{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400}));

TEST_F(HttpRequestTest, AWholeUrlIsAPathToo) {
  serve();
  RawClient client(port());
  client.ask("GET http://localhost:1/api/tags?x");
  EXPECT_EQ(client.read_response().body, "GET /api/tags?x|");
  client.ask("GET HTTP://localhost");
  EXPECT_EQ(client.read_response().body, "GET /?|");
}

TEST(HttpAddressTest, SaysWhyItCannotListen) {
  TestService service;
  const auto first = HttpServer::listen({"127.0.0.1", 0}, {}, service);
  ASSERT_TRUE(first) << first.error().message;
  const auto again = HttpServer::listen({"127.0.0.1", (*first)->port()}, {}, service);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kUsage);
  EXPECT_THAT(again.error().message, HasSubstr("is in use"));
  EXPECT_THAT(again.error().message, HasSubstr("--port"));
  const auto foreign = HttpServer::listen({"192.0.2.1", 0}, {}, service);
  ASSERT_FALSE(foreign);
  EXPECT_THAT(foreign.error().message, HasSubstr("not an address of this machine"));
}

TEST(HttpAddressTest, KnowsLoopback) {
  TestService service;
  const auto named = HttpServer::listen({"localhost", 0}, {}, service);
  ASSERT_TRUE(named) << named.error().message;
  EXPECT_TRUE((*named)->is_loopback());
  const auto all = HttpServer::listen({"0.0.0.0", 0}, {}, service);
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_FALSE((*all)->is_loopback());
  EXPECT_EQ((*all)->ip(), "0.0.0.0");
}

}  // namespace
}  // namespace hypura
