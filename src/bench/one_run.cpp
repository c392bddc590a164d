#include "bench/one_run.h"

#include <csignal>

#include "bench/isolation/capabilities.h"
#include "bench/isolation/machine_state.h"
#include "bench/isolation/memory_cgroup.h"
#include "bench/isolation/page_cache.h"
#include "bench/isolation/process.h"
#include "bench/run/child.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr double kSplitsSeconds = 300;  // some twenty times a vocabulary is read

RunResult failed_run(std::string message) {
  RunResult result;
  result.error = std::move(message);
  return result;
}

RunResult result_of(const ProcessOutcome& outcome, bool out_of_memory, double run_seconds) {
  if (outcome.timed_out) {
    return failed_run(fmt::format("stopped after {:.0f} s", run_seconds));
  }
  if (outcome.signal == SIGKILL && out_of_memory) {
    return failed_run("killed by the kernel: it needed more memory than the limit");
  }
  if (outcome.signal != 0) {
    return failed_run(fmt::format("ended by signal {}", outcome.signal));
  }
  auto result = result_from_json(outcome.output);
  return result ? std::move(*result)
                : failed_run(fmt::format("{} (exit status {})", result.error().message, outcome.exit_status));
}

// Mapped weights that lie in memory at another's expense make a limit void: an error when there are some.
Status check_page_cache(const std::vector<std::filesystem::path>& files, uint64_t charged, const char* when) {
  uint64_t cached = 0;
  for (const std::filesystem::path& file : files) {
    const auto bytes = cached_bytes(file);
    if (!bytes) {
      return propagate(bytes.error());
    }
    cached += *bytes;
  }
  if (cached > charged + kCacheTolerance) {
    return fail(ErrorCode::kIo,
                "not valid: {} the run {} of {} lay in the page cache outside of its limit, so another process uses "
                "the file, or its file system is in memory; end that process, or measure another file",
                when, format_bytes(cached - charged), files.front().string());
  }
  return {};
}

Status empty_page_cache(const RoundsOptions& options) {
  if (options.empty == CacheEmptying::kWhole) {
    return drop_caches();
  }
  for (const std::filesystem::path& file : options.files) {
    if (Status status = drop_file_cache(file); !status) {
      return status;
    }
  }
  return {};
}

ProcessRequest child_request(const std::filesystem::path& program, const RunSpec& spec, double seconds) {
  ProcessRequest request;
  request.program = program;
  request.arguments = {"hypura", kChildCommand, to_json_line(spec)};
  request.timeout_seconds = seconds;
  return request;
}

Result<RunResult> run_in_its_cgroup(const RoundsOptions& options, const RunSpec& spec) {
  std::optional<MemoryCgroup> cgroup;
  if (options.limit > 0) {
    auto made = MemoryCgroup::create(own_cgroup_name(), options.limit);
    if (!made) {
      return propagate(made.error());
    }
    cgroup.emplace(std::move(*made));
  }
  ProcessRequest request = child_request(options.program, spec, options.run_seconds);
  if (cgroup) {
    request.entrance = cgroup->entrance();
  }
  const auto outcome = run_process(request);
  if (!outcome) {
    return propagate(outcome.error());
  }
  RunResult result = result_of(*outcome, cgroup && cgroup->out_of_memory(), options.run_seconds);
  if (cgroup) {
    result.out_of_memory = cgroup->out_of_memory();
    result.group_peak = cgroup->peak();
    const Status valid = options.empty == CacheEmptying::kNone
                             ? Status{}
                             : check_page_cache(options.files, cgroup->page_cache(), "after");
    if (!valid && result.error.empty()) {
      result.error = valid.error().message;
    }
  }
  return result;
}

}  // namespace

Result<RunResult> make_one_run(const RoundsOptions& options, const Arm& arm) {
  if (options.empty != CacheEmptying::kNone) {
    if (Status status = empty_page_cache(options); !status) {
      return propagate(status.error());
    }
    if (Status status = check_page_cache(options.files, 0, "before"); !status) {
      return failed_run(status.error().message);
    }
  }
  if (options.readahead != nullptr && arm.readahead_kib) {
    if (Status status = options.readahead->set(*arm.readahead_kib); !status) {
      return propagate(status.error());
    }
  }
  touch_memory(options.touch_bytes);
  auto result = run_in_its_cgroup(options, arm.spec);
  if (options.readahead != nullptr) {
    if (Status status = options.readahead->restore(); !status) {
      return propagate(status.error());
    }
  }
  return result;
}

Result<PlainSplits> splits_in_child(const std::filesystem::path& program, RunSpec spec) {
  spec.engine = "splits";
  const auto outcome = run_process(child_request(program, spec, kSplitsSeconds));
  if (!outcome) {
    return propagate(outcome.error());
  }
  RunResult result = result_of(*outcome, false, kSplitsSeconds);
  if (!result.error.empty()) {
    const auto code = result.error_code == 0 ? ErrorCode::kInternal : static_cast<ErrorCode>(result.error_code);
    return fail(code, "how plain llama.cpp divides the model best was not found: {}", result.error);
  }
  return std::move(result.plain_splits);
}

}  // namespace hypura
