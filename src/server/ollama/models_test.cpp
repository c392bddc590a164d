#include <gtest/gtest.h>

#include <string>

#include "server/ollama/ollama_for_test.h"

namespace hypura {
namespace {

using OllamaModels = OllamaTest;

TEST_F(OllamaModels, TheVersionIsASemanticOne) {
  const Json json = json_of(api.call("GET", "/api/version"));
  EXPECT_EQ(json["version"], "0.33.0");
  EXPECT_NE(api.call("HEAD", "/api/version"), nullptr);
}

TEST_F(OllamaModels, TagsListWhatIsServed) {
  const Json json = json_of(api.call("GET", "/api/tags"));
  ASSERT_EQ(json["models"].size(), 1U);
  const Json& model = json["models"][0];
  EXPECT_EQ(model["name"], "stories:latest");
  EXPECT_EQ(model["model"], "stories:latest");
  EXPECT_EQ(model["modified_at"], "2023-11-14T22:13:20Z");
  EXPECT_EQ(model["size"], 47'000'000);
  EXPECT_EQ(model["digest"], std::string(64, 'a'));
  EXPECT_EQ(model["details"], parse_json(R"({"parent_model":"","format":"gguf","family":"llama","families":["llama"],
      "parameter_size":"83.7M","quantization_level":"Q4_0","context_length":2048,"embedding_length":512})")
                                  .value());
  EXPECT_EQ(model["capabilities"], Json({"completion"}));
  EXPECT_NE(api.call("HEAD", "/api/tags"), nullptr);
}

TEST_F(OllamaModels, PsListsWhatIsLoaded) {
  EXPECT_EQ(api.call("GET", "/api/ps")->body(), R"({"models":[]})");
  api.post("/api/generate", R"({"model":"stories"})");
  const Json json = json_of(api.call("GET", "/api/ps"));
  ASSERT_EQ(json["models"].size(), 1U);
  const Json& model = json["models"][0];
  EXPECT_EQ(model["name"], "stories:latest");
  EXPECT_EQ(model["expires_at"], "2027-01-15T08:00:00Z");
  EXPECT_EQ(model["size"], 50'000'000);
  EXPECT_EQ(model["size_vram"], 0);
  EXPECT_EQ(model["context_length"], 4096);
  EXPECT_EQ(model["details"]["family"], "llama");
  EXPECT_EQ(api.call("HEAD", "/api/ps"), nullptr);
}

TEST_F(OllamaModels, AModelThatStaysExpiresCenturiesAway) {
  api.host.expires = std::nullopt;
  api.post("/api/generate", R"({"model":"stories","keep_alive":-1})");
  EXPECT_EQ(json_of(api.call("GET", "/api/ps"))["models"][0]["expires_at"].get<std::string>().substr(0, 10),
            "2262-04-11");
}

TEST_F(OllamaModels, ShowTellsAboutAModel) {
  ModelCard& card = api.host.card();
  card.tools = true;
  card.thinking = true;
  card.embeddings = true;
  card.metadata = R"({"general.architecture":"llama","general.name":"x","tokenizer.chat_template":"t",
      "tokenizer.ggml.tokens":["a","b","c","d","e","f"],"short":[1,2,3,4,5]})";
  const Json json = json_of(api.post("/api/show", R"({"model":"stories"})"));
  EXPECT_EQ(json["template"], "{{ messages }}");
  EXPECT_EQ(json["details"]["quantization_level"], "Q4_0");
  EXPECT_EQ(json["modified_at"], "2023-11-14T22:13:20Z");
  EXPECT_EQ(json["capabilities"], Json({"completion", "tools", "thinking", "embedding"}));
  EXPECT_FALSE(json.contains("system"));
  EXPECT_EQ(json["model_info"], parse_json(R"({"general.architecture":"llama","tokenizer.ggml.tokens":[],
      "short":[1,2,3,4,5],"general.parameter_count":83700000,"llama.context_length":2048,
      "llama.embedding_length":512})")
                                    .value());
  const Json verbose = json_of(api.post("/api/show", R"({"name":"stories","verbose":true,"system":"s"})"));
  EXPECT_EQ(verbose["model_info"]["tokenizer.ggml.tokens"].size(), 6U);
  EXPECT_EQ(verbose["system"], "s");
}

TEST_F(OllamaModels, ShowAlwaysHasModelInfo) {
  api.host.card().metadata = "";
  api.host.card().chat_template = "";
  const Json json = json_of(api.post("/api/show", R"({"model":"stories"})"));
  EXPECT_EQ(json["model_info"]["general.architecture"], "llama");
  EXPECT_FALSE(json.contains("template"));
}

TEST_F(OllamaModels, ShowRefusesWhatIsWrong) {
  expect_error("/api/show", "", 400, "missing request body");
  expect_error("/api/show", "{}", 400, "model is required");
  expect_error("/api/show", R"({"model":"x"})", 404, "model 'x' not found");
  expect_error("/api/show", R"({"model":"stories","verbose":"yes"})", 400,
               "json: cannot unmarshal string into Go struct field ShowRequest.verbose of type bool");
}

TEST_F(OllamaModels, PullingWhatIsServedSucceedsAtOnce) {
  const auto exchange = api.post("/api/pull", R"({"model":"stories"})");
  ASSERT_EQ(records_of(exchange).size(), 1U);
  EXPECT_EQ(records_of(exchange)[0], Json({{"status", "success"}}));
  EXPECT_TRUE(exchange->done());
  const auto whole = api.post("/api/pull", R"({"name":"stories:latest","stream":false})");
  EXPECT_FALSE(whole->streamed());
  EXPECT_EQ(json_of(whole), Json({{"status", "success"}}));
}

TEST_F(OllamaModels, TheSetOfModelsDoesNotChange) {
  const std::string only =
      "this server offers only stories:latest; start hypura serve with another model's file to offer that";
  expect_error("/api/pull", R"({"model":"llama3"})", 404, "model 'llama3' not found: " + only);
  for (const char* bad : {"", "a b", "../x", "/x", "x:", "a//b"}) {
    expect_error("/api/pull", std::string(R"({"model":")") + bad + "\"}", 400, "invalid model name");
  }
  expect_error("/api/copy", R"({"source":"stories","destination":"x"})", 501, only);
  expect_error("/api/copy", R"({"source":"none","destination":"x"})", 404, "model 'none' not found");
  expect_error("/api/create", R"({"model":"x"})", 501, only);
  expect_error("/api/push", R"({"model":"x"})", 501, only);
  expect_error("/api/blobs/sha256:00", "bytes", 501, only);
  EXPECT_EQ(api.call("HEAD", "/api/blobs/sha256:00")->status(), 404);
  const auto served = api.call("DELETE", "/api/delete", R"({"model":"stories"})");
  EXPECT_EQ(served->status(), 403);
  EXPECT_EQ(json_of(served), Json({{"error", "model 'stories' is not deleted: " + only}}));
  EXPECT_EQ(api.call("DELETE", "/api/delete", R"({"name":"none"})")->status(), 404);
}

TEST_F(OllamaModels, NothingGoesToTheCloud) {
  expect_error("/api/me", "", 401, "unauthorized");
  expect_error("/api/signout", "", 401, "unauthorized");
  EXPECT_EQ(json_of(api.call("GET", "/api/status")),
            parse_json(R"({"cloud":{"disabled":true,"source":"env"}})").value());
  EXPECT_EQ(api.post("/api/web_search", "{}")->status(), 501);
  EXPECT_EQ(api.call("GET", "/api/experimental/models")->status(), 501);
}

}  // namespace
}  // namespace hypura
