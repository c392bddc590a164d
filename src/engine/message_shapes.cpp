#include "engine/message_shapes.h"

#include <fmt/format.h>

#include <array>
#include <cctype>
#include <deque>
#include <utility>
#include <vector>

#include "chat.h"

namespace hypura {

namespace {

constexpr std::array<const char*, 4> kCommonIds = {"call_1x2mJ9QeTn0aVbRkWc5Yd8Lz", "toolu_01A09q90qw90lq917835lq9",
                                                   "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "7"};

class ShapeWriter {
 public:
  explicit ShapeWriter(CallIds ids) : ids_(ids) {}

  void add(char letter) {
    const bool text = letter != 's' && letter != 'u' && letter != 'a' && letter != 't' && letter != 'C' &&
                      letter != 'd' && letter != 'p';
    common_chat_msg& message = inputs_.messages.emplace_back();
    message.role = role(letter);
    if (text) {
      message.content = mark();
    }
    if (letter == 'r' || letter == 'p' || letter == 'q') {
      message.reasoning_content = "A thought.";
    }
    const int calls = letter == 'd' ? 2 : (letter == 'C' || letter == 'c' || letter == 'p' || letter == 'q' ? 1 : 0);
    for (int i = 0; i < calls; ++i) {
      open_.push_back(id());
      message.tool_calls.push_back({"look_up", fmt::format(R"({{"word":"{}"}})", mark()), open_.back()});
    }
    if (message.role == "tool") {
      message.tool_name = "look_up";
      message.tool_call_id = open_.empty() ? id() : open_.front();
      if (!open_.empty()) {
        open_.pop_front();
      }
    }
  }

  common_chat_templates_inputs& inputs() { return inputs_; }
  const std::vector<std::string>& marks() const { return marks_; }

 private:
  static const char* role(char letter) {
    switch (std::toupper(letter)) {
      case 'S':
        return "system";
      case 'U':
        return "user";
      case 'T':
        return "tool";
      default:
        return "assistant";
    }
  }

  // Text that no template has of its own.
  std::string mark() { return marks_.emplace_back(fmt::format("qz{}zq", 100 + marks_.size())); }

  std::string id() {
    const size_t count = given_++;
    return ids_ == CallIds::kNine ? fmt::format("callnum{:02}", count % 100) : kCommonIds[count % kCommonIds.size()];
  }

  CallIds ids_;
  size_t given_ = 0;
  std::deque<std::string> open_;  // calls without a result
  std::vector<std::string> marks_;
  common_chat_templates_inputs inputs_;
};

bool once_and_in_order(const std::string& prompt, const std::vector<std::string>& marks) {
  size_t at = 0;
  for (const std::string& mark : marks) {
    const size_t found = prompt.find(mark);
    if (found == std::string::npos || found < at || prompt.find(mark, found + 1) != std::string::npos) {
      return false;
    }
    at = found;
  }
  return true;
}

}  // namespace

bool MessageShapes::takes(std::string_view shape, CallIds ids) const {
  std::string key(shape);
  key += ids == CallIds::kNine ? '9' : '*';
  const std::lock_guard lock(mutex_);
  const auto known = known_.find(key);
  if (known != known_.end()) {
    return known->second;
  }
  return known_.emplace(std::move(key), tried(shape, ids)).first->second;
}

bool MessageShapes::tried(std::string_view shape, CallIds ids) const {
  ShapeWriter writer(ids);
  for (const char letter : shape) {
    writer.add(letter);
  }
  common_chat_templates_inputs& inputs = writer.inputs();
  if (tools_) {
    inputs.tools = {{"look_up", "Looks up a word.",
                     R"({"type":"object","properties":{"word":{"type":"string"}},"required":["word"]})"}};
    inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_NONE;  // only the prompt is wanted, no grammar
  }
  const std::optional<std::string> prompt = render_(inputs);
  return prompt && once_and_in_order(*prompt, writer.marks());
}

}  // namespace hypura
