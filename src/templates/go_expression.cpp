#include "templates/go_expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "support/fail.h"

namespace hypura {

namespace {

using Kind = GoValue::Kind;

constexpr size_t kDeepestPipeline = 50;  // brackets within each other
constexpr std::string_view kAsJson = "tojson(separators=[',', ':'])";

// A field of messages, calls, tools and their parameters: what it is called there.
struct FieldName {
  std::string_view go;
  std::string_view json;
  Kind kind;
  std::string_view missing;  // what takes its place
};

constexpr std::array<FieldName, 18> kFields = {{
    {"Role", "role", Kind::kText, "''"},
    {"Content", "content", Kind::kText, "''"},
    {"Thinking", "reasoning_content", Kind::kText, "''"},
    {"ToolCalls", "tool_calls", Kind::kOther, "[]"},
    {"ToolName", "name", Kind::kText, "''"},
    {"ToolCallID", "tool_call_id", Kind::kText, "''"},
    {"Function", "function", Kind::kOther, ""},
    {"Name", "name", Kind::kText, "''"},
    {"Arguments", "arguments", Kind::kMap, ""},
    {"ID", "id", Kind::kText, "''"},
    {"Type", "type", Kind::kOther, "''"},
    {"Description", "description", Kind::kText, "''"},
    {"Parameters", "parameters", Kind::kMap, ""},
    {"Properties", "properties", Kind::kMap, ""},
    {"Required", "required", Kind::kOther, "[]"},
    {"Enum", "enum", Kind::kOther, "[]"},
    {"AnyOf", "anyOf", Kind::kOther, "[]"},
    {"Images", "", Kind::kOther, "[]"},  // messages have none here
}};

// What Ollama gives the template itself.
std::optional<GoValue> root_field(const std::string& name, bool messages) {
  const auto remembered = [](std::string_view what) {
    return GoValue{fmt::format("{}.{}", kGoSpaceName, what), Kind::kText};
  };
  const GoValue nothing{"''", Kind::kText};
  if (name == "System") {
    return remembered("system");
  }
  if (name == "Prompt") {
    return messages ? nothing : remembered("prompt");
  }
  if (name == "Response") {
    return messages ? nothing : remembered("response");
  }
  if (name == "Suffix") {
    return nothing;  // no prompt of Hypura's has one
  }
  if (name == "Messages") {
    return GoValue{fmt::format("{}.messages", kGoSpaceName)};
  }
  if (name == "Tools") {
    return GoValue{messages ? "(tools or [])" : "[]"};
  }
  if (name == "Think") {
    return GoValue{"(enable_thinking is not defined or enable_thinking)"};
  }
  if (name == "ThinkLevel") {
    return GoValue{"(reasoning_effort or '')", Kind::kText};
  }
  return name == "IsThinkSet" ? std::optional(GoValue{"true"}) : std::nullopt;
}

Result<GoValue> field_of(const GoValue& value, const std::string& name, bool messages) {
  if (value.kind == Kind::kRoot) {
    auto field = root_field(name, messages);
    return field ? Result<GoValue>(std::move(*field)) : fail(ErrorCode::kUsage, ".{} is not supported", name);
  }
  const auto known = std::ranges::find(kFields, name, &FieldName::go);
  if (known == kFields.end()) {
    return fail(ErrorCode::kUsage, ".{} is not supported there", name);
  }
  if (known->json.empty()) {
    return GoValue{std::string(known->missing), known->kind};
  }
  const std::string code = fmt::format("{}['{}']", value.code, known->json);
  return GoValue{known->missing.empty() ? code : fmt::format("({} or {})", code, known->missing), known->kind};
}

std::string joined(const std::vector<GoValue>& values, std::string_view between) {
  std::string text;
  for (const GoValue& value : values) {
    text += (text.empty() ? "" : std::string(between)) + value.code;
  }
  return text;
}

Result<GoValue> equality(const std::vector<GoValue>& values) {
  if (values.size() == 2) {
    return GoValue{fmt::format("({})", joined(values, " == "))};
  }
  const std::vector<GoValue> others(values.begin() + 1, values.end());
  return GoValue{fmt::format("({} in [{}])", values.front().code, joined(others, ", "))};
}

Result<GoValue> part_of(const std::vector<GoValue>& values, bool slice) {
  std::string code = values.front().code;
  if (!slice) {
    for (size_t i = 1; i < values.size(); ++i) {
      code += fmt::format("[{}]", values[i].code);
    }
    return GoValue{code};
  }
  return GoValue{
      fmt::format("{}[{}:{}]", code, values.size() > 1 ? values[1].code : "", values.size() > 2 ? values[2].code : "")};
}

// `format` is a literal of Jinja: %s, %v and %d stand in it as they were.
Result<GoValue> formatted(const std::vector<GoValue>& values) {
  const std::string& format = values.front().code;
  if (!format.starts_with('"')) {
    return fail(ErrorCode::kUsage, "printf takes a text in quotes first");
  }
  std::string code;
  std::string text;
  size_t next = 1;
  const auto add = [&code](const std::string& more) { code += (code.empty() ? "" : " ~ ") + more; };
  for (size_t i = 1; i + 1 < format.size(); ++i) {
    if (format[i] != '%') {
      text += format[i];
      continue;
    }
    const char verb = format[++i];
    if (verb == '%') {
      text += verb;
    } else if ((verb != 's' && verb != 'v' && verb != 'd') || next >= values.size()) {
      return fail(ErrorCode::kUsage, "printf takes %s, %v, %d and %%, with something for each");
    } else if (values[next].kind != Kind::kText && verb != 'd') {
      return fail(ErrorCode::kUsage, "printf takes texts and numbers");
    } else {
      add(fmt::format("\"{}\"", std::exchange(text, "")));
      add(values[next++].code);
    }
  }
  if (next != values.size()) {
    return fail(ErrorCode::kUsage, "printf is given more than it writes");
  }
  add(fmt::format("\"{}\"", text));
  return GoValue{fmt::format("({})", code), Kind::kText};
}

// Of functions that take what they are given one by one.
struct GoFunction {
  std::string_view name;
  size_t least;
  size_t most;
  Result<GoValue> (*call)(const std::vector<GoValue>& values);
};

constexpr size_t kAnyNumber = 100;

template <char kFirst, char kSecond = '\0'>
Result<GoValue> compared(const std::vector<GoValue>& values) {
  const std::string sign = kSecond == '\0' ? std::string{kFirst} : std::string{kFirst, kSecond};
  return GoValue{fmt::format("({})", joined(values, " " + sign + " "))};
}

constexpr std::array<GoFunction, 16> kFunctions = {{
    {"and", 1, kAnyNumber,
     [](const std::vector<GoValue>& it) -> Result<GoValue> {
       return GoValue{fmt::format("({})", joined(it, " and "))};
     }},
    {"or", 1, kAnyNumber,
     [](const std::vector<GoValue>& it) -> Result<GoValue> {
       return GoValue{fmt::format("({})", joined(it, " or "))};
     }},
    {"not", 1, 1,
     [](const std::vector<GoValue>& it) -> Result<GoValue> {
       return GoValue{fmt::format("(not {})", it.front().code)};
     }},
    {"eq", 2, kAnyNumber, equality},
    {"ne", 2, 2, compared<'!', '='>},
    {"lt", 2, 2, compared<'<'>},
    {"le", 2, 2, compared<'<', '='>},
    {"gt", 2, 2, compared<'>'>},
    {"ge", 2, 2, compared<'>', '='>},
    {"len", 1, 1,
     [](const std::vector<GoValue>& it) -> Result<GoValue> {
       return GoValue{fmt::format("(({} or []) | length)", it.front().code)};
     }},
    {"index", 1, kAnyNumber, [](const std::vector<GoValue>& it) { return part_of(it, false); }},
    {"slice", 1, 3, [](const std::vector<GoValue>& it) { return part_of(it, true); }},
    {"json", 1, 1,
     [](const std::vector<GoValue>& it) -> Result<GoValue> {
       return GoValue{fmt::format("({} | default(none) | {})", it.front().code, kAsJson), Kind::kText};
     }},
    {"printf", 1, kAnyNumber, formatted},
    {"print", 1, 1, [](const std::vector<GoValue>& it) -> Result<GoValue> { return it.front(); }},
    {"currentDate", 0, 0,
     [](const std::vector<GoValue>& /*none*/) -> Result<GoValue> {
       return GoValue{"strftime_now('%Y-%m-%d')", Kind::kText};
     }},
}};

Result<GoValue> called(const GoFunction& function, const std::vector<GoValue>& values) {
  if (values.size() < function.least || values.size() > function.most) {
    return fail(ErrorCode::kUsage, "{} is given {} values", function.name, values.size());
  }
  if (std::ranges::any_of(values, [](const GoValue& value) { return value.kind == Kind::kRoot; })) {
    return fail(ErrorCode::kUsage, "all that the template is given is not supported as a value");
  }
  return function.call(values);
}

}  // namespace

std::string jinja_text(std::string_view text) {
  std::string literal = "\"";
  for (const char c : text) {
    switch (c) {
      case '\n':
        literal += "\\n";
        break;
      case '\r':
        literal += "\\r";
        break;
      case '\t':
        literal += "\\t";
        break;
      case '"':
      case '\\':
        literal += '\\';
        [[fallthrough]];
      default:
        literal += c;
    }
  }
  return literal + "\"";
}

bool names_field(const std::vector<GoToken>& tokens, std::string_view name) {
  return std::ranges::any_of(tokens,
                             [&](const GoToken& token) { return token.kind == GoKind::kField && token.text == name; });
}

Result<GoValue> GoExpression::whole() {
  auto value = pipeline(0);
  if (value && at_ < tokens_.size()) {
    return fail(ErrorCode::kUsage, "'{}' does not belong there", tokens_[at_].text);
  }
  return value;
}

bool GoExpression::at_operand() const {
  return at_ < tokens_.size() && tokens_[at_].kind != GoKind::kClose && tokens_[at_].kind != GoKind::kPipe;
}

Result<GoValue> GoExpression::pipeline(size_t depth) {
  if (depth > kDeepestPipeline) {
    return fail(ErrorCode::kUsage, "it is nested more than {} levels deep", kDeepestPipeline);
  }
  auto value = command(nullptr, depth);
  while (value && at_ < tokens_.size() && tokens_[at_].kind == GoKind::kPipe) {
    ++at_;
    const GoValue piped = std::move(*value);
    value = command(&piped, depth);
  }
  return value;
}

// `piped`: what comes last of what a function is given.
Result<GoValue> GoExpression::command(const GoValue* piped, size_t depth) {
  if (!at_operand()) {
    return fail(ErrorCode::kUsage, "a value is missing");
  }
  const GoToken& first = tokens_[at_];
  const auto function =
      first.kind == GoKind::kWord ? std::ranges::find(kFunctions, first.text, &GoFunction::name) : kFunctions.end();
  if (function == kFunctions.end()) {
    auto value = operand(depth);
    if (value && (piped != nullptr || at_operand())) {
      return fail(ErrorCode::kUsage, "what is no function is given a value");
    }
    return value;
  }
  ++at_;
  std::vector<GoValue> values;
  while (at_operand()) {
    auto value = operand(depth);
    if (!value) {
      return value;
    }
    values.push_back(std::move(*value));
  }
  if (piped != nullptr) {
    values.push_back(*piped);
  }
  return called(*function, values);
}

// With the fields that follow it.
Result<GoValue> GoExpression::operand(size_t depth) {
  auto value = bare_operand(depth);
  while (value && at_ < tokens_.size() && tokens_[at_].kind == GoKind::kField && !tokens_[at_].spaced) {
    value = field_of(*value, tokens_[at_++].text, scope_.messages);
  }
  return value;
}

Result<GoValue> GoExpression::variable(const std::string& name) const {
  if (name.empty()) {
    return GoValue{"", Kind::kRoot};
  }
  const auto found = std::find_if(scope_.variables.rbegin(), scope_.variables.rend(),
                                  [&](const auto& variable) { return variable.first == name; });
  return found == scope_.variables.rend() ? fail(ErrorCode::kUsage, "the variable ${} is not declared", name)
                                          : Result<GoValue>(found->second);
}

Result<GoValue> GoExpression::bare_operand(size_t depth) {
  const GoToken& token = tokens_[at_++];
  switch (token.kind) {
    case GoKind::kField:
      return field_of(scope_.dot, token.text, scope_.messages);
    case GoKind::kDot:
      return scope_.dot;
    case GoKind::kVariable:
      return variable(token.text);
    case GoKind::kText:
      return GoValue{jinja_text(token.text), Kind::kText};
    case GoKind::kNumber:
      return GoValue{token.text.starts_with('-') ? fmt::format("({})", token.text) : token.text};
    case GoKind::kOpen: {
      auto inner = pipeline(depth + 1);
      if (inner && (at_ >= tokens_.size() || tokens_[at_].kind != GoKind::kClose)) {
        return fail(ErrorCode::kUsage, "a bracket is not closed");
      }
      ++at_;
      return inner;
    }
    case GoKind::kWord: {
      if (token.text == "true" || token.text == "false") {
        return GoValue{token.text};
      }
      const auto function = std::ranges::find(kFunctions, token.text, &GoFunction::name);
      if (function != kFunctions.end() && function->most == 0) {
        return called(*function, {});
      }
      return token.text == "nil" ? Result<GoValue>(GoValue{"none"})
                                 : fail(ErrorCode::kUsage, "'{}' is not supported there", token.text);
    }
    default:
      return fail(ErrorCode::kUsage, "'{}' does not belong there", token.text);
  }
}

}  // namespace hypura
