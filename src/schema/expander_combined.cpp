// What schemas say by combining others.
#include <algorithm>

#include "schema/expander.h"

namespace hypura::schema {

namespace {

void add_all(Shapes& all, const Shapes& more) {
  all.insert(all.end(), more.begin(), more.end());
}

bool is_object(const Shape& shape) {
  const auto* constants = std::get_if<Constants>(&shape);
  return constants == nullptr ? std::holds_alternative<ObjectShape>(shape)
                              : std::any_of(constants->values.begin(), constants->values.end(),
                                            [](const Json* it) { return it->is_object(); });
}

// Everything but objects.
Shapes no_objects() {
  Shapes all = anything();
  std::erase_if(all, is_object);
  return all;
}

}  // namespace

void Expander::combine(Shapes& all, const Keywords& words) {
  for (const char* keyword : {"$ref", "$recursiveRef", "$dynamicRef"}) {
    refer(all, words, keyword);
  }
  if (const Json* parts = words.array("allOf")) {
    for (const Json& part : *parts) {
      narrow(all, shapes(Term{&part, false}), words, "allOf");
    }
  }
  if (const Json* branches = words.array("anyOf")) {
    Shapes any;
    for (const Json& branch : *branches) {
      add_all(any, shapes(Term{&branch, false}));
    }
    narrow(all, any, words, "anyOf");
  }
  if (const Json* branches = words.array("oneOf")) {
    narrow(all, one_of(words, *branches), words, "oneOf");
  }
  if (const Json* never = words.subschema("not")) {
    const Shapes& others = shapes(Term{never, true});
    const bool any = !all.empty();
    narrow(all, others, words, "not");
    if (any && all.empty() && *never != true && *never != Json::object()) {
      words.refuse("not", "cannot be enforced: nothing is left");
    }
  }
  if (const Json* condition = words.subschema("if")) {
    const auto branch = [&](const char* keyword, bool negated) {
      const Json* then = words.subschema(keyword);
      const Shapes& when = shapes(Term{condition, negated});
      return then == nullptr ? when : product(when, shapes(Term{then, false}), negated);
    };
    Shapes any = branch("then", false);
    add_all(any, branch("else", true));
    narrow(all, any, words, "if");
  }
  for (const char* keyword : {"dependentRequired", "dependentSchemas", "dependencies"}) {
    depend(all, words, keyword);
  }
}

void Expander::refer(Shapes& all, const Keywords& words, const char* keyword) {
  const auto reference = words.text(keyword);
  if (!reference) {
    return;
  }
  const Json* target = context_.document().resolve(&words.schema(), *reference);
  if (target == nullptr) {
    words.refuse(keyword, "cannot be followed: \"" + *reference + "\" is not in the schema");
    return;
  }
  narrow(all, shapes(Term{target, false}), words, keyword);
}

void Expander::depend(Shapes& all, const Keywords& words, const char* keyword) {
  const Json* wanted = words.object(keyword);
  if (wanted == nullptr) {
    return;
  }
  for (const auto& [name, what] : wanted->items()) {
    ObjectShape with = with_member(name);
    if (what.is_array()) {
      for (const Json& other : what) {
        if (!other.is_string()) {
          words.refuse(keyword, "must hold arrays of strings");
          return;
        }
        with.required.insert(other.get<std::string>());
      }
    }
    Shapes either = {std::move(with)};
    if (!what.is_array()) {
      either = product(either, shapes(Term{&what, false}));
    }
    either.emplace_back(without_member(name));
    add_all(either, no_objects());
    narrow(all, either, words, keyword);
  }
}

Shapes Expander::one_of(const Keywords& words, const Json& branches) {
  Shapes any;
  bool some = false;
  for (size_t i = 0; i < branches.size() && !context_.failed(); ++i) {
    some = some || !shapes(Term{&branches[i], false}).empty();
    add_all(any, alone(branches, i));
  }
  if (some && any.empty()) {
    words.refuse("oneOf", "cannot be enforced: its alternatives cannot be told apart");
  }
  return any;
}

// What is of one branch and of none of the others.
Shapes Expander::alone(const Json& branches, size_t i) {
  Shapes mine = shapes(Term{&branches[i], false});
  for (size_t j = 0; j < branches.size() && !context_.failed(); ++j) {
    if (j == i) {
      continue;
    }
    const Term other = {&branches[j], false};
    Shapes apart;
    Shapes mixed;
    for (const Shape& shape : mine) {
      (overlap(shape, {&branches[i], false}, other) ? mixed : apart).push_back(shape);
    }
    if (!mixed.empty()) {
      add_all(apart, product(mixed, shapes(Term{other.schema, true}), true));
    }
    mine = std::move(apart);
  }
  return mine;
}

bool Expander::overlap(const Shape& shape, const Term& of, const Term& with) {
  if (const auto* constants = std::get_if<Constants>(&shape)) {
    return std::any_of(constants->values.begin(), constants->values.end(),
                       [&](const Json* it) { return validator_.valid(*it, of) && validator_.valid(*it, with); });
  }
  if (is_partial(with)) {
    return true;
  }
  const Shapes& others = shapes(with);
  return std::any_of(others.begin(), others.end(), [&](const Shape& other) {
    if (const auto* constants = std::get_if<Constants>(&other)) {
      return std::any_of(constants->values.begin(), constants->values.end(),
                         [&](const Json* it) { return validator_.valid(*it, of); });
    }
    const auto common = context_.spend(weight(shape) + weight(other)) ? both(shape, other) : std::nullopt;
    return common && !empty(*common);
  });
}

void Expander::leave_nothing_unseen(Shapes& all, const Keywords& words) {
  const Json* members = words.subschema("unevaluatedProperties");
  const Json* elements = words.subschema("unevaluatedItems");
  for (Shape& shape : all) {
    auto* object = std::get_if<ObjectShape>(&shape);
    auto* array = std::get_if<ArrayShape>(&shape);
    if (object != nullptr && members != nullptr) {
      PropertyLayer layer;
      layer.rest = Terms{{members, false}};
      bool all_seen = false;
      for (const auto& it : object->layers) {
        all_seen = all_seen || (it->evaluates && it->rest);
        for (const std::string& name : it->evaluates ? it->order : std::vector<std::string>()) {
          layer.add(name, {});
        }
        for (const auto& [rule, terms] : it->patterns) {
          layer.patterns.emplace_back(rule, Terms());
        }
      }
      partly_ = true;
      if (!all_seen) {
        object->layers.push_back(std::make_shared<PropertyLayer>(std::move(layer)));
      }
    }
    if (array != nullptr && elements != nullptr) {
      ItemLayer layer;
      layer.rest = Terms{{elements, false}};
      bool all_seen = false;
      for (const auto& it : array->layers) {
        all_seen = all_seen || it->rest;
        layer.first.resize(std::max(layer.first.size(), it->first.size()));
      }
      partly_ = true;
      if (!all_seen) {
        array->layers.push_back(std::make_shared<ItemLayer>(std::move(layer)));
      }
    }
  }
}

}  // namespace hypura::schema
