#include "cli/models/named_model.h"

#include <unistd.h>

#include <utility>

#include "cli/output.h"
#include "cli/pull/missing_model.h"
#include "support/fail.h"

namespace hypura {
namespace {

Status resolve(std::filesystem::path& model, NamedModels& models) {
  if (model.empty()) {
    return {};
  }
  return models.find(model.string()).map([&](NamedModel&& found) { model = std::move(found.file); });
}

// A copy beside the model would lie in a folder that another program looks after, and stay there when it removes the
// model.
Status resolve_for_copy(std::filesystem::path& model, NamedModels& models) {
  auto found = models.find(model.string());
  if (!found) {
    return propagate(found.error());
  }
  const bool kept_by_others = found->entry && found->entry->origin != ModelOrigin::kFolder;
  if (kept_by_others) {
    return fail(ErrorCode::kUsage,
                "{} lies in a store ({}), and a repacked copy would be written beside it; copy {} to a folder of your "
                "own and name the copy",
                found->entry->name, origin_words(found->entry->origin), found->file.string());
  }
  model = std::move(found->file);
  return {};
}

}  // namespace

Result<NamedModel> NamedModels::find(const std::string& name) {
  const auto read = read_model_name(name);
  if (read && std::holds_alternative<FileName>(read->readings.front())) {
    return NamedModel{std::get<FileName>(read->readings.front()).path, std::nullopt};
  }
  const auto named = [](const CatalogueEntry* entry) { return NamedModel{entry->files.front(), *entry}; };
  const auto found = find_in(catalogue(), name);
  if (found || !get_missing_ || found.error().code != ErrorCode::kUsage) {
    return found.map(named);
  }
  const auto file = get_missing_(name);
  if (!file) {
    const bool server = file.error().code == ErrorCode::kIo;
    return server ? propagate(file.error(), fmt::format("{} is not on this machine", name)) : propagate(file.error());
  }
  catalogue_.reset();  // what came with it is in there now
  const auto fetched = find_in(catalogue(), name);
  return fetched ? named(*fetched) : NamedModel{*file, std::nullopt};
}

const Catalogue& NamedModels::catalogue() {
  if (!catalogue_) {
    catalogue_ = read_catalogue(places_);
  }
  return *catalogue_;
}

ModelPlaces model_places(const std::vector<std::filesystem::path>& folders) {
  ModelPlaces places = places_from_environment();
  for (const std::filesystem::path& folder : folders) {
    std::error_code unknown;
    add_models_folder(places, std::filesystem::absolute(folder, unknown).lexically_normal());
  }
  return places;
}

namespace {

Status resolve_for_answers(RunOptions& options, NamedModels& models, std::vector<std::string>& notes) {
  if (options.engine.model.empty()) {
    return {};
  }
  auto found = models.find(options.engine.model.string());
  if (!found) {
    return propagate(found.error());
  }
  options.engine.model = std::move(found->file);
  if (!found->entry) {
    return {};
  }
  const ModelPreset& preset = found->entry->preset;
  if (!preset.system.empty() && !options.system && !options.raw) {
    options.system = preset.system;
  }
  if (options.engine.chat_template.empty() && !options.raw) {
    options.engine.chat_template = preset.chat_template;
  }
  if (!preset.parameters.empty() || !preset.messages.empty()) {
    notes.push_back(
        fmt::format("the parameters and messages that {} begins with are for `hypura serve`; here the flags count",
                    found->entry->name));
  }
  return {};
}

Status resolve_in(CommandLine& line, NamedModels& models, std::vector<std::string>& notes) {
  switch (line.action) {
    case CommandLine::Action::kRun:
    case CommandLine::Action::kChat:
      return resolve_for_answers(line.options, models, notes).and_then([&] {
        return resolve(line.options.engine.draft.model, models);
      });
    case CommandLine::Action::kBench:
      return resolve(line.bench.model, models).and_then([&] { return resolve(line.bench.draft.model, models); });
    case CommandLine::Action::kInspect: {
      Status found = resolve(line.inspect.model, models);
      line.inspect.remote = !found && found.error().code == ErrorCode::kUsage;
      return line.inspect.remote ? Status() : found;
    }
    case CommandLine::Action::kRepack:
      return resolve_for_copy(line.repack.model, models);
    case CommandLine::Action::kKv:
      // What is kept of a model may outlive it: what is no name of one here is looked for by itself.
      if (line.kv.model) {
        if (auto found = models.find(line.kv.model->string())) {
          line.kv.model = std::move(found->file);
        }
      }
      return {};
    case CommandLine::Action::kServe:
      return resolve(line.serve.engine.draft.model, models);
    case CommandLine::Action::kWorker:
      return resolve(line.worker.model, models);
    default:
      return {};
  }
}

// Only for commands that run a model.
NamedModels::GetMissing get_missing(const CommandLine& line, MissingModels& missing) {
  using Action = CommandLine::Action;
  const Consent consent = line.yes ? Consent::kGiven : Consent::kAsk;
  if (line.action == Action::kRun || line.action == Action::kChat || line.action == Action::kServe) {
    const bool serves = line.action == Action::kServe;
    return [&missing, consent, engine = serves ? line.serve.engine : line.options.engine](const std::string& name) {
      const bool is_draft = name == engine.draft.model.string();
      return missing.fetch(name, consent, is_draft ? nullptr : &engine);
    };
  }
  if (line.action == Action::kBench) {
    return [&missing, consent](const std::string& name) { return missing.fetch(name, consent, nullptr); };
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> resolve_models(CommandLine& line) {
  const ModelPlaces places = model_places(line.model_folders);
  Output words(STDERR_FILENO, "standard error");
  MissingModels missing(places, words);
  NamedModels models(places, get_missing(line, missing));
  std::vector<std::string> notes;
  return resolve_in(line, models, notes).map([&] { return std::move(notes); });
}

}  // namespace hypura
