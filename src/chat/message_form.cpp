#include "chat/message_form.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <deque>
#include <string>
#include <unordered_map>
#include <utility>

#include "chat.h"

namespace hypura {

namespace {

using Messages = std::vector<common_chat_msg>;

constexpr const char* kNoText = "(empty)";
constexpr std::ptrdiff_t kFarthest = 64;  // messages between a call and its result

// What a message is for what may follow it: the letters of MessageShapes, '^' for the beginning, 'L' for a system's
// message behind the beginning.
char letter_of(const common_chat_msg& message) {
  if (message.role == "assistant") {
    return message.tool_calls.empty() ? 'A' : 'C';
  }
  return message.role == "system" ? 'S' : (message.role == "tool" ? 'T' : 'U');
}

void join_text(std::string& text, const std::string& more) {
  text += (text.empty() || more.empty() ? "" : "\n\n") + more;
}

void join(common_chat_msg& message, common_chat_msg next) {
  join_text(message.content, next.content);
  join_text(message.reasoning_content, next.reasoning_content);
  std::move(next.tool_calls.begin(), next.tool_calls.end(), std::back_inserter(message.tool_calls));
}

common_chat_msg text_message(const char* role, std::string text) {
  common_chat_msg message;
  message.role = role;
  message.content = std::move(text);
  return message;
}

bool answers(const common_chat_msg& result, const common_chat_msg& calls) {
  return std::any_of(calls.tool_calls.begin(), calls.tool_calls.end(),
                     [&](const common_chat_tool_call& it) { return it.id == result.tool_call_id; });
}

class Arranger {
 public:
  Arranger(Messages messages, const TakesShape& takes, const CallWriter& write_call)
      : takes_(takes), write_call_(write_call) {
    std::move(messages.begin(), messages.end(), std::back_inserter(coming_));
  }

  Messages arranged(bool continued) {
    while (!coming_.empty()) {
      common_chat_msg message = std::move(coming_.front());
      coming_.pop_front();
      add(std::move(message));
    }
    if (last() == 'C' && !takes_("UC")) {
      answer_calls();
    }
    add_missing_user(continued && !done_.empty());
    return std::move(done_);
  }

 private:
  bool takes_all(std::initializer_list<std::string_view> shapes) const {
    return std::all_of(shapes.begin(), shapes.end(), [this](std::string_view it) { return takes_(it); });
  }

  char last() const {
    if (done_.empty()) {
      return '^';
    }
    const char letter = letter_of(done_.back());
    return letter == 'S' && !only_system_ ? 'L' : letter;
  }

  void push(common_chat_msg message) {
    only_system_ = only_system_ && message.role == "system";
    done_.push_back(std::move(message));
  }

  // Whether `next` may follow the last message, in the middle of a conversation and, but for an assistant, at its end.
  bool may_follow(char next) const {
    static constexpr std::string_view kLasts = "^SUACTL";
    static constexpr std::array<std::string_view, 7> kBefore = {"", "S", "U", "UA", "UC", "UCT", "US"};
    const std::string before(kBefore[kLasts.find(last())]);
    switch (next) {
      case 'U':
        return takes_(before + "UAU") && takes_(before + "U");
      case 'A':
        return takes_(before + "AU");
      case 'C':
        return takes_(before + "CTAU");
      default:
        return takes_(before + "TAU") && takes_(before + "T");
    }
  }

  bool takes_system() const { return takes_all({"SU", "SUAU"}); }
  bool takes_late_system() const {
    return takes_all({"US", "USAU", "USUAU", "USSAU", "UAS", "UASUAU"}) && (!takes_calls() || takes_("UCTSAU"));
  }
  bool takes_calls() const { return takes_("UCTAU"); }

  bool takes_with_text(const common_chat_msg& calls) const {
    return takes_all({"UcTAU", "UcT"}) && (calls.reasoning_content.empty() || takes_all({"UqTAU", "UqT"}));
  }

  // A message without text for the user or the assistant, or one that says so where the template takes none.
  common_chat_msg filler(const char* role) const {
    const bool empty = takes_(role == std::string_view("user") ? "uAU" : "UaU");
    return text_message(role, empty ? "" : kNoText);
  }

  // Where the template refuses a message without text, it gets some.
  void fill(common_chat_msg& message, std::string_view in_the_middle, std::string_view at_the_end) const {
    const bool refused = message.content.empty() && message.reasoning_content.empty() &&
                         !(takes_(in_the_middle) && (at_the_end.empty() || takes_(at_the_end)));
    message.content = refused ? kNoText : std::move(message.content);
  }

  void add(common_chat_msg message) {
    switch (letter_of(message)) {
      case 'S':
        return add_system(std::move(message));
      case 'A':
        return add_assistant(std::move(message));
      case 'C':
        return add_calls(std::move(message));
      case 'T':
        return add_result(std::move(message));
      default:
        return add_user(std::move(message));
    }
  }

  void add_system(common_chat_msg message) {
    if (message.content.empty() && !takes_("sU")) {
      return;  // nothing is lost
    }
    const char before = last();
    if (before != '^' && before != 'S' ? !takes_late_system() : !takes_system()) {
      message.role = "user";
      add_user(std::move(message));
    } else if (before == 'S' && !takes_all({"SSU", "SSUAU"})) {
      join(done_.back(), std::move(message));
    } else {
      push(std::move(message));
    }
  }

  void add_user(common_chat_msg message) {
    fill(message, "uAU", "u");
    const char before = last();
    if (may_follow('U')) {
      push(std::move(message));
    } else if (before == 'U') {
      join(done_.back(), std::move(message));
    } else if (before == 'C') {
      answer_calls();
      add_user(std::move(message));
    } else if (before == 'T' && !takes_all({"UCTaU", "UCTaUAU"})) {
      join(done_.back(), std::move(message));
    } else {
      if (before == 'T') {
        push(filler("assistant"));
      }
      push(std::move(message));
    }
  }

  // The results that come later, and empty ones for the calls that have none.
  void answer_calls() {
    const common_chat_msg calls = done_.back();
    for (const common_chat_tool_call& call : calls.tool_calls) {
      const auto near = coming_.begin() + std::min(kFarthest, static_cast<std::ptrdiff_t>(coming_.size()));
      const auto result = std::find_if(coming_.begin(), near, [&](const common_chat_msg& it) {
        return it.role == "tool" && it.tool_call_id == call.id;
      });
      common_chat_msg answer = text_message("tool", "");
      answer.tool_name = call.name;
      answer.tool_call_id = call.id;
      if (result != near) {
        answer = std::move(*result);
        coming_.erase(result);
      }
      push(std::move(answer));
    }
  }

  void add_assistant(common_chat_msg message) {
    if (!message.reasoning_content.empty() && !message.content.empty() && !takes_("UrU")) {
      message.reasoning_content.clear();  // the template would leave the text out for it
    }
    if (!coming_.empty()) {  // else there is nothing to go on with
      fill(message, "UaU", "");
    }
    const char before = last();
    if (may_follow('A')) {
      push(std::move(message));
    } else if (before == 'A') {
      join(done_.back(), std::move(message));
    } else if (before == 'C') {
      answer_calls();
      add_assistant(std::move(message));
    } else {
      if (before == '^' || before == 'S') {
        push(filler("user"));
      }
      push(std::move(message));
    }
  }

  void add_calls(common_chat_msg message) {
    if (!takes_calls()) {
      for (const common_chat_tool_call& call : message.tool_calls) {
        join_text(message.content, write_call_(call));
      }
      message.tool_calls.clear();
      return add_assistant(std::move(message));
    }
    if (message.tool_calls.size() > 1 && !takes_("UdTTAU")) {
      message = first_of(std::move(message));
    }
    if (!message.content.empty() && !takes_with_text(message)) {
      add_assistant(text_message("assistant", std::exchange(message.content, "")));  // else it would be left out
    }
    if (!message.reasoning_content.empty() && !takes_("UpTAU")) {
      message.reasoning_content.clear();
    }
    push_calls(std::move(message));
  }

  // The first of several calls; its result, and then the others with theirs, come next.
  common_chat_msg first_of(common_chat_msg message) {
    Messages results;
    std::unordered_map<std::string, std::deque<size_t>> of_call;
    for (; !coming_.empty() && coming_.front().role == "tool"; coming_.pop_front()) {
      of_call[coming_.front().tool_call_id].push_back(results.size());
      results.push_back(std::move(coming_.front()));
    }
    std::vector<bool> placed(results.size());
    Messages one_by_one;
    for (common_chat_tool_call& call : message.tool_calls) {
      std::deque<size_t>& own = of_call[call.id];
      one_by_one.push_back(text_message("assistant", ""));
      one_by_one.back().tool_calls.push_back(std::move(call));
      if (!own.empty()) {
        placed[own.front()] = true;
        one_by_one.push_back(std::move(results[own.front()]));
        own.pop_front();
      }
    }
    for (size_t i = 0; i < results.size(); ++i) {
      if (!placed[i]) {
        one_by_one.push_back(std::move(results[i]));
      }
    }
    message.tool_calls = std::move(one_by_one.front().tool_calls);
    coming_.insert(coming_.begin(), std::make_move_iterator(one_by_one.begin() + 1),
                   std::make_move_iterator(one_by_one.end()));
    return message;
  }

  // The assistant's last message becomes part of the one before, for templates that want a user's message after it but
  // put something before the user's latest, the tools for example, which would wander with each call.
  void tell_earlier() {
    const std::string text = std::move(done_.back().content);
    done_.pop_back();
    if (done_.empty()) {
      push(filler("user"));
    } else if (last() == 'C') {
      answer_calls();
    }
    join_text(done_.back().content, text.empty() ? "" : fmt::format("(The assistant said: {})", text));
  }

  void push_calls(common_chat_msg message) {
    const char before = last();
    if (before == 'C' && !may_follow('C')) {
      answer_calls();
      return push_calls(std::move(message));
    }
    if (!may_follow('C')) {
      if (before == 'A' && takes_with_text(message)) {
        join(done_.back(), std::move(message));
        return;
      }
      if (before == 'A' && !takes_("U>UAuCT")) {
        tell_earlier();
      } else if (before != 'U') {
        push(filler("user"));
      }
    }
    push(std::move(message));
  }

  void add_result(common_chat_msg message) {
    if (takes_calls()) {
      fill(message, "UCtAU", "UCt");
    }
    const size_t count = done_.size();
    if (may_follow('T')) {
      push(std::move(message));
    } else if (last() == 'A' && count > 1 && answers(message, done_[count - 2]) && takes_with_text(done_[count - 2])) {
      common_chat_msg text = std::move(done_.back());  // said with the calls
      done_.pop_back();
      join(done_.back(), std::move(text));
      push(std::move(message));
    } else {
      const std::string name = message.tool_name.empty() ? "a tool" : message.tool_name;
      add_user(text_message("user", fmt::format("Result of {}:\n{}", name, message.content)));
    }
  }

  // Some templates want a user in every conversation.
  void add_missing_user(bool continued) {
    const auto end = done_.end() - (continued ? 1 : 0);
    if (std::any_of(done_.begin(), end, [](const common_chat_msg& it) { return letter_of(it) == 'U'; })) {
      return;
    }
    constexpr std::ptrdiff_t kLongest = 8;
    std::string shape;
    for (auto it = done_.begin(); it != end && it - done_.begin() < kLongest; ++it) {
      shape += letter_of(*it);
    }
    if (!takes_(shape)) {
      const auto at = std::find_if(done_.begin(), end, [](const auto& it) { return it.role != "system"; });
      done_.insert(at, filler("user"));
    }
  }

  const TakesShape& takes_;
  const CallWriter& write_call_;
  std::deque<common_chat_msg> coming_;
  Messages done_;
  bool only_system_ = true;  // among what is done
};

}  // namespace

void arrange_messages(Messages& messages, bool continued, const TakesShape& takes, const CallWriter& write_call) {
  messages = Arranger(std::move(messages), takes, write_call).arranged(continued);
}

bool strictest_takes(std::string_view shape) {
  for (size_t i = 0; i < shape.size(); ++i) {
    const std::string_view wanted = i % 2 == 0 ? "Uu" : "Aar";
    if (wanted.find(shape[i]) == std::string_view::npos) {
      return false;
    }
  }
  return !shape.empty();
}

}  // namespace hypura
