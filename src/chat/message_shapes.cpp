#include "chat/message_shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <deque>
#include <utility>
#include <vector>

#include "chat.h"
#include "support/occurrences.h"

namespace hypura {

namespace {

constexpr const char* kToolText = "Looks up a word.";
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

// Where the last mark is; none when a mark is missing, there twice or out of order.
std::optional<size_t> last_in_order(const std::string& prompt, const std::vector<std::string>& marks) {
  size_t at = 0;
  for (const std::string& mark : marks) {
    const size_t found = prompt.find(mark);
    if (found == std::string::npos || found < at || prompt.find(mark, found + 1) != std::string::npos) {
      return std::nullopt;
    }
    at = found;
  }
  return at;
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
  const size_t more = shape.find('>');
  const auto [before, last] = rendered(shape.substr(0, more), ids);
  if (!last || tells_tools_again(before)) {
    return false;
  }
  if (more == std::string_view::npos) {
    return true;
  }
  const auto [after, its_last] = rendered(shape.substr(more + 1), ids);
  return its_last && !tells_tools_again(after) && after.compare(0, *last, before, 0, *last) == 0;
}

// The prompt, and where in it the last text is; that is missing when the template does not take the list.
std::pair<std::string, std::optional<size_t>> MessageShapes::rendered(std::string_view shape, CallIds ids) const {
  ShapeWriter writer(ids);
  for (const char letter : shape) {
    writer.add(letter);
  }
  common_chat_templates_inputs& inputs = writer.inputs();
  if (tools_) {
    inputs.tools = {
        {"look_up", kToolText, R"({"type":"object","properties":{"word":{"type":"string"}},"required":["word"]})"}};
  }
  std::optional<std::string> prompt = render_(inputs);
  if (!prompt) {
    return {};
  }
  const std::optional<size_t> last = last_in_order(*prompt, writer.marks());
  return {std::move(*prompt), last};
}

// Some templates tell of the tools in each message of the system's: thousands of tokens, where agents have many.
bool MessageShapes::tells_tools_again(const std::string& prompt) const {
  if (!tools_) {
    return false;
  }
  if (!tools_told_) {
    tools_told_ = std::max<size_t>(1, occurrences(rendered("U", CallIds::kNine).first, kToolText));
  }
  return occurrences(prompt, kToolText) > *tools_told_;
}

}  // namespace hypura
