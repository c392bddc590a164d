#include <algorithm>
#include <fstream>
#include <numeric>
#include <optional>
#include <string_view>

#include "hypura/routing.h"
#include "residency/little_endian.h"
#include "support/atomic_file.h"
#include "support/fail.h"
#include "support/fnv.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr std::string_view kMagic = "HYPROUTE";
constexpr uint32_t kVersion = 1;
constexpr uint64_t kHeaderBytes = 8 + 7 * 4 + 3 * 8;
constexpr uint64_t kPassBytes = 12;
constexpr uint64_t kHashBytes = 8;
constexpr uint32_t kDecodeFlag = 1;

// Far above any real model and trace: a file that claims more is damaged.
constexpr uint32_t kMaxLayers = 4096;
constexpr uint32_t kMaxNameBytes = 4096;
constexpr uint64_t kMaxFileBytes = kGiB;

// The counts that a file begins with.
struct Counts {
  uint32_t name_bytes = 0;
  uint64_t passes = 0;
  uint64_t tokens = 0;
};

tl::unexpected<Error> damaged(const std::filesystem::path& path, std::string_view what) {
  return fail(ErrorCode::kIo, "{} is damaged: {}; record the trace again", path.string(), what);
}

// What is wrong with a trace's sizes, apart from the number of its tokens; empty when nothing.
std::string_view sizes_fault(const RoutingTrace& trace) {
  if (trace.layers == 0 || trace.layers > kMaxLayers) {
    return "the number of layers cannot be";
  }
  if (trace.experts == 0 || trace.experts >= RoutingTrace::kNone) {
    return "the number of experts cannot be";
  }
  if (trace.used == 0 || trace.used > trace.experts) {
    return "the number of experts used cannot be";
  }
  return trace.spare > trace.slots ? "more spare slots than slots" : "";
}

// Everything before the name.
Result<Counts> parse_header(std::string_view header, const std::filesystem::path& path, RoutingTrace& trace) {
  if (header.substr(0, kMagic.size()) != kMagic) {
    return fail(ErrorCode::kUsage, "{} is not a routing trace; `hypura run --trace FILE` writes one", path.string());
  }
  header.remove_prefix(kMagic.size());
  if (header.size() < kHeaderBytes - kMagic.size()) {
    return damaged(path, "it ends in its header");
  }
  if (const auto version = take<uint32_t>(header); version != kVersion) {
    return fail(ErrorCode::kUsage, "{} is a routing trace of version {}, but only version {} is supported",
                path.string(), version, kVersion);
  }
  for (uint32_t* number : {&trace.layers, &trace.experts, &trace.used, &trace.slots, &trace.spare}) {
    *number = take<uint32_t>(header);
  }
  Counts counts;
  counts.name_bytes = take<uint32_t>(header);
  trace.earlier = take<uint64_t>(header);
  counts.passes = take<uint64_t>(header);
  counts.tokens = take<uint64_t>(header);
  if (const auto fault = sizes_fault(trace); !fault.empty()) {
    return damaged(path, fault);
  }
  return counts;
}

// Bytes of a file with such counts; nothing when it would be larger than any file may be.
std::optional<uint64_t> file_bytes(const RoutingTrace& trace, const Counts& counts) {
  const uint64_t token_bytes = uint64_t{2} * trace.layers * trace.used;
  if (counts.name_bytes > kMaxNameBytes || counts.passes > kMaxFileBytes / kPassBytes ||
      counts.tokens > kMaxFileBytes / token_bytes) {
    return std::nullopt;
  }
  return kHeaderBytes + counts.name_bytes + counts.passes * kPassBytes + counts.tokens * token_bytes + kHashBytes;
}

// Everything behind the header; `body` has the size that the counts say.
Status parse_body(std::string_view body, const Counts& counts, const std::filesystem::path& path, RoutingTrace& trace) {
  trace.model = body.substr(0, counts.name_bytes);
  body.remove_prefix(counts.name_bytes);
  uint64_t tokens = 0;
  for (uint64_t i = 0; i < counts.passes; ++i) {
    RoutingPass& pass = trace.passes.emplace_back();
    pass.tokens = take<uint32_t>(body);
    const auto flags = take<uint32_t>(body);
    pass.hits = take<uint32_t>(body);
    pass.decode = (flags & kDecodeFlag) != 0;
    if (pass.tokens == 0 || flags > kDecodeFlag || pass.hits > uint64_t{trace.layers} * trace.experts) {
      return damaged(path, fmt::format("pass {} cannot be", i));
    }
    tokens += pass.tokens;
  }
  if (tokens != counts.tokens) {
    return damaged(path, "its passes do not add up to its tokens");
  }
  trace.chosen.resize(counts.tokens * trace.layers * trace.used);
  for (uint16_t& expert : trace.chosen) {
    expert = take<uint16_t>(body);
    if (expert >= trace.experts && expert != RoutingTrace::kNone) {
      return damaged(path, fmt::format("it names expert {} of {}", expert, trace.experts));
    }
  }
  return {};
}

std::string serialise(const RoutingTrace& trace) {
  std::string bytes(kMagic);
  const auto name_bytes = static_cast<uint32_t>(std::min<size_t>(trace.model.size(), kMaxNameBytes));
  for (uint32_t number : {kVersion, trace.layers, trace.experts, trace.used, trace.slots, trace.spare, name_bytes}) {
    put(bytes, number);
  }
  for (uint64_t number : {trace.earlier, uint64_t{trace.passes.size()}, trace.tokens()}) {
    put(bytes, number);
  }
  bytes += trace.model.substr(0, name_bytes);
  for (const RoutingPass& pass : trace.passes) {
    put(bytes, pass.tokens);
    put(bytes, pass.decode ? kDecodeFlag : 0U);
    put(bytes, pass.hits);
  }
  for (uint16_t expert : trace.chosen) {
    put(bytes, expert);
  }
  put(bytes, fnv1a(bytes));
  return bytes;
}

}  // namespace

uint64_t RoutingTrace::tokens() const {
  return std::accumulate(passes.begin(), passes.end(), uint64_t{0},
                         [](uint64_t sum, const RoutingPass& pass) { return sum + pass.tokens; });
}

uint64_t RoutingTrace::decode_tokens() const {
  return std::accumulate(passes.begin(), passes.end(), uint64_t{0},
                         [](uint64_t sum, const RoutingPass& pass) { return sum + (pass.decode ? pass.tokens : 0); });
}

void RoutingTrace::keep_latest(uint64_t count) {
  uint64_t left = tokens();
  uint64_t dropped = 0;
  auto first = passes.begin();
  while (left > count && passes.end() - first > 1) {
    left -= first->tokens;
    dropped += first->tokens;
    ++first;
  }
  passes.erase(passes.begin(), first);
  chosen.erase(chosen.begin(), chosen.begin() + static_cast<std::ptrdiff_t>(dropped * layers * used));
  earlier += dropped;
}

Result<RoutingTrace> read_routing_trace(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    return fail(ErrorCode::kIo, "the routing trace {} {}", path.string(),
                error ? "could not be opened: " + error.message() : "is not a file");
  }
  const uint64_t size = std::filesystem::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file) {
    return fail(ErrorCode::kIo, "the routing trace {} could not be opened", path.string());
  }
  std::string bytes(std::min(size, kHeaderBytes), '\0');
  const auto read_on = [&](uint64_t from) {
    const auto count = static_cast<std::streamsize>(bytes.size() - from);
    return static_cast<bool>(file.read(bytes.data() + from, count));
  };
  if (!read_on(0)) {
    return fail(ErrorCode::kIo, "the routing trace {} could not be read", path.string());
  }
  RoutingTrace trace;
  const auto counts = parse_header(bytes, path, trace);
  if (!counts) {
    return propagate(counts.error());
  }
  const auto expected = file_bytes(trace, *counts);
  if (!expected || *expected != size) {
    return damaged(path, fmt::format("it has {} bytes, and by its header it should have {}", size,
                                     expected ? fmt::format("{}", *expected) : "more than any trace has"));
  }
  bytes.resize(size);
  if (!read_on(kHeaderBytes)) {
    return fail(ErrorCode::kIo, "the routing trace {} could not be read", path.string());
  }
  const std::string_view all(bytes);
  std::string_view hash = all.substr(size - kHashBytes);
  if (take<uint64_t>(hash) != fnv1a(all.substr(0, size - kHashBytes))) {
    return damaged(path, "its checksum is wrong");
  }
  if (Status status = parse_body(all.substr(kHeaderBytes), *counts, path, trace); !status) {
    return propagate(status.error());
  }
  return trace;
}

Status write_routing_trace(const RoutingTrace& trace, const std::filesystem::path& path) {
  if (const auto fault = sizes_fault(trace); !fault.empty()) {
    return fail(ErrorCode::kInternal, "the routing trace for {} cannot be written: {}", path.string(), fault);
  }
  if (trace.chosen.size() != trace.tokens() * trace.layers * trace.used) {
    return fail(ErrorCode::kInternal, "the routing trace for {} cannot be written: {} experts for {} tokens",
                path.string(), trace.chosen.size(), trace.tokens());
  }
  std::error_code error;
  if (std::filesystem::exists(path, error) && !std::filesystem::is_regular_file(path, error)) {
    return fail(ErrorCode::kUsage, "the routing trace cannot be written to {}: it is not a file", path.string());
  }
  const std::string bytes = serialise(trace);
  if (Status status = replace_file(path, bytes); !status) {
    return fail(ErrorCode::kIo,
                "the routing trace ({}): {}; check that its folder exists, is writable and has free space",
                format_bytes(bytes.size()), status.error().message);
  }
  return {};
}

}  // namespace hypura
