#include "cli/inspect/page.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/inspect/figures.h"
#include "cli/inspect/page_parts.h"
#include "cli/inspect/sentences.h"
#include "cli/inspect/tensor_list.h"
#include "cli/inspect/words.h"
#include "support/units.h"

namespace hypura {

namespace {

// The policy forbids the page whatever it does not need, so that a mistake in escaping could load or run nothing.
constexpr std::string_view kHead =
    R"(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
)";

std::string section(std::string_view title, const std::string& content) {
  return content.empty() ? "" : fmt::format("<section>\n<h2>{}</h2>\n{}\n</section>\n", title, content);
}

std::string callout(const char* look, const std::string& text) {
  return fmt::format("<div class=\"callout{}\">{}</div>\n", look, escape_html(text));
}

std::string headline(const InspectView& view) {
  const Model& model = view.model;
  std::string sub = fmt::format("{} · {} · {}", model_sentences(model).front().second,
                                count_words(model.parameters) + " parameters", format_bytes(model.bytes));
  return fmt::format("<header>\n<h1>{}</h1>\n<p class=\"sub\">{}</p>\n</header>\n", escape_html(model.name),
                     escape_html(sub));
}

std::string callouts(const InspectView& view) {
  std::string html = view.error != nullptr ? callout(" bad", first_line(view.error->message)) : "";
  for (const std::string& warning : all_warnings(view)) {
    html += callout("", warning);
  }
  return html;
}

std::string cards(const Plan& plan) {
  std::string html = "<div class=\"cards\">\n";
  const char* look = " main";
  for (const Figure& figure : predictions(plan)) {
    html += fmt::format(
        R"(<div class="card{}"><div class="label">{}</div><div class="value">{}</div><div class="note">{}</div></div>)"
        "\n",
        look, figure.label, escape_html(figure.value), escape_html(figure.note));
    look = "";
  }
  return html + "</div>\n";
}

std::string bytes_cell(uint64_t bytes) {
  return fmt::format("<td>{}</td>", bytes > 0 ? format_bytes(bytes) : "–");
}

std::string role_row(const char* look, const char* name, uint64_t tensors, const TierBytes& bytes, bool device,
                     const std::string& ways) {
  return fmt::format("<tr{}><td>{}</td><td>{}</td>{}{}{}{}<td class=\"text\">{}</td></tr>\n", look, name, tensors,
                     bytes_cell(bytes.total()), device ? bytes_cell(bytes.device) : "", bytes_cell(bytes.ram),
                     bytes_cell(bytes.disk), escape_html(ways));
}

std::string role_table(const Plan& plan) {
  const std::vector<RoleLine> lines = role_lines(plan);
  const bool device = std::any_of(lines.begin(), lines.end(), [](const RoleLine& l) { return l.bytes.device > 0; });
  std::string html = fmt::format(
      "<div class=\"scroll\"><table>\n<tr><th>role</th><th>tensors</th><th>size</th>{}<th>RAM</th><th>disk</th>"
      "<th class=\"text\">how</th></tr>\n",
      device ? "<th>device</th>" : "");
  TierBytes sum;
  uint64_t tensors = 0;
  for (const RoleLine& line : lines) {
    html += role_row("", role_name(line.role), line.tensors, line.bytes, device,
                     fmt::format("{}", fmt::join(line.ways, ", ")));
    sum += line.bytes;
    tensors += line.tensors;
  }
  return html + role_row(" class=\"sum\"", "sum", tensors, sum, device, "") + "</table></div>";
}

std::string machines_part(const Plan& plan) {
  const auto machines = machine_sentences(plan);
  std::string html;
  for (const auto& [name, words] : machines) {
    html += fmt::format("<dt>{}</dt><dd>{}</dd>\n", escape_html(name), escape_html(words));
  }
  return machines.empty() ? "" : "<dl>\n" + html + "</dl>";
}

std::string plan_sections(const InspectView& view) {
  const Plan& plan = *view.plan;
  std::string sentences;
  for (const std::string& sentence : plan_sentences(plan, view.model)) {
    sentences += fmt::format("<p>{}</p>\n", escape_html(sentence));
  }
  const std::string budget = fmt::format("Memory: a budget of {}, and {} of process overhead",
                                         format_bytes(plan.budget), format_bytes(plan.process_overhead));
  return section("What would make it faster", page_speed_bars(plan)) + section("Machines", machines_part(plan)) +
         section("Where the weights lie", page_map(plan, view.model.layers)) + section(budget, page_ledger(plan)) +
         section(fmt::format("Plan: {}", to_string(plan.mode())), sentences + role_table(plan));
}

std::string model_section(const InspectView& view) {
  std::string html = "<dl>\n";
  auto sentences = model_sentences(view.model);
  sentences.emplace_back("machine", machine_sentence(view.machine));
  for (const auto& [label, value] : sentences) {
    html += fmt::format("<dt>{}</dt><dd>{}</dd>\n", label, escape_html(value));
  }
  return section("Model and machine", html + "</dl>");
}

std::string tensor_section(const InspectView& view) {
  std::string html = fmt::format("<section>\n<details><summary>{}</summary>\n<div class=\"scroll\"><table>\n",
                                 plural(view.model.tensors.size(), "tensor"));
  html +=
      "<tr><th>name</th><th class=\"text\">role</th><th class=\"text\">type</th><th>shape</th><th>size</th>"
      "<th class=\"text\">where</th></tr>\n";
  for (const auto& [tensor, placed, shape] : tensor_lines(view)) {
    html += fmt::format(
        "<tr><td>{}</td><td class=\"text\">{}</td><td class=\"text\">{}</td><td>{}</td><td>{}</td>"
        "<td class=\"text\">{}</td></tr>\n",
        escape_html(tensor->name), role_name(tensor->role), type_name(tensor->type), shape,
        format_bytes(tensor->extent.length), placed != nullptr ? escape_html(where_words(*placed)) : "");
  }
  return html + "</table></div></details>\n</section>\n";
}

}  // namespace

std::string inspect_page(const InspectView& view, bool tensors) {
  std::string html(kHead);
  html += fmt::format("<title>{} · Hypura</title>\n<style>", escape_html(view.model.name));
  html += page_style();
  html += "</style>\n</head>\n<body>\n<main>\n" + headline(view) + callouts(view);
  if (view.plan != nullptr) {
    html += cards(*view.plan) + plan_sections(view);
  }
  html += model_section(view);
  if (tensors) {
    html += tensor_section(view);
  }
  html += "<footer>Made by <code>hypura inspect</code> " HYPURA_VERSION
          " from the model's header; figures are predictions.</footer>\n</main>\n</body>\n</html>\n";
  return html;
}

}  // namespace hypura
