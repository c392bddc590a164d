// What is not of a schema: what breaks any one of its keywords. What breaks a keyword in a way that has no shape is
// left out.
#include <algorithm>

#include "schema/expander.h"

namespace hypura::schema {

namespace {

Terms opposite(const Json& schema) {
  return {{&schema, true}};
}

Shape object_with(PropertyLayer layer, const std::string& required) {
  layer.evaluates = false;
  ObjectShape object = with_member(required);
  object.layers.push_back(std::make_shared<PropertyLayer>(std::move(layer)));
  return object;
}

Shape array_with(ItemLayer layer, uint64_t min) {
  ArrayShape array;
  array.layers.push_back(std::make_shared<ItemLayer>(std::move(layer)));
  array.min = min;
  return array;
}

// Whether something of few values stands there, by which objects are commonly told apart.
bool is_mark(const Json& schema) {
  return schema.is_object() && (schema.contains("const") || schema.contains("enum"));
}

}  // namespace

Shapes Expander::expand_negated(const Json& schema) {
  if (schema.is_boolean()) {
    return schema.get<bool>() ? Shapes() : anything();
  }
  if (!schema.is_object()) {
    context_.refuse(&schema, "", "must be a schema: an object, true or false");
    return {};
  }
  const Keywords words(context_, schema);
  Shapes all;
  negate_types(all, words);
  negate_values(all, words);
  negate_objects(all, words);
  negate_combined(all, words);
  negate_numbers(all, words);
  negate_strings(all, words);
  negate_arrays(all, words);
  negate_dependencies(all, words);
  return all;
}

void Expander::negate_types(Shapes& all, const Keywords& words) {
  const auto types = words.types();
  if (!types) {
    return;
  }
  const std::array<std::pair<const char*, Shape>, 6> each = {{{"null", NullShape()},
                                                              {"boolean", BooleanShape()},
                                                              {"number", NumberShape()},
                                                              {"string", StringShape()},
                                                              {"array", ArrayShape()},
                                                              {"object", ObjectShape()}}};
  for (const auto& [name, shape] : each) {
    const bool partly = std::string_view(name) == "number" && types->has("integer");
    if (!types->has(name) && !partly) {
      all.push_back(shape);
    }
  }
}

void Expander::negate_values(Shapes& all, const Keywords& words) {
  std::vector<const Json*> values;
  const Json* only = words.find("const");
  const Json* listed = words.array("enum");
  if (only == nullptr && listed == nullptr) {
    return;
  }
  if (only != nullptr) {
    values.push_back(only);
  } else {
    std::transform(listed->begin(), listed->end(), std::back_inserter(values), [](const Json& it) { return &it; });
  }
  static const Json kTruths = Json::array({nullptr, true, false});
  Constants truths;
  for (const Json& truth : kTruths) {
    if (std::none_of(values.begin(), values.end(), [&](const Json* it) { return *it == truth; })) {
      truths.values.push_back(&truth);
    }
  }
  const auto any = [&](auto is) { return std::any_of(values.begin(), values.end(), is); };
  if (!truths.values.empty()) {
    all.emplace_back(std::move(truths));
  }
  StringShape text;
  text.rules.push_back({"", {}, false, true, &words.schema(), only != nullptr ? "const" : "enum"});
  std::vector<Decimal> numbers;
  for (const Json* value : values) {
    if (value->is_string()) {
      text.rules[0].words.push_back(value->get<std::string>());
    } else if (const auto number = value->is_number() ? decimal(*value) : std::nullopt) {
      numbers.push_back(*number);
    }
  }
  all.push_back(text.rules[0].words.empty() ? StringShape() : std::move(text));
  std::sort(numbers.begin(), numbers.end(), [](const Decimal& a, const Decimal& b) { return compare(a, b) < 0; });
  std::optional<Bound> low;
  for (const Decimal& number : numbers) {  // what lies between
    all.emplace_back(NumberShape{false, low, Bound{number, true}, {}, nullptr});
    low = Bound{number, true};
  }
  all.emplace_back(NumberShape{false, low, {}, {}, nullptr});
  if (!any([](const Json* it) { return it->is_array(); })) {
    all.emplace_back(ArrayShape());
  }
  if (!any([](const Json* it) { return it->is_object(); })) {
    all.emplace_back(ObjectShape());
  }
}

void Expander::negate_numbers(Shapes& all, const Keywords& words) {
  const auto low = words.low();
  const auto high = words.high();
  if (low) {
    all.emplace_back(NumberShape{false, {}, Bound{low->value, !low->open}, {}, nullptr});
  }
  if (high) {
    all.emplace_back(NumberShape{false, Bound{high->value, !high->open}, {}, {}, nullptr});
  }
}

void Expander::negate_strings(Shapes& all, const Keywords& words) {
  const auto min = words.count("minLength");
  if (min && *min > 0) {
    all.emplace_back(StringShape{0, *min - 1, {}});
  }
  if (const auto max = words.count("maxLength")) {
    all.emplace_back(StringShape{*max + 1, {}, {}});
  }
  for (TextRule rule : words.text_rules()) {
    if (rule.keyword == std::string_view("pattern")) {  // a format's pattern may leave out some that are of the format
      rule.negated = true;
      all.emplace_back(StringShape{0, {}, {std::move(rule)}});
    }
  }
}

void Expander::negate_arrays(Shapes& all, const Keywords& words) {
  const auto min = words.count("minItems");
  if (min && *min > 0) {
    ArrayShape array;
    array.max = *min - 1;
    all.emplace_back(std::move(array));
  }
  if (const auto max = words.count("maxItems")) {
    ArrayShape array;
    array.min = *max + 1;
    all.emplace_back(std::move(array));
  }
  if (const Json* contained = words.subschema("contains"); contained != nullptr && words.count("minContains") != 0U) {
    ItemLayer layer;
    layer.rest = opposite(*contained);
    all.push_back(array_with(std::move(layer), 0));
  }
  const auto items = words.items();
  const size_t places = items ? items->first.size() + (items->rest ? 1 : 0) : 0;
  for (size_t i = 0; i < places; ++i) {
    const Terms& what = items->at(i);
    if (what.size() == 1) {
      ItemLayer layer;
      layer.first.resize(i);
      layer.first.push_back({{what[0].schema, true}});
      all.push_back(array_with(std::move(layer), i + 1));
    }
  }
}

void Expander::negate_objects(Shapes& all, const Keywords& words) {
  for (const bool marks : {true, false}) {
    for (const auto& [name, schema] : words.members("properties").items()) {
      if (is_mark(schema) == marks) {
        PropertyLayer layer;
        layer.add(name, opposite(schema));
        all.push_back(object_with(std::move(layer), name));
      }
    }
    if (marks) {
      for (const std::string& name : words.names("required")) {
        all.emplace_back(without_member(name));
      }
    }
  }
  const auto min = words.count("minProperties");
  if (min && *min > 0) {
    ObjectShape object;
    object.max = *min - 1;
    all.emplace_back(std::move(object));
  }
  if (const auto max = words.count("maxProperties")) {
    ObjectShape object;
    object.min = *max + 1;
    object.min_of = &words.schema();
    all.emplace_back(std::move(object));
  }
}

void Expander::negate_dependencies(Shapes& all, const Keywords& words) {
  for (const char* keyword : {"dependentRequired", "dependentSchemas", "dependencies"}) {
    for (const auto& [name, what] : words.members(keyword).items()) {
      const Shapes with = {with_member(name)};
      if (!what.is_array()) {
        const Shapes more = product(with, shapes(Term{&what, true}), true);
        all.insert(all.end(), more.begin(), more.end());
        continue;
      }
      for (const Json& other : what) {
        if (other.is_string()) {
          const Shapes more = product(with, {without_member(other.get<std::string>())});
          all.insert(all.end(), more.begin(), more.end());
        }
      }
    }
  }
}

void Expander::negate_combined(Shapes& all, const Keywords& words) {
  const auto add = [&](const Shapes& more) { all.insert(all.end(), more.begin(), more.end()); };
  for (const char* keyword : {"$ref", "$recursiveRef", "$dynamicRef"}) {
    const auto reference = words.text(keyword);
    const Json* target = reference ? context_.document().resolve(&words.schema(), *reference) : nullptr;
    if (reference && target == nullptr) {
      words.refuse(keyword, "cannot be followed: \"" + *reference + "\" is not in the schema");
    } else if (target != nullptr) {
      add(shapes(Term{target, true}));
    }
  }
  if (const Json* parts = words.array("allOf")) {
    for (const Json& part : *parts) {
      add(shapes(Term{&part, true}));
    }
  }
  for (const char* keyword : {"anyOf", "oneOf"}) {
    const Json* branches = words.array(keyword);
    if (branches == nullptr) {
      continue;
    }
    Shapes none = anything();
    for (const Json& branch : *branches) {
      none = product(none, shapes(Term{&branch, true}), true);
    }
    add(none);
  }
  if (const Json* never = words.subschema("not")) {
    add(shapes(Term{never, false}));
  }
  if (const Json* condition = words.subschema("if")) {
    if (const Json* then = words.subschema("then")) {
      add(product(shapes(Term{condition, false}), shapes(Term{then, true}), true));
    }
    if (const Json* otherwise = words.subschema("else")) {
      add(product(shapes(Term{condition, true}), shapes(Term{otherwise, true}), true));
    }
  }
}

}  // namespace hypura::schema
