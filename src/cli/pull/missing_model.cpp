#include "cli/pull/missing_model.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <utility>

#include "cli/interrupt.h"
#include "cli/progress_bar.h"
#include "cli/pull/pull_report.h"
#include "cli/serve/options_serve.h"
#include "hypura/profile.h"
#include "support/ascii.h"
#include "support/fail.h"
#include "support/printable.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr int kEndingPress = 2;  // the first Ctrl-C keeps what came, and that may wait for a disk

bool says_yes(const std::string& line) {
  const std::string lower = ascii_lower(line);
  return lower == "y" || lower == "yes";
}

}  // namespace

Result<FetchSettings> settings_for_fetching(const ModelPlaces& places) {
  if (!places.data) {
    return fail(ErrorCode::kUsage, "there is no folder for Hypura's own data: set HOME or XDG_DATA_HOME");
  }
  const auto& caches = places.hugging_face;
  return fetch_settings(caches.empty() ? std::filesystem::path() : caches.front(), *places.data,
                        [](const char* variable) { return process_environment(variable); });
}

Status MissingModels::begin() {
  if (client_) {
    return {};
  }
  auto settings = settings_for_fetching(places_);
  auto client = WebClient::make();
  if (!settings || !client) {
    return propagate(!settings ? settings.error() : client.error());
  }
  settings_ = std::move(*settings);
  client_ = std::move(*client);
  return {};
}

RemoteAccess MissingModels::access() {
  return {*client_, *settings_, {.most = 2}, {}};
}

Result<RemoteLook> MissingModels::look(const std::string& name) {
  if (Status status = begin(); !status) {
    return propagate(status.error());
  }
  const RemoteAccess with = access();
  auto remote = read_model_name(name)
                    .and_then([](const ModelName& read) { return only_reading(read); })
                    .and_then([&](const NameReading& reading) { return find_remote_model(with, reading); });
  if (!remote) {
    return propagate(remote.error());
  }
  auto header = read_remote_header(with, *remote);
  return RemoteLook{std::move(*remote), std::move(header)};
}

Result<std::filesystem::path> MissingModels::fetch(const std::string& name, Consent consent,
                                                   const EngineOptions* engine) {
  const auto seen = look(name);
  if (!seen) {
    return propagate(seen.error());
  }
  const RemoteModel& remote = seen->remote;
  bool would_run = true;
  if (const uint64_t missing = remote.missing(); missing > 0) {
    if (Status room = check_room_for(remote, DownloadOptions()); !room) {
      return propagate(room.error());
    }
    const bool in_cache = std::holds_alternative<HuggingFaceName>(remote.identity);
    const std::filesystem::path& place = in_cache ? settings_->hub_cache : settings_->data;
    const auto free = free_space_for(place);
    notes_.write(size_sentence(remote, missing, free ? std::optional(*free) : std::nullopt, place) + "\n");
    if (engine != nullptr) {
      const Result<Plan> plan = plan_of(*seen, *engine);
      would_run = plan.has_value();
      notes_.write(printable_lines(would_run_sentence(plan)) + "\n");
    }
    if (Status status = get_consent(remote, consent, would_run); !status) {
      return propagate(status.error());
    }
  }
  return fetch_with_bar(remote);
}

Status MissingModels::get_consent(const RemoteModel& remote, Consent consent, bool would_run) {
  if (consent == Consent::kGiven || (consent == Consent::kPull && would_run)) {
    return {};
  }
  if (::isatty(STDIN_FILENO) == 0 || !notes_.is_terminal()) {
    return fail(ErrorCode::kUsage, "{} is not on this machine{}: add --yes to fetch its {}", printable(remote.name),
                would_run ? "" : ", and would not run here", format_bytes(remote.missing()));
  }
  notes_.write("fetch it? [y/N] ");
  std::string line;
  if (!std::getline(std::cin, line) || !says_yes(line)) {
    return fail(ErrorCode::kCancelled, "{} was not fetched", printable(remote.name));
  }
  return {};
}

Result<std::filesystem::path> MissingModels::fetch_with_bar(const RemoteModel& remote) {
  const InterruptGuard interrupt(kEndingPress, AlsoOn::kTermination);
  ProgressBar bar(notes_);
  RateMeter meter;
  FetchOptions options;
  options.download.keep_going = [&interrupt] { return !interrupt.pressed(); };
  options.progress = [&](const FetchProgress& now) {
    const std::chrono::duration<double> at = std::chrono::steady_clock::now().time_since_epoch();
    meter.add(at, now.bytes);
    const double share = static_cast<double>(now.bytes) / static_cast<double>(std::max<uint64_t>(now.size, 1));
    bar.show(share, progress_words(now, meter.bytes_per_second()));
  };
  return fetch_model(*client_, *settings_, remote, options);
}

std::filesystem::path folder_there_is(const RemoteModel& remote) {
  std::filesystem::path folder = remote.parts.front().blob.parent_path();
  std::error_code error;
  while (!std::filesystem::is_directory(folder, error) && folder.has_relative_path()) {
    folder = folder.parent_path();
  }
  return folder;
}

Result<Plan> plan_of(const RemoteLook& look, const EngineOptions& options) {
  if (!look.header) {
    return propagate(look.header.error());
  }
  ProfileOptions where;
  where.path = folder_there_is(look.remote);
  const std::optional<MachineProfile> machine = cached_profile(where);
  EngineOptions here = options;
  here.model = look.header->model.files.front().path;
  return plan_model(look.header->model, here, machine ? &*machine : nullptr);
}

}  // namespace hypura
