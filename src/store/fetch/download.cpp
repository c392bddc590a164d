#include "store/fetch/download.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <system_error>
#include <utility>

#include "store/fetch/blob_place.h"
#include "store/fetch/part_file.h"
#include "store/fetch/sha256.h"
#include "support/fail.h"
#include "support/printable.h"
#include "support/units.h"

namespace hypura {

namespace {

using DownloadClock = std::chrono::steady_clock;

constexpr auto kLongestPoll = std::chrono::milliseconds(100);
constexpr uint64_t kHashedAtOnce = 4 * kMiB;

// What a signed address answers when its time is over, or a server that moved the file meanwhile.
bool is_stale(int status) {
  constexpr std::array kStatuses = {401, 403, 404, 410};
  return status / 100 == 3 || std::find(kStatuses.begin(), kStatuses.end(), status) != kStatuses.end();
}

class Download {
 public:
  Download(WebClient& client, const BlobSource& source, std::filesystem::path target, const DownloadOptions& options)
      : client_(client), source_(source), target_(std::move(target)), options_(options) {}

  Result<DownloadReport> run();

 private:
  // One request under way, for the bytes up to `end`.
  struct Lane {
    uint64_t position = 0;
    uint64_t end = 0;
    bool busy = false;
  };
  // What an answer said that concerns all of them.
  enum class Turn : uint8_t { kNone, kChanged, kStale };

  Status locate();
  Status check_room() const;
  Status fetch_all();
  Status turn();
  Status begin_anew();
  Result<DownloadReport> verify();

  void begin_ranges();
  std::optional<ByteRange> next_range() const;
  void begin(Lane& lane, ByteRange range);
  Result<bool> take_head(const Lane& lane, const WebHead& head);
  Status take_bytes(Lane& lane, std::span<const uint8_t> bytes);
  void take_end(Lane& lane, const WebResult<WebHead>& result);
  void note_failure(const Error& error);
  void drop_all();

  Result<bool> hash_some();
  Status save_sometimes();
  void tell() const;
  bool stopped() const { return options_.keep_going && !options_.keep_going(); }
  std::chrono::milliseconds until_next() const;

  WebClient& client_;
  const BlobSource& source_;
  std::filesystem::path target_;
  const DownloadOptions& options_;

  BlobPlace place_;
  BlobIdentity identity_;

  std::optional<PartFile> part_;
  std::vector<Lane> lanes_;
  Turn turn_ = Turn::kNone;
  std::optional<Error> fatal_;
  unsigned failures_in_a_row_ = 0;
  DownloadClock::time_point pause_until_;
  uint64_t saved_ = 0;  // of the bytes fetched in this run, those in the record

  Sha256 sha256_;
  uint64_t hashed_ = 0;
  DownloadReport report_;
};

Result<DownloadReport> Download::run() {
  if (Status status = locate(); !status) {
    return propagate(status.error());
  }
  auto part = PartFile::open(target_, identity_);
  if (!part) {
    return propagate(part.error());
  }
  part_ = std::move(*part);
  if (!place_.ranges && part_->there().total() < identity_.size) {
    if (Status status = part_->begin_anew(identity_); !status) {
      return propagate(status.error());
    }
  }
  report_.kept = part_->there().total();
  if (Status status = check_room(); !status) {
    return propagate(status.error());
  }
  tell();  // even if all bytes come at once
  if (Status status = fetch_all(); !status) {
    drop_all();
    const Status saved = part_->save();
    return propagate(saved ? status.error() : saved.error());
  }
  return verify();
}

// Follows the redirects once, so that the ranges need not, and learns length and version.
Status Download::locate() {
  auto place = locate_blob(client_, source_.url, source_.token, options_.retries, options_.keep_going);
  if (!place) {
    return propagate(place.error());
  }
  if (source_.size > 0 && place->size != source_.size) {
    return fail(ErrorCode::kIo, "{}: the server has {} bytes, but its listing says {}; try again later", source_.url,
                place->size, source_.size);
  }
  place_ = std::move(*place);
  identity_ = {place_.size, source_.sha256.empty() ? place_.sha256 : source_.sha256, place_.etag};
  return {};
}

Status Download::check_room() const {
  const auto free = options_.free_space ? options_.free_space(target_.parent_path()) : free_space_for(target_);
  if (!free) {
    return propagate(free.error());
  }
  const uint64_t wanted = identity_.size - part_->there().total();
  if (*free < wanted + options_.keep_free) {
    return fail(ErrorCode::kIo,
                "{} more are to be fetched, but only {} are free in {}; make room, or choose a smaller model",
                format_bytes(wanted), format_bytes(*free), target_.parent_path().string());
  }
  return {};
}

Status Download::fetch_all() {
  lanes_.assign(place_.ranges ? std::max(options_.connections, 1U) : 1U, Lane());
  for (;;) {
    if (stopped()) {
      return fail(ErrorCode::kCancelled, "stopped; what was fetched is kept: run the same again to go on");
    }
    if (fatal_) {
      return propagate(*fatal_);
    }
    if (Status status = turn(); !status) {
      return status;
    }
    begin_ranges();
    const auto more_to_hash = hash_some();
    if (!more_to_hash) {
      return propagate(more_to_hash.error());
    }
    if (hashed_ == identity_.size) {
      tell();
      return {};
    }
    client_.work(*more_to_hash ? std::chrono::milliseconds(0) : until_next());
    tell();
    if (Status status = save_sometimes(); !status) {
      return status;
    }
  }
}

// Does what an answer asked for: finds the bytes anew, or begins anew.
Status Download::turn() {
  const Turn wanted = std::exchange(turn_, Turn::kNone);
  if (wanted == Turn::kNone) {
    return {};
  }
  drop_all();
  return wanted == Turn::kChanged ? begin_anew() : locate();
}

Status Download::begin_anew() {
  if (++report_.restarts > options_.most_restarts) {
    return fail(ErrorCode::kIo, "{}: the file changed on the server {} times while it was fetched; try again later",
                source_.url, report_.restarts);
  }
  if (Status status = locate(); !status) {
    return status;
  }
  sha256_ = Sha256();
  hashed_ = 0;
  report_.kept = 0;
  lanes_.assign(place_.ranges ? lanes_.size() : 1, Lane());
  return part_->begin_anew(identity_).and_then([this] { return check_room(); });
}

std::optional<ByteRange> Download::next_range() const {
  ByteRanges taken = part_->there();
  for (const Lane& lane : lanes_) {
    if (lane.busy) {
      taken.add({lane.position, lane.end});
    }
  }
  return taken.missing(0, place_.ranges ? options_.chunk : identity_.size, identity_.size);
}

void Download::begin_ranges() {
  if (DownloadClock::now() < pause_until_) {
    return;
  }
  for (Lane& lane : lanes_) {
    const auto range = lane.busy ? std::nullopt : next_range();
    if (range) {
      begin(lane, *range);
    }
  }
}

void Download::begin(Lane& lane, ByteRange range) {
  lane = {range.begin, range.end, true};
  WebCall call;
  call.request = {place_.url, place_.token, {}, {}};
  if (place_.ranges) {
    call.request.range = range;
    call.request.headers = same_version(place_.etag);
  }
  call.on_head = [this, &lane](const WebHead& head) { return take_head(lane, head); };
  call.on_bytes = [this, &lane](std::span<const uint8_t> bytes) { return take_bytes(lane, bytes); };
  call.on_end = [this, &lane](const WebResult<WebHead>& result) { take_end(lane, result); };
  client_.begin(std::move(call));
}

Result<bool> Download::take_head(const Lane& lane, const WebHead& head) {
  const bool other_version = head.header("etag") != identity_.etag;
  if (head.status == 206 && place_.ranges) {
    const auto range = read_content_range(head.header("content-range"));
    if (range && (range->size != identity_.size || other_version)) {
      turn_ = Turn::kChanged;
      return false;
    }
    if (!range || range->range != ByteRange{lane.position, lane.end}) {
      return fail(ErrorCode::kIo, "{}: the server gave other bytes ({}) than were asked for ({}-{})", source_.url,
                  printable(head.header("content-range")), lane.position, lane.end - 1);
    }
    return true;
  }
  if (head.status == 200 || head.status == 416 || head.status == 412) {
    const bool same = !other_version && whole_number(head.header("content-length")) == identity_.size;
    if (head.status == 200 && !place_.ranges && same) {
      return true;
    }
    turn_ = Turn::kChanged;
    return false;
  }
  if (is_temporary(head.status)) {
    note_failure(refused(source_.url, head, !place_.token.empty()));
    return false;
  }
  if (is_stale(head.status)) {
    turn_ = Turn::kStale;
    note_failure(refused(source_.url, head, !place_.token.empty()));
    return false;
  }
  return propagate(refused(source_.url, head, !place_.token.empty()));
}

Status Download::take_bytes(Lane& lane, std::span<const uint8_t> bytes) {
  if (bytes.size() > lane.end - lane.position) {
    return fail(ErrorCode::kIo, "{}: the server sent more bytes than were asked for", source_.url);
  }
  Status status = part_->write(lane.position, bytes);
  lane.position += bytes.size();
  report_.fetched += bytes.size();
  return status;
}

void Download::take_end(Lane& lane, const WebResult<WebHead>& result) {
  lane.busy = false;
  if (!result && !result.error().temporary) {
    fatal_ = result.error().error;
    return;
  }
  if (!result) {
    note_failure(result.error().error);
  } else if (lane.position == lane.end) {
    failures_in_a_row_ = 0;
    return;
  } else if (result->status / 100 == 2 && turn_ == Turn::kNone) {
    note_failure({ErrorCode::kIo, fmt::format("{}: the answer ended early", source_.url)});
  }
  if (!place_.ranges && turn_ == Turn::kNone && !fatal_) {  // there is no going on in the middle
    sha256_ = Sha256();
    hashed_ = 0;
    if (Status status = part_->begin_anew(identity_); !status) {
      fatal_ = status.error();
    }
  }
}

// Of several ranges that fail together, by one cut, one counts.
void Download::note_failure(const Error& error) {
  if (DownloadClock::now() < pause_until_) {
    return;
  }
  ++report_.failures;
  if (++failures_in_a_row_ > options_.retries.most) {
    fatal_ = Error{error.code, fmt::format("{}; this was failure {} in a row; what was fetched is kept: run the same "
                                           "again to go on",
                                           error.message, failures_in_a_row_)};
    return;
  }
  pause_until_ = DownloadClock::now() + options_.retries.wait(failures_in_a_row_);
}

void Download::drop_all() {
  client_.drop();
  for (Lane& lane : lanes_) {
    lane.busy = false;
  }
}

std::chrono::milliseconds Download::until_next() const {
  const auto pause = std::chrono::ceil<std::chrono::milliseconds>(pause_until_ - DownloadClock::now());
  return pause.count() > 0 ? std::min(pause, kLongestPoll) : kLongestPoll;
}

// Of the bytes without a gap before them; whether more are to be hashed at once.
Result<bool> Download::hash_some() {
  const uint64_t front = part_->there().front();
  if (hashed_ >= front) {
    return false;
  }
  std::vector<uint8_t> bytes(std::min(front - hashed_, kHashedAtOnce));
  if (Status status = part_->read(hashed_, bytes); !status) {
    return propagate(status.error());
  }
  sha256_.add(bytes);
  hashed_ += bytes.size();
  return hashed_ < front;
}

Status Download::save_sometimes() {
  if (report_.fetched - saved_ < options_.save_every) {
    return {};
  }
  saved_ = report_.fetched;
  return part_->save();
}

void Download::tell() const {
  if (options_.progress) {
    const uint64_t there = part_->there().total();
    const auto state = there < identity_.size ? DownloadProgress::State::kFetching : DownloadProgress::State::kChecking;
    options_.progress({state, there, identity_.size, report_.kept, report_.failures});
  }
}

Result<DownloadReport> Download::verify() {
  report_.sha256 = sha256_.finish();
  if (!identity_.sha256.empty() && report_.sha256 != identity_.sha256) {
    part_->discard();
    return fail(ErrorCode::kIo,
                "{}: what came has the SHA-256 {}, but it should be {}; it was thrown away: fetch it again",
                source_.url, report_.sha256, identity_.sha256);
  }
  if (Status status = part_->finish(); !status) {
    return propagate(status.error());
  }
  return report_;
}

bool is_there(const std::filesystem::path& target, uint64_t size) {
  std::error_code error;
  const uint64_t found = std::filesystem::file_size(target, error);
  return !error && (size == 0 || found == size);
}

}  // namespace

Result<DownloadReport> download(WebClient& client, const BlobSource& source, const std::filesystem::path& target,
                                const std::filesystem::path& lock, const DownloadOptions& options) {
  DownloadReport there;
  there.was_there = true;
  if (is_there(target, source.size)) {
    return there;
  }
  const auto waiting = [&] {
    if (options.progress) {
      options.progress({DownloadProgress::State::kWaiting, 0, source.size, 0, 0});
    }
  };
  const auto held = FileLock::take(lock, options.keep_going, waiting);
  if (!held) {
    return propagate(held.error());
  }
  if (is_there(target, source.size)) {
    return there;
  }
  return Download(client, source, target, options).run();
}

Result<uint64_t> free_space_for(const std::filesystem::path& folder) {
  std::filesystem::path place = std::filesystem::absolute(folder);
  std::error_code error;
  while (!std::filesystem::exists(place, error) && place.has_relative_path()) {
    place = place.parent_path();
  }
  const std::filesystem::space_info space = std::filesystem::space(place, error);
  if (error) {
    return fail(ErrorCode::kIo, "{}: cannot tell how much room there is: {}", place.string(), error.message());
  }
  return space.available;
}

}  // namespace hypura
