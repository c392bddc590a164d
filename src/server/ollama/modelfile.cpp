#include "server/ollama/modelfile.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "server/ollama/options.h"
#include "server/server_text.h"
#include "support/ascii.h"
#include "support/fail.h"

namespace hypura::ollama {

namespace {

constexpr std::string_view kQuotes = "\"\"\"";

// One instruction: its name in capitals, and its value.
struct Instruction {
  std::string name;
  std::string value;
  size_t line = 0;
};

// Walks through the lines of a text.
class ModelfileReader {
 public:
  explicit ModelfileReader(std::string_view text) : text_(text) {}

  // The next instruction; nothing at the end.
  Result<std::optional<Instruction>> next() {
    while (at_ < text_.size()) {
      const std::string_view line = trimmed(take_line());
      if (line.empty() || line.front() == '#') {
        continue;
      }
      Instruction instruction;
      instruction.line = line_;
      const size_t end = std::min(line.find_first_of(" \t"), line.size());
      instruction.name = ascii_upper(line.substr(0, end));
      auto value = take_value(trimmed(line.substr(end)));
      if (!value) {
        return propagate(value.error());
      }
      instruction.value = std::move(*value);
      return std::optional(std::move(instruction));
    }
    return std::optional<Instruction>();
  }

 private:
  std::string_view take_line() {
    const size_t end = std::min(text_.find('\n', at_), text_.size());
    std::string_view line = text_.substr(at_, end - at_);
    at_ = end + 1;
    ++line_;
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    return line;
  }

  // `begin` is what stands on the instruction's line. What comes before three quotes (a parameter's name, a role)
  // stays.
  Result<std::string> take_value(std::string_view begin) {
    const size_t open = begin.find(kQuotes);
    if (open == std::string_view::npos) {
      return std::string(begin);
    }
    const size_t opened = line_;
    std::string value(begin.substr(0, open));
    std::string_view rest = begin.substr(open + kQuotes.size());
    for (bool first = true; rest.find(kQuotes) == std::string_view::npos; first = false) {
      if (!first || !rest.empty()) {
        value.append(rest).append("\n");
      }
      if (at_ >= text_.size()) {
        return fail(ErrorCode::kUsage, "line {} of the Modelfile: {} are not closed", opened, kQuotes);
      }
      rest = take_line();
    }
    value += rest.substr(0, rest.find(kQuotes));
    return value;
  }

  std::string_view text_;
  size_t at_ = 0;
  size_t line_ = 0;
};

std::string unquoted(std::string_view text) {
  const bool quoted = text.size() >= 2 && text.front() == '"' && text.back() == '"';
  return std::string(quoted ? text.substr(1, text.size() - 2) : text);
}

// The first word, and the rest.
std::pair<std::string, std::string> word_and_rest(std::string_view text) {
  const size_t end = std::min(text.find_first_of(" \t"), text.size());
  return {std::string(text.substr(0, end)), unquoted(trimmed(text.substr(end)))};
}

// A number or a truth value, where the text is one; else the text.
Json parameter_value(const std::string& text) {
  if (text == "true" || text == "false") {
    return text == "true";
  }
  int64_t whole = 0;
  const auto [whole_end, whole_error] = std::from_chars(text.data(), text.data() + text.size(), whole);
  if (whole_error == std::errc() && whole_end == text.data() + text.size()) {
    return whole;
  }
  const Json number = Json::parse(text, nullptr, false);
  return number.is_number() ? number : Json(text);
}

void add_parameter(const std::string& name, const std::string& text, Json& parameters) {
  if (name == "stop") {
    parameters[name].push_back(text);  // may be repeated
  } else {
    parameters[name] = parameter_value(text);
  }
}

Status add_message(const std::string& role, const std::string& content, Modelfile& file) {
  if (role != "system" && role != "user" && role != "assistant") {
    return fail(ErrorCode::kUsage, "'{}' is no role of a message; it must be system, user or assistant", role);
  }
  file.messages.push_back({{"role", role}, {"content", content}});
  return {};
}

Status add(const Instruction& instruction, Modelfile& file) {
  const std::string& name = instruction.name;
  if (name == "FROM") {
    file.from = unquoted(instruction.value);
  } else if (name == "SYSTEM") {
    file.system = unquoted(instruction.value);
  } else if (name == "TEMPLATE") {
    file.prompt_template = unquoted(instruction.value);
  } else if (name == "LICENSE") {
    file.license += (file.license.empty() ? "" : "\n") + unquoted(instruction.value);
  } else if (name == "PARAMETER") {
    const auto [parameter, value] = word_and_rest(instruction.value);
    add_parameter(ascii_lower(parameter), value, file.parameters);
  } else if (name == "MESSAGE") {
    const auto [role, content] = word_and_rest(instruction.value);
    return add_message(ascii_lower(role), content, file);
  } else {
    static constexpr std::array kOthers = {"ADAPTER", "RENDERER", "PARSER", "REQUIRES"};
    const bool known_here = std::find(kOthers.begin(), kOthers.end(), name) != kOthers.end();
    return known_here ? Status(fail(ErrorCode::kUsage, "{} is not supported by Hypura; leave it out", name))
                      : Status(fail(ErrorCode::kUsage, "'{}' is no instruction", name));
  }
  return {};
}

}  // namespace

Result<Modelfile> read_modelfile(std::string_view text) {
  ModelfileReader reader(text);
  Modelfile file;
  while (true) {
    const auto instruction = reader.next();
    if (!instruction) {
      return propagate(instruction.error());
    }
    if (!*instruction) {
      break;
    }
    if (Status status = add(**instruction, file); !status) {
      return fail(ErrorCode::kUsage, "line {} of the Modelfile: {}", (*instruction)->line, status.error().message);
    }
  }
  return file;
}

void read_modelfile_fields(Fields& in, Modelfile& file) {
  for (const char* name : {"files", "adapters", "quantize", "path", "renderer", "parser", "remote_host", "draft"}) {
    if (const Json* value = in.find(name); value != nullptr && !value->empty() && !is_empty_text(*value)) {
      in.refuse(
          {ErrorCode::kUsage, fmt::format("the field \"{}\" is not supported: Hypura makes models from others that it "
                                          "offers, by \"from\", \"template\", \"system\", \"parameters\", "
                                          "\"messages\" and \"license\"",
                                          name)});
    }
  }
  const auto take = [&](const char* name, std::string& place) {
    if (auto text = in.text(name); text && !text->empty()) {
      place = std::move(*text);
    }
  };
  take("from", file.from);
  take("system", file.system);
  take("template", file.prompt_template);
  if (const Json* license = in.find("license"); license != nullptr && license->is_array()) {
    for (const std::string& part : in.texts("license").value_or(std::vector<std::string>())) {
      file.license += (file.license.empty() ? "" : "\n") + part;
    }
  } else {
    take("license", file.license);
  }
  if (const Json* parameters = in.object("parameters")) {
    file.parameters.update(*parameters);
  }
  if (const Json* messages = in.array("messages")) {
    for (const Json& message : *messages) {
      Fields inner(message, "CreateRequest.messages");
      const std::string role = ascii_lower(inner.text("role").value_or(""));
      const std::string content = inner.text("content").value_or("");
      const Status status = inner.status() ? add_message(role, content, file) : inner.status();
      if (!status) {
        in.refuse(status.error());
      }
    }
  }
}

Status check_parameters(const Json& parameters) {
  for (const auto& [name, value] : parameters.items()) {
    if (!is_option(name)) {
      return fail(ErrorCode::kUsage, "the parameter \"{}\" is not known; leave it out", name);
    }
  }
  const auto options = read_options(&parameters);
  return options ? Status() : propagate(options.error());
}

}  // namespace hypura::ollama
