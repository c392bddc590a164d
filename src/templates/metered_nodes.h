// llama.cpp's template nodes, counted. It looks at the types of those below a node, so that these are made of its own
// by inheritance.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "jinja/runtime.h"
#include "templates/conversation_texts.h"
#include "templates/jinja_values.h"
#include "templates/own_node.h"
#include "templates/template_meter.h"

namespace hypura::metered {

using jinja::statement_ptr;
using jinja::statements;

// What is known of a node's place.
struct Place {
  bool statement = false;  // what it gives is kept until the statement around it ends
  size_t scope_bytes = 0;  // a scope that it opens takes so many
};

// One node that is executed.
class Execution {
 public:
  explicit Execution(size_t scope_bytes = 0) : kept_(meter_.kept()), scope_bytes_(scope_bytes) {
    meter_.enter();
    try {
      meter_.hold(scope_bytes_);
    } catch (...) {
      meter_.leave();
      throw;
    }
  }
  ~Execution() {
    meter_.drop(scope_bytes_);
    meter_.forget(kept_);
    meter_.leave();
  }
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;

  TemplateMeter& meter() { return meter_; }

 private:
  TemplateMeter& meter_ = TemplateMeter::current();
  size_t kept_;
  size_t scope_bytes_;
};

// A node as llama.cpp has it, counted.
template <class Node>
class Metered : public OwnNode<Node> {
 public:
  using OwnNode<Node>::OwnNode;

  Place place;

 protected:
  jinja::value evaluate(jinja::context& context) const final {
    jinja::value result = counted(context);
    if (place.statement) {
      keep_value(TemplateMeter::current(), result);
    }
    return result;
  }

  virtual jinja::value execute_counted(jinja::context& context, TemplateMeter& /*meter*/) const {
    return OwnNode<Node>::inherited(context);
  }

 private:
  // Nodes that give what was there before, and leaves.
  static constexpr bool kPasses =
      std::is_same_v<Node, jinja::identifier> || std::is_same_v<Node, jinja::ternary_expression> ||
      std::is_same_v<Node, jinja::select_expression> || std::is_same_v<Node, jinja::string_literal>;

  jinja::value counted(jinja::context& context) const {
    Execution execution(place.scope_bytes);
    jinja::value result = execute_counted(context, execution.meter());
    return kPasses ? result : held_value(execution.meter(), std::move(result));
  }
};

// An expression whose value is there already.
class GivenNode final : public OwnNode<jinja::expression> {
 public:
  explicit GivenNode(jinja::value given) : given_(std::move(given)) {}
  jinja::value evaluate(jinja::context& /*context*/) const override { return given_; }

 private:
  jinja::value given_;
};

inline statement_ptr given(jinja::value it) {
  return std::make_unique<GivenNode>(std::move(it));
}

// An index, a length or a step.
class IndexNode final : public OwnNode<jinja::expression> {
 public:
  explicit IndexNode(statement_ptr inner) : inner_(std::move(inner)) {}
  jinja::value evaluate(jinja::context& context) const override {
    jinja::value result = inner_->execute(context);
    check_index(TemplateMeter::current(), result);
    return result;
  }

 private:
  statement_ptr inner_;
};

// What a loop goes over. It copies its scope, of `names_` variables, for each item.
class ItemsNode final : public OwnNode<jinja::expression> {
 public:
  ItemsNode(statement_ptr inner, size_t names) : inner_(std::move(inner)), names_(names) {}
  jinja::value evaluate(jinja::context& context) const override {
    jinja::value result = inner_->execute(context);
    TemplateMeter& meter = TemplateMeter::current();
    const size_t count = result->val_arr.size() + result->val_obj.size();
    if (count * names_ > kMostCopies) {
      meter.refuse("it goes over too many items");
    }
    meter.work(count);
    return result;
  }

 private:
  static constexpr size_t kMostCopies = 4'000'000;

  statement_ptr inner_;
  size_t names_;
};

// Gives a function that looks at its arguments first, where it is one that must.
class CalleeNode final : public OwnNode<jinja::expression> {
 public:
  explicit CalleeNode(statement_ptr inner) : inner_(std::move(inner)) {}
  jinja::value evaluate(jinja::context& context) const override {
    jinja::value callee = inner_->execute(context);
    const auto* function = jinja::cast_val<jinja::value_func>(callee);
    if (function == nullptr || !is_guarded(function->name)) {
      return callee;
    }
    const auto guarded = [callee, function](const jinja::func_args& arguments) {
      std::vector<jinja::value> all;
      if (function->arg0 != nullptr) {
        all.push_back(function->arg0);
      }
      all.insert(all.end(), arguments.get_args().begin(), arguments.get_args().end());
      check_arguments(TemplateMeter::current(), function->name, all);
      return function->invoke(arguments);
    };
    return jinja::mk_val<jinja::value_func>(function->name, guarded);
  }

 private:
  statement_ptr inner_;
};

// The text of statements, as a block gives it to what is around it.
class CapturedNode final : public Metered<jinja::expression> {
 public:
  explicit CapturedNode(statements body) : body_(std::move(body)) {}

 protected:
  jinja::value execute_counted(jinja::context& context, TemplateMeter& /*meter*/) const override {
    auto results = jinja::mk_val<jinja::value_array>();
    for (const statement_ptr& node : body_) {
      results->push_back(node->execute(context));
    }
    auto text = jinja::mk_val<jinja::value_string>();
    jinja::gather_string_parts_recursive(results, text);
    return text;
  }

 private:
  statements body_;
};

// A whole template. What it makes of the conversation that was asked for is noted, and rendered once.
class WholeNode final : public OwnNode<jinja::statement> {
 public:
  explicit WholeNode(statements body) : body_(std::move(body)) {}
  jinja::value evaluate(jinja::context& context) const override {
    ConversationTexts* texts = NotedTexts::current();
    if (texts == nullptr || context.get_val(kAskedVariable)->is_undefined()) {
      return rendered(context);
    }
    std::optional<std::string>& text = is_begun(context) ? texts->begun : texts->without;
    if (!text) {
      TemplateMeter::current().count_rendering();
      text = jinja::runtime::gather_string_parts(rendered(context))->as_string().str();
    }
    return jinja::mk_val<jinja::value_string>(*text);
  }

 private:
  static bool is_begun(jinja::context& context) {
    const jinja::value value = context.get_val("add_generation_prompt");
    return jinja::is_val<jinja::value_bool>(value) && value->as_bool();
  }

  jinja::value rendered(jinja::context& context) const {
    auto results = jinja::mk_val<jinja::value_array>();
    for (const statement_ptr& node : body_) {
      results->push_back(node->execute(context));
    }
    return results;
  }

  statements body_;
};

class BinaryNode final : public Metered<jinja::binary_expression> {
 public:
  using Metered::Metered;

 protected:
  jinja::value execute_counted(jinja::context& context, TemplateMeter& meter) const override {
    if (op.value != "*" && op.value != "+" && op.value != "~") {
      return Metered::execute_counted(context, meter);
    }
    jinja::value first = left->execute(context);
    jinja::value second = right->execute(context);
    if (op.value == "*") {
      check_times(meter, first, second);
    } else if (is_composite(first) || is_composite(second)) {  // may be written out
      meter.require((measure_value(meter, first).bytes + measure_value(meter, second).bytes) * 2);
    }
    jinja::binary_expression same(op, given(std::move(first)), given(std::move(second)));
    same.pos = pos;
    return same.execute_impl(context);
  }

 private:
  static void check_times(TemplateMeter& meter, const jinja::value& first, const jinja::value& second) {
    constexpr double kPart = 48;
    for (const auto& [text, times] : {std::pair(first, second), std::pair(second, first)}) {
      if (jinja::is_val<jinja::value_string>(text) && jinja::is_val<jinja::value_int>(times)) {
        const double part =
            static_cast<double>(text->val_str.length()) + kPart * static_cast<double>(text->val_str.parts.size());
        meter.require(part * static_cast<double>(times->val_int));
      }
    }
  }
};

class FilterNode final : public Metered<jinja::filter_expression> {
 public:
  using Metered::Metered;

 protected:
  jinja::value execute_counted(jinja::context& context, TemplateMeter& meter) const override {
    const auto* call = jinja::cast_stmt<jinja::call_expression>(filter);
    const auto* name = jinja::cast_stmt<jinja::identifier>(call == nullptr ? filter : call->callee);
    if (operand == nullptr || name == nullptr || !is_guarded(name->val)) {
      return Metered::execute_counted(context, meter);
    }
    std::vector<jinja::value> arguments = {operand->execute(context)};
    statements rest;
    for (size_t i = 0; call != nullptr && i < call->args.size(); ++i) {
      arguments.push_back(call->args[i]->execute(context));
      rest.push_back(given(arguments.back()));
    }
    check_arguments(meter, name->val, arguments);
    statement_ptr same_filter = std::make_unique<jinja::identifier>(name->val);
    if (call != nullptr) {
      same_filter = std::make_unique<jinja::call_expression>(std::move(same_filter), std::move(rest));
    }
    jinja::filter_expression same(given(arguments.front()), std::move(same_filter));
    same.pos = pos;
    return same.execute_impl(context);
  }
};

class TestNode final : public Metered<jinja::test_expression> {
 public:
  using Metered::Metered;

 protected:
  jinja::value execute_counted(jinja::context& context, TemplateMeter& meter) const override {
    const auto* call = jinja::cast_stmt<jinja::call_expression>(test);
    const auto* name = call == nullptr ? nullptr : jinja::cast_stmt<jinja::identifier>(call->callee);
    if (name == nullptr || !is_guarded(name->val)) {
      return Metered::execute_counted(context, meter);
    }
    std::vector<jinja::value> arguments = {operand->execute(context)};
    statements rest;
    for (const statement_ptr& argument : call->args) {
      arguments.push_back(argument->execute(context));
      rest.push_back(given(arguments.back()));
    }
    check_arguments(meter, name->val, arguments);
    jinja::test_expression same(
        given(arguments.front()), negate,
        std::make_unique<jinja::call_expression>(std::make_unique<jinja::identifier>(name->val), std::move(rest)));
    same.pos = pos;
    return same.execute_impl(context);
  }
};

// Lists and objects that are written down: of others, they may be deep.
template <class Node>
class LiteralNode final : public Metered<Node> {
 public:
  using Metered<Node>::Metered;

 protected:
  jinja::value execute_counted(jinja::context& context, TemplateMeter& meter) const override {
    jinja::value result = Metered<Node>::execute_counted(context, meter);
    const auto composite = [](const jinja::value& it) { return is_composite(it); };
    const auto holds = [&](const auto& pair) { return composite(pair.first) || composite(pair.second); };
    if (std::any_of(result->val_arr.begin(), result->val_arr.end(), composite) ||
        std::any_of(result->val_obj.begin(), result->val_obj.end(), holds)) {
      measure_value(meter, result);
    }
    return result;
  }
};

class SetNode final : public Metered<jinja::set_statement> {
 public:
  using Metered::Metered;

 protected:
  jinja::value execute_counted(jinja::context& context, TemplateMeter& meter) const override {
    const auto* member = jinja::cast_stmt<jinja::member_expression>(assignee);
    const auto* property = member == nullptr ? nullptr : jinja::cast_stmt<jinja::identifier>(member->property);
    if (property == nullptr || member->computed || val == nullptr) {
      return Metered::execute_counted(context, meter);
    }
    jinja::value given_value = val->execute(context);
    jinja::value object = member->object->execute(context);
    check_store(meter, object, given_value);
    jinja::set_statement same(std::make_unique<jinja::member_expression>(
                                  given(std::move(object)), std::make_unique<jinja::identifier>(property->val), false),
                              given(std::move(given_value)), {});
    same.pos = pos;
    return same.execute_impl(context);
  }
};

}  // namespace hypura::metered
