#include <unistd.h>

#include <future>
#include <mutex>
#include <utility>

#include "cli/commands.h"
#include "cli/demo_model.h"
#include "cli/models/named_model.h"
#include "cli/output.h"
#include "cli/progress_bar.h"
#include "cli/pull/missing_model.h"
#include "cli/serve/idle_profile.h"
#include "cli/serve/memory_signals.h"
#include "cli/serve/stop_signals.h"
#include "cli/serving_log.h"
#include "cli/statistics.h"
#include "server/library_local.h"
#include "server/memory_keeper.h"
#include "server/metrics.h"
#include "server/model_host_local.h"
#include "server/pulls.h"
#include "server/server.h"
#include "support/fail.h"
#include "support/printable.h"

namespace hypura {

namespace {

// The bar of the first load; what is loaded later, on the host's thread, shows in the log only.
class LoadingBar {
 public:
  explicit LoadingBar(Output& notes) : notes_(notes) {}

  void begin() {
    const std::lock_guard lock(mutex_);
    bar_.emplace(notes_);
  }

  void show(double share) {
    const std::lock_guard lock(mutex_);
    if (bar_) {
      bar_->show(share);
    }
  }

  void end() {
    const std::lock_guard lock(mutex_);
    bar_.reset();
  }

 private:
  Output& notes_;
  std::mutex mutex_;
  std::optional<ProgressBar> bar_;
};

// What must end in this order: requests, then who looks after memory, then models, then what requests refer to.
struct Running {
  Metrics metrics;
  std::unique_ptr<ModelHost> host;
  std::unique_ptr<ModelLibrary> library;  // null: only what was named is offered
  std::unique_ptr<ModelPulls> pulls;      // null: without a library, or a folder to fetch into
  std::unique_ptr<MemoryKeeper> memory;
  std::unique_ptr<Server> server;

  Running() = default;
  ~Running() {
    if (server) {
      server->stop(std::chrono::milliseconds(0));
    }
    pulls.reset();  // whose ends are told to the library
    library.reset();
    memory.reset();
    host.reset();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
};

// The models that were named, or the demo model.
Result<std::vector<OfferedModel>> named_models(const ServeOptions& options, const ModelPlaces& places, bool yes) {
  std::vector<OfferedModel> models;
  Output words(STDERR_FILENO, "standard error");
  MissingModels missing(places, words);
  NamedModels known(places, [&](const std::string& name) {
    return missing.fetch(name, yes ? Consent::kGiven : Consent::kAsk, &options.engine);
  });
  for (const std::string& name : options.models) {
    auto found = known.find(name);
    if (!found) {
      return propagate(found.error());
    }
    models.push_back(found->entry ? offered_of(*found->entry) : OfferedModel{"", found->file});
    if (!options.engine.chat_template.empty()) {
      models.back().preset.chat_template = options.engine.chat_template;
    }
  }
  if (models.empty()) {
    auto demo = model_or_demo({});
    if (!demo) {
      return propagate(demo.error());
    }
    models.push_back({"", std::move(*demo)});
  }
  return models;
}

Result<ModelHostOptions> host_options(const ServeOptions& options, const ModelPlaces& places, bool yes,
                                      LoadingBar& bar) {
  ModelHostOptions host;
  auto models = named_models(options, places, yes);
  if (!models) {
    return propagate(models.error());
  }
  host.models = std::move(*models);
  host.generator.engine = options.engine;
  host.generator.engine.chat_template.clear();  // the models that it is for have it
  host.generator.engine.context = options.context.value_or(0);
  host.generator.engine.context_share = 1;
  host.generator.engine.progress = [&bar](double share) { bar.show(share); };
  host.generator.parallel = options.parallel.value_or(Generator::Options().parallel);
  host.generator.queue = options.queue.value_or(Generator::Options().queue);
  host.keep_alive = options.keep_alive.value_or(KeepAlive());
  host.idle.begin = [memory = options.engine.memory](const std::filesystem::path& model) {
    return begin_idle_profile(model, memory);
  };
  return host;
}

ServerOptions server_options(const ServeOptions& options, const Running& running) {
  ServerOptions server;
  server.library = running.library.get();
  server.pulls = running.pulls.get();
  server.allow_changes = options.allow_changes;
  server.memory = running.memory.get();
  server.address = {options.host.value_or(kServeHost), options.port.value_or(kServePort)};
  server.access = local_access_rules();
  server.access.origins = options.origins.value_or(std::vector<std::string>());
  server.access.api_key = options.api_key.value_or(std::string());
  server.context = options.context.value_or(0);
  return server;
}

Result<ModelLease> load(ModelHost& host, const ModelPtr& model, LoadingBar& bar) {
  std::promise<Result<ModelLease>> loaded;
  bar.begin();
  host.lease(model, std::nullopt, [&loaded](Result<ModelLease> lease) { loaded.set_value(std::move(lease)); });
  Result<ModelLease> lease = loaded.get_future().get();
  bar.end();
  return lease;
}

struct FirstLoaded {
  ModelPtr model;
  ModelLease lease;
};

// The first of the models that can be loaded. Fails with the error of the first when none can.
Result<FirstLoaded> load_first(ModelHost& host, const std::vector<ModelPtr>& named, LoadingBar& bar, Output& notes) {
  std::optional<Error> failed;
  for (const ModelPtr& model : named) {
    auto lease = load(host, model, bar);
    if (lease) {
      return FirstLoaded{model, std::move(*lease)};
    }
    if (named.size() > 1) {
      notes.write(
          fmt::format("warning: {} cannot be loaded: {}\n", model->name, printable_lines(lease.error().message)));
    }
    failed = failed.value_or(lease.error());
  }
  return propagate(*failed);
}

std::string banner(const Server& server, const ModelHost& host, const ServedModel& loaded, const Plan& plan) {
  std::string text = fmt::format("\n{} is served at {}\n", loaded.name, server.url());
  constexpr size_t kMostNamed = 12;
  const char* introduction = "loaded in its place on request: ";
  size_t others = 0;
  for (const ModelPtr& model : host.models()) {
    if (model->name != loaded.name && ++others <= kMostNamed) {
      text += fmt::format("  {}{}\n", std::exchange(introduction, "  and "), printable(model->name));
    }
  }
  if (others > kMostNamed) {
    text += fmt::format("    and {} more; `hypura list` shows them\n", others - kMostNamed);
  }
  text += "  APIs: Ollama (/api), OpenAI (/v1), Anthropic (/v1/messages); chat page at /; metrics at /metrics\n";
  text += fmt::format("  {}; {}\n", plan.sentence, plan.why);
  if (!plan.context_sentence.empty()) {
    text += fmt::format("  {}\n", plan.context_sentence);
  }
  if (!plan.kept_sentence.empty()) {
    text += fmt::format("  {}\n", plan.kept_sentence);
  }
  for (const std::string& warning : plan.warnings) {
    text += fmt::format("  warning: {}\n", warning);
  }
  if (server.port() != 11434) {
    text += "  Programs that expect Ollama find it with --port 11434, where nothing else listens there.\n";
  }
  return text + "\n";
}

}  // namespace

Result<int> serve_command(const ServeOptions& options, const std::vector<std::filesystem::path>& folders, bool yes) {
  Output notes(STDERR_FILENO, "standard error");
  ServeOptions filled = options;
  if (Status status = add_serve_environment(filled, process_environment); !status) {
    return propagate(status.error());
  }
  log_for_serving(filled.verbose);
  const MemorySignals memory_signals;
  LoadingBar bar(notes);
  const ModelPlaces places = model_places(folders);
  auto models = host_options(filled, places, yes, bar);
  if (!models) {
    return propagate(models.error());
  }
  Running running;
  auto host = make_model_host(std::move(*models));
  if (!host) {
    return propagate(host.error());
  }
  running.host = std::move(*host);
  MemoryKeeperOptions keeping;
  keeping.follows = !filled.engine.memory;
  keeping.signals = &MemorySignals::take;
  running.memory = std::make_unique<MemoryKeeper>(*running.host, std::move(keeping));
  const std::vector<ModelPtr> named = running.host->models();
  const auto looked = std::make_shared<std::promise<void>>();  // that the catalogue was, once
  if (filled.models.empty() || filled.catalogue) {
    running.library = make_local_library({places}, *running.host);
    if (places.data) {
      auto settings = settings_for_fetching(places);
      if (!settings) {
        return propagate(settings.error());
      }
      running.pulls = std::make_unique<ModelPulls>(std::move(*settings));
    }
    running.library->refresh([looked](const Status& /*status*/) { looked->set_value(); });
  } else {
    looked->set_value();
  }
  // Before the model, which may take a minute: a port that is taken shows at once.
  auto server = Server::start(server_options(filled, running), all_routes(), *running.host, running.metrics);
  if (!server) {
    return propagate(server.error());
  }
  running.server = std::move(*server);
  {
    const auto first = load_first(*running.host, named, bar, notes);
    if (!first) {
      return propagate(first.error());
    }
    const Plan& plan = first->lease.generator->plan();
    looked->get_future().wait();
    notes.write(banner(*running.server, *running.host, *first->model, plan));
    if (filled.verbose) {
      notes.write(ledger_table(plan));
    }
  }
  if (!running.server->is_loopback() && !filled.api_key) {
    notes.write(
        "warning: anyone who reaches this machine over the network can use the model; set HYPURA_API_KEY to a key "
        "of your choice, or leave out --host\n");
  }
  StopSignals signals;
  signals.wait();
  notes.write("stopping after the running answers; press Ctrl-C again to stop at once\n");
  running.server->stop(std::chrono::milliseconds(static_cast<int64_t>(filled.grace * 1000)));
  return 0;
}

}  // namespace hypura
