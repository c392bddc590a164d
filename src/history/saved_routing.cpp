#include "history/saved_routing.h"

#include "backend/stream_layout.h"
#include "history/model_fingerprint.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

Result<std::filesystem::path> trace_file_of(const Model& model) {
  return file_about(model, "routing", "trace");
}

std::optional<RoutingTrace> read_saved(const std::filesystem::path& path, const Model& model) {
  auto trace = read_routing_trace(path);
  if (!trace) {
    return std::nullopt;
  }
  const StreamLayout layout = lay_out(model, true, false);
  const bool fits = trace->layers == layout.expert_layers.size() && trace->experts == layout.experts &&
                    trace->used == model.experts_used;
  return fits ? std::optional(std::move(*trace)) : std::nullopt;
}

}  // namespace

std::optional<RoutingTrace> saved_routing(const Model& model) {
  if (model.experts == 0) {
    return std::nullopt;
  }
  const auto path = trace_file_of(model);
  return path ? read_saved(*path, model) : std::nullopt;
}

Status save_routing(const Model& model, RoutingTrace trace) {
  const auto path = trace_file_of(model);
  if (!path) {
    return propagate(path.error());
  }
  trace.keep_latest(kMostSavedTokens);
  auto before = read_saved(*path, model);
  if (before && trace.tokens() < kMostSavedTokens) {
    before->passes.insert(before->passes.end(), trace.passes.begin(), trace.passes.end());
    before->chosen.insert(before->chosen.end(), trace.chosen.begin(), trace.chosen.end());
    before->slots = before->spare = 0;  // those of two runs
    before->keep_latest(kMostSavedTokens);
    trace = std::move(*before);
  }
  std::error_code error;
  std::filesystem::create_directories(path->parent_path(), error);
  if (error) {
    return fail(ErrorCode::kIo, "cannot create the folder {}: {}", path->parent_path().string(), error.message());
  }
  return write_routing_trace(trace, *path);
}

}  // namespace hypura
