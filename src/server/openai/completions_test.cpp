#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/openai/openai_for_test.h"

namespace hypura {
namespace {

class ManyCompletionsTest : public OpenaiTest {
 protected:
  ManyCompletionsTest() {
    api.generator().pieces = {text_piece("a"), text_piece("b")};
    api.generator().end.prompt_tokens = 10;
    api.generator().end.answer_tokens = 2;
  }

  std::shared_ptr<FakeExchange> complete(const std::string& fields) {
    return api.post("/v1/completions", R"({"model":"stories",)" + fields + "}");
  }

  // "index:text" of each choice.
  static std::string texts_of(const Json& json) {
    std::string texts;
    for (const Json& choice : json["choices"]) {
      texts += fmt::format("{}:{} ", choice["index"].get<int>(), choice["text"].get<std::string>());
    }
    return texts;
  }

  // The text of each choice of a stream.
  static std::vector<std::string> streamed(const std::vector<SseEvent>& events, size_t choices) {
    std::vector<std::string> texts(choices);
    for (const SseEvent& event : events) {
      if (event.text != "[DONE]" && !event.data["choices"].empty()) {
        const Json& choice = event.data["choices"][0];
        texts.at(choice["index"].get<size_t>()) += choice["text"].get<std::string>();
        texts.at(choice["index"].get<size_t>()) += choice["finish_reason"].is_null() ? "" : "!";
      }
    }
    return texts;
  }
};

TEST_F(ManyCompletionsTest, EachPromptHasItsChoices) {
  const Json json = json_of(complete(R"("prompt":["x","y"],"n":2)"));
  EXPECT_EQ(texts_of(json), "0:ab 1:ab 2:ab 3:ab ");
  EXPECT_EQ(json["usage"]["prompt_tokens"], 20);
  EXPECT_EQ(json["usage"]["completion_tokens"], 8);
  EXPECT_EQ(api.generator().requests.at(2).messages.at(0).content, "y");
}

TEST_F(ManyCompletionsTest, APromptMayBeWantedBack) {
  EXPECT_EQ(texts_of(json_of(complete(R"("prompt":"x ","echo":true)"))), "0:x ab ");
  EXPECT_EQ(texts_of(json_of(complete(R"("prompt":[[72,105],[79]],"echo":true)"))), "0:Hiab 1:Oab ");
  EXPECT_EQ(api.generator().requests.at(1).context, (std::vector<int32_t>{72, 105}));
  EXPECT_EQ(streamed(events_of(complete(R"("prompt":["x","y"],"echo":true,"stream":true)")), 2),
            (std::vector<std::string>{"xab!", "yab!"}));
  api.generator().pieces = {};
  EXPECT_EQ(texts_of(json_of(complete(R"("prompt":"x","echo":true,"max_tokens":0)"))), "0:x ");
  EXPECT_EQ(streamed(events_of(complete(R"("prompt":"x","echo":true,"stream":true)")), 1),
            std::vector<std::string>{"x!"});
}

TEST_F(ManyCompletionsTest, StreamsSeveralAtOnce) {
  api.generator().hold = true;
  const auto exchange = complete(R"("prompt":["x","y"],"stream":true,"stream_options":{"include_usage":true})");
  api.generator().give(2, text_piece("first "));
  api.generator().play(1);
  api.generator().play(2);
  const std::vector<SseEvent> events = events_of(exchange);
  EXPECT_EQ(events.front().data["choices"][0]["index"], 1);
  EXPECT_EQ(streamed(events, 2), (std::vector<std::string>{"ab!", "first ab!"}));
  EXPECT_EQ(events.at(events.size() - 2).data["usage"]["total_tokens"], 24);
  EXPECT_EQ(events.back().text, "[DONE]");
}

}  // namespace
}  // namespace hypura
