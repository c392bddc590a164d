#include "schema/tool_schemas.h"

#include <fmt/ranges.h>

#include <mutex>
#include <set>

#include "schema/compiler.h"
#include "schema/tool_tamer.h"
#include "support/log.h"

namespace hypura {

namespace {

using schema::Json;

constexpr size_t kMostWarnings = 1000;
constexpr size_t kMostSymbols = 100'000;  // of all rules for limits
constexpr size_t kMostLeafSymbols = 10'000;

std::string text_of_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// A schema of a type that every template knows.
Json simplest(const Json& schema) {
  const std::string type = schema.value("type", "");
  const bool known = type == "string" || type == "integer" || type == "number" || type == "boolean";
  return {{"type", known                         ? type
                   : schema::may_be_text(schema) ? "string"
                                                 : "integer"},
          {"description", schema.value("description", "")}};
}

Json parsed_parameters(const std::string& parameters) {
  Json value = Json::parse(parameters, nullptr, false);
  return value.is_discarded() ? Json() : value;
}

// Agents send the same tools again and again.
void warn_once(const std::string& tool, const std::set<std::string>& dropped) {
  static std::mutex mutex;
  static std::set<std::string> warned;
  if (dropped.empty()) {
    return;
  }
  std::string text = fmt::format("tool {}: its arguments are not held to: {}", schema::in_short(tool),
                                 schema::in_short(fmt::format("{}", fmt::join(dropped, ", "))));
  const std::scoped_lock lock(mutex);
  if (warned.size() < kMostWarnings && warned.insert(text).second) {
    logger().warn("{}", text);
  }
}

std::string leaf_name(size_t i) {
  return fmt::format("argument-json-{}-", i);
}

// The number of the stand-in that a literal of a grammar, from its quote on, is; none when it is another literal.
std::optional<size_t> leaf_at(const std::string& grammar, size_t at, size_t leaves, size_t& end) {
  const std::string text = R"("\")" + schema::text_stand_in(0);
  const std::string number = "\"" + std::to_string(schema::number_stand_in(0));
  const bool is_text = grammar.compare(at, text.size() - 1, text, 0, text.size() - 1) == 0;
  const bool is_number = grammar.compare(at, number.size() - 6, number, 0, number.size() - 6) == 0;
  if (!is_text && !is_number) {
    return std::nullopt;
  }
  const size_t begin = at + (is_text ? text.size() - 1 : 1);
  end = std::min(grammar.find_first_not_of("0123456789", begin), grammar.size());
  const std::string close = is_text ? R"(\"")" : "\"";
  if (end == begin || end - begin > 18 || grammar.compare(end, close.size(), close) != 0) {
    return std::nullopt;
  }
  const uint64_t value = std::stoull(grammar.substr(begin, end - begin));
  end += close.size();
  const uint64_t leaf = is_text ? value : value - schema::number_stand_in(0);
  return leaf < leaves ? std::optional<size_t>(leaf) : std::nullopt;
}

}  // namespace

size_t ToolSchemas::add_rule(schema::Rules::Symbol rule) {
  leaves_.push_back(rules_.rule({{rule}}));
  return leaves_.size() - 1;
}

std::optional<size_t> ToolSchemas::add_leaf(const Json& leaf, std::string& fault) {
  const std::string key = text_of_json(leaf);
  if (const auto found = leaf_numbers_.find(key); found != leaf_numbers_.end()) {
    return found->second;
  }
  const size_t before = rules_.size();
  if (work_.spent() || before > kMostSymbols) {
    return std::nullopt;
  }
  schema::Context context(leaf, work_);
  const schema::Rules::Symbol made = schema::Compiler(context, rules_).compile(context.document().root());
  if (context.failed() || rules_.size() - before > kMostLeafSymbols) {
    fault = context.failed() ? context.fault()->keyword : leaf.contains("pattern") ? "pattern" : "";
    return std::nullopt;
  }
  return leaf_numbers_[key] = add_rule(made);
}

std::string ToolSchemas::add(const std::string& tool, const std::string& parameters) {
  const auto make_leaf = [&](const Json& leaf, std::string& fault) { return add_leaf(leaf, fault); };
  schema::ToolTamer tamer(parsed_parameters(parameters), fmt::format("t{}d", tools_++), make_leaf, flat_);
  const Json tamed = tamer.tame();
  warn_once(tool, tamer.dropped());
  return text_of_json(flat_ ? flattened(tamed) : tamed);
}

// A value that stands for all of a schema.
Json ToolSchemas::stand_in(const Json& schema, schema::Compiler& compiler, const schema::Context& context) {
  schema::Rules::Symbol rule = rules_.value();
  if (!context.failed()) {
    const schema::Rules::Symbol made = compiler.compile(schema);
    rule = context.failed() ? rule : made;
  }
  const size_t i = add_rule(rule);
  Json made = simplest(schema);
  if (schema::may_be_text(schema)) {
    made["const"] = schema::text_stand_in(i);
  } else {
    made["const"] = schema::number_stand_in(i);
  }
  return made;
}

Json ToolSchemas::flattened(const Json& tamed) {
  schema::Context context(tamed, work_);
  schema::Compiler compiler(context, rules_);
  const Json& root = context.document().root();
  Json flat = tamed;
  flat.erase("$defs");
  for (const auto& [name, schema] : root["properties"].items()) {
    flat["properties"][name] = stand_in(schema, compiler, context);
  }
  if (root.contains("additionalProperties")) {
    flat["additionalProperties"] = stand_in(root["additionalProperties"], compiler, context);
  }
  return flat;
}

std::string ToolSchemas::complete(const std::string& grammar) const {
  if (leaves_.empty()) {
    return grammar;
  }
  std::string made;
  size_t done = 0;
  for (size_t at = grammar.find('"'); at != std::string::npos;) {
    size_t end = at + 1;
    if (const auto leaf = leaf_at(grammar, at, leaves_.size(), end)) {
      made.append(grammar, done, at - done);
      made += leaf_name(*leaf);
      done = end;
    } else {
      end = at + 1;
    }
    at = grammar.find('"', end);
  }
  made.append(grammar, done);
  std::vector<std::pair<schema::Rules::Symbol, std::string>> roots;
  for (size_t i = 0; i < leaves_.size(); ++i) {
    roots.emplace_back(leaves_[i], leaf_name(i));
  }
  return made + "\n" + rules_.grammar(roots, "argument-json-");
}

std::string plain_parameters(const std::string& parameters, bool flat) {
  const auto no_leaf = [](const Json&, std::string&) { return std::optional<size_t>(); };
  Json tamed = schema::ToolTamer(parsed_parameters(parameters), "d", no_leaf).tame();
  if (flat) {
    tamed.erase("$defs");
    tamed.erase("additionalProperties");
    for (auto& [name, schema] : tamed["properties"].items()) {
      const std::string type = schema.value("type", "");
      Json simple = simplest(schema);
      if (simple["type"] != type && !type.empty()) {
        simple["description"] = fmt::format("{} (JSON: {})", simple.value("description", ""), type);
      }
      schema = std::move(simple);
    }
  }
  return text_of_json(tamed);
}

}  // namespace hypura
