#include "templates/template_meter.h"

#include <time.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "llama/tokenizer/deep_stack.h"
#include "support/fail.h"

namespace hypura {

namespace {

constexpr size_t kTemplateStack = size_t{20} << 20;
constexpr size_t kStackReserve = size_t{6} << 20;  // for what nodes call that are none themselves
constexpr uint32_t kMostStores = 10'000;           // a value that is so deep can be destroyed within the reserve

// Nodes that run on a thread whose stack nobody knows.
constexpr TemplateLimits kAloneLimits = {.depth = 300};

// Not of the standard's: llama.cpp catches those, and goes on with the next trial.
struct TemplateRefused {};

thread_local TemplateMeter* running = nullptr;
thread_local TemplateMeter* allowed = nullptr;

double processor_seconds() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

uintptr_t stack_address() {
  return reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
}

}  // namespace

TemplateAllowance::TemplateAllowance(const TemplateLimits& limits) : outermost_(allowed == nullptr) {
  if (outermost_) {
    allowed = new TemplateMeter(limits);
  }
}

TemplateAllowance::~TemplateAllowance() {
  if (outermost_) {
    delete std::exchange(allowed, nullptr);
  }
}

const TemplateMeter& TemplateAllowance::meter() const {
  return *allowed;
}

Status run_template(const std::function<void()>& work) {
  const TemplateAllowance allowance;
  TemplateMeter& meter = *allowed;
  if (meter.exhausted()) {
    return fail(ErrorCode::kUsage, "{}", meter.refusal());
  }
  std::string failure;
  bool failed = false;
  const bool ran = run_on_stack(kTemplateStack, [&] {
    running = &meter;
    meter.begin_run(stack_address() - kTemplateStack + kStackReserve);
    try {
      work();
    } catch (const TemplateRefused&) {
      failed = true;
    } catch (const std::exception& error) {
      failed = true;
      failure = error.what();
    } catch (...) {  // another C++ library's exceptions, where llama.cpp was built with one
      failed = true;
    }
    meter.end_run();
    running = nullptr;
  });
  if (!ran) {
    return fail(ErrorCode::kInternal, "there is no memory for a thread that runs it");
  }
  if (!meter.refusal().empty()) {
    return fail(ErrorCode::kUsage, "{}", meter.refusal());
  }
  return failed ? Status(fail(ErrorCode::kUsage, "{}", failure.empty() ? "no reason is given" : failure)) : Status();
}

TemplateMeter& TemplateMeter::current() {
  thread_local TemplateMeter alone(kAloneLimits);
  return running != nullptr ? *running : alone;
}

void TemplateMeter::begin_run(uintptr_t floor) {
  static std::atomic<uint64_t> runs = 0;
  number_ = ++runs;
  floor_ = floor;
  depth_ = 0;
  stores_ = 0;
  values_ = 0;
  kept_ = 0;
  refusal_.clear();
  begun_ = processor_seconds();
  next_look_ = steps_;
}

void TemplateMeter::end_run() {
  seconds_ += processor_seconds() - begun_;
}

void TemplateMeter::enter() {
  if (depth_ == 0 && running == nullptr) {
    *this = TemplateMeter(limits_);
    begin_run(0);
  }
  if (depth_ >= limits_.depth || stack_address() < floor_) {
    refuse(fmt::format("it calls itself, or is nested, more than {} levels deep", limits_.depth));
  }
  work(1);
  ++depth_;
  deepest_ = std::max(deepest_, depth_);
}

void TemplateMeter::work(uint64_t steps) {
  if (!refusal_.empty()) {
    throw TemplateRefused();
  }
  steps_ += steps;
  if (steps_ > limits_.steps) {
    exhausted_ = true;
    refuse(fmt::format("it does not end within {} steps", limits_.steps));
  }
  if (steps_ >= next_look_) {
    constexpr uint64_t kStepsToNextLook = 16;
    next_look_ = steps_ + kStepsToNextLook;
    check_time();
  }
}

void TemplateMeter::check_time() {
  if (seconds_ + processor_seconds() - begun_ > limits_.seconds) {
    exhausted_ = true;
    refuse(fmt::format("it does not end within {} seconds", limits_.seconds));
  }
}

void TemplateMeter::hold(size_t bytes) {
  check_bytes(static_cast<double>(bytes));
  values_ += bytes;
  bytes_ = std::max(bytes_, values_ + kept_);
}

void TemplateMeter::keep(size_t bytes) {
  check_bytes(static_cast<double>(bytes));
  kept_ += bytes;
  bytes_ = std::max(bytes_, values_ + kept_);
}

void TemplateMeter::check_bytes(double more) {
  if (static_cast<double>(values_ + kept_) + more > static_cast<double>(limits_.bytes)) {
    refuse(fmt::format("it would need more than {} MiB of memory", limits_.bytes >> 20));
  }
}

void TemplateMeter::store() {
  if (++stores_ > kMostStores) {
    refuse(fmt::format("it builds more than {} lists and objects within others", kMostStores));
  }
}

void TemplateMeter::refuse(std::string reason) {
  if (refusal_.empty()) {
    refusal_ = std::move(reason);
  }
  throw TemplateRefused();
}

}  // namespace hypura
