#include "cli/inspect/text.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/inspect/figures.h"
#include "cli/inspect/placement_map.h"
#include "cli/inspect/sentences.h"
#include "cli/inspect/tensor_list.h"
#include "cli/inspect/words.h"
#include "cli/statistics.h"
#include "support/printable.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr size_t kTextWidth = 80;
constexpr size_t kIndent = 16;  // of what stands behind a label

std::string headline(std::string_view text, bool colour) {
  return colour ? fmt::format("\x1b[1m{}\x1b[0m\n", text) : fmt::format("{}\n", text);
}

std::string heading(std::string_view text, bool colour) {
  return "\n" + headline(text, colour);
}

std::string field(std::string_view label, std::string_view value) {
  return fmt::format("  {:<{}}{}\n", label, kIndent - 2, wrap(value, kIndent, kTextWidth));
}

std::string paragraph(std::string_view text, std::string_view mark = "") {
  return fmt::format("  {}{}\n", mark, wrap(text, 2 + mark.size(), kTextWidth));
}

std::string model_part(const InspectView& view) {
  std::string text;
  for (const auto& [label, value] : model_sentences(view.model)) {
    text += field(label, value);
  }
  return text + field("machine", machine_sentence(view.machine));
}

// "-" where there is nothing, so that a table can be read down.
std::string bytes_or_dash(uint64_t bytes) {
  return bytes > 0 ? format_bytes(bytes) : "-";
}

std::string table_row(std::string_view role, std::string_view tensors, const TierBytes& bytes, bool device,
                      const std::string& how) {
  std::string line = fmt::format("  {:<15}{:>7} {:>11}", role, tensors, bytes_or_dash(bytes.total()));
  if (device) {
    line += fmt::format(" {:>11}", bytes_or_dash(bytes.device));
  }
  line += fmt::format(" {:>11} {:>11}  {}", bytes_or_dash(bytes.ram), bytes_or_dash(bytes.disk), how);
  return line.erase(line.find_last_not_of(' ') + 1) + "\n";
}

std::string role_table(const InspectView& view) {
  const std::vector<RoleLine> lines = role_lines(*view.plan);
  const bool device = std::any_of(lines.begin(), lines.end(), [](const RoleLine& l) { return l.bytes.device > 0; });
  std::string text = fmt::format("  {:<15}{:>7} {:>11}", "role", "tensors", "size");
  text += fmt::format("{} {:>11} {:>11}  how\n", device ? fmt::format(" {:>11}", "device") : "", "RAM", "disk");
  TierBytes sum;
  uint64_t tensors = 0;
  for (const RoleLine& line : lines) {
    text += table_row(role_name(line.role), fmt::format("{}", line.tensors), line.bytes, device,
                      fmt::format("{}", fmt::join(line.ways, ", ")));
    sum += line.bytes;
    tensors += line.tensors;
  }
  return text + table_row("sum", fmt::format("{}", tensors), sum, device, "");
}

// Sizes alone, where no plan says where they would lie.
std::string size_table(const Model& model) {
  std::string text = fmt::format("  {:<15}{:>7} {:>11}\n", "role", "tensors", "size");
  for (const RoleLine& line : role_lines(model)) {
    text += fmt::format("  {:<15}{:>7} {:>11}\n", role_name(line.role), line.tensors, format_bytes(line.bytes.total()));
  }
  return text;
}

std::string plan_part(const InspectView& view, bool colour) {
  const Plan& plan = *view.plan;
  std::string text = heading(fmt::format("Plan: {}", to_string(plan.mode())), colour);
  for (const std::string& sentence : plan_sentences(plan, view.model)) {
    text += paragraph(sentence);
  }
  text += "\n" + role_table(view);
  const auto machines = machine_sentences(plan);
  text += machines.empty() ? "" : heading("Machines", colour);
  for (const auto& [name, words] : machines) {
    text += fmt::format("  {}\n    {}\n", name, wrap(words, 4, kTextWidth));
  }
  text += heading("Map", colour) + terminal_map(placement_map(plan, view.model.layers), colour);
  text += heading("Memory", colour) + ledger_table(plan);
  text += heading("Predicted", colour);
  for (const auto& figures : {predictions(plan), improvements(plan)}) {
    for (const Figure& figure : figures) {
      text += fmt::format("  {:<17}{:>12}  {}", figure.label, figure.value, wrap(figure.note, 33, kTextWidth));
      text.erase(text.find_last_not_of(' ') + 1);
      text += "\n";
    }
  }
  return text;
}

}  // namespace

bool wants_colour(bool is_terminal, const char* no_color, const char* term) {
  const bool refused = no_color != nullptr && *no_color != '\0';
  return is_terminal && !refused && (term == nullptr || std::string_view(term) != "dumb");
}

std::string inspect_text(const InspectView& view, const TextStyle& style) {
  std::string text = headline(printable(view.model.name), style.colour) + model_part(view);
  if (view.plan != nullptr) {
    text += plan_part(view, style.colour);
  } else {
    text += heading("No plan", style.colour);
    text += view.error != nullptr ? paragraph(first_line(view.error->message)) + "\n" : "";
    text += size_table(view.model);
  }
  const std::vector<std::string> warnings = all_warnings(view);
  if (!warnings.empty()) {
    text += heading("Warnings", style.colour);
    for (const std::string& warning : warnings) {
      text += paragraph(warning, "- ");
    }
  }
  if (style.tensors) {
    text += heading("Tensors", style.colour) + tensor_list(view);
  }
  return text;
}

}  // namespace hypura
