// A host, the catalogue of a folder and the routes above them: what clients see of models that come and go.
#include "server/library_local.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "server/fake_host_for_test.h"
#include "server/json/json.h"
#include "server/model_host_local.h"
#include "store/catalogue/fetched.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class LibraryTest : public testing::Test {
 protected:
  LibraryTest() {
    dir_.write("models/base.gguf", "GGUF");
    dir_.write("models/named.gguf", "GGUF");
    const std::string hex(64, 'a');
    dir_.write("ollama/blobs/sha256-" + hex, "GGUF");
    dir_.write("ollama/blobs/sha256-" + std::string(64, 'b'), "Be old.");
    dir_.write("ollama/blobs/sha256-" + std::string(64, 'c'),
               R"({"temperature":0.25,"top_k":7,"num_predict":11,"stop":["END"]})");
    const auto layer = [](const std::string& kind, const std::string& digest) {
      return R"({"mediaType":"application/vnd.ollama.image.)" + kind + R"(","digest":"sha256:)" + digest + "\"}";
    };
    dir_.write("ollama/manifests/registry.ollama.ai/library/theirs/latest",
               R"({"layers":[)" + layer("model", hex) + "," + layer("system", std::string(64, 'b')) + "," +
                   layer("params", std::string(64, 'c')) + "]}");
    options_.places.ollama = {dir_.path() / "ollama"};
    options_.places.folders = {dir_.path() / "models/more"};
    options_.places.data = dir_.path() / "data";
    options_.rest = 0;

    ModelHostOptions host;
    host.models = {{"", dir_.path() / "models/named.gguf"}, {"base:latest", dir_.path() / "models/base.gguf"}};
    host.read_card = [](const fs::path& file) {
      ModelCard card;
      card.name = file.stem().string();
      card.chat_template = "{{ messages }}";
      card.metadata = R"({"few":[1],"many":[1,2,3,4,5,6]})";
      return card;
    };
    host.open = [this](const Generator::Options& what) -> Result<std::unique_ptr<Generator>> {
      opened_.push_back(what.engine.model.filename().string());
      template_ = what.engine.chat_template;
      auto generator = std::make_unique<FakeGenerator>();
      generator_ = generator.get();
      return generator;
    };
    host.check = [](const fs::path& /*file*/) { return Status(); };
    host_ = make_model_host(std::move(host)).value();
    library_ = make_local_library(options_, *host_);
    context_ = std::make_unique<ApiContext>(ApiContext{*host_, metrics_, 4096, library_.get()});
  }

  std::shared_ptr<FakeExchange> call(const std::string& method, const std::string& path, const std::string& body = {},
                                     bool from_here = true) {
    auto exchange = std::make_shared<FakeExchange>(method, path, body);
    exchange->set_from_here(from_here);
    std::vector<Route> routes = ollama_routes();
    for (const auto& more : {openai_routes(), anthropic_routes()}) {
      routes.insert(routes.end(), more.begin(), more.end());
    }
    for (const Route& route : routes) {
      if (route.method == method && route.pattern == path) {
        route.handle(*context_, exchange);
      }
    }
    EXPECT_TRUE(exchange->wait()) << path << body;
    return exchange;
  }

  Json post(const std::string& path, const std::string& body) {
    return parse_json(call("POST", path, body)->body()).value_or(Json());
  }

  std::string error_of(const std::string& path, const std::string& body, int status) {
    const auto exchange = call("POST", path, body);
    EXPECT_EQ(exchange->status(), status) << exchange->body();
    return parse_json(exchange->body()).value_or(Json()).value("error", "");
  }

  std::vector<std::string> tags() {
    std::vector<std::string> names;
    const Json json = parse_json(call("GET", "/api/tags")->body()).value_or(Json());
    for (const Json& model : json.at("models")) {
      names.push_back(model.at("name"));
    }
    return names;
  }

  // The request that the model got last.
  const AnswerRequest& asked() const { return generator_->requests.back(); }

  TempDir dir_;
  LibraryOptions options_;
  std::vector<std::string> opened_;
  std::string template_;  // that the model was opened with last
  FakeGenerator* generator_ = nullptr;
  Metrics metrics_;
  std::unique_ptr<ModelHost> host_;
  std::unique_ptr<ModelLibrary> library_;
  std::unique_ptr<ApiContext> context_;
};

TEST_F(LibraryTest, ModelsAppearAndDisappear) {
  EXPECT_THAT(tags(), ElementsAre("named:latest", "base:latest", "theirs:latest"));
  const fs::path file = dir_.write("models/more/new.gguf", "GGUF");
  // The first to hear of it is a request that names it.
  EXPECT_EQ(post("/api/chat", R"({"model":"new","messages":[],"stream":false})")["done_reason"], "load");
  EXPECT_THAT(opened_, ElementsAre("new.gguf"));
  EXPECT_THAT(tags(), ElementsAre("named:latest", "base:latest", "theirs:latest", "new:latest"));
  const Json listed = parse_json(call("GET", "/v1/models")->body()).value();
  EXPECT_EQ(listed["data"].size(), 4U);
  fs::remove(file);
  EXPECT_THAT(tags(), ElementsAre("named:latest", "base:latest", "theirs:latest"));
  EXPECT_EQ(call("POST", "/api/show", R"({"model":"new"})")->status(), 404);
}

TEST_F(LibraryTest, VocabulariesOfModelsThatAreOnlyOfferedAreNotKept) {
  tags();
  EXPECT_EQ(host_->find("theirs")->card.metadata, R"({"few":[1],"many":[]})");
  EXPECT_EQ(host_->find("base")->card.metadata, R"({"few":[1],"many":[1,2,3,4,5,6]})");
  // The whole of it is read from the file, which is none here.
  EXPECT_EQ(call("POST", "/api/show", R"({"model":"theirs","verbose":true})")->status(), 500);
  EXPECT_EQ(call("POST", "/api/show", R"({"model":"theirs"})")->status(), 200);
}

TEST_F(LibraryTest, AnswersBeginAsOllamasModelSays) {
  post("/api/chat", R"({"model":"theirs","messages":[{"role":"user","content":"Hi"}],"options":{"top_k":9}})");
  ASSERT_EQ(asked().messages.size(), 2U);
  EXPECT_EQ(asked().messages[0].role, "system");
  EXPECT_EQ(asked().messages[0].content, "Be old.");
  EXPECT_FLOAT_EQ(asked().sampling.temperature, 0.25F);
  EXPECT_EQ(asked().sampling.top_k, 9) << "what a request says goes before";
  EXPECT_THAT(asked().stop, ElementsAre("END"));
  post("/api/generate", R"({"model":"theirs","prompt":"Hi","system":"Be new."})");
  EXPECT_EQ(asked().messages[0].content, "Be new.");
  post("/api/generate", R"({"model":"theirs","prompt":"Hi","raw":true})");
  EXPECT_TRUE(asked().messages.empty());
  EXPECT_EQ(asked().prompt, "Hi");
  post("/v1/chat/completions", R"({"model":"theirs","messages":[{"role":"user","content":"Hi"}]})");
  EXPECT_EQ(asked().messages[0].content, "Be old.");
  EXPECT_EQ(asked().sampling.top_k, 7);
  EXPECT_EQ(asked().max_tokens, 11);
  EXPECT_FLOAT_EQ(asked().sampling.temperature, 1) << "OpenAI's own default goes before the model's";
  EXPECT_THAT(asked().stop, ElementsAre("END"));
  post("/v1/messages", R"({"model":"theirs","max_tokens":5,"system":"S","messages":[{"role":"user","content":"Hi"}]})");
  EXPECT_EQ(asked().messages[0].content, "S");
  EXPECT_EQ(asked().max_tokens, 5);
}

TEST_F(LibraryTest, AModelIsMadeFromAModelfile) {
  const Json made = post(
      "/api/create", R"({"model":"pirate","stream":false,"modelfile":"FROM theirs\nSYSTEM Arr.\nPARAMETER top_k 3\n)"
                     R"(MESSAGE user Who?\nMESSAGE assistant \"Me.\"\nLICENSE free\n"})");
  EXPECT_EQ(made, Json({{"status", "success"}}));
  const Json shown = post("/api/show", R"({"model":"Pirate:latest"})");
  EXPECT_EQ(shown["system"], "Arr.");
  EXPECT_EQ(shown["license"], "free");
  EXPECT_EQ(shown["details"]["parent_model"], "theirs:latest");
  EXPECT_THAT(shown["parameters"], HasSubstr("temperature                    0.25"));
  EXPECT_THAT(shown["modelfile"], HasSubstr("FROM theirs:latest\nSYSTEM \"\"\"Arr.\"\"\"\nPARAMETER "));
  post("/api/chat", R"({"model":"pirate","messages":[{"role":"user","content":"Hi"}]})");
  ASSERT_EQ(asked().messages.size(), 4U);
  EXPECT_EQ(asked().messages[0].content, "Arr.");
  EXPECT_EQ(asked().messages[2].content, "Me.");
  EXPECT_EQ(asked().sampling.top_k, 3);
  EXPECT_FLOAT_EQ(asked().sampling.temperature, 0.25F);
  // The same weights: nothing is loaded anew.
  post("/api/chat", R"({"model":"theirs","messages":[{"role":"user","content":"Hi"}]})");
  EXPECT_EQ(opened_.size(), 1U);

  EXPECT_EQ(call("DELETE", "/api/delete", R"({"model":"pirate"})")->status(), 200);
  EXPECT_THAT(tags(), ElementsAre("named:latest", "base:latest", "theirs:latest"));
}

TEST_F(LibraryTest, AModelIsMadeFromFields) {
  const auto made = call("POST", "/api/create",
                         R"({"model":"me/calm:v1","from":"base","system":"Be calm.","parameters":{"seed":3},)"
                         R"("template":"{{ messages }}","messages":[{"role":"user","content":"Q"}]})");
  EXPECT_TRUE(made->streamed());
  EXPECT_EQ(made->body(), "{\"status\":\"success\"}\n");
  post("/api/chat", R"({"model":"me/calm:v1","messages":[{"role":"user","content":"Hi"}]})");
  EXPECT_EQ(asked().messages.size(), 3U);
  EXPECT_EQ(asked().sampling.seed, 3U);
  EXPECT_THAT(opened_, ElementsAre("base.gguf"));
}

TEST_F(LibraryTest, AModelIsMadeWithAnotherTemplate) {
  const std::string text = "{{ if .System }}S: {{ .System }}\n{{ end }}U: {{ .Prompt }}\nA: {{ .Response }}\n";
  const Json body = {
      {"model", "turns"}, {"stream", false}, {"modelfile", "FROM theirs\nTEMPLATE \"\"\"" + text + "\"\"\"\n"}};
  EXPECT_EQ(post("/api/create", dump_json(body)), Json({{"status", "success"}}));
  const Json shown = post("/api/show", R"({"model":"turns"})");
  EXPECT_EQ(shown["template"], text);
  EXPECT_THAT(shown["modelfile"], HasSubstr("TEMPLATE \"\"\"" + text + "\"\"\"\n"));
  EXPECT_EQ(shown["capabilities"], Json({"completion"}));
  EXPECT_EQ(shown["system"], "Be old.");
  // What it is made of with that Modelfile is the same again.
  const Json again = {{"model", "again"}, {"stream", false}, {"modelfile", shown["modelfile"]}};
  EXPECT_EQ(post("/api/create", dump_json(again)), Json({{"status", "success"}}));
  EXPECT_EQ(post("/api/show", R"({"model":"again"})")["template"], text);

  post("/api/chat", R"({"model":"theirs","messages":[{"role":"user","content":"Hi"}]})");
  EXPECT_EQ(template_, "");
  post("/api/chat", R"({"model":"turns","messages":[{"role":"user","content":"Hi"}]})");
  EXPECT_EQ(template_, text);
  EXPECT_EQ(opened_.size(), 2U) << "another template: the model is opened anew";
  post("/api/chat", R"({"model":"again","messages":[{"role":"user","content":"Hi"}]})");
  EXPECT_EQ(opened_.size(), 2U) << "the same one";
  post("/api/chat", R"({"model":"theirs","messages":[{"role":"user","content":"Hi"}]})");
  EXPECT_EQ(template_, "");

  // Made again with tools.
  post("/api/create",
       R"({"model":"turns","from":"theirs","stream":false,"template":"{{ .Tools }}{{ range .Messages }}{{ )"
       R"(.Content }}{{ end }}"})");
  EXPECT_EQ(post("/api/show", R"({"model":"turns"})")["capabilities"], Json({"completion", "tools"}));
}

TEST_F(LibraryTest, WhatCannotBeMadeIsRefusedByName) {
  const auto refused = [this](const std::string& rest, int status = 400) {
    return error_of("/api/create", R"({"model":"x",)" + rest + "}", status);
  };
  EXPECT_THAT(refused(R"("from":"base","template":"{{ .Prompt }}\n{{ .First }}")"),
              HasSubstr("TEMPLATE cannot be used: line 2, column 1: {{ .First }}: .First is not supported"));
  EXPECT_THAT(refused(R"("from":"base","template":"{% for messages")"), HasSubstr("TEMPLATE cannot be used: "));
  EXPECT_THAT(refused(R"("from":"base","adapters":{"a":"sha256:0"})"), HasSubstr("\"adapters\""));
  EXPECT_THAT(refused(R"("files":{"a.gguf":"sha256:0"})"), HasSubstr("\"files\""));
  EXPECT_THAT(refused(R"("from":"base","parameters":{"mirostat":1})"), HasSubstr("\"mirostat\""));
  EXPECT_THAT(refused(R"("from":"base","parameters":{"top_k":"x"})"), HasSubstr("top_k"));
  EXPECT_THAT(refused(R"("system":"S")"), HasSubstr("FROM"));
  EXPECT_THAT(refused(R"("from":"none")", 404), HasSubstr("model 'none' not found"));
  EXPECT_THAT(refused(R"("from":"/etc/passwd")", 404), HasSubstr("not found"));
  EXPECT_THAT(error_of("/api/create", R"({"model":"theirs","from":"base"})", 400), HasSubstr("Ollama"));
  EXPECT_THAT(error_of("/api/create", R"({"model":"named","from":"base"})", 400), HasSubstr("started with"));
  EXPECT_THAT(error_of("/api/create", R"({"model":"hf.co/o/r","from":"base"})", 400), HasSubstr("to fetch"));
  EXPECT_THAT(error_of("/api/create", R"({"from":"base"})", 400), HasSubstr("model is required"));
  EXPECT_THAT(tags(), ElementsAre("named:latest", "base:latest", "theirs:latest"));
}

TEST_F(LibraryTest, ACopyIsAnotherName) {
  const auto copied = call("POST", "/api/copy", R"({"source":"theirs","destination":"gpt-4o"})");
  EXPECT_EQ(copied->status(), 200);
  EXPECT_EQ(copied->body(), "");
  EXPECT_THAT(tags(), ElementsAre("named:latest", "base:latest", "gpt-4o:latest", "theirs:latest"));
  // A copy of a copy stays when that goes.
  EXPECT_EQ(call("POST", "/api/copy", R"({"source":"gpt-4o","destination":"other"})")->status(), 200);
  EXPECT_EQ(call("DELETE", "/api/delete", R"({"model":"gpt-4o"})")->status(), 200);
  post("/api/chat", R"({"model":"other","messages":[{"role":"user","content":"Hi"}]})");
  EXPECT_EQ(asked().messages[0].content, "Be old.");
  EXPECT_EQ(error_of("/api/copy", R"({"source":"none","destination":"x"})", 404), "model 'none' not found");
}

TEST_F(LibraryTest, OnlyWhatIsHypurasIsDeleted) {
  const fs::path file = dir_.write("data/web/mine.gguf", "GGUF");
  ASSERT_TRUE(record_fetched(dir_.path() / "data", {"https://example.org/mine.gguf", {{file, file}}}).has_value());
  for (const char* name : {"theirs", "named", "base"}) {
    const auto refused = call("DELETE", "/api/delete", std::string(R"({"model":")") + name + "\"}");
    EXPECT_EQ(refused->status(), 403) << name;
  }
  EXPECT_TRUE(fs::exists(dir_.path() / ("ollama/blobs/sha256-" + std::string(64, 'a'))));
  EXPECT_EQ(call("DELETE", "/api/delete", R"({"model":"none"})")->status(), 404);
  EXPECT_EQ(call("DELETE", "/api/delete", R"({"model":"https://example.org/mine.gguf"})")->status(), 200);
  EXPECT_FALSE(fs::exists(file));
}

TEST_F(LibraryTest, OtherMachinesChangeNothingUnlessTheyMay) {
  struct Change {
    const char* method;
    const char* path;
    const char* body;
  };
  for (const Change& change : {Change{"POST", "/api/create", R"({"model":"x","from":"base"})"},
                               Change{"POST", "/api/copy", R"({"source":"base","destination":"x"})"},
                               Change{"DELETE", "/api/delete", R"({"model":"theirs"})"}}) {
    const auto refused = call(change.method, change.path, change.body, false);
    EXPECT_EQ(refused->status(), 403) << change.path;
    EXPECT_THAT(refused->body(), HasSubstr("--allow-changes")) << change.path;
  }
  context_->allow_changes = true;
  EXPECT_EQ(call("POST", "/api/copy", R"({"source":"base","destination":"x"})", false)->status(), 200);
}

TEST_F(LibraryTest, WhoeverWaitsWhenItEndsIsTold) {
  std::vector<Status> told;
  for (int i = 0; i < 3; ++i) {
    library_->changed([&told](const Status& done) { told.push_back(done); });
  }
  library_.reset();
  EXPECT_EQ(told.size(), 3U);
}

}  // namespace
}  // namespace hypura
