// Records which experts are chosen, for as many of the latest tokens as it has capacity for.
//
// Tokens of prompts are recorded too: they move the live cache, so a replay needs them to arrive at what it held.
//
// Not thread-safe: the owner serialises.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "hypura/routing.h"

namespace hypura {

class RoutingRecorder {
 public:
  // `shape`: a trace without passes, whose model, layers, experts, used, slots, spare and earlier tokens are to be
  // those of the recorded one. At most `limit` tokens are kept, in whole passes, or the one latest pass.
  RoutingRecorder(RoutingTrace shape, uint64_t limit);

  // What is noted from now on belongs to another pass.
  void begin_pass(bool decode);

  // The rows that `layer` evaluates: `chosen` is [row][used] expert numbers, all below 65535; `hits`: experts among
  // them that the cache held. Layers come in ascending order; a lower one begins another pass of the same kind. When a
  // layer comes twice in succession (two runs of graph nodes with the same choice) only the first counts.
  void note(uint32_t layer, uint32_t used, std::span<const uint16_t> chosen, uint32_t hits);

  // What was recorded so far.
  RoutingTrace trace() const;

  // How often each expert of `layer` was chosen by the latest `tokens` tokens.
  std::vector<uint16_t> uses(uint32_t layer, uint64_t tokens) const;

 private:
  struct Recorded {
    RoutingPass pass;
    std::vector<uint16_t> chosen;  // as RoutingTrace::chosen
  };

  void open_pass(uint32_t tokens);

  RoutingTrace shape_;
  uint64_t limit_;
  std::deque<Recorded> passes_;
  uint64_t tokens_ = 0;  // in passes_
  uint64_t earlier_;
  bool decode_ = false;
  bool open_ = false;   // passes_.back() still grows
  uint32_t layer_ = 0;  // the last one noted in it
};

}  // namespace hypura
