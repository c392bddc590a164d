#include "chat/answer_shape.h"

#include <algorithm>

#include "chat.h"
#include "llama/text_grammar.h"

namespace hypura {

namespace {

constexpr const char* kContent = "zqcontentqz";
constexpr const char* kTool = "zqtoolqz";
constexpr const char* kThought = "zqthoughtqz";
constexpr const char* kJson = R"({"a":1})";

std::string without_space_around(const std::string& text) {
  constexpr const char* kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::string without_space_before(const std::string& text) {
  return text.substr(std::min(text.size(), text.find_first_not_of(" \t\r\n")));
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

class ShapeFinder {
 public:
  explicit ShapeFinder(const ChatPrompt& prompt) : prompt_(prompt) {}

  AnswerShape find() {
    AnswerShape shape;
    if (!look_at_prompt(false)) {
      return shape;
    }
    common_chat_msg content = assistant();
    content.content = kContent;
    shape.content_opening = opening_of(content, kContent);
    shape.content_is_known = content_of(shape.content_opening + kJson) == kJson;
    if (!shape.content_is_known) {
      shape.content_opening = without_space_before(shape.content_opening);
      shape.content_is_known = content_of(shape.content_opening + kJson) == kJson;
    }
    shape.beginning = begun_;
    if (!marks_.start.empty()) {
      const std::string thought = marks_.start + kThought + marks_.ends.front();
      shape.thoughts_are_known = content_of(thought + shape.content_opening + kJson) == kJson;
      const std::string before = thinks() ? "" : thought;
      const bool known = thinks() ? shape.content_is_known : shape.thoughts_are_known;
      const std::string spaced = without_space_around(content_of(before + " \n" + shape.content_opening + kJson));
      shape.space_is_content = known && !spaced.empty() && spaced != kJson;
    }
    content.reasoning_content = kThought;
    shape.after_thinking = between_thought_and(content, shape.content_opening);
    if (look_at_prompt(true)) {
      look_at_calls(shape);
    }
    return shape;
  }

 private:
  void look_at_calls(AnswerShape& shape) {
    common_chat_msg call = assistant();
    call.tool_calls = {{kTool, "{}", "abcdefgh1"}};
    const std::string opening = opening_of(call, kTool);
    const bool shown = rendered(&call).find(kTool, before_.size()) != std::string::npos;
    shape.call_opening = opening;
    if (!params_.grammar_lazy) {
      return;
    }
    for (const common_grammar_trigger& trigger : params_.grammar_triggers) {
      if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD) {
        const size_t at = opening.find(trigger.value);
        const std::string before = at == std::string::npos ? "" : opening.substr(0, at);
        shape.before_call = without_space_before(before);
        shape.space_before_call = shape.before_call.empty() ? before : "";
        shape.calls_begin_there = begins_call(trigger.value);
        return;
      }
    }
    shape.calls_begin_there = shown && begins_call(opening + kTool);
    shape.any_name_begins = shape.calls_begin_there && begins_call(opening + kThought);
  }

  bool begins_call(const std::string& text) const {
    auto grammar = TextGrammar::create(prompt_.control().vocab(), params_.grammar, "root");
    return grammar && grammar->add(text);
  }

  // What the parser takes for the content of an answer that has `text` after its thoughts.
  std::string content_of(const std::string& text) const {
    common_chat_parser_params parser(params_);
    parser.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
    try {
      parser.parser.load(params_.parser);
    } catch (...) {
      return {};
    }
    return parsed_content(parser, (thinks() ? marks_.ends.front() : "") + text);
  }

  bool thinks() const { return ends_in_thought(params_.generation_prompt, marks_); }

  static common_chat_msg assistant() {
    common_chat_msg message;
    message.role = "assistant";
    return message;
  }

  // Empty where the template refuses.
  std::string rendered(const common_chat_msg* answer) const {
    common_chat_templates_inputs inputs = inputs_;
    if (answer != nullptr) {
      inputs.messages.push_back(*answer);
      inputs.add_generation_prompt = false;
    }
    return prompt_.render(inputs).value_or(PromptText()).text;
  }

  // Notes what an answer follows; false where the template refuses.
  bool look_at_prompt(bool tools) {
    inputs_ = {};
    inputs_.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
    inputs_.messages.emplace_back().role = "user";
    inputs_.messages.back().content = "Hi";
    if (tools) {
      inputs_.tools = {{kTool, "Probes.", R"({"type":"object","properties":{}})"}};
    }
    const auto params = prompt_.apply(inputs_);
    if (!params) {
      return false;
    }
    marks_ = thinking_marks(*params);
    params_ = *params;
    begun_ = params->generation_prompt;
    const std::string& prompt = params->prompt;
    const bool ends =
        prompt.size() >= begun_.size() && prompt.compare(prompt.size() - begun_.size(), begun_.size(), begun_) == 0;
    before_ = ends ? prompt.substr(0, prompt.size() - begun_.size()) : prompt;
    if (!marks_.start.empty()) {  // a thought that the prompt begins, or rules out, is none of the answer's
      begun_ = begun_.substr(0, begun_.find(marks_.start));
    }
    return true;
  }

  // What the answer's rendering has between the prompt and `text`, thoughts left out.
  std::string opening_of(const common_chat_msg& answer, const std::string& text) const {
    std::string opening = before(rendered(&answer), text);
    if (const size_t end = marks_.ends.empty() ? std::string::npos : opening.rfind(marks_.ends.front());
        end != std::string::npos) {
      opening = without_space_before(opening.substr(end + marks_.ends.front().size()));
    }
    if (!marks_.start.empty() && without_space_before(opening).rfind(marks_.start, 0) == 0) {
      opening = without_space_before(without_space_before(opening).substr(marks_.start.size()));
    }
    return without_space_before(opening).empty() ? "" : opening;
  }

  // What `whole` has between the prompt and `text`.
  std::string before(const std::string& whole, const std::string& text) const {
    const size_t at = whole.find(text, std::min(whole.size(), before_.size()));
    const std::string prompt = before_ + begun_;
    if (at == std::string::npos || whole.compare(0, std::min(at, prompt.size()), prompt) != 0) {
      return {};
    }
    return whole.substr(prompt.size(), at - prompt.size());
  }

  std::string between_thought_and(const common_chat_msg& answer, const std::string& opening) const {
    const std::string whole = rendered(&answer);
    const size_t thought = whole.find(kThought);
    const size_t content = whole.find(kContent);
    if (thought == std::string::npos || content == std::string::npos || content < thought) {
      return {};
    }
    const std::string head = whole.substr(0, content);
    const size_t end = marks_.ends.empty() ? std::string::npos : head.find(marks_.ends.front(), thought);
    if (end == std::string::npos) {
      return {};
    }
    const std::string between = without_space_before(head.substr(end + marks_.ends.front().size()));
    return ends_with(between, opening) ? between.substr(0, between.size() - opening.size()) : "";
  }

  const ChatPrompt& prompt_;
  common_chat_templates_inputs inputs_;
  common_chat_params params_;
  ThinkingMarks marks_;
  std::string before_;  // the prompt, but for how the answer begins
  std::string begun_;   // how the answer begins in the prompt, up to a thought
};

}  // namespace

AnswerShape find_answer_shape(const ChatPrompt& prompt) {
  return ShapeFinder(prompt).find();
}

ThinkingMarks thinking_marks(const common_chat_params& params) {
  ThinkingMarks marks;
  if (!params.supports_thinking) {
    return marks;
  }
  marks.start = without_space_around(params.thinking_start_tag);
  for (const std::string& end : params.thinking_end_tags) {
    if (std::string mark = without_space_around(end); !mark.empty()) {
      marks.ends.push_back(std::move(mark));
    }
  }
  return marks.ends.empty() ? ThinkingMarks() : marks;
}

std::string parsed_content(const common_chat_parser_params& parser, const std::string& text) {
  try {  // perhaps by exceptions of another C++ library, where llama.cpp was built with one
    return common_chat_parse(text, true, parser).content;
  } catch (...) {
    return {};
  }
}

bool ends_in_thought(const std::string& text, const ThinkingMarks& marks) {
  const size_t start = marks.start.empty() ? std::string::npos : text.rfind(marks.start);
  return start != std::string::npos && text.find(marks.ends.front(), start + marks.start.size()) == std::string::npos;
}

}  // namespace hypura
