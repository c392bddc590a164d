#include "server/memory_keeper.h"

#include <algorithm>
#include <utility>

#include "machine/memory_pressure.h"
#include "plan/budget_choice.h"
#include "support/fail.h"
#include "support/log.h"
#include "support/units.h"

namespace hypura {

namespace {

// Looks at this machine.
class MachineLook {
 public:
  MemoryLook operator()() {
    const auto limits = read_memory_limits();
    const PressureCounts counts = read_pressure();
    MemoryLook look;
    look.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    look.affordable = limits ? affordable_budget(*limits, read_process_memory().resident) : UINT64_MAX;
    look.pressed = limits && before_ && is_pressed(*before_, counts, look.seconds - last_, *limits);
    before_ = counts;
    last_ = look.seconds;
    return look;
  }

 private:
  std::optional<PressureCounts> before_;
  double last_ = 0;
};

MemoryKeeperOptions with_look(MemoryKeeperOptions options) {
  if (!options.look) {
    options.look = MachineLook();
  }
  return options;
}

bool is_auto(const MemoryWish& wish) {
  return std::holds_alternative<MemoryAuto>(wish);
}

uint64_t bytes_of(const MemoryWish& wish, const MemoryState& state) {
  if (const auto* bytes = std::get_if<uint64_t>(&wish)) {
    return *bytes;
  }
  return is_auto(wish) ? state.opened : state.least;
}

}  // namespace

Result<MemoryWish> read_memory_wish(std::string_view text) {
  if (text == "auto") {
    return MemoryWish(MemoryAuto());
  }
  if (text == "least") {
    return MemoryWish(MemoryLeast());
  }
  const auto bytes = parse_bytes(text);
  if (!bytes || *bytes == 0) {
    return fail(ErrorCode::kUsage, "'{}' is no size of memory; write \"6G\", a number of bytes, \"least\" or \"auto\"",
                text);
  }
  return MemoryWish(*bytes);
}

MemoryKeeper::MemoryKeeper(ModelHost& host, MemoryKeeperOptions options)
    : host_(host), options_(with_look(std::move(options))), thread_([this] { run(); }) {}

MemoryKeeper::~MemoryKeeper() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  thread_.join();
}

void MemoryKeeper::set(MemoryWish wish, std::string why, std::function<void(Result<MemoryKeeperState>)> done) {
  const std::lock_guard lock(mutex_);
  asked_.push_back({wish, std::move(why), std::move(done)});
  wake_.notify_all();
}

MemoryKeeperState MemoryKeeper::state() const {
  MemoryKeeperState state;
  if (const auto generator = host_.current()) {
    state.model = generator->memory();
  }
  const std::lock_guard lock(mutex_);
  state.follows = options_.follows && is_auto(wish_);
  if (const auto* bytes = std::get_if<uint64_t>(&wish_)) {
    state.wish = format_bytes(*bytes);
  } else if (!is_auto(wish_)) {
    state.wish = "least";
  }
  return state;
}

void MemoryKeeper::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (!asked_.empty()) {
      Asked asked = std::move(asked_.front());
      asked_.pop_front();
      lock.unlock();
      answer(std::move(asked));
      lock.lock();
      continue;
    }
    lock.unlock();
    look();
    lock.lock();
    wake_.wait_for(lock, options_.every, [this] { return stopping_ || !asked_.empty(); });
  }
}

void MemoryKeeper::answer(Asked asked) {
  const Status status = obey(asked.wish, asked.why);
  asked.done(status ? Result<MemoryKeeperState>(state()) : propagate(status.error()));
}

Status MemoryKeeper::obey(const MemoryWish& wish, std::string_view why) {
  if (const auto generator = host_.current()) {
    const MemoryState state = generator->memory();
    uint64_t bytes = bytes_of(wish, state);
    if (is_auto(wish) && options_.follows) {  // at once what there is room for
      bytes = std::clamp(options_.look().affordable, state.least, state.opened);
    }
    if (Status status = change(*generator, bytes, why); !status) {
      return status;
    }
  }
  const auto* bytes = std::get_if<uint64_t>(&wish);
  host_.limit_memory(bytes == nullptr ? std::nullopt : std::optional(*bytes));
  policy_ = MemoryPolicy();
  const std::lock_guard lock(mutex_);
  wish_ = wish;
  why_ = why;
  return {};
}

// The model may be another one each time.
void MemoryKeeper::look() {
  if (const auto signalled = options_.signals ? options_.signals() : std::nullopt) {
    if (Status status = obey(*signalled, "a signal"); !status) {
      logger().warn("msg=memory-not-changed reason=\"{}\"", status.error().message);
    }
  }
  const auto generator = host_.current();
  if (generator == nullptr) {
    return;
  }
  if (std::exchange(followed_, generator).lock() != generator) {
    policy_ = MemoryPolicy();
  }
  MemoryWish wish;
  std::string why;
  {
    const std::lock_guard lock(mutex_);
    wish = wish_;
    why = why_;
  }
  const MemoryState state = generator->memory();
  if (state.least == state.opened) {
    return;
  }
  if (!is_auto(wish)) {  // a model that was loaded since
    static_cast<void>(change(*generator, std::max(bytes_of(wish, state), state.least), why));
  } else if (options_.follows) {
    const uint64_t bytes = policy_.next(options_.look(), {state.least, state.opened}, state.limit);
    static_cast<void>(change(*generator, bytes, "others want memory"));
  }
}

Status MemoryKeeper::change(Generator& generator, uint64_t bytes, std::string_view why) {
  const uint64_t before = generator.memory().limit;
  if (bytes == before) {
    return {};
  }
  Status status = generator.set_memory(bytes, why);
  const MemoryState state = generator.memory();
  if (status && state.limit != before) {
    logger().info("msg=memory bytes={} of={} reason=\"{}\" tokens_per_second={:.1f}", state.limit, state.opened,
                  state.limit < before ? why : "there is room again", state.tokens_per_second);
  } else if (!status) {
    logger().debug("msg=memory-not-changed reason=\"{}\"", status.error().message);
  }
  return status;
}

}  // namespace hypura
