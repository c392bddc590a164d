#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "server/api.h"
#include "server/fake_exchange_for_test.h"
#include "server/fake_host_for_test.h"
#include "server/json/json.h"
#include "server/page/page_data.h"

namespace hypura {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class BusyGenerator : public FakeGenerator {
 public:
  GeneratorStats stats() const override {
    GeneratorStats stats;
    stats.running = 2;
    stats.queued = 1;
    stats.parallel = 4;
    stats.passes = 77;
    stats.engine.decoded_tokens = 300;
    stats.engine.streamed_bytes = 1ULL << 33;
    stats.engine.expert_lookups = 100;
    stats.engine.expert_hits = 61;
    stats.engine.workers = {{"box:1", 1, 6, 40, 30}};
    return stats;
  }
  std::vector<LiveLayer> live() const override { return {{0, "", {}}, {1, "1010", {0, 7, 64, 0}}}; }
};

std::string header_of(const FakeExchange& exchange, const std::string& name) {
  const auto& headers = exchange.head().headers;
  const auto it =
      std::find_if(headers.begin(), headers.end(), [&](const auto& header) { return header.first == name; });
  return it == headers.end() ? "" : it->second;
}

class Page : public testing::Test {
 protected:
  std::shared_ptr<FakeExchange> get(const std::string& path,
                                    const std::vector<std::pair<std::string, std::string>>& headers,
                                    const std::string& method = "GET") {
    auto exchange = std::make_shared<FakeExchange>(method, path);
    for (const auto& [name, value] : headers) {
      exchange->add_header(name, value);
    }
    for (const Route& route : page_routes()) {
      if (route.pattern == path) {
        route.handle(api_.context, exchange);
      }
    }
    EXPECT_EQ(exchange->answers(), 1);
    return exchange;
  }

  Json live() {
    const auto exchange = get("/hypura/live", {});
    EXPECT_EQ(exchange->head().content_type, "application/json; charset=utf-8");
    auto json = parse_json(exchange->body());
    EXPECT_TRUE(json) << exchange->body();
    return json ? *json : Json();
  }

  void load() {
    api_.host.lease(api_.host.models().front(), {}, [](const Result<ModelLease>&) {});
  }

  FakeApi api_{page_routes()};
};

TEST_F(Page, BrowsersGetIt) {
  for (const char* accept : {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html",
                             "*/*;q=0.1 , TEXT/HTML;q=0.9"}) {
    const auto page = get("/", {{"accept", accept}});
    EXPECT_EQ(page->status(), 200);
    EXPECT_EQ(page->head().content_type, "text/html; charset=utf-8");
    EXPECT_THAT(page->body(), StartsWith("<!doctype html>"));
    EXPECT_EQ(header_of(*page, "ETag"), page_data().tag);
    EXPECT_EQ(header_of(*page, "Vary"), "Accept");
  }
}

TEST_F(Page, ProgramsHearThatOllamaIsRunning) {
  for (const char* accept : {"", "*/*", "application/json", "text/plain", "text/htmlx", ",,"}) {
    const auto answer = get("/", {{"accept", accept}});
    EXPECT_EQ(answer->status(), 200);
    EXPECT_EQ(answer->head().content_type, "text/plain; charset=utf-8");
    EXPECT_EQ(answer->body(), "Ollama is running");
    EXPECT_EQ(header_of(*answer, "Vary"), "Accept");
  }
}

TEST_F(Page, LoadsAndRunsNothingFromElsewhere) {
  const PageData& page = page_data();
  EXPECT_THAT(page.policy, StartsWith("default-src 'none'; script-src 'sha256-"));
  EXPECT_THAT(page.policy, Not(HasSubstr("unsafe")));
  EXPECT_THAT(page.policy, Not(HasSubstr("http")));
  EXPECT_EQ(header_of(*get("/", {{"accept", "text/html"}}), "Content-Security-Policy"), page.policy);
  EXPECT_THAT(page.html, HasSubstr("</html>"));
  for (const char* other : {"<script src", "<link rel=\"stylesheet", "<!--style-->", "<!--script-->", "@import"}) {
    EXPECT_THAT(page.html, Not(HasSubstr(other)));
  }
}

TEST_F(Page, IsNotSentTwice) {
  const std::string tag = page_data().tag;
  for (const std::string& known : {tag, "W/" + tag, "\"other\", " + tag, std::string("*")}) {
    const auto answer = get("/", {{"accept", "text/html"}, {"if-none-match", known}});
    EXPECT_EQ(answer->status(), 304) << known;
    EXPECT_EQ(answer->body(), "");
    EXPECT_EQ(answer->head().content_type, "");
    EXPECT_EQ(header_of(*answer, "ETag"), tag);
  }
  EXPECT_EQ(get("/", {{"accept", "text/html"}, {"if-none-match", "\"other\""}})->status(), 200);
}

TEST_F(Page, HeadIsAnsweredAtTheRootOnly) {
  for (const Route& route : page_routes()) {
    EXPECT_EQ(route.method, "GET");
    EXPECT_EQ(route.head, route.pattern == "/");
  }
}

TEST_F(Page, MetricsAreText) {
  const auto answer = get("/metrics", {});
  EXPECT_THAT(answer->head().content_type, StartsWith("text/plain; version=0.0.4"));
  EXPECT_THAT(answer->body(), HasSubstr("# TYPE hypura_"));
}

TEST_F(Page, LiveWithoutAModelSaysWhatThereIs) {
  const Json json = live();
  EXPECT_EQ(json["version"], HYPURA_VERSION);
  EXPECT_TRUE(json["time"].is_number());
  ASSERT_EQ(json["models"].size(), 1);
  EXPECT_EQ(json["models"][0]["name"], "stories:latest");
  EXPECT_EQ(json["models"][0]["thinking"], false);
  for (const char* field : {"loaded", "plan", "stats"}) {
    EXPECT_TRUE(json[field].is_null()) << field;
  }
  EXPECT_TRUE(json["layers"].is_array());
}

TEST_F(Page, LiveTellsPlanAndCounters) {
  auto generator = std::make_shared<BusyGenerator>();
  generator->plan_summary.placement.dense.streamed = generator->plan_summary.placement.experts.streamed = true;
  generator->plan_summary.sentence = "stories: experts streamed";
  generator->plan_summary.budget = 40;
  generator->plan_summary.ledger = {{Purpose::kKvCache, 12}};
  generator->plan_summary.layers = {{1, 100, 50, 1000, 250}};
  generator->plan_summary.warnings = {"a \"warning\""};
  WorkerPlan& worker = generator->plan_summary.workers.emplace_back();
  worker.name = "box:1";
  worker.there = worker.asked = true;
  worker.share = 0.5;
  api_.host.generator = generator;
  load();
  const Json json = live();
  EXPECT_EQ(json["plan"]["workers"][0]["name"], "box:1");
  EXPECT_EQ(json["plan"]["workers"][0]["asked"], true);
  EXPECT_EQ(json["plan"]["workers"][0]["expert_share"], 0.5);
  EXPECT_TRUE(json["plan"]["workers"][0]["reason"].is_null());
  EXPECT_EQ(json["stats"]["workers"][0]["name"], "box:1");
  EXPECT_EQ(json["stats"]["workers"][0]["experts"], 40);
  EXPECT_EQ(json["loaded"]["model"], "stories:latest");
  EXPECT_TRUE(json["loaded"]["expires_in"].is_number());
  EXPECT_EQ(json["plan"]["mode"], "mixed-streaming");
  EXPECT_EQ(json["plan"]["ledger"], Json::parse(R"([{"purpose":"KV cache","bytes":12,"tier":"RAM"}])"));
  EXPECT_EQ(json["plan"]["layers"][0]["dense_kept"], 50);
  EXPECT_EQ(json["plan"]["layers"][0]["expert_bytes"], 1000);
  EXPECT_EQ(json["plan"]["warnings"][0], "a \"warning\"");
  EXPECT_EQ(json["stats"]["running"], 2);
  EXPECT_EQ(json["stats"]["streamed_bytes"], 1ULL << 33);
  EXPECT_EQ(json["stats"]["expert_hits"], 61);
  EXPECT_EQ(json["layers"], Json::parse(R"([{"layer":0,"resident":"","used":[]},
                                            {"layer":1,"resident":"1010","used":[0,7,64,0]}])"));
}

TEST_F(Page, LiveIsJsonWhateverAFileSays) {
  api_.host.card().architecture = "\xff\xfe<script>";
  EXPECT_TRUE(live().is_object());
}

}  // namespace
}  // namespace hypura
