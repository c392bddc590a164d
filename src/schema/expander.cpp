#include "schema/expander.h"

#include <algorithm>
#include <utility>

namespace hypura::schema {

namespace {

constexpr size_t kMostShapes = 2000;
constexpr size_t kSomeShapes = 24;
constexpr size_t kDeepestExpansion = 200;
constexpr size_t kDeepestProbe = 60;
constexpr int kDeepestLook = 3;

// For layers that forbid members.
const Json& never() {
  static const Json kNever = false;
  return kNever;
}

}  // namespace

ObjectShape with_member(const std::string& name) {
  ObjectShape object;
  object.required.insert(name);
  return object;
}

ObjectShape without_member(const std::string& name) {
  PropertyLayer layer;
  layer.add(name, {{&never(), false}});
  layer.evaluates = false;
  ObjectShape object;
  object.layers.push_back(std::make_shared<PropertyLayer>(std::move(layer)));
  return object;
}

const Shapes& Expander::shapes(const Terms& terms) {
  if (const auto found = of_terms_.find(terms); found != of_terms_.end()) {
    return found->second;
  }
  Shapes all = anything();
  for (const Term& term : terms) {
    all = product(all, shapes(term), term.negated);
  }
  if (terms.size() > 1) {
    keep_valid(all, terms);
  }
  if (tainted_) {
    return scratch_.emplace_back(std::move(all));
  }
  return of_terms_.emplace(terms, std::move(all)).first->second;
}

const Shapes& Expander::shapes(const Term& term) {
  if (const auto found = of_term_.find(term); found != of_term_.end()) {
    partly_ = partly_ || partial_.contains(term);
    return found->second;
  }
  static const Shapes kNone;
  if (!context_.spend(1)) {
    return kNone;
  }
  if (looking_ > 0 && (expanding_.contains(term) || expanding_.size() > kDeepestProbe)) {
    static const Shapes kAnything = anything();
    tainted_ = true;
    partly_ = true;
    return kAnything;
  }
  if (!expanding_.insert(term).second || expanding_.size() > kDeepestExpansion) {
    context_.refuse(term.schema, "", "leads back to itself, or through too many schemas, before any value begins");
    return kNone;
  }
  const bool partly_before = std::exchange(partly_, term.negated);
  Shapes all = term.negated ? expand_negated(*term.schema) : expand(*term.schema);
  keep_valid(all, {term});
  if (partly_) {
    partial_.insert(term);
  }
  partly_ = partly_ || partly_before;
  expanding_.erase(term);
  return tainted_ ? scratch_.emplace_back(std::move(all)) : of_term_.emplace(term, std::move(all)).first->second;
}

bool Expander::is_partial(const Term& term) {
  shapes(term);
  return partial_.contains(term);
}

std::string Expander::emptied_by(const Json* schema) const {
  const auto found = emptied_by_.find(schema);
  return found == emptied_by_.end() ? "" : found->second;
}

Shapes Expander::product(const Shapes& a, const Shapes& b, bool some) {
  Shapes all;
  Constants constants;
  for (const Shape& one : a) {
    for (const Shape& other : b) {
      if (!context_.spend(weight(one) + weight(other))) {
        return {};
      }
      auto shape = both(one, other);
      if (!shape) {
        continue;
      }
      if (const auto* more = std::get_if<Constants>(&*shape)) {
        constants.values.insert(constants.values.end(), more->values.begin(), more->values.end());
        continue;
      }
      if (some && (all.size() >= kSomeShapes || empty(*shape))) {
        continue;
      }
      all.push_back(std::move(*shape));
      if (all.size() > kMostShapes) {
        context_.refuse(&context_.document().root(), "", "combines too many alternatives to be enforced");
        return {};
      }
    }
  }
  if (!constants.values.empty()) {
    std::sort(constants.values.begin(), constants.values.end());
    constants.values.erase(std::unique(constants.values.begin(), constants.values.end()), constants.values.end());
    all.emplace_back(std::move(constants));
  }
  return all;
}

// Takes out the values that are not of the terms, and keeps one of those that are equal.
void Expander::keep_valid(Shapes& all, const Terms& terms) {
  for (Shape& shape : all) {
    auto* constants = std::get_if<Constants>(&shape);
    if (constants == nullptr) {
      continue;
    }
    std::vector<const Json*> kept;
    std::set<std::string> texts;
    for (const Json* value : constants->values) {
      if (validator_.valid(*value, terms) && texts.insert(canonical(*value)).second) {
        kept.push_back(value);
      }
    }
    constants->values = std::move(kept);
  }
  std::erase_if(all, [](const Shape& it) {
    const auto* constants = std::get_if<Constants>(&it);
    return constants != nullptr && constants->values.empty();
  });
}

void Expander::narrow(Shapes& all, const Shapes& by, const Keywords& words, const char* keyword) {
  const bool any = !all.empty();
  all = product(all, by);
  if (any && all.empty()) {
    emptied_by_.emplace(&words.schema(), keyword);
  }
}

Shapes Expander::expand(const Json& schema) {
  if (schema.is_boolean()) {
    return schema.get<bool>() ? anything() : Shapes();
  }
  if (!schema.is_object()) {
    context_.refuse(&schema, "", "must be a schema: an object, true or false");
    return {};
  }
  const Keywords words(context_, schema);
  Shapes all = own(words);
  combine(all, words);
  leave_nothing_unseen(all, words);
  return all;
}

Shapes Expander::own(const Keywords& words) {
  const auto types = words.types();
  const auto has = [&](const char* name) { return !types || types->has(name); };
  NumberShape number = numbers(words);
  StringShape string = strings(words);
  ArrayShape array = arrays(words);
  ObjectShape object = objects(words);
  Shapes all;
  if (has("null")) {
    all.emplace_back(NullShape());
  }
  if (has("boolean")) {
    all.emplace_back(BooleanShape());
  }
  if (has("number") || has("integer")) {
    number.whole = !has("number");
    all.emplace_back(std::move(number));
  }
  if (has("string")) {
    all.emplace_back(std::move(string));
  }
  if (has("array")) {
    all.emplace_back(std::move(array));
  }
  if (has("object")) {
    all.emplace_back(std::move(object));
  }
  for (const char* keyword : {"const", "enum"}) {
    const bool is_const = std::string_view(keyword) == "const";
    const Json* value = is_const ? words.find(keyword) : words.array(keyword);
    if (value == nullptr) {
      continue;
    }
    Constants constants;
    for (size_t i = 0; i < (is_const ? 1 : value->size()); ++i) {
      constants.values.push_back(is_const ? value : &(*value)[i]);
    }
    Shapes kept = {std::move(constants)};
    keep_valid(kept, {{&words.schema(), false}});
    narrow(all, kept, words, keyword);
  }
  return all;
}

NumberShape Expander::numbers(const Keywords& words) {
  NumberShape shape;
  shape.low = words.low();
  shape.high = words.high();
  shape.step = words.step();
  shape.step_of = &words.schema();
  if (words.text("format") == "int32") {
    const auto low = decimal(Json(INT32_MIN));
    const auto high = decimal(Json(INT32_MAX));
    const auto bounded = both(shape, NumberShape{false, Bound{*low}, Bound{*high}, {}, nullptr});
    shape = std::get<NumberShape>(*bounded);
  }
  return shape;
}

StringShape Expander::strings(const Keywords& words) {
  StringShape shape = {words.count("minLength").value_or(0), words.count("maxLength"), words.text_rules()};
  partly_ = partly_ || std::any_of(shape.rules.begin(), shape.rules.end(), [](const TextRule& rule) {
              return rule.keyword != std::string_view("pattern");  // formats allow more than their patterns
            });
  return shape;
}

ArrayShape Expander::arrays(const Keywords& words) {
  ArrayShape shape;
  if (auto layer = words.items()) {
    shape.layers.push_back(std::make_shared<ItemLayer>(std::move(*layer)));
  }
  shape.min = words.count("minItems").value_or(0);
  shape.max = words.count("maxItems");
  if (words.flag("uniqueItems").value_or(false)) {
    shape.unique_of = &words.schema();
  }
  if (const Json* contained = words.subschema("contains")) {
    const auto max = words.count("maxContains");
    shape.contained.push_back({{{contained, false}}, words.count("minContains").value_or(1), max, &words.schema()});
  }
  return shape;
}

ObjectShape Expander::objects(const Keywords& words) {
  ObjectShape shape;
  if (auto layer = members(words)) {
    shape.layers.push_back(std::move(layer));
  }
  for (std::string& name : words.names("required")) {
    shape.required.insert(std::move(name));
  }
  shape.min = words.count("minProperties").value_or(0);
  shape.min_of = &words.schema();
  shape.max = words.count("maxProperties");
  if (const Json* names = words.subschema("propertyNames")) {
    shape.names.push_back({{names, false}});
  }
  return shape;
}

std::shared_ptr<const PropertyLayer> Expander::members(const Keywords& words) {
  const Json* named = words.object("properties");
  const Json* patterns = words.object("patternProperties");
  const Json* rest = words.subschema("additionalProperties");
  if (named == nullptr && patterns == nullptr && rest == nullptr) {
    return nullptr;
  }
  auto layer = std::make_shared<PropertyLayer>();
  const auto term = [](const Json& schema) {
    return schema == true || (schema.is_object() && schema.empty()) ? Terms() : Terms{{&schema, false}};
  };
  for (const auto& [name, schema] : words.members("properties").items()) {
    layer->add(name, term(schema));
  }
  for (const auto& [pattern, schema] : words.members("patternProperties").items()) {
    layer->patterns.emplace_back(TextRule{pattern, {}, true, false, &words.schema(), "patternProperties"},
                                 term(schema));
  }
  if (rest != nullptr) {
    layer->rest = term(*rest);
  }
  return layer;
}

Terms Expander::member(const ObjectShape& object, const std::string& name) {
  Terms all;
  context_.spend(1 + object.layers.size());
  for (const auto& layer : object.layers) {
    const auto named = layer->named.find(name);
    bool known = named != layer->named.end();
    if (known) {
      all = joined(all, named->second);
    }
    for (const auto& [rule, terms] : layer->patterns) {
      const Automaton* texts = context_.automaton(rule);
      if (texts != nullptr && texts->accepts(name)) {
        all = joined(all, terms);
        known = true;
      }
    }
    if (!known && layer->rest) {
      all = joined(all, *layer->rest);
    }
  }
  const bool named_well = std::all_of(object.names.begin(), object.names.end(),
                                      [&](const Terms& names) { return validator_.valid(Json(name), names); });
  return named_well ? all : Terms{{&never(), false}};
}

bool Expander::empty(const Shape& shape) {
  if (looking_ >= kDeepestLook || !context_.spend(1)) {
    return false;
  }
  ++looking_;
  const bool surely = surely_empty(shape);
  --looking_;
  if (looking_ == 0) {
    tainted_ = false;
    scratch_.clear();
  }
  return surely;
}

bool Expander::none(const Terms& terms) {
  const Shapes& all = shapes(terms);
  return std::none_of(terms.begin(), terms.end(), [&](const Term& it) { return partial_.contains(it); }) &&
         std::all_of(all.begin(), all.end(), [&](const Shape& it) { return empty(it); });
}

bool Expander::surely_empty(const Shape& shape) {
  if (const auto* number = std::get_if<NumberShape>(&shape)) {
    const int order = number->low && number->high ? compare(number->low->value, number->high->value) : -1;
    return order > 0 || (order == 0 && (number->low->open || number->high->open));
  }
  if (const auto* string = std::get_if<StringShape>(&shape)) {
    if (string->max && *string->max < string->min) {
      return true;
    }
    const Automaton* texts = string->rules.size() < 2 ? nullptr : context_.automaton(*string);
    return texts != nullptr && texts->empty();
  }
  if (const auto* object = std::get_if<ObjectShape>(&shape)) {
    return (object->max && *object->max < std::max<uint64_t>(object->min, object->required.size())) ||
           std::any_of(object->required.begin(), object->required.end(),
                       [&](const std::string& name) { return none(member(*object, name)); });
  }
  const auto* array = std::get_if<ArrayShape>(&shape);
  return array != nullptr && array->max && *array->max < array->min;
}

}  // namespace hypura::schema
