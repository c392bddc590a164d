// What the commands do about a model that they name and this machine does not have: look at it from afar, ask, fetch
// it.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "cli/output.h"
#include "hypura/engine.h"
#include "hypura/result.h"
#include "store/catalogue/places.h"
#include "store/fetch/fetch_model.h"
#include "store/fetch/remote_header.h"

namespace hypura {

// When a model is fetched without a question.
enum class Consent {
  kAsk,    // never: on a terminal it is asked for, elsewhere it fails
  kGiven,  // always: --yes
  kPull    // where the plan says that it would run here: `hypura pull` was asked for it
};

// A model on its server, and the header that was read there.
struct RemoteLook {
  RemoteModel remote;
  Result<RemoteHeader> header;
};

// Fetches by name, with words and a bar on `notes`, which it borrows. One thread.
class MissingModels {
 public:
  MissingModels(ModelPlaces places, Output& notes) : places_(std::move(places)), notes_(notes) {}

  // Asks the server and reads the header, which may fail by itself. Fails as read_model_name, only_reading and
  // find_remote_model.
  Result<RemoteLook> look(const std::string& name);

  // Fetches what is missing of a model and gives its first file. Tells size, free disk and, with `engine`, what the
  // plan for these options predicts on this machine, before it fetches. Fails with kUsage where there was no consent,
  // with kCancelled after Ctrl-C: what was fetched is kept.
  Result<std::filesystem::path> fetch(const std::string& name, Consent consent, const EngineOptions* engine);

 private:
  Status begin();
  Status get_consent(const RemoteModel& remote, Consent consent, bool would_run);
  Result<std::filesystem::path> fetch_with_bar(const RemoteModel& remote);
  RemoteAccess access();

  ModelPlaces places_;
  Output& notes_;
  std::optional<FetchSettings> settings_;
  std::unique_ptr<WebClient> client_;
};

// What the environment says about fetching into these places. Fails as fetch_settings, and with kUsage without a folder
// for Hypura's own data.
Result<FetchSettings> settings_for_fetching(const ModelPlaces& places);

// How a model would run where its files would lie.
Result<Plan> plan_of(const RemoteLook& look, const EngineOptions& options);

// The folder that there is of those that the model's files would lie in: its disk is the one that they would be read
// from.
std::filesystem::path folder_there_is(const RemoteModel& remote);

}  // namespace hypura
