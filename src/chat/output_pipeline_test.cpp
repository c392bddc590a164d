#include "output/output_pipeline.h"

#include <gtest/gtest.h>

#include <utility>

#include "chat/chat_format.h"
#include "llama.h"
#include "llama/llama_context.h"
#include "llama/llama_runtime.h"
#include "llama/model_with_template_for_test.h"
#include "llama/models_for_test.h"
#include "llama/tokenizer/control_text.h"
#include "output/requests_for_test.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

class OutputPipelineTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(init_llama());
    const auto path = folder_.path() / "thinking.gguf";
    ASSERT_TRUE(write_with_template(kModels / "hypura-stories-draft.gguf", path, kThinkingTemplate, false));
    llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    model_.reset(llama_model_load_from_file(path.c_str(), params));
    ASSERT_NE(model_, nullptr);
    vocab_ = Vocabulary(*model_);
  }

  std::vector<int32_t> tokens(const std::string& text) const { return tokenize_text(vocab_, text, false, false); }

  // What an answer to a conversation is made with.
  AnswerForm form() {
    const ChatPrompt prompt(*model_);
    AnswerRequest request;
    request.messages = {says("user", "Hi")};
    auto chat = ChatFormat(prompt).form(request);
    EXPECT_TRUE(chat) << chat.error().message;
    AnswerForm form;
    if (chat) {
      form.parser = std::move(chat->parser);
    }
    return form;
  }

  // The whole answer of a model that says `said`, until it stops; and how it ends.
  Heard answer(AnswerForm form, const std::vector<int32_t>& said) {
    SamplingOptions greedy;
    greedy.temperature = 0;
    auto sampler = AnswerSampler::create(greedy, vocab_, {});
    EXPECT_TRUE(sampler) << sampler.error().message;
    form.sampler = std::move(*sampler);
    form.max_tokens = static_cast<int32_t>(said.size());
    OutputPipeline pipeline(vocab_, std::move(form));
    Heard heard;
    for (const int32_t token : said) {
      std::vector<float> logits(static_cast<size_t>(vocab_.size()));
      logits[static_cast<size_t>(token)] = 100;
      AnswerStep step = pipeline.step(logits.data());
      EXPECT_EQ(step.token, token);
      heard.append(std::move(step.piece));
      if (step.stop) {
        heard.end.stop = *step.stop;
        break;
      }
    }
    heard.append(pipeline.finish());
    pipeline.tell(heard.end);
    return heard;
  }

  TempDir folder_;
  LlamaModelPtr model_;
  Vocabulary vocab_{nullptr};
};

TEST_F(OutputPipelineTest, CountsTheTokensThatWereThinking) {
  // Characters of several tokens count with all of them, as do those that make the mark.
  const auto thought = tokens("<think>\nWho is this? \U0001F98A\U0001F98A I know her");
  const auto mark = tokens(".\n</think>\n\n");
  const auto content = tokens("Hello, old friend! \U0001F98A How do you do? Once upon a time we met in the wood.");
  std::vector<int32_t> all = thought;
  all.insert(all.end(), mark.begin(), mark.end());
  all.insert(all.end(), content.begin(), content.end());
  const Heard heard = answer(form(), all);
  ASSERT_NE(heard.thinking.find("I know her"), std::string::npos) << heard.thinking;
  ASSERT_EQ(heard.content.substr(0, 5), "Hello");
  EXPECT_GE(heard.end.thinking_tokens, thought.size() - 1);  // the end of the thought may wait for what comes next
  EXPECT_LE(heard.end.thinking_tokens, thought.size() + mark.size());
}

TEST_F(OutputPipelineTest, ContentIsNoThinking) {
  EXPECT_EQ(answer({}, tokens("<think> is only text here")).end.thinking_tokens, 0U) << "without a parser";
  const Heard heard = answer(form(), tokens("Hello, friend!"));
  EXPECT_EQ(heard.content, "Hello, friend!");
  EXPECT_EQ(heard.end.thinking_tokens, 0U);
}

TEST_F(OutputPipelineTest, TellsWhichStopStringItWas) {
  AnswerForm form;
  form.stops = {"never said", "", "nd of"};
  form.form_stops = {"never said either"};
  const Heard heard = answer(std::move(form), tokens("The end of it"));
  EXPECT_EQ(heard.content, "The e");
  EXPECT_EQ(heard.end.stop, StopReason::kStopString);
  EXPECT_EQ(heard.end.stop_string, "nd of");
}

TEST_F(OutputPipelineTest, AStopStringOfTheTemplateIsTheModelsOwnEnd) {
  AnswerForm form;
  form.stops = {"never said"};
  form.form_stops = {"</assistant>"};
  const Heard heard = answer(std::move(form), tokens("Bye.</assistant> more"));
  EXPECT_EQ(heard.content, "Bye.");
  EXPECT_EQ(heard.end.stop, StopReason::kEndOfText);
  EXPECT_EQ(heard.end.stop_string, "");
}

}  // namespace
}  // namespace hypura
