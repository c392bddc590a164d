#include "templates/template_nodes.h"

#include <memory>
#include <utility>

#include "templates/metered_nodes.h"

namespace hypura {

namespace metered {

namespace {

// Makes the nodes of one program anew.
class Rebuilder {
 public:
  explicit Rebuilder(size_t names) : names_(names) {}

  statements body(statements& nodes) const {
    statements result;
    for (statement_ptr& node : nodes) {
      result.push_back(rebuilt(std::move(node), true));
    }
    return result;
  }

 private:
  statement_ptr rebuilt(statement_ptr node, bool statement = false) const {
    if (node == nullptr) {
      return nullptr;
    }
    const Place place = {.statement = statement};
    statement_ptr result = block(*node, place);
    for (const auto make : {&Rebuilder::leaf, &Rebuilder::operation, &Rebuilder::access}) {
      result = result == nullptr ? (this->*make)(*node, place) : std::move(result);
    }
    if (result == nullptr) {
      throw std::runtime_error("the template engine has a node that is not known: " + node->type());
    }
    result->pos = node->pos;
    return result;
  }

  statements all(statements& nodes) const {
    statements result;
    for (statement_ptr& node : nodes) {
      result.push_back(rebuilt(std::move(node)));
    }
    return result;
  }

  // The node as what it is exactly, not as what it is derived from.
  template <class Node>
  static Node* as(jinja::statement& node) {
    return typeid(node) == typeid(Node) ? static_cast<Node*>(&node) : nullptr;
  }

  template <class Node, class... Args>
  static statement_ptr make(const Place& place, Args&&... args) {
    auto node = std::make_unique<Node>(std::forward<Args>(args)...);
    node->place = place;
    return node;
  }

  // One that opens a scope: a copy of all variables, and what every scope has.
  Place scope(Place place) const {
    constexpr size_t kScope = 2560;
    constexpr size_t kVariable = 112;
    place.scope_bytes = kScope + names_ * kVariable;
    return place;
  }

  statement_ptr index(statement_ptr node) const {
    return node == nullptr ? nullptr : std::make_unique<IndexNode>(rebuilt(std::move(node)));
  }

  statement_ptr callee(statement_ptr node) const { return std::make_unique<CalleeNode>(rebuilt(std::move(node))); }

  // A filter or a test: it is not executed itself.
  statement_ptr named(statement_ptr node) const {
    auto* call = jinja::cast_stmt<jinja::call_expression>(node);
    if (call == nullptr) {
      return node;
    }
    auto result = std::make_unique<jinja::call_expression>(std::move(call->callee), all(call->args));
    result->pos = node->pos;
    return result;
  }

  statement_ptr items(statement_ptr node) const {
    if (auto* chosen = as<jinja::select_expression>(*node)) {
      auto result = std::make_unique<Metered<jinja::select_expression>>(items(std::move(chosen->lhs)),
                                                                        rebuilt(std::move(chosen->test)));
      result->pos = node->pos;
      return result;
    }
    return std::make_unique<ItemsNode>(rebuilt(std::move(node)), names_);
  }

  statement_ptr block(jinja::statement& node, const Place& place) const {
    if (auto* it = as<jinja::if_statement>(node)) {
      return make<Metered<jinja::if_statement>>(place, rebuilt(std::move(it->test)), body(it->body),
                                                body(it->alternate));
    }
    if (auto* it = as<jinja::for_statement>(node)) {
      return make<Metered<jinja::for_statement>>(scope(place), std::move(it->loopvar), items(std::move(it->iterable)),
                                                 body(it->body), body(it->default_block));
    }
    if (auto* it = as<jinja::macro_statement>(node)) {
      return make<Metered<jinja::macro_statement>>(place, std::move(it->name), all(it->args), body(it->body));
    }
    if (auto* it = as<jinja::call_statement>(node)) {
      auto* call = jinja::cast_stmt<jinja::call_expression>(it->call);
      auto inner = std::make_unique<jinja::call_expression>(callee(std::move(call->callee)), all(call->args));
      inner->pos = call->pos;
      return make<Metered<jinja::call_statement>>(scope(place), std::move(inner), all(it->caller_args), body(it->body));
    }
    if (auto* it = as<jinja::set_statement>(node)) {
      statement_ptr given_value =
          it->val == nullptr ? make<CapturedNode>({}, body(it->body)) : rebuilt(std::move(it->val));
      return make<SetNode>(place, assigned(std::move(it->assignee)), std::move(given_value), statements());
    }
    if (auto* it = as<jinja::filter_statement>(node)) {
      return make<FilterNode>(place, make<CapturedNode>({}, body(it->body)), named(std::move(it->filter)));
    }
    return nullptr;
  }

  // What is set: a name, several, or a member of an object that is found by executing it.
  statement_ptr assigned(statement_ptr node) const {
    if (auto* it = as<jinja::member_expression>(*node)) {
      auto result = std::make_unique<jinja::member_expression>(rebuilt(std::move(it->object)), std::move(it->property),
                                                               it->computed);
      result->pos = node->pos;
      return result;
    }
    return node;
  }

  statement_ptr leaf(jinja::statement& node, const Place& place) const {
    if (auto* it = as<jinja::string_literal>(node)) {
      return make<Metered<jinja::string_literal>>(place, it->val);
    }
    if (auto* it = as<jinja::identifier>(node)) {
      return make<Metered<jinja::identifier>>(place, it->val);
    }
    if (auto* it = as<jinja::integer_literal>(node)) {
      return make<Metered<jinja::integer_literal>>(place, it->val);
    }
    if (auto* it = as<jinja::float_literal>(node)) {
      return make<Metered<jinja::float_literal>>(place, it->val);
    }
    if (as<jinja::comment_statement>(node) != nullptr || as<jinja::noop_statement>(node) != nullptr) {
      return make<Metered<jinja::noop_statement>>(place);
    }
    if (as<jinja::break_statement>(node) != nullptr) {
      return make<Metered<jinja::break_statement>>(place);
    }
    if (as<jinja::continue_statement>(node) != nullptr) {
      return make<Metered<jinja::continue_statement>>(place);
    }
    return as<jinja::blank_expression>(node) != nullptr ? make<Metered<jinja::blank_expression>>(place) : nullptr;
  }

  statement_ptr operation(jinja::statement& node, const Place& place) const {
    if (auto* it = as<jinja::binary_expression>(node)) {
      return make<BinaryNode>(place, it->op, rebuilt(std::move(it->left)), rebuilt(std::move(it->right)));
    }
    if (auto* it = as<jinja::unary_expression>(node)) {
      return make<Metered<jinja::unary_expression>>(place, it->op, rebuilt(std::move(it->argument)));
    }
    if (auto* it = as<jinja::filter_expression>(node)) {
      return make<FilterNode>(place, rebuilt(std::move(it->operand)), named(std::move(it->filter)));
    }
    if (auto* it = as<jinja::test_expression>(node)) {
      return make<TestNode>(place, rebuilt(std::move(it->operand)), it->negate, named(std::move(it->test)));
    }
    if (auto* it = as<jinja::select_expression>(node)) {
      return make<Metered<jinja::select_expression>>(place, rebuilt(std::move(it->lhs)), rebuilt(std::move(it->test)));
    }
    if (auto* it = as<jinja::ternary_expression>(node)) {
      return make<Metered<jinja::ternary_expression>>(place, rebuilt(std::move(it->condition)),
                                                      rebuilt(std::move(it->true_expr)),
                                                      rebuilt(std::move(it->false_expr)));
    }
    return nullptr;
  }

  statement_ptr access(jinja::statement& node, const Place& place) const {
    if (auto* it = as<jinja::member_expression>(node)) {
      statement_ptr property = it->computed ? rebuilt(std::move(it->property)) : std::move(it->property);
      return make<Metered<jinja::member_expression>>(place, rebuilt(std::move(it->object)), std::move(property),
                                                     it->computed);
    }
    if (auto* it = as<jinja::slice_expression>(node)) {
      return std::make_unique<jinja::slice_expression>(
          index(std::move(it->start_expr)), index(std::move(it->stop_expr)), index(std::move(it->step_expr)));
    }
    if (auto* it = as<jinja::call_expression>(node)) {
      return make<Metered<jinja::call_expression>>(scope(place), callee(std::move(it->callee)), all(it->args));
    }
    if (auto* it = as<jinja::keyword_argument_expression>(node)) {
      return std::make_unique<jinja::keyword_argument_expression>(std::move(it->key), rebuilt(std::move(it->val)));
    }
    if (auto* it = as<jinja::spread_expression>(node)) {
      return std::make_unique<jinja::spread_expression>(rebuilt(std::move(it->argument)));
    }
    if (auto* it = as<jinja::array_literal>(node)) {
      return make<LiteralNode<jinja::array_literal>>(place, all(it->val));
    }
    if (auto* it = as<jinja::tuple_literal>(node)) {
      return make<LiteralNode<jinja::tuple_literal>>(place, all(it->val));
    }
    if (auto* it = as<jinja::object_literal>(node)) {
      std::vector<std::pair<statement_ptr, statement_ptr>> pairs;
      for (auto& [key, item] : it->val) {
        pairs.emplace_back(rebuilt(std::move(key)), rebuilt(std::move(item)));
      }
      return make<LiteralNode<jinja::object_literal>>(place, std::move(pairs));
    }
    return nullptr;
  }

  size_t names_;
};

}  // namespace

}  // namespace metered

void meter_program(jinja::program& program, size_t names) {
  constexpr size_t kGivenNames = 40;  // that llama.cpp gives every template
  auto whole = std::make_unique<metered::WholeNode>(metered::Rebuilder(names + kGivenNames).body(program.body));
  program.body.clear();
  program.body.push_back(std::move(whole));
}

}  // namespace hypura
