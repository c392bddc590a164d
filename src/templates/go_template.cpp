#include "templates/go_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "support/fail.h"
#include "support/printable.h"
#include "templates/go_expression.h"
#include "templates/go_lexer.h"

namespace hypura {

namespace {

using Kind = GoValue::Kind;

constexpr size_t kDeepestBlock = 50;
constexpr size_t kLargestJinja = size_t{256} << 10;

// Turns of a conversation as Ollama makes them, for a template that knows .System, .Prompt and .Response. What comes
// after a turn's end begins the next one.
constexpr std::string_view kTurnsBegin =
    "{%- set go = namespace(system='', prompt='', response='') -%}{%- for m in messages -%}"
    "{%- if (m['role'] == 'system' and (go.prompt or go.response)) or (m['role'] == 'user' and go.response) -%}";
constexpr std::string_view kTurnsEnd =
    "{%- set go.system = '' -%}{%- set go.prompt = '' -%}{%- set go.response = '' -%}{%- endif -%}"
    "{%- set text = m['content'] or '' -%}"
    "{%- if m['role'] == 'system' -%}{%- set go.system = go.system ~ (\"\\n\\n\" if go.system else '') ~ text -%}"
    "{%- elif m['role'] == 'user' -%}{%- set go.prompt = go.prompt ~ (\"\\n\\n\" if go.prompt else '') ~ text -%}"
    "{%- elif m['role'] == 'assistant' -%}"
    "{%- set go.response = go.response ~ (\"\\n\\n\" if go.response else '') ~ text -%}{%- endif -%}{%- endfor -%}";

// Messages as Ollama gives them to a template: those of one role in a row are one, but for results of tools, and calls
// are not lost. In between come conditions, and fields that the template asks for.
constexpr std::string_view kMessagesBegin =
    "{%- set go = namespace(system='', messages=[], tail=none) -%}{%- for m in messages -%}"
    "{%- set text = m['content'] or '' -%}"
    "{%- if m['role'] == 'system' -%}{%- set go.system = go.system ~ (\"\\n\\n\" if go.system else '') ~ text -%}"
    "{%- endif -%}"
    "{%- if go.tail and go.tail['role'] == m['role'] and m['role'] != 'tool'";
constexpr std::string_view kMessagesJoin =
    " -%}{%- set tail = go.tail -%}{%- set tail.content = tail['content'] ~ \"\\n\\n\" ~ text -%}"
    "{%- else -%}{%- set go.tail = namespace(role=m['role'], content=text";
constexpr std::string_view kMessagesEnd =
    ") -%}{%- set added = go.messages.append(go.tail) -%}{%- endif -%}{%- endfor -%}";

// Fields of messages besides, where the template asks for them.
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kMore = {{
    {"Thinking", "reasoning_content"},
    {"ToolCalls", "tool_calls"},
    {"ToolName", "name"},
    {"ToolCallID", "tool_call_id"},
}};

enum class GoBlock { kIf, kRange, kWith };

// Writes the Jinja for one rendering of a template.
class GoWriter {
 public:
  GoWriter(const std::vector<GoPiece>& pieces, bool messages, size_t& names, std::string& out)
      : pieces_(pieces), names_(names), out_(out) {
    scope_.messages = messages;
  }

  // `open`: nothing that comes after .Response is written. On failure at() is the piece that it is of.
  Status write(bool open) {
    open_ = open;
    Status status = list(0);
    if (status && at_ < pieces_.size()) {
      return fail(ErrorCode::kUsage, "there is no block that it belongs to");
    }
    return status;
  }

  size_t at() const { return std::min(at_, pieces_.size() - 1); }

 private:
  // Of the action at_, its first word where it is one of a statement.
  std::string_view statement() const {
    static constexpr std::array<std::string_view, 10> kStatements = {
        "if", "range", "with", "else", "end", "break", "continue", "define", "block", "template"};
    const std::vector<GoToken>& tokens = pieces_[at_].tokens;
    const bool word = !tokens.empty() && tokens.front().kind == GoKind::kWord;
    return word && std::ranges::find(kStatements, tokens.front().text) != kStatements.end()
               ? std::string_view(tokens.front().text)
               : std::string_view();
  }

  // Up to an else or end that belongs to what is around it, or to the end of the template.
  Status list(size_t depth) {
    if (depth > kDeepestBlock) {
      return fail(ErrorCode::kUsage, "blocks are nested more than {} levels deep", kDeepestBlock);
    }
    for (; at_ < pieces_.size(); ++at_) {
      const GoPiece& piece = pieces_[at_];
      const std::string_view word = piece.action ? statement() : std::string_view();
      if (word == "else" || word == "end") {
        return {};
      }
      Status status = !piece.action  ? put(fmt::format("{{{{- {} -}}}}", jinja_text(piece.text)))
                      : word.empty() ? action(piece.tokens)
                                     : statement_of(word, depth);
      if (!status) {
        return status;
      }
    }
    return {};
  }

  Status put(std::string_view code) {
    if (!cut_) {
      out_ += code;
    }
    return out_.size() <= kLargestJinja ? Status() : fail(ErrorCode::kUsage, "it makes too large a template");
  }

  Status statement_of(std::string_view word, size_t depth) {
    if (word == "if") {
      return block(GoBlock::kIf, depth);
    }
    if (word == "range") {
      return block(GoBlock::kRange, depth);
    }
    if (word == "with") {
      return block(GoBlock::kWith, depth);
    }
    const bool alone = pieces_[at_].tokens.size() == 1;
    if ((word == "break" || word == "continue") && alone && loops_ > 0) {
      return put(fmt::format("{{%- {} -%}}", word));
    }
    return fail(ErrorCode::kUsage, "'{}' is not supported{}", word,
                word == "break" || word == "continue" ? " there" : "");
  }

  // What is shown, or a variable that is set.
  Status action(const std::vector<GoToken>& tokens) {
    if (tokens.size() > 1 && tokens[0].kind == GoKind::kVariable &&
        (tokens[1].kind == GoKind::kDeclare || tokens[1].kind == GoKind::kAssign)) {
      return variable(tokens);
    }
    auto value = GoExpression(tokens, 0, scope_).whole();
    if (!value) {
      return propagate(value.error());
    }
    if (value->kind == Kind::kRoot) {
      return fail(ErrorCode::kUsage, "all that the template is given is not supported as a value");
    }
    Status status = value->kind == Kind::kText
                        ? put(fmt::format("{{{{- {} -}}}}", value->code))
                        : put(fmt::format("{{%- set go.out = {} -%}}{{%- if go.out is string -%}}{{{{- go.out -}}}}"
                                          "{{%- elif go.out is defined and go.out is not none -%}}"
                                          "{{{{- go.out | tojson(separators=[',', ':']) -}}}}{{%- endif -%}}",
                                          value->code));
    cut_ = cut_ || (open_ && names_field(tokens, "Response"));
    return status;
  }

  Status variable(const std::vector<GoToken>& tokens) {
    const std::string& name = tokens[0].text;
    auto value = GoExpression(tokens, 2, scope_).whole();
    if (!value) {
      return propagate(value.error());
    }
    if (value->kind == Kind::kRoot || name.empty()) {
      return fail(ErrorCode::kUsage, "all that the template is given is not supported as a value");
    }
    if (tokens[1].kind == GoKind::kDeclare) {
      const GoValue made = fresh(value->kind == Kind::kMap ? Kind::kMap : Kind::kOther);
      scope_.variables.emplace_back(name, made);
      return put(fmt::format("{{%- set {} = {} -%}}", made.code, value->code));
    }
    const auto known = std::find_if(scope_.variables.rbegin(), scope_.variables.rend(),
                                    [&](const auto& variable) { return variable.first == name; });
    if (known == scope_.variables.rend()) {
      return fail(ErrorCode::kUsage, "the variable ${} is not declared", name);
    }
    return put(fmt::format("{{%- set {} = {} -%}}", known->second.code, value->code));
  }

  GoValue fresh(Kind kind) { return {fmt::format("{}.v{}", kGoSpaceName, ++names_), kind}; }

  // The beginning of a block: names that it gives, and what comes after them.
  struct Head {
    std::vector<std::string> variables;
    GoValue value;
  };

  Result<Head> head(GoBlock kind) {
    const std::vector<GoToken>& tokens = pieces_[at_].tokens;
    Head head;
    size_t begin = 1;
    const auto is = [&](size_t i, GoKind wanted) { return i < tokens.size() && tokens[i].kind == wanted; };
    if (is(1, GoKind::kVariable) && is(2, GoKind::kDeclare)) {
      head.variables = {tokens[1].text};
      begin = 3;
    } else if (kind == GoBlock::kRange && is(1, GoKind::kVariable) && is(2, GoKind::kComma) &&
               is(3, GoKind::kVariable) && is(4, GoKind::kDeclare)) {
      head.variables = {tokens[1].text, tokens[3].text};
      begin = 5;
    }
    auto value = GoExpression(tokens, begin, scope_).whole();
    if (!value) {
      return propagate(value.error());
    }
    if (value->kind == Kind::kRoot && (kind == GoBlock::kRange || !head.variables.empty())) {
      return fail(ErrorCode::kUsage, "all that the template is given is not supported as a value");
    }
    head.value = std::move(*value);
    if (head.value.kind == Kind::kRoot) {
      head.value.code = "true";  // there is always something
    }
    return head;
  }

  Status block(GoBlock kind, size_t depth) {
    auto beginning = head(kind);
    if (!beginning) {
      return propagate(beginning.error());
    }
    const GoScope before = scope_;
    const bool cut_before = cut_;
    Status status = kind == GoBlock::kRange ? begin_range(*beginning) : begin_test(*beginning, kind);
    ++at_;
    loops_ += kind == GoBlock::kRange ? 1 : 0;
    if (status) {
      status = list(depth + 1);
    }
    loops_ -= kind == GoBlock::kRange ? 1 : 0;
    scope_.dot = before.dot;
    if (status) {
      status = rest(kind, depth);
    }
    scope_ = before;
    if (!cut_before && status) {
      out_ += kind == GoBlock::kRange ? "{%- endfor -%}" : "{%- endif -%}";
    }
    return status;
  }

  // What comes after a block's first list: other branches, and its end.
  Status rest(GoBlock kind, size_t depth) {
    bool last = false;
    while (at_ < pieces_.size() && statement() == "else") {
      if (last) {
        return fail(ErrorCode::kUsage, "the block has two of it");
      }
      const std::vector<GoToken>& tokens = pieces_[at_].tokens;
      Status status;
      if (tokens.size() == 1) {
        last = true;
        status = put("{%- else -%}");
      } else if (kind == GoBlock::kIf && tokens[1].kind == GoKind::kWord && tokens[1].text == "if") {
        status = GoExpression(tokens, 2, scope_).whole().and_then([&](const GoValue& value) {
          return put(fmt::format("{{%- elif {} -%}}", value.kind == Kind::kRoot ? "true" : value.code));
        });
      } else {
        status = fail(ErrorCode::kUsage, "that branch is not supported");
      }
      ++at_;
      status = status ? list(depth + 1) : status;
      if (!status) {
        return status;
      }
    }
    if (at_ >= pieces_.size()) {
      return fail(ErrorCode::kUsage, "a block is not closed by {{{{ end }}}}");
    }
    return pieces_[at_].tokens.size() == 1 ? Status() : fail(ErrorCode::kUsage, "an end takes nothing");
  }

  Status begin_test(const Head& head, GoBlock kind) {
    const bool kept = head.value.kind != Kind::kRoot && (kind == GoBlock::kWith || !head.variables.empty());
    GoValue value = head.value;
    Status status;
    if (kept) {
      value = fresh(head.value.kind);
      status = put(fmt::format("{{%- set {} = {} -%}}", value.code, head.value.code));
    }
    for (const std::string& name : head.variables) {
      scope_.variables.emplace_back(name, value);
    }
    if (kind == GoBlock::kWith) {
      scope_.dot = value;
    }
    return status ? put(fmt::format("{{%- if {} -%}}", value.code)) : status;
  }

  Status begin_range(const Head& head) {
    const bool map = head.value.kind == Kind::kMap;
    const std::string number = std::to_string(++names_);
    const GoValue item{"d" + number};
    Status status = put(map ? fmt::format("{{%- for k{0}, d{0} in ({1} or {{}}) | items -%}}", number, head.value.code)
                            : fmt::format("{{%- for d{} in ({} or []) -%}}", number, head.value.code));
    if (status && head.variables.size() == 2) {
      const GoValue first = fresh(map ? Kind::kText : Kind::kOther);
      scope_.variables.emplace_back(head.variables[0], first);
      status = put(fmt::format("{{%- set {} = {} -%}}", first.code, map ? "k" + number : "loop.index0"));
    }
    if (status && !head.variables.empty()) {
      const GoValue second = fresh(Kind::kOther);
      scope_.variables.emplace_back(head.variables.back(), second);
      status = put(fmt::format("{{%- set {} = {} -%}}", second.code, item.code));
    }
    scope_.dot = item;
    return status;
  }

  const std::vector<GoPiece>& pieces_;
  size_t& names_;
  std::string& out_;
  GoScope scope_;
  size_t at_ = 0;
  size_t loops_ = 0;
  bool open_ = false;
  bool cut_ = false;
};

bool any_names(const std::vector<GoPiece>& pieces, std::string_view name) {
  return std::ranges::any_of(pieces, [&](const GoPiece& piece) { return names_field(piece.tokens, name); });
}

// What is not asked for is not looked at: llama.cpp learns from that what a template can do.
std::string messages_prologue(const std::vector<GoPiece>& pieces) {
  std::string jinja(kMessagesBegin);
  jinja += any_names(pieces, "ToolCalls") ? " and not m['tool_calls']" : "";
  jinja += kMessagesJoin;
  for (const auto& [field, name] : kMore) {
    jinja += any_names(pieces, field) ? fmt::format(", {0}=m['{0}']", name) : "";
  }
  return jinja.append(kMessagesEnd);
}

// The sentence names the action.
Status with_action(Status status, std::string_view text, const GoPiece& piece) {
  constexpr size_t kShown = 60;
  if (status) {
    return status;
  }
  std::string shown = printable(piece.text.substr(0, kShown));
  return fail(ErrorCode::kUsage, "{}: {}{}: {}", go_place(text, piece.at), shown, piece.text.size() > kShown ? "…" : "",
              status.error().message);
}

}  // namespace

Result<std::string> go_template_to_jinja(std::string_view text) {
  auto pieces = read_go_pieces(text);
  if (!pieces) {
    return propagate(pieces.error());
  }
  const bool messages = any_names(*pieces, "Messages");
  if (!messages && !any_names(*pieces, "Prompt")) {
    return fail(ErrorCode::kUsage, "it has neither .Messages nor .Prompt, so that it would not show the conversation");
  }
  if (!messages && !any_names(*pieces, "Response")) {
    const size_t end = text.size();
    pieces->push_back({true, "{{ .Response }}", {{GoKind::kField, "Response"}}, end});  // as Ollama adds it
  }
  std::string jinja = messages ? messages_prologue(*pieces) : std::string(kTurnsBegin);
  size_t names = 0;
  const auto write = [&](bool open) {
    GoWriter writer(*pieces, messages, names, jinja);
    Status status = writer.write(open);
    return with_action(std::move(status), text, (*pieces)[writer.at()]);
  };
  Status status;
  if (messages) {
    status = write(false);
  } else {
    status = write(false);
    jinja += kTurnsEnd;
    status = status ? write(true) : status;
  }
  return status ? Result<std::string>(std::move(jinja)) : propagate(status.error());
}

Result<std::string> template_as_jinja(const std::string& text) {
  return is_go_template(text) ? go_template_to_jinja(text) : Result<std::string>(text);
}

}  // namespace hypura
