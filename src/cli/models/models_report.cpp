#include "cli/models/models_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "support/printable.h"
#include "support/units.h"

namespace hypura {

namespace {

using Json = nlohmann::ordered_json;
using ListRow = std::array<std::string, 3>;

constexpr size_t kMostProblems = 20;

std::string size_of(const CatalogueEntry& entry) {
  return entry.bytes == 0 ? "" : format_bytes(entry.bytes);
}

// "Ollama: /home/me/.ollama/models", and whether it may be removed.
std::string where(const CatalogueEntry& entry) {
  if (entry.origin == ModelOrigin::kCreated) {
    return fmt::format("created from {}", printable(entry.from));
  }
  return fmt::format("{}{} {}", entry.ours ? "fetched by Hypura, " : "", origin_words(entry.origin),
                     printable(entry.place.string()));
}

std::string table(const std::vector<ListRow>& rows) {
  std::array<size_t, 2> widths = {};
  for (const ListRow& row : rows) {
    for (size_t i = 0; i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text;
  for (const ListRow& row : rows) {
    text += fmt::format("{:<{}}  {:>{}}  {}\n", row[0], widths[0], row[1], widths[1], row[2]);
  }
  return text;
}

Json json_or_null(const std::string& text) {
  Json json = text.empty() ? Json() : Json::parse(text, nullptr, false);
  return json.is_discarded() ? Json() : json;
}

}  // namespace

std::string catalogue_text(const Catalogue& catalogue) {
  std::vector<ListRow> rows = {{"Model", "Size", "Where"}};
  std::string unusable;
  for (const CatalogueEntry& entry : catalogue.entries) {
    if (entry.usable()) {
      rows.push_back({printable(entry.name), size_of(entry), where(entry)});
    } else {
      unusable += fmt::format("  {} ({}): {}\n", printable(entry.name), where(entry), printable(entry.problem));
    }
  }
  std::string text = rows.size() > 1 ? table(rows)
                                     : "No models found. `hypura run` without a model uses the bundled demo model; "
                                       "--models DIR names a folder with models.\n";
  if (!unusable.empty()) {
    text += "\nNot usable:\n" + unusable;
  }
  if (!catalogue.problems.empty()) {
    text += "\nPassed over:\n";
    for (size_t i = 0; i < std::min(catalogue.problems.size(), kMostProblems); ++i) {
      text += fmt::format("  {}\n", printable(catalogue.problems[i]));
    }
    if (catalogue.problems.size() > kMostProblems) {
      text += fmt::format("  and {} more; --json has all\n", catalogue.problems.size() - kMostProblems);
    }
  }
  return text;
}

Json entry_to_json(const CatalogueEntry& entry, const ModelCard* card) {
  Json json = {{"name", entry.name},
               {"origin", origin_words(entry.origin)},
               {"place", entry.place.string()},
               {"files", Json::array()},
               {"bytes", entry.bytes},
               {"modified", entry.modified},
               {"removable", entry.ours},
               {"usable", entry.usable()},
               {"problem", nullptr}};
  for (const auto& file : entry.files) {
    json["files"].push_back(file.string());
  }
  if (!entry.problem.empty()) {
    json["problem"] = entry.problem;
  }
  if (!entry.from.empty()) {
    json["from"] = entry.from;
  }
  if (!entry.preset.system.empty()) {
    json["system"] = entry.preset.system;
  }
  if (!entry.preset.chat_template.empty()) {
    json["template"] = entry.preset.chat_template;
  }
  if (!entry.preset.parameters.empty()) {
    json["parameters"] = json_or_null(entry.preset.parameters);
  }
  if (!entry.preset.messages.empty()) {
    json["messages"] = json_or_null(entry.preset.messages);
  }
  if (card != nullptr) {
    json["architecture"] = card->architecture;
    json["parameter_count"] = card->parameters;
    json["quantization"] = card->quantization;
    json["trained_context"] = card->trained_context;
    json["tools"] = card->tools;
    json["thinking"] = card->thinking;
    json["embeddings"] = card->embeddings;
  }
  return json;
}

Json catalogue_to_json(const Catalogue& catalogue) {
  Json models = Json::array();
  for (const CatalogueEntry& entry : catalogue.entries) {
    models.push_back(entry_to_json(entry, nullptr));
  }
  return {{"models", std::move(models)}, {"problems", catalogue.problems}};
}

std::string entry_text(const CatalogueEntry& entry, const ModelCard* card) {
  std::string text;
  const auto line = [&](const char* name, const std::string& value) {
    if (!value.empty()) {
      text += fmt::format("{:<16} {}\n", name, printable(value));
    }
  };
  line("name", entry.name);
  line("where", where(entry));
  for (const auto& file : entry.files) {
    line("file", file.string());
  }
  line("size", size_of(entry));
  line("not usable", entry.problem);
  if (card != nullptr) {
    const auto yes_no = [](bool value) { return std::string(value ? "yes" : "no"); };
    line("architecture", card->architecture);
    line("parameters", card->parameter_size);
    line("quantization", card->quantization);
    line("context", fmt::format("{} tokens, as trained", card->trained_context));
    line("chat template", yes_no(!card->chat_template.empty()));
    line("tools", yes_no(card->tools));
    line("thinking", yes_no(card->thinking));
    line("embeddings", yes_no(card->embeddings));
  }
  line("system", entry.preset.system);
  line("template", entry.preset.chat_template);
  line("begins with", entry.preset.parameters);
  line("messages", entry.preset.messages);
  return text;
}

}  // namespace hypura
