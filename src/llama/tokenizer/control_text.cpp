#include "llama/tokenizer/control_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <utility>

#include "llama.h"
#include "support/fail.h"

namespace hypura {

namespace {

using Json = nlohmann::ordered_json;

std::string random_letters() {
  std::random_device random;
  return fmt::format("q{:08x}{:08x}q", random(), random());
}

template <class Change>
Json with_strings(const Json& value, Change change) {
  if (value.is_string()) {
    return change(value.get_ref<const std::string&>());
  }
  if (!value.is_structured()) {
    return value;
  }
  Json changed = value.is_array() ? Json::array() : Json::object();
  for (const auto& [key, item] : value.items()) {
    Json inner = with_strings(item, change);
    if (value.is_array()) {
      changed.push_back(std::move(inner));
    } else {
      changed[change(key)] = std::move(inner);
    }
  }
  return changed;
}

}  // namespace

std::string token_text(Vocabulary vocab, int32_t token, bool special) {
  std::string text(32, '\0');
  int32_t length = llama_token_to_piece(vocab.get(), token, text.data(), static_cast<int32_t>(text.size()), 0, special);
  if (length < 0) {
    text.resize(static_cast<size_t>(-length));
    length = llama_token_to_piece(vocab.get(), token, text.data(), static_cast<int32_t>(text.size()), 0, special);
  }
  text.resize(static_cast<size_t>(std::max(length, 0)));
  return text;
}

ControlText::ControlText(Vocabulary vocab) : vocab_(vocab) {
  std::vector<std::string> texts;
  for (llama_token token = 0; token < vocab.size(); ++token) {
    // User-defined tokens are left out: llama.cpp finds them in any text, and they are no more than that.
    if ((llama_vocab_get_attr(vocab.get(), token) & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) != 0) {
      texts.emplace_back(vocab.spelling(token));
    }
  }
  spellings_ = Spellings(std::move(texts));
}

std::string_view ControlText::at_beginning(std::string_view text) const {
  const size_t found = spellings_.at_beginning(text).longest;
  return found == Spellings::kNone ? std::string_view() : std::string_view(spellings_[found]);
}

bool ControlText::anywhere_in(std::string_view text) const {
  for (; !text.empty(); text.remove_prefix(1)) {
    if (!at_beginning(text).empty()) {
      return true;
    }
  }
  return false;
}

MaskedText::MaskedText(const ControlText& control) : control_(control), nonce_(random_letters()) {}

std::string MaskedText::mask(const std::string& text) {
  std::string masked;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view spelled = control_.at_beginning(rest);
    if (spelled.empty()) {
      masked += rest.front();
      rest.remove_prefix(1);
    } else {
      masked += fmt::format("{}{}q", nonce_, spelled_.size());
      spelled_.emplace_back(spelled);
      rest.remove_prefix(spelled.size());
    }
  }
  return masked;
}

Result<std::string> MaskedText::mask_json(const std::string& text, std::string_view what) {
  if (Status status = check_json(text, what); !status) {
    return propagate(status.error());
  }
  const Json masked =
      with_strings(Json::parse(text, nullptr, false), [this](const std::string& it) { return mask(it); });
  return masked.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Calls `plain` and `spelled` for the parts of `prompt` in turn: text as it stands and whether it is the last, and what
// a stand-in stands for.
template <class Plain, class Spelled>
void MaskedText::split(std::string_view prompt, Plain plain, Spelled spelled) const {
  while (!prompt.empty()) {
    const size_t at = any() ? prompt.find(nonce_) : std::string_view::npos;
    plain(prompt.substr(0, at), at == std::string_view::npos);
    if (at == std::string_view::npos) {
      return;
    }
    prompt.remove_prefix(at + nonce_.size());
    size_t index = 0;
    while (!prompt.empty() && prompt.front() >= '0' && prompt.front() <= '9' && index < spelled_.size()) {
      index = index * 10 + static_cast<size_t>(prompt.front() - '0');
      prompt.remove_prefix(1);
    }
    prompt.remove_prefix(prompt.empty() ? 0 : 1);  // the q at its end
    if (index < spelled_.size()) {
      spelled(spelled_[index]);
    }
  }
}

std::string MaskedText::text(std::string_view prompt) const {
  std::string text;
  split(
      prompt, [&](std::string_view it, bool /*last*/) { text += it; }, [&](const std::string& it) { text += it; });
  return text;
}

std::vector<int32_t> MaskedText::tokens(std::string_view prompt, bool add_bos) const {
  std::vector<int32_t> tokens;
  std::string spelled;  // text that is not to be read as control tokens
  const auto append = [&](std::string_view text, bool parse_special) {
    if (!text.empty() || (add_bos && tokens.empty())) {
      const std::vector<int32_t> more = tokenize_text(control_.vocab(), text, add_bos && tokens.empty(), parse_special);
      tokens.insert(tokens.end(), more.begin(), more.end());
    }
  };
  const auto plain = [&](std::string_view text, bool last) {
    // A call of llama.cpp's for each would take minutes where there are many.
    if (!spelled.empty() && !last && !control_.anywhere_in(text)) {
      spelled += text;
      return;
    }
    if (!spelled.empty()) {
      append(std::exchange(spelled, {}), false);
    }
    append(text, true);
  };
  split(prompt, plain, [&](const std::string& it) { spelled += it; });
  return tokens;
}

Status check_json(const std::string& text, std::string_view what) {
  if (too_deep(text)) {
    return fail(ErrorCode::kUsage, "{}: the JSON is nested deeper than {} levels", what, kDeepestJson);
  }
  if (!Json::accept(text)) {
    return fail(ErrorCode::kUsage, "{}: this is not JSON", what);
  }
  return {};
}

bool too_deep(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size() && depth <= kDeepestJson; ++i) {
    if (quoted && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && (text[i] == '{' || text[i] == '[')) {
      ++depth;
    } else if (!quoted && (text[i] == '}' || text[i] == ']')) {
      --depth;
    }
  }
  return depth > kDeepestJson;
}

}  // namespace hypura
