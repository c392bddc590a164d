#include "server/model_host_local.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <iterator>
#include <map>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>

#include "server/model_host_names.h"
#include "server/server_text.h"
#include "support/fail.h"
#include "support/log.h"
#include "support/printable.h"

namespace hypura {

namespace {

using Steady = std::chrono::steady_clock;

// Clocks count nanoseconds in 64 bits: what is longer than this is kept as if for ever.
constexpr Nanoseconds kLongestKept = std::chrono::hours(24 * 365 * 100);

using Ready = std::function<void(Result<ModelLease>)>;

void call(const Ready& ready, Result<ModelLease> lease) {
  try {
    ready(std::move(lease));
  } catch (const std::exception& error) {
    logger().error("a callback for a loaded model failed: {}", error.what());
  }
}

// Whether trying again is of no use as long as the file is the same.
bool is_of_the_file(const Error& error) {
  return error.code == ErrorCode::kBadModel || error.code == ErrorCode::kUsage;
}

// Loading and unloading happen on one thread of the host's own. All state below `mutex_` is guarded by it; no function
// of others is called while it is held, but for must_reopen(), which only looks. The Generator belongs to the host;
// what it gives away is a shared pointer whose deleter only says that the last copy has gone, so that a model is never
// closed on one of its own threads.
class LocalModelHost : public ModelHost {
 public:
  LocalModelHost(ModelHostOptions options, std::vector<ModelPtr> models)
      : options_(std::move(options)),
        named_(std::move(models)),
        shelf_(options_.read_card),
        models_(named_),
        thread_([this] { run(); }) {}
  ~LocalModelHost() override;
  LocalModelHost(const LocalModelHost&) = delete;
  LocalModelHost& operator=(const LocalModelHost&) = delete;

  std::vector<ModelPtr> models() const override;
  ModelPtr find(const std::string& name) const override { return find_by_name(models(), name); }
  void offer(const std::vector<OfferedModel>& models) override;
  void lease(const ModelPtr& model, std::optional<KeepAlive> keep, Ready ready) override;
  void unload(const ModelPtr& model, std::function<void()> done) override;
  void limit_memory(std::optional<uint64_t> bytes) override;
  std::vector<LoadedModel> loaded() const override;
  std::shared_ptr<Generator> current() const override;

 private:
  using Lock = std::unique_lock<std::mutex>;

  struct Waiting {
    ModelPtr model;
    KeepAlive keep;
    Ready ready;
    Steady::time_point since;
  };

  // What is known of a model's file.
  struct Verdict {
    FileStamp stamp;
    std::optional<Error> error;  // none: it can be loaded
  };

  void run();
  void check(Lock& lock);
  void load(Lock& lock);
  bool is_loaded(const ServedModel& model) const { return loaded_ != nullptr && opened_alike(*loaded_, model); }
  bool must_check(const ServedModel& model) const;
  std::vector<Waiting> take_waiting_for(const ServedModel& model);
  void set_loaded(ModelPtr model, std::unique_ptr<Generator> generator);
  void close(Lock& lock);
  bool must_close() const;
  void rest(Lock& lock);
  void end_idle_work(Lock& lock);
  ModelLease make_lease(KeepAlive keep, double load_seconds);
  void end_lease();

  const ModelHostOptions options_;
  const std::vector<ModelPtr> named_;
  ModelShelf shelf_;  // of the thread that offers

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<ModelPtr> models_;  // that are offered
  bool stopping_ = false;
  std::deque<Waiting> waiting_;  // for a model to be loaded, oldest first
  ModelPtr loading_;             // right now
  std::map<std::filesystem::path, Verdict> verdicts_;

  ModelPtr loaded_;
  std::unique_ptr<Generator> owned_;
  std::shared_ptr<Generator> generator_;  // `owned_`, as it is given away
  bool given_back_ = true;                // no copy of `generator_` is left
  uint64_t memory_ = 0;
  uint64_t gpu_memory_ = 0;
  uint32_t context_ = 0;
  uint32_t leases_ = 0;
  Nanoseconds keep_{};          // from the end of the last lease; negative: for ever
  Steady::time_point expires_;  // without leases
  bool unload_asked_ = false;
  std::vector<std::function<void()>> when_unloaded_;
  std::optional<uint64_t> most_memory_;  // of what is loaded from now on

  // Of the host's thread alone.
  std::unique_ptr<IdleWork> idle_;
  ModelPtr last_loaded_;            // null again once nothing is to be done for it
  Steady::time_point rests_until_;  // no idle work is begun before

  std::thread thread_;
};

LocalModelHost::~LocalModelHost() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

std::vector<ModelPtr> LocalModelHost::models() const {
  const std::lock_guard lock(mutex_);
  return models_;
}

void LocalModelHost::offer(const std::vector<OfferedModel>& models) {
  std::vector<ModelPtr> all = shelf_.fill(named_, models);
  const std::lock_guard lock(mutex_);
  models_.swap(all);
}

void LocalModelHost::lease(const ModelPtr& model, std::optional<KeepAlive> keep, Ready ready) {
  const KeepAlive kept = keep.value_or(options_.keep_alive);
  Result<ModelLease> lease = fail(ErrorCode::kCancelled, "the server is stopping");
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_) {
      // Whoever waits for another model is not overtaken; who waits for this one, where it must be opened again.
      if (!is_loaded(*model) || !waiting_.empty() || generator_->must_reopen()) {
        waiting_.push_back({model, kept, std::move(ready), Steady::now()});
        changed_.notify_all();
        return;
      }
      lease = make_lease(kept, 0);
    }
  }
  call(ready, std::move(lease));
}

void LocalModelHost::unload(const ModelPtr& model, std::function<void()> done) {
  {
    const std::lock_guard lock(mutex_);
    if (is_loaded(*model) || (loading_ != nullptr && opened_alike(*loading_, *model))) {
      unload_asked_ = true;
      when_unloaded_.push_back(std::move(done));
      changed_.notify_all();
      return;
    }
  }
  done();
}

void LocalModelHost::limit_memory(std::optional<uint64_t> bytes) {
  const std::lock_guard lock(mutex_);
  most_memory_ = bytes;
}

std::vector<LoadedModel> LocalModelHost::loaded() const {
  const std::lock_guard lock(mutex_);
  if (loaded_ == nullptr) {
    return {};
  }
  LoadedModel model;
  model.model = loaded_;
  model.memory = memory_;
  model.gpu_memory = gpu_memory_;
  model.context = context_;
  if (keep_ >= Nanoseconds(0)) {
    const auto left = leases_ > 0 ? keep_ : std::chrono::duration_cast<Nanoseconds>(expires_ - Steady::now());
    model.expires = std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::microseconds>(left);
  }
  return {model};
}

std::shared_ptr<Generator> LocalModelHost::current() const {
  const std::lock_guard lock(mutex_);
  return generator_;
}

// With the lock held.
ModelLease LocalModelHost::make_lease(KeepAlive keep, double load_seconds) {
  ++leases_;
  keep_ = std::min(keep.time, kLongestKept);
  ModelLease lease;
  lease.generator = generator_;
  lease.load_seconds = load_seconds;
  lease.kept = std::shared_ptr<void>(this, [](void* host) { static_cast<LocalModelHost*>(host)->end_lease(); });
  return lease;
}

void LocalModelHost::end_lease() {
  const std::lock_guard lock(mutex_);
  --leases_;
  if (leases_ == 0) {
    expires_ = Steady::now() + std::max(keep_, Nanoseconds(0));
    changed_.notify_all();
  }
}

// With the lock held, and no lease. What waits is for another model, or for this one opened again.
bool LocalModelHost::must_close() const {
  const bool expired = keep_ >= Nanoseconds(0) && Steady::now() >= expires_;
  return stopping_ || unload_asked_ || expired || !waiting_.empty() || generator_->must_reopen();
}

void LocalModelHost::run() {
  Lock lock(mutex_);
  while (true) {
    if (idle_ != nullptr && (stopping_ || !waiting_.empty())) {
      end_idle_work(lock);
    } else if (!stopping_ && !waiting_.empty() && must_check(*waiting_.front().model)) {
      check(lock);
    } else if (loaded_ != nullptr && leases_ == 0 && must_close()) {
      close(lock);
    } else if (loaded_ == nullptr && stopping_) {
      break;
    } else if (loaded_ == nullptr && !waiting_.empty()) {
      load(lock);
    } else if (loaded_ != nullptr && leases_ == 0 && keep_ >= Nanoseconds(0)) {
      changed_.wait_until(lock, expires_);
    } else if (loaded_ == nullptr && last_loaded_ != nullptr && options_.idle.begin) {
      rest(lock);
    } else {
      changed_.wait(lock);
    }
  }
  const std::deque<Waiting> refused = std::exchange(waiting_, {});
  lock.unlock();
  for (const Waiting& waiting : refused) {
    call(waiting.ready, fail(ErrorCode::kCancelled, "the server is stopping"));
  }
}

// Without a model, and nothing asked for: waits for either, or for the time of idle work, which it begins and looks
// after.
void LocalModelHost::rest(Lock& lock) {
  if (idle_ == nullptr && Steady::now() < rests_until_) {
    changed_.wait_until(lock, rests_until_);
    return;
  }
  if (idle_ != nullptr) {
    changed_.wait_for(lock, options_.idle.look);
    const std::string how = idle_->ended();
    if (!how.empty()) {
      logger().info("msg=idle-work-ended reason=\"{}\"", how);
      idle_.reset();
      last_loaded_ = nullptr;
    }
    return;
  }
  const std::filesystem::path file = last_loaded_->file;
  lock.unlock();
  std::unique_ptr<IdleWork> begun = options_.idle.begin(file);
  lock.lock();
  if (begun == nullptr) {
    last_loaded_ = nullptr;  // until another model was loaded
    return;
  }
  idle_ = std::move(begun);
  rests_until_ = Steady::now() + options_.idle.again;
}

// For what is more urgent. Whoever waits does not wait for the work, only for its end.
void LocalModelHost::end_idle_work(Lock& lock) {
  std::unique_ptr<IdleWork> ending = std::move(idle_);
  lock.unlock();
  const std::string how = ending->ended();
  ending.reset();
  logger().info("msg=idle-work-ended reason=\"{}\"", how.empty() ? "something is asked for" : how);
  lock.lock();
}

// With the lock held. What is not known is found out where another model would be unloaded for it, and else by loading.
bool LocalModelHost::must_check(const ServedModel& model) const {
  const auto known = verdicts_.find(model.file);
  if (known != verdicts_.end() && known->second.stamp == stamp_of(model.file)) {
    return known->second.error.has_value();
  }
  return loaded_ != nullptr && !is_loaded(model);
}

// With the lock held.
std::vector<LocalModelHost::Waiting> LocalModelHost::take_waiting_for(const ServedModel& model) {
  const auto others = std::stable_partition(
      waiting_.begin(), waiting_.end(), [&](const Waiting& waiting) { return opened_alike(*waiting.model, model); });
  std::vector<Waiting> taken(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(others));
  waiting_.erase(waiting_.begin(), others);
  return taken;
}

// Looks whether the model that has been waited for longest can be loaded, while another one is and stays if it cannot.
void LocalModelHost::check(Lock& lock) {
  const ModelPtr front = waiting_.front().model;
  const ServedModel& model = *front;
  const auto known = verdicts_.find(model.file);
  const std::optional<Verdict> before = known == verdicts_.end() ? std::nullopt : std::optional(known->second);
  lock.unlock();
  const std::filesystem::path& file = model.file;
  Verdict verdict{stamp_of(file), std::nullopt};
  if (before && before->stamp == verdict.stamp) {
    verdict.error = before->error;
  } else if (const Status status = options_.check(file); !status) {
    verdict.error = status.error();
    logger().info("msg=not-loaded model={}{}", model.name, logged_reason(status.error()));
  }
  lock.lock();
  const bool kept = !verdict.error || is_of_the_file(*verdict.error);
  if (kept) {
    verdicts_[model.file] = verdict;
  }
  if (!verdict.error) {
    return;
  }
  const std::vector<Waiting> refused = take_waiting_for(model);
  lock.unlock();
  for (const Waiting& waiting : refused) {
    call(waiting.ready, propagate(*verdict.error));
  }
  lock.lock();
}

// Loads the model that has been waited for longest, and gives it to all who wait for it.
void LocalModelHost::load(Lock& lock) {
  const ModelPtr front = waiting_.front().model;
  const ServedModel& model = *front;
  loading_ = front;
  const std::optional<uint64_t> most_memory = most_memory_;
  lock.unlock();
  Generator::Options options = options_.generator;
  if (most_memory) {
    options.engine.memory = std::min(*most_memory, options.engine.memory.value_or(*most_memory));
  }
  options.engine.model = model.file;
  if (!model.preset.chat_template.empty()) {
    options.engine.chat_template = model.preset.chat_template;
  }
  const FileStamp stamp = stamp_of(options.engine.model);
  const auto began = Steady::now();
  Result<std::unique_ptr<Generator>> opened = options_.open(options);
  const auto ended = Steady::now();
  logger().info("msg={} model={} seconds={:.2f}{}", opened ? "loaded" : "not-loaded", model.name,
                std::chrono::duration<double>(ended - began).count(), opened ? "" : logged_reason(opened.error()));
  lock.lock();

  loading_ = nullptr;
  const std::vector<Waiting> served = take_waiting_for(model);
  std::vector<std::function<void()>> unloaded;
  std::vector<Result<ModelLease>> leases;
  if (opened) {
    verdicts_[model.file] = {stamp, std::nullopt};
    set_loaded(front, std::move(*opened));
    for (const Waiting& waiting : served) {
      leases.emplace_back(make_lease(waiting.keep, std::chrono::duration<double>(ended - waiting.since).count()));
    }
  } else {
    if (is_of_the_file(opened.error()) && options.engine.chat_template.empty()) {  // else it may be the template's
      verdicts_[model.file] = {stamp, opened.error()};
    }
    leases.assign(served.size(), propagate(opened.error()));
    unload_asked_ = false;
    unloaded = std::exchange(when_unloaded_, {});
  }
  lock.unlock();
  for (size_t i = 0; i < served.size(); ++i) {
    call(served[i].ready, std::move(leases[i]));
  }
  for (const auto& done : unloaded) {
    done();
  }
  lock.lock();
}

// With the lock held.
void LocalModelHost::set_loaded(ModelPtr model, std::unique_ptr<Generator> generator) {
  loaded_ = std::move(model);
  const auto& ledger = generator->plan().ledger;
  memory_ = gpu_memory_ = 0;
  for (const LedgerLine& line : ledger) {
    memory_ += line.bytes;
    gpu_memory_ += line.tier == Tier::kDevice ? line.bytes : 0;
  }
  context_ = generator->context_size();
  owned_ = std::move(generator);
  given_back_ = false;
  generator_ = std::shared_ptr<Generator>(owned_.get(), [this](Generator*) {
    const std::lock_guard guard(mutex_);
    given_back_ = true;
    changed_.notify_all();
  });
}

// Closes the model once nobody looks at it any more.
void LocalModelHost::close(Lock& lock) {
  std::shared_ptr<Generator> given = std::exchange(generator_, nullptr);
  const std::vector<std::function<void()>> unloaded = std::exchange(when_unloaded_, {});
  last_loaded_ = std::exchange(loaded_, nullptr);
  const std::string name = last_loaded_->name;
  unload_asked_ = false;
  if (given->must_reopen()) {
    logger().warn(
        "msg=closed-to-open-again model={} reason=\"a GPU has no memory left, or a worker with layers is lost; the "
        "model "
        "is opened again when it is asked for\"",
        name);
  }
  lock.unlock();
  given.reset();
  lock.lock();
  changed_.wait(lock, [this] { return given_back_; });
  std::unique_ptr<Generator> closing = std::move(owned_);
  lock.unlock();
  if (Status saved = closing->close(); !saved) {
    logger().debug("msg=history-not-saved model={}{}", name, logged_reason(saved.error()));
  }
  closing.reset();
  logger().info("msg=unloaded model={}", name);
  rests_until_ = std::max(rests_until_, Steady::now() + options_.idle.after);
  for (const auto& done : unloaded) {
    done();
  }
  lock.lock();
}

}  // namespace

Result<std::unique_ptr<ModelHost>> make_model_host(ModelHostOptions options) {
  auto models = read_named_models(options.models, options.read_card);
  if (!models) {
    return propagate(models.error());
  }
  return std::make_unique<LocalModelHost>(std::move(options), std::move(*models));
}

}  // namespace hypura
