// Routing traces: which experts a model chose, pass by pass. A replay shows how well an expert cache would have done.
//
// A file holds one trace. All numbers are little-endian and unsigned, and stand without gaps:
//
//   8 bytes   "HYPROUTE"
//   32 bits   version, 1
//   32 bits   each: layers, experts, used, slots, spare, bytes of the model's name
//   64 bits   each: earlier, number of passes, number of tokens
//   bytes     the model's name, UTF-8
//   96 bits   for each pass: tokens, flags (bit 0: decode), hits; 32 bits each
//   16 bits   for each token, layer and place: the expert, 65535 for none
//   64 bits   FNV-1a of all bytes before
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "hypura/result.h"

namespace hypura {

// One pass over all layers.
struct RoutingPass {
  uint32_t tokens = 0;
  bool decode = false;  // generated a token; else it evaluated a prompt
  uint32_t hits = 0;    // experts that the live cache held when asked for, in all layers, each once a layer

  bool operator==(const RoutingPass&) const = default;
};

// The experts of all tokens of some passes. Prefill passes are included: they do not count in hit rates, but they
// change the cache, and a replay without them would not reproduce the live cache.
struct RoutingTrace {
  static constexpr uint16_t kNone = 0xFFFF;

  std::string model;     // its name, for people
  uint32_t layers = 0;   // that have experts, ascending
  uint32_t experts = 0;  // most in any layer
  uint32_t used = 0;     // experts a token takes in a layer, at most
  uint32_t slots = 0;    // of the live cache, all layers together; 0: not known, or several runs
  uint32_t spare = 0;    // of these, kept free between passes
  uint64_t earlier = 0;  // tokens evaluated before these and not kept: the live cache was not empty at the beginning

  std::vector<RoutingPass> passes;
  // [token][layer][used], tokens in the order of the passes; kNone where a token did not pass a layer. llama.cpp leaves
  // tokens whose logits are not wanted out of the last layer: a layer's rows are then those of the pass's last tokens.
  std::vector<uint16_t> chosen;

  uint64_t tokens() const;         // in all passes
  uint64_t decode_tokens() const;  // in decode passes

  // Keeps the latest passes with together at most `count` tokens, at least one pass; counts the tokens of the others in
  // `earlier`.
  void keep_latest(uint64_t count);

  bool operator==(const RoutingTrace&) const = default;
};

// Reads a trace. Fails with kIo when the file cannot be read, is cut short or damaged, and with kUsage when it is not a
// trace or has an unknown version. Checks every size against the file before allocating.
Result<RoutingTrace> read_routing_trace(const std::filesystem::path& path);

// Writes a trace. The file gets its name when it is complete, and replaces an older one. Fails with kIo, with kUsage
// when `path` is not a regular file, with kInternal when the trace's sizes contradict each other.
Status write_routing_trace(const RoutingTrace& trace, const std::filesystem::path& path);

}  // namespace hypura
