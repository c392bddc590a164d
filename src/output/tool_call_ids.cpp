#include "output/tool_call_ids.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "support/random_id.h"

namespace hypura {

namespace {

constexpr size_t kNine = 9;
constexpr size_t kNew = 8;
constexpr std::string_view kPrefix = "call_";

bool is_nine(std::string_view id) {
  return id.size() == kNine && std::all_of(id.begin(), id.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
         });
}

// Nine letters or digits that `text` alone decides.
std::string nine_of(std::string_view text) {
  constexpr std::string_view kLettersAndDigits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  constexpr uint64_t kOffset = 0xcbf29ce484222325;  // FNV-1a
  constexpr uint64_t kPrime = 0x100000001b3;
  uint64_t hash = kOffset;
  for (const char c : text) {
    hash = (hash ^ static_cast<uint8_t>(c)) * kPrime;
  }
  hash ^= hash >> 32U;
  std::string id;
  for (size_t i = 0; i < kNine; ++i) {
    id += kLettersAndDigits[hash % kLettersAndDigits.size()];
    hash /= kLettersAndDigits.size();
  }
  return id;
}

class NineIds {
 public:
  // Calls come before their results, so that which of two ids gives way does not change as a conversation grows.
  const std::string& of(const std::string& id) {
    const auto [place, is_new] = known_.try_emplace(id);
    if (is_new) {
      const bool ours = id.rfind(kPrefix, 0) == 0 && is_nine(std::string_view(id).substr(kPrefix.size()));
      std::string nine = is_nine(id) ? id : (ours ? id.substr(kPrefix.size()) : nine_of(id));
      for (int more = 1; !taken_.insert(nine).second; ++more) {
        nine = nine_of(fmt::format("{} {}", id, more));
      }
      place->second = std::move(nine);
    }
    return place->second;
  }

 private:
  std::unordered_map<std::string, std::string> known_;
  std::set<std::string> taken_;
};

// The calls of a conversation, and which of them have no result yet.
class Calls {
 public:
  void add(ToolCall& call) {
    if (call.id.empty()) {
      call.id = fmt::format("{}{}", kPrefix, names_.size() + 1);
    }
    open_.insert(names_.size());
    latest_[call.id] = names_.size();
    names_.emplace_back(call.id, call.name);
  }

  void answer(ChatMessage& result) {
    const auto call = call_of(result);
    if (!call) {
      return;
    }
    open_.erase(*call);
    const auto& [id, name] = names_[*call];
    result.tool_call_id = id;
    if (result.tool_name.empty()) {
      result.tool_name = name;
    }
  }

 private:
  std::optional<size_t> call_of(const ChatMessage& result) const {
    if (!result.tool_call_id.empty()) {
      const auto found = latest_.find(result.tool_call_id);
      return found == latest_.end() ? std::nullopt : std::optional(found->second);
    }
    constexpr int kMostAsked = 256;
    int asked = 0;
    for (auto it = open_.begin(); it != open_.end() && asked < kMostAsked; ++it, ++asked) {
      if (names_[*it].second == result.tool_name) {
        return *it;
      }
    }
    return open_.empty() ? std::nullopt : std::optional(*open_.begin());
  }

  std::vector<std::pair<std::string, std::string>> names_;  // ids and names of tools
  std::unordered_map<std::string, size_t> latest_;          // with an id
  std::set<size_t> open_;
};

}  // namespace

std::string id_for_client(std::string_view id) {
  if (id.empty()) {
    return random_id(kPrefix, kNew);
  }
  return is_nine(id) ? fmt::format("{}{}", kPrefix, id) : std::string(id);
}

void resolve_call_ids(std::vector<ChatMessage>& messages, bool nine) {
  Calls calls;
  NineIds nines;
  for (ChatMessage& message : messages) {
    if (message.role == "tool") {
      calls.answer(message);
      message.tool_call_id = nine ? nines.of(message.tool_call_id) : message.tool_call_id;
    }
    for (ToolCall& call : message.tool_calls) {
      calls.add(call);
      call.id = nine ? nines.of(call.id) : call.id;
    }
  }
}

}  // namespace hypura
