// The seam to how llama.cpp executes the nodes of a template: as constants from v0.5.0 on, which v0.4.0 does not.
#pragma once

#include <type_traits>

#include "jinja/runtime.h"

namespace hypura::metered {

// Whether this llama.cpp executes nodes as constants.
inline constexpr bool kConstantNodes = std::is_same_v<decltype(&jinja::statement::execute_impl),
                                                      jinja::value (jinja::statement::*)(jinja::context&) const>;

// A `Node` of llama.cpp's, whose value is what `evaluate` gives. Threads may share it.
template <class Node, bool constant = kConstantNodes>
class OwnNode : public Node {
 public:
  using Node::Node;
  jinja::value execute_impl(jinja::context& context) const final { return evaluate(context); }

 protected:
  virtual jinja::value evaluate(jinja::context& context) const = 0;
  // What the node itself gives.
  jinja::value inherited(jinja::context& context) const { return Node::execute_impl(context); }
};

template <class Node>
class OwnNode<Node, false> : public Node {
 public:
  using Node::Node;
  jinja::value execute_impl(jinja::context& context) final { return evaluate(context); }

 protected:
  virtual jinja::value evaluate(jinja::context& context) const = 0;
  jinja::value inherited(jinja::context& context) const {
    return const_cast<OwnNode*>(this)->Node::execute_impl(context);
  }
};

}  // namespace hypura::metered
