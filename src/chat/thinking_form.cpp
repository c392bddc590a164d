#include "chat/thinking_form.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "chat.h"

namespace hypura {

namespace {

constexpr size_t kLow = 1;
constexpr size_t kMedium = 2;
constexpr size_t kHigh = 3;

// Tokens of thinking for each level; of the highest no limit.
constexpr std::array<int32_t, kEfforts.size()> kBudgets = {512, 1024, 4096, 16384, 32768, -1};

// What stands in for a level that a template does not know, the nearest first.
const std::array<std::vector<std::string_view>, kEfforts.size()> kNearest = {{{"minimal", "low", "medium", "high"},
                                                                              {"low", "minimal", "medium", "high"},
                                                                              {"medium", "high", "low", "max"},
                                                                              {"high", "max", "xhigh", "medium", "low"},
                                                                              {"xhigh", "max", "high", "medium"},
                                                                              {"max", "xhigh", "high", "medium"}}};

std::string quoted(std::string_view text) {
  return fmt::format("\"{}\"", text);
}

size_t level_of(std::string_view effort) {
  return static_cast<size_t>(std::find(kEfforts.begin(), kEfforts.end(), effort) - kEfforts.begin());
}

// The level that a number of tokens is for.
size_t level_of(int32_t budget) {
  return budget <= kBudgets[kMedium] ? kLow : (budget <= kBudgets[kHigh] ? kMedium : kHigh);
}

std::optional<size_t> level_of(const ThinkingWish& wish) {
  if (const size_t level = level_of(wish.effort); level < kEfforts.size()) {
    return level;
  }
  return wish.budget ? std::optional(level_of(*wish.budget)) : std::nullopt;
}

}  // namespace

std::optional<std::string> ThinkingForm::rendered(const Setting& setting) const {
  common_chat_templates_inputs inputs;
  inputs.messages.emplace_back().role = "user";
  inputs.messages.back().content = "Hello";
  inputs.enable_thinking = setting.variable != "enable_thinking" || setting.json == "true";
  if (!setting.variable.empty() && setting.variable != "enable_thinking") {
    inputs.chat_template_kwargs[setting.variable] = setting.json;
  }
  return render_(inputs);
}

// Levels: a template either knows some by name, and refuses others or does nothing for them, or writes whatever it is
// given. Models that are told in words know "low", "medium" and "high".
void ThinkingForm::find_effort(const std::string& usual, Known& known) const {
  constexpr std::string_view kNoLevel = "qzlevelzq";
  for (const char* variable : {"reasoning_effort", "thinking_effort"}) {
    const auto unknown = rendered({variable, quoted(kNoLevel)});
    const bool written = unknown && unknown->find(kNoLevel) != std::string::npos;
    std::array<bool, kEfforts.size()> taken{};
    bool any = written;
    for (size_t level = 0; level < kEfforts.size(); ++level) {
      const auto prompt = rendered({variable, quoted(kEfforts[level])});
      taken[level] = written ? level >= kLow && level <= kHigh : prompt && (!unknown || *prompt != *unknown);
      any = any || (taken[level] && (!unknown || *prompt != usual));
    }
    if (!any) {
      continue;
    }
    known.effort = variable;
    for (size_t level = 0; level < kEfforts.size(); ++level) {
      // Levels in the middle that a template does nothing for are its usual one.
      const bool itself = taken[level] || (unknown && !written && level >= kLow && level <= kHigh);
      const auto nearest = std::find_if(kNearest[level].begin(), kNearest[level].end(),
                                        [&](std::string_view it) { return taken[level_of(it)]; });
      known.values[level] = quoted(itself || nearest == kNearest[level].end() ? kEfforts[level] : *nearest);
    }
    return;
  }
}

ThinkingForm::Known ThinkingForm::found() const {
  Known known;
  const auto usual = rendered({});
  if (!usual) {
    return known;
  }
  const auto changes = [&](const Setting& setting) {
    const auto prompt = rendered(setting);
    return prompt && *prompt != *usual;
  };
  find_effort(*usual, known);
  known.budget = changes({"thinking_budget", std::to_string(kBudgets[0])});
  known.switched = changes({"enable_thinking", "false"});
  const bool written = !known.effort.empty() && changes({known.effort, quoted("qzlevelzq")});
  std::vector<Setting> off = {{"thinking", "false"}, {"reasoning", "false"}, {"thinking_mode", quoted("disabled")}};
  std::vector<Setting> on = {{"thinking", "true"}, {"reasoning", "true"}, {"thinking_mode", quoted("enabled")}};
  if (known.budget) {
    off.push_back({"thinking_budget", "0"});
  }
  if (!known.effort.empty() && !written) {
    off.push_back({known.effort, quoted("none")});
    on.push_back({known.effort, known.values[kHigh]});
  }
  const auto first = [&](const std::vector<Setting>& settings) {
    const auto found = std::find_if(settings.begin(), settings.end(), changes);
    return found == settings.end() ? std::nullopt : std::optional(*found);
  };
  if (!known.switched) {
    known.off = first(off);
  }
  if (!known.switched && !known.off) {
    known.on = first(on);  // the template does not think by itself
  }
  return known;
}

const ThinkingForm::Known& ThinkingForm::known() const {
  std::call_once(once_, [this] { known_ = found(); });
  return known_;
}

void ThinkingForm::set(const ThinkingWish& wish, common_chat_templates_inputs& inputs) const {
  std::optional<size_t> level = level_of(wish);
  inputs.enable_thinking = wish.think.value_or(true);
  if (!level && !wish.think) {
    return;
  }
  const Known& known = this->known();
  const auto give = [&](const std::string& variable, const std::string& json) {
    inputs.chat_template_kwargs.emplace(variable, json);
  };
  if (!inputs.enable_thinking) {
    if (known.off) {
      give(known.off->variable, known.off->json);
    }
    if (known.switched || known.off || known.on) {
      return;
    }
    level = level.value_or(0);  // it cannot be turned off
  } else if (known.on && !(level && known.on->variable == known.effort)) {
    give(known.on->variable, known.on->json);
  }
  if (!level) {
    return;
  }
  if (!known.effort.empty()) {
    give(known.effort, known.values[*level]);
  }
  const int32_t budget = wish.budget.value_or(kBudgets[*level]);
  if (known.budget && budget > 0) {
    give("thinking_budget", std::to_string(budget));
  }
}

}  // namespace hypura
