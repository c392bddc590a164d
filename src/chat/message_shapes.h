// Which message lists a chat template takes, found by trying them.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

struct common_chat_templates_inputs;

namespace hypura {

// The kinds of ids that calls of tools have.
enum class CallIds {
  kNine,    // nine letters or digits, as some templates demand
  kCommon,  // those that the APIs and their clients give out: "call_…", "toolu_…", UUIDs, numbers
};

// A list's shape has a letter for each message: S (system), U (user), A (assistant), C (assistant, one call) and T
// (tool) with text, and s, u, a, t without; c is a call with text, d two calls, r text with thinking, p a call with
// thinking, q all three. Every C is answered by the next T that is free. "U>UAU" are two lists of which the second goes
// on from the first: what the template makes of it must begin with what it makes of the first, up to the last text
// there.
//
// Each shape is tried once, when it is first asked for, and remembered. Thread-safe.
class MessageShapes {
 public:
  // Renders messages; none when the template refuses them.
  using Render = std::function<std::optional<std::string>(const common_chat_templates_inputs&)>;

  // `tools`: lists are tried together with a tool's definition.
  MessageShapes(Render render, bool tools) : render_(std::move(render)), tools_(tools) {}

  // Whether the template takes such lists: without refusing them, with the text and the arguments of each message once
  // and in order in what it makes of them, and the tools no more often than beside one message. Thinking may be left
  // out, as templates do.
  bool takes(std::string_view shape, CallIds ids = CallIds::kNine) const;

 private:
  bool tried(std::string_view shape, CallIds ids) const;
  std::pair<std::string, std::optional<size_t>> rendered(std::string_view shape, CallIds ids) const;

  bool tells_tools_again(const std::string& prompt) const;

  Render render_;
  bool tools_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, bool, std::less<>> known_;  // by shape and kind of ids
  mutable std::optional<size_t> tools_told_;                // how often in a prompt of one message
};

}  // namespace hypura
