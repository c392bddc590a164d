#include <algorithm>
#include <array>

#include "hypura/placement.h"
#include "support/fail.h"

namespace hypura {

namespace {

constexpr std::array kModes = {Mode::kResident, Mode::kExpertStreaming, Mode::kDenseStreaming, Mode::kMixedStreaming};
constexpr std::array kKvTypes = {KvType::kF16, KvType::kQ8_0, KvType::kAuto};
constexpr std::array kReadAheads = {ReadAhead::kNone, ReadAhead::kRouter, ReadAhead::kCoactivation, ReadAhead::kAuto};
constexpr std::array kWorkerSplits = {WorkerSplit::kAuto, WorkerSplit::kExperts, WorkerSplit::kLayers};

template <class Words>
auto find_word(const Words& words, std::string_view text) {
  const auto* it = std::find_if(words.begin(), words.end(), [&](auto word) { return text == to_string(word); });
  return it == words.end() ? std::nullopt : std::optional(*it);
}

}  // namespace

const char* to_string(Mode mode) {
  switch (mode) {
    case Mode::kResident:
      return "resident";
    case Mode::kExpertStreaming:
      return "expert-streaming";
    case Mode::kDenseStreaming:
      return "dense-streaming";
    case Mode::kMixedStreaming:
      return "mixed-streaming";
  }
  return "unknown";
}

const char* to_string(KvType type) {
  switch (type) {
    case KvType::kF16:
      return "f16";
    case KvType::kQ8_0:
      return "q8_0";
    case KvType::kAuto:
      return "auto";
  }
  return "unknown";
}

const char* to_string(ReadAhead way) {
  switch (way) {
    case ReadAhead::kNone:
      return "none";
    case ReadAhead::kRouter:
      return "router";
    case ReadAhead::kCoactivation:
      return "coactivation";
    case ReadAhead::kAuto:
      return "auto";
  }
  return "unknown";
}

const char* to_string(WorkerSplit split) {
  switch (split) {
    case WorkerSplit::kAuto:
      return "auto";
    case WorkerSplit::kExperts:
      return "experts";
    case WorkerSplit::kLayers:
      return "layers";
  }
  return "unknown";
}

Result<Mode> parse_mode(std::string_view text) {
  if (const auto mode = find_word(kModes, text)) {
    return *mode;
  }
  return fail(ErrorCode::kUsage,
              "unknown mode '{}'; use resident, expert-streaming, dense-streaming or mixed-streaming", text);
}

Result<KvType> parse_kv_type(std::string_view text) {
  if (const auto type = find_word(kKvTypes, text)) {
    return *type;
  }
  return fail(ErrorCode::kUsage, "unknown KV cache type '{}'; use f16, q8_0 or auto", text);
}

Result<ReadAhead> parse_read_ahead(std::string_view text) {
  if (const auto way = find_word(kReadAheads, text)) {
    return *way;
  }
  return fail(ErrorCode::kUsage, "unknown predictor '{}'; use none, router, coactivation or auto", text);
}

Result<WorkerSplit> parse_worker_split(std::string_view text) {
  if (const auto split = find_word(kWorkerSplits, text)) {
    return *split;
  }
  return fail(ErrorCode::kUsage, "unknown split '{}'; use auto, experts or layers", text);
}

bool streams_experts(Mode mode) {
  return mode == Mode::kExpertStreaming || mode == Mode::kMixedStreaming;
}

bool streams_dense(Mode mode) {
  return mode == Mode::kDenseStreaming || mode == Mode::kMixedStreaming;
}

Mode Placement::mode() const {
  if (experts.streamed) {
    return dense.streamed ? Mode::kMixedStreaming : Mode::kExpertStreaming;
  }
  return dense.streamed ? Mode::kDenseStreaming : Mode::kResident;
}

double Placement::gap() const {
  return bound && objective > 0 ? std::max(0.0, 1 - *bound / objective) : 0;
}

}  // namespace hypura
