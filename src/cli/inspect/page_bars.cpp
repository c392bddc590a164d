#include <fmt/format.h>

#include <algorithm>

#include "cli/inspect/figures.h"
#include "cli/inspect/page_parts.h"
#include "cli/inspect/words.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr size_t kColours = 7;  // --p0 to --p6 of the style sheet

std::string legend_item(const std::string& colour, const std::string& name, uint64_t bytes) {
  return fmt::format(R"html(<span><i class="swatch" style="background:var(--{})"></i>{} <b>{}</b></span>)html", colour,
                     name, format_bytes(bytes));
}

struct Bar {
  std::string label;
  double value = 0;
  const char* look = "";  // further classes
  std::string note;
};

std::string bar_row(const Bar& bar, double most) {
  return fmt::format(R"(<span>{}</span><div class="bar{}" style="width:{:.2f}%"></div><span>{}{}</span>)", bar.label,
                     bar.look, 100 * bar.value / most, rate_words(bar.value), bar.note);
}

}  // namespace

namespace {

// A bar for what is on one tier.
std::string tier_bar(const Plan& plan, Tier tier, uint64_t budget) {
  uint64_t sum = 0;
  for (const LedgerLine& line : plan.ledger) {
    sum += line.tier == tier ? line.bytes : 0;
  }
  const uint64_t whole = std::max(budget, sum);
  if (whole == 0) {
    return {};
  }
  std::string bar;
  std::string legend;
  for (size_t i = 0; i < plan.ledger.size(); ++i) {
    const LedgerLine& line = plan.ledger[i];
    if (line.bytes == 0 || line.tier != tier) {
      continue;
    }
    const std::string colour = fmt::format("p{}", i % kColours);
    const std::string name = escape_html(to_string(line));
    bar += fmt::format(R"html(<span title="{}: {}" style="width:{:.3f}%;background:var(--{})"></span>)html", name,
                       format_bytes(line.bytes), 100 * static_cast<double>(line.bytes) / static_cast<double>(whole),
                       colour);
    legend += legend_item(colour, name, line.bytes);
  }
  if (whole > sum) {
    legend += legend_item("free", "not needed", whole - sum);
  }
  return fmt::format(R"(<div class="stack">{}</div><div class="legend">{}</div>)", bar, legend);
}

}  // namespace

std::string page_ledger(const Plan& plan) {
  return (plan.device ? tier_bar(plan, Tier::kDevice, plan.device->budget) : "") +
         tier_bar(plan, Tier::kRam, plan.budget);
}

std::string page_speed_bars(const Plan& plan) {
  const Prediction& prediction = plan.prediction;
  std::vector<Bar> bars = {{"this plan", prediction.tokens_per_second, "", ""}};
  const double now = prediction.tokens_per_second;
  for (const auto& [label, value] : improved_speeds(plan)) {
    if (value > 0 && now > 0) {
      bars.push_back(
          {label, value, " soft", value / now < 1.0005 ? "" : fmt::format(" (+{})", percent_words(value / now - 1))});
    }
  }
  if (prediction.bound_tokens_per_second > 0) {
    bars.push_back({"physical bound", prediction.bound_tokens_per_second, " bound", ""});
  }
  double most = 0;
  for (const Bar& bar : bars) {
    most = std::max(most, bar.value);
  }
  if (most <= 0) {
    return {};
  }
  std::string rows;
  for (const Bar& bar : bars) {
    rows += bar_row(bar, most);
  }
  return R"(<div class="bars">)" + rows + "</div>";
}

}  // namespace hypura
