#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "server/ollama/ollama_for_test.h"

namespace hypura {
namespace {

class OllamaEmbed : public OllamaTest {
 protected:
  OllamaEmbed() { api.host.card().embeddings = true; }
};

TEST_F(OllamaEmbed, EmbedsOneTextOrSeveral) {
  const auto exchange = api.post("/api/embed", R"({"model":"stories","input":"abc"})");
  const Json one = json_of(exchange);
  EXPECT_EQ(exchange->status(), 200);
  EXPECT_EQ(one["model"], "stories");
  EXPECT_EQ(one["prompt_eval_count"], 3);
  EXPECT_GT(one["total_duration"], 0);
  EXPECT_EQ(one["load_duration"], 0);
  EXPECT_NE(exchange->body().find("[[0.6,0.8]]"), std::string::npos) << exchange->body();
  const Json two = json_of(api.post("/api/embed", R"({"model":"stories","input":["a","bcd"]})"));
  EXPECT_EQ(two["embeddings"].size(), 2U);
  EXPECT_EQ(two["prompt_eval_count"], 4);
  EXPECT_EQ(api.metrics.numbers().prompt_tokens, 7U);
  EXPECT_TRUE(api.generator().embed_requests.at(0).truncate);
}

TEST_F(OllamaEmbed, CutsAndScalesToDimensions) {
  api.generator().embedding = {2, 0, 5};
  const Json json = json_of(api.post("/api/embed", R"({"model":"stories","input":"a","dimensions":2})"));
  EXPECT_EQ(json["embeddings"], parse_json("[[1,0]]").value());
}

TEST_F(OllamaEmbed, LoadsWithoutInput) {
  for (const char* body : {R"({"model":"stories"})", R"({"model":"stories","input":""})",
                           R"({"model":"stories","input":[],"keep_alive":-1})"}) {
    EXPECT_EQ(json_of(api.post("/api/embed", body))["embeddings"], Json::array());
  }
  EXPECT_EQ(api.host.keeps.size(), 3U);
  EXPECT_TRUE(api.generator().embed_requests.empty());
}

TEST_F(OllamaEmbed, RefusesWhatIsWrong) {
  expect_error("/api/embed", R"({"model":"stories","input":5})", 400, "invalid input type");
  expect_error("/api/embed", R"({"model":"stories","input":["a",1]})", 400, "invalid input type");
  expect_error("/api/embed", R"({"input":"a"})", 400, "model is required");
  expect_error("/api/embed", R"({"model":"none","input":"a"})", 404, "model 'none' not found");
  expect_error("/api/embed", R"({"model":"stories","input":"a","options":{"num_ctx":"x"}})", 400,
               "option \"num_ctx\" must be of type integer");
  api.host.card().embeddings = false;
  expect_error("/api/embed", R"({"model":"stories","input":"a"})", 501, "\"stories\" does not support embeddings");
  expect_error("/api/embeddings", R"({"model":"stories","prompt":"a"})", 501,
               "\"stories\" does not support embeddings");
}

TEST_F(OllamaEmbed, TellsThatATextIsTooLong) {
  api.generator().embed_refusal = Error{ErrorCode::kContextFull, "too long"};
  const auto exchange = api.post("/api/embed", R"({"model":"stories","input":"a","truncate":false})");
  EXPECT_EQ(json_of(exchange), Json({{"error", "the input length exceeds the context length"}}));
  EXPECT_EQ(exchange->status(), 400);
  EXPECT_FALSE(api.generator().embed_requests.at(0).truncate);
}

TEST_F(OllamaEmbed, NumbersThatAreNotFiniteAreAFault) {
  api.generator().embedding = {1, std::numeric_limits<float>::quiet_NaN()};
  const auto exchange = api.post("/api/embed", R"({"model":"stories","input":"a"})");
  EXPECT_TRUE(json_of(exchange).contains("error"));
  EXPECT_EQ(exchange->status(), 500);
}

TEST_F(OllamaEmbed, TheOlderRouteGivesOneVectorAsItIs) {
  EXPECT_EQ(json_of(api.post("/api/embeddings", R"({"model":"stories","prompt":"abc"})")),
            parse_json(R"({"embedding":[3,4]})").value());
  EXPECT_EQ(json_of(api.post("/api/embeddings", R"({"model":"stories","prompt":""})")),
            parse_json(R"({"embedding":[]})").value());
}

}  // namespace
}  // namespace hypura
