#include "cli/trace_file.h"

#include "support/fail.h"

namespace hypura {

Status check_trace_path(const RunOptions& options) {
  if (!options.trace) {
    return {};
  }
  const auto folder = options.trace->has_parent_path() ? options.trace->parent_path() : ".";
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    return fail(ErrorCode::kUsage, "--trace {}: there is no folder {}", options.trace->string(), folder.string());
  }
  return {};
}

Status write_trace(const RunOptions& options, const Engine& engine, Output& notes) {
  if (!options.trace) {
    return {};
  }
  const RoutingTrace trace = engine.routing();
  if (Status status = write_routing_trace(trace, *options.trace); !status) {
    return status;
  }
  if (options.stats == StatsFormat::kText || options.verbose) {
    const std::string dropped = trace.earlier > 0 ? fmt::format(" (the latest; {} before)", trace.earlier) : "";
    notes.write(
        fmt::format("routing of {} tokens{} written to {}\n", trace.tokens(), dropped, options.trace->string()));
  }
  return {};
}

}  // namespace hypura
