#include "schema/compiler.h"

#include <fmt/format.h>

#include <algorithm>

#include "schema/number_rules.h"

namespace hypura::schema {

namespace {

constexpr size_t kMostSymbols = 400'000;
constexpr size_t kMostNodes = 20'000;

bool is_free(const Shape& shape) {
  const auto* number = std::get_if<NumberShape>(&shape);
  const auto* string = std::get_if<StringShape>(&shape);
  const auto* array = std::get_if<ArrayShape>(&shape);
  const auto* object = std::get_if<ObjectShape>(&shape);
  if (number != nullptr) {
    return !number->whole && !number->low && !number->high && !number->step;
  }
  if (string != nullptr) {
    return string->min == 0 && !string->max && string->rules.empty();
  }
  if (array != nullptr) {
    return array->layers.empty() && array->min == 0 && !array->max && array->unique_of == nullptr &&
           array->contained.empty();
  }
  if (object != nullptr) {
    return object->layers.empty() && object->required.empty() && object->min == 0 && !object->max &&
           object->names.empty();
  }
  return !std::holds_alternative<Constants>(shape);
}

bool one_of_each_type(const Shapes& shapes) {
  const Shapes each = anything();
  return std::equal(shapes.begin(), shapes.end(), each.begin(), each.end(),
                    [](const Shape& a, const Shape& b) { return a.index() == b.index(); });
}

std::string text_of(const Decimal& number) {
  return (number.negative ? "-" : "") + number.whole + "." + number.fraction;
}

std::string text_of(const std::optional<Bound>& bound) {
  return bound ? (bound->open ? "(" : "[") + text_of(bound->value) : "";
}

// The keywords whose limits leave nothing between them.
const char* crossed_limits(const Shape& shape) {
  const auto* number = std::get_if<NumberShape>(&shape);
  const auto* string = std::get_if<StringShape>(&shape);
  const auto* array = std::get_if<ArrayShape>(&shape);
  const auto* object = std::get_if<ObjectShape>(&shape);
  if (number != nullptr && number->low && number->high) {
    return "\"minimum\" and \"maximum\"";
  }
  if (string != nullptr && string->max && *string->max < string->min) {
    return "\"minLength\" and \"maxLength\"";
  }
  if (array != nullptr && array->max && *array->max < array->min) {
    return "\"minItems\" and \"maxItems\"";
  }
  const bool crossed =
      object != nullptr && object->max && *object->max < std::max<uint64_t>(object->min, object->required.size());
  return crossed ? "\"maxProperties\" and \"minProperties\" or \"required\"" : nullptr;
}

}  // namespace

Rules::Symbol Compiler::compile(const Json& schema) {
  const Terms root = {{&schema, false}};
  const Rules::Symbol made = node(root);
  for (size_t i = 0; i < todo_.size() && !context_.failed(); ++i) {
    const Terms terms = todo_[i];
    emit(terms, nodes_.at(terms));
    if (rules_.size() > kMostSymbols || todo_.size() > kMostNodes) {
      context_.refuse(&schema, "", "is too large to be enforced");
    }
  }
  if (!context_.failed() && !rules_.productive()[static_cast<size_t>(made)]) {
    refuse_impossible(root);
  }
  return made;
}

Rules::Symbol Compiler::node(const Terms& terms) {
  if (terms.empty()) {
    return rules_.value();
  }
  const auto [it, is_new] = nodes_.try_emplace(terms, 0);
  if (is_new) {
    it->second = rules_.rule();
    todo_.push_back(terms);
  }
  return it->second;
}

void Compiler::emit(const Terms& terms, Rules::Symbol rule) {
  const Shapes& shapes = expander_.shapes(terms);
  const bool all_types = one_of_each_type(shapes);
  const bool all_free = std::all_of(shapes.begin(), shapes.end(), is_free);
  if (all_types && all_free) {
    rules_.add(rule, {rules_.value()});
    return;
  }
  for (const Shape& shape : shapes) {
    // Who speaks of members, and not of types, means objects.
    if (context_.spend(1) && !(all_types && is_free(shape))) {
      emit(shape, rule);
    }
  }
}

void Compiler::emit(const Shape& shape, Rules::Symbol rule) {
  if (const auto* values = std::get_if<Constants>(&shape)) {
    rules_.add(rule, {constants(*values)});
  } else if (std::holds_alternative<NullShape>(shape)) {
    rules_.add(rule, {rules_.text("null")});
  } else if (std::holds_alternative<BooleanShape>(shape)) {
    rules_.add(rule, {rules_.text("true")});
    rules_.add(rule, {rules_.text("false")});
  } else if (const auto* numbers = std::get_if<NumberShape>(&shape)) {
    rules_.add(rule, {number(*numbers)});
  } else if (const auto* strings = std::get_if<StringShape>(&shape)) {
    rules_.add(rule, {string(*strings)});
  } else if (const auto* arrays = std::get_if<ArrayShape>(&shape)) {
    is_free(shape) ? rules_.add(rule, {rules_.array()}) : emit_array(*arrays, rule);
  } else if (const auto* objects = std::get_if<ObjectShape>(&shape)) {
    is_free(shape) ? rules_.add(rule, {rules_.object()}) : emit_object(*objects, rule);
  }
}

Rules::Symbol Compiler::constants(const Constants& constants) {
  std::vector<std::string> texts;
  for (const Json* value : constants.values) {
    texts.push_back(value->dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  return rules_.one_of(std::move(texts));
}

Rules::Symbol Compiler::number(const NumberShape& shape) {
  std::string key = shape.whole ? "integer" : "number";
  key += text_of(shape.low) + "," + text_of(shape.high);
  if (shape.step) {
    key += fmt::format("/{}/{}", shape.step->units, shape.step->places);
  }
  const auto found = by_text_.find(key);
  return found != by_text_.end() ? found->second : by_text_[key] = number_rule(context_, rules_, shape);
}

Rules::Symbol Compiler::string(const StringShape& shape) {
  if (shape.rules.empty() && shape.min == 0 && !shape.max) {
    return rules_.string();
  }
  std::string key = fmt::format("{},{}", shape.min, shape.max ? fmt::to_string(*shape.max) : "");
  Rules::Sequence sequence = {rules_.text("\"")};
  if (!shape.rules.empty()) {
    const Automaton* texts = context_.automaton(shape);
    if (texts == nullptr) {
      return rules_.rule();
    }
    key = fmt::format("{}", fmt::ptr(texts));  // automata are kept, each once
    if (!by_text_.contains(key)) {
      sequence.push_back(rules_.string_rest(*texts));
    }
  } else if (!by_text_.contains(key)) {
    const Rules::Sequence inside = rules_.repeated(rules_.character(), shape.min, shape.max);
    sequence.insert(sequence.end(), inside.begin(), inside.end());
    sequence.push_back(rules_.text("\""));
  }
  const auto found = by_text_.find(key);
  return found != by_text_.end() ? found->second : by_text_[key] = rules_.rule({std::move(sequence)});
}

// Says where a value must be, and there is none.
void Compiler::refuse_impossible(const Terms& root) {
  const std::vector<bool> good = rules_.productive();
  const auto impossible = [&](const Terms& terms) {
    const auto found = nodes_.find(terms);
    return found != nodes_.end() && !good[static_cast<size_t>(found->second)];
  };
  Terms at = root;
  for (std::set<Terms> seen = {root}; seen.size() < kMostNodes;) {
    const Terms* next = nullptr;
    std::vector<Terms> inner;
    for (const Shape& shape : expander_.shapes(at)) {
      if (const auto* object = std::get_if<ObjectShape>(&shape)) {
        for (const std::string& name : object->required) {
          inner.push_back(expander_.member(*object, name));
        }
      } else if (const auto* array = std::get_if<ArrayShape>(&shape)) {
        Terms rest;
        for (Terms& element : elements(*array, rest)) {
          inner.push_back(std::move(element));
        }
        inner.push_back(std::move(rest));
      }
    }
    for (const Terms& terms : inner) {
      if (impossible(terms) && !seen.contains(terms)) {
        next = &terms;
        break;
      }
    }
    if (next == nullptr) {
      break;
    }
    seen.insert(*next);
    at = *next;
  }
  for (const Shape& shape : expander_.shapes(at)) {
    if (const char* limits = crossed_limits(shape); limits != nullptr) {
      context_.refuse(at.back().schema, "", fmt::format("allows no value: {} leave none", limits));
    }
  }
  std::string keyword;
  const Json* schema = at.back().schema;
  for (const Term& term : at) {
    if (const std::string by = expander_.emptied_by(term.schema); !by.empty()) {
      keyword = by;
      schema = term.schema;
    }
  }
  context_.refuse(schema, keyword, keyword.empty() ? "allows no value" : "leaves no value that is allowed");
}

}  // namespace hypura::schema
