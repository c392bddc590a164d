// How a model's chat template is told whether and how much to think.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

struct common_chat_templates_inputs;

namespace hypura {

// "minimal", "low", "medium", "high", "xhigh" and "max", in this order.
inline constexpr std::array<std::string_view, 6> kEfforts = {"minimal", "low", "medium", "high", "xhigh", "max"};

struct ThinkingWish {
  std::optional<bool> think;      // none: as the model does by itself
  std::string effort;             // one of kEfforts; empty: none wished
  std::optional<int32_t> budget;  // tokens to think in
};

// Which variables a template reads for it, and which of their values, is found once by trying them. Thread-safe.
class ThinkingForm {
 public:
  // As MessageShapes::Render.
  using Render = std::function<std::optional<std::string>(const common_chat_templates_inputs&)>;

  explicit ThinkingForm(Render render) : render_(std::move(render)) {}

  // Sets what the template reads, but no variable that `inputs` has already. A level that the template does not know
  // becomes the nearest one that it knows; where it knows none, thinking is only on or off. Where thinking cannot be
  // turned off, the least there is takes its place.
  void set(const ThinkingWish& wish, common_chat_templates_inputs& inputs) const;

 private:
  struct Setting {
    std::string variable;
    std::string json;
  };

  // What the template reads.
  struct Known {
    std::string effort;                               // the variable that takes levels; empty: none
    std::array<std::string, kEfforts.size()> values;  // of that variable, by level
    bool budget = false;                              // whether it takes a number of tokens
    bool switched = false;                            // whether enable_thinking says it all
    std::optional<Setting> off;                       // else what turns it off
    std::optional<Setting> on;                        // or what turns it on
  };

  const Known& known() const;
  Known found() const;
  void find_effort(const std::string& usual, Known& known) const;
  std::optional<std::string> rendered(const Setting& setting) const;

  Render render_;
  mutable std::once_flag once_;
  mutable Known known_;
};

}  // namespace hypura
