// POST /api/pull against a server of Hugging Face's shape.
#include "server/pulls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "server/fake_host_for_test.h"
#include "server/json/json.h"
#include "server/library.h"
#include "store/fetch/fake_hub_for_test.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

using testing::HasSubstr;

class CountingLibrary : public ModelLibrary {
 public:
  std::atomic<int> changes = 0;

  void refresh(Done done) override { done({}); }
  void changed(Done done) override {
    ++changes;
    done({});
  }
  void remove(std::string /*name*/, Done done) override { done({}); }
  void create(NewModel /*model*/, Done done) override { done({}); }
};

class PullsTest : public testing::Test {
 protected:
  std::shared_ptr<FakeExchange> pull(const std::string& body, bool from_here = true) {
    auto exchange = std::make_shared<FakeExchange>("POST", "/api/pull", body);
    exchange->set_from_here(from_here);
    for (const Route& route : ollama_routes()) {
      if (route.pattern == "/api/pull") {
        route.handle(context_, exchange);
      }
    }
    return exchange;
  }

  static std::vector<Json> records(const std::shared_ptr<FakeExchange>& exchange) {
    EXPECT_TRUE(exchange->wait());
    std::vector<Json> records;
    std::istringstream lines(exchange->body());
    for (std::string line; std::getline(lines, line);) {
      records.push_back(parse_json(line).value_or(Json()));
    }
    return records;
  }

  FetchSettings settings() const {
    FetchSettings settings;
    settings.hub = hub_.url();
    settings.hub_cache = folder_.path() / "hub";
    settings.data = folder_.path() / "data";
    return settings;
  }

  TempDir folder_;
  std::string bytes_ = test_bytes(20000);
  FakeHub hub_{{{"small-Q8_0.gguf", bytes_}}};
  FakeHost host_;
  Metrics metrics_;
  CountingLibrary library_;
  ModelPulls pulls_{settings()};
  ApiContext context_{host_, metrics_, 4096, &library_, false, &pulls_};
};

TEST_F(PullsTest, TellsProgressAsOllamaDoes) {
  const auto exchange = pull(R"({"model":"hf.co/org/repo:Q8_0"})");
  const std::vector<Json> told = records(exchange);
  EXPECT_TRUE(exchange->streamed());
  EXPECT_EQ(exchange->head().content_type, "application/x-ndjson");
  ASSERT_GE(told.size(), 3);
  EXPECT_EQ(told.front(), Json({{"status", "pulling manifest"}}));
  const Json& first = told[1];
  EXPECT_EQ(first.at("status"), "pulling " + sha256_of(bytes_).substr(0, 12));
  EXPECT_EQ(first.at("digest"), "sha256:" + sha256_of(bytes_));
  EXPECT_EQ(first.at("total"), bytes_.size());
  EXPECT_EQ(told.back(), Json({{"status", "success"}}));
  EXPECT_EQ(library_.changes, 1);
  EXPECT_TRUE(std::filesystem::exists(folder_.path() / "hub/models--org--repo/blobs" / sha256_of(bytes_)));
}

TEST_F(PullsTest, ErrorsAreTheLastRecordOrTheAnswer) {
  EXPECT_THAT(records(pull(R"({"model":"hf.co/org/other"})")).back().at("error"), HasSubstr("hf.co/org/other"));
  const auto whole = pull(R"({"model":"hf.co/org/repo:Q2_K","stream":false})");
  EXPECT_THAT(records(whole).front().at("error"), HasSubstr("has no Q2_K"));
  EXPECT_EQ(whole->status(), 400);
  EXPECT_EQ(library_.changes, 0);
  const auto done = pull(R"({"model":"hf.co/org/repo","stream":false})");
  EXPECT_EQ(records(done).front(), Json({{"status", "success"}}));
  EXPECT_FALSE(done->streamed());
}

TEST_F(PullsTest, OnlyThisMachineMayUnlessTheOwnerAllowsIt) {
  const auto refused = pull(R"({"model":"hf.co/org/repo"})", false);
  EXPECT_EQ(refused->status(), 403);
  EXPECT_TRUE(hub_.hub().requests().empty());
  context_.allow_changes = true;
  EXPECT_EQ(records(pull(R"({"model":"hf.co/org/repo"})", false)).back(), Json({{"status", "success"}}));
}

TEST_F(PullsTest, FilesAndAddressesAreNoNames) {
  for (const char* name : {"https://example.org/a.gguf", "/etc/passwd", "../a.gguf", "a.gguf"}) {
    const auto exchange = pull(fmt::format(R"({{"model":"{}"}})", name));
    EXPECT_EQ(exchange->status(), 400) << name;
  }
}

TEST_F(PullsTest, WhatRegistriesAreNotAskedWithIsRefusedByName) {
  for (const char* field : {R"("insecure":true)", R"("username":"me")", R"("password":"secret")"}) {
    const auto exchange = pull(fmt::format(R"({{"model":"hf.co/org/repo",{}}})", field));
    EXPECT_EQ(exchange->status(), 400) << field;
    EXPECT_THAT(exchange->body(), HasSubstr("is not supported")) << field;
  }
  const auto done = pull(R"({"model":"hf.co/org/repo","insecure":false,"username":"","stream":false})");
  EXPECT_EQ(done->status(), 200) << "as clients send it";
}

// Waits for the client to go in the first answer of the server with the bytes.
TEST_F(PullsTest, AClientThatGoesEndsItsPull) {
  std::atomic<bool> gone = false;
  std::atomic<bool> asked = false;
  const LoopbackServer slow([&](const TestRequest&) {
    asked = true;
    while (!gone) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return TestAnswer{503, {}, "", {}, {}};
  });
  FetchSettings settings = this->settings();
  settings.hub = slow.url();
  ModelPulls pulls(settings);
  context_.pulls = &pulls;
  const auto exchange = pull(R"({"model":"hf.co/org/repo"})");
  while (!asked) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  exchange->go();
  const Json last = records(exchange).back();
  gone = true;
  EXPECT_THAT(last.at("error"), HasSubstr("stopped"));
}

}  // namespace
}  // namespace hypura
