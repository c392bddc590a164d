#include "server/pulls.h"

#include <utility>

#include "support/fail.h"

namespace hypura {

ModelPulls::~ModelPulls() {
  stopping_ = true;
  for (Pull& pull : pulls_) {
    pull.thread.join();
  }
}

Status ModelPulls::begin(NameReading name, Stop stop, Progress progress, Done done) {
  const std::lock_guard lock(mutex_);
  pulls_.remove_if([](Pull& pull) {
    if (pull.ended) {
      pull.thread.join();
      return true;
    }
    return false;
  });
  if (pulls_.size() >= kMost) {
    return fail(ErrorCode::kBusy, "{} models are being fetched already; try again later", pulls_.size());
  }
  Pull& pull = pulls_.emplace_back();
  pull.thread = std::thread([this, &pull, name = std::move(name), stop = std::move(stop),
                             progress = std::move(progress), done = std::move(done)] {
    done(fetch(name, stop, progress));
    pull.ended = true;
  });
  return {};
}

Status ModelPulls::fetch(const NameReading& name, const Stop& stop, const Progress& progress) {
  const KeepGoing keep_going = [this, &stop] { return !stopping_ && !*stop; };
  const auto client = WebClient::make();
  if (!client) {
    return propagate(client.error());
  }
  const auto remote = find_remote_model({**client, settings_, {}, keep_going}, name);
  if (!remote) {
    return propagate(remote.error());
  }
  FetchOptions options;
  options.download.keep_going = keep_going;
  options.progress = progress;
  return fetch_model(**client, settings_, *remote, options).map([](const std::filesystem::path&) {});
}

}  // namespace hypura
