// What a chat template may use. Templates come from files, and llama.cpp runs them without any bound.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "hypura/result.h"

namespace hypura {

class TemplateMeter;

// A step is one node of the template that is executed; bytes are those of values and text that it holds at one time.
// The templates that come with llama.cpp take 3 million steps at most for a conversation of 300 messages with 150
// tools, 22 MB and 50 nodes within each other; each step takes some microseconds.
struct TemplateLimits {
  uint64_t steps = 10'000'000;
  double seconds = 20;  // of processor time
  size_t bytes = size_t{128} << 20;
  uint32_t depth = 3000;  // nodes within each other
};

// What all renderings have together that this thread makes while the object lives, those of one request for example.
// An object within the life of another one changes nothing.
class TemplateAllowance {
 public:
  explicit TemplateAllowance(const TemplateLimits& limits = {});
  ~TemplateAllowance();
  TemplateAllowance(const TemplateAllowance&) = delete;
  TemplateAllowance& operator=(const TemplateAllowance&) = delete;

  // What was used of it so far.
  const TemplateMeter& meter() const;

 private:
  bool outermost_;
};

// Runs `work`, which has llama.cpp read or execute a template, on a stack of its own, within this thread's allowance or
// one made for it. Fails with kUsage when `work` throws: then the sentence is the exception's, or says which limit was
// reached.
Status run_template(const std::function<void()>& work);

// Counts for run_template. Template nodes that run outside of it are counted one by one.
class TemplateMeter {
 public:
  explicit TemplateMeter(const TemplateLimits& limits) : limits_(limits) {}

  // The meter of the template that this thread executes.
  static TemplateMeter& current();

  // One node begins, or ends. Throws where a limit is reached.
  void enter();
  void leave() { --depth_; }

  // Work that counts as so many nodes.
  void work(uint64_t steps);

  // Bytes that a value takes from now on, or no longer.
  void hold(size_t bytes);
  void drop(size_t bytes) { values_ -= bytes < values_ ? bytes : values_; }

  // Bytes of what statements gave, which is kept until the statement around them ends.
  void keep(size_t bytes);
  size_t kept() const { return kept_; }
  void forget(size_t kept_before) { kept_ = kept_before; }

  // Throws because a value of so many bytes would be more than a template may hold.
  void require(double bytes) { check_bytes(bytes); }

  // Throws: the template is refused for this reason.
  [[noreturn]] void refuse(std::string reason);

  // A value that holds others is put into another one that exists already: what can be reached so has no other bound.
  void store();

  // A conversation that was asked for is rendered.
  void count_rendering() { ++renderings_; }
  uint64_t renderings() const { return renderings_; }

  const std::string& refusal() const { return refusal_; }
  uint64_t number() const { return number_; }  // of the run

  // The most so far.
  uint64_t steps() const { return steps_; }
  size_t bytes() const { return bytes_; }
  uint32_t depth() const { return deepest_; }

  // Whether there are no steps or no time left, also for other runs.
  bool exhausted() const { return exhausted_; }

  // No node may begin below `floor`, an address within the stack.
  void begin_run(uintptr_t floor);
  void end_run();

 private:
  void check_time();
  void check_bytes(double more);

  TemplateLimits limits_;
  uint64_t number_ = 0;  // values that outlive their run must not be taken off the next one's
  uint64_t steps_ = 0;
  uint64_t renderings_ = 0;
  uint64_t next_look_ = 0;
  double seconds_ = 0;  // of runs before this one
  double begun_ = 0;
  uint32_t depth_ = 0;
  uint32_t stores_ = 0;
  size_t values_ = 0;
  size_t kept_ = 0;
  uintptr_t floor_ = 0;
  std::string refusal_;
  bool exhausted_ = false;
  size_t bytes_ = 0;
  uint32_t deepest_ = 0;
};

}  // namespace hypura
