#include "bench/run_spec.h"

#include <nlohmann/json.hpp>

namespace hypura::bench {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RunSpec, engine, model, memory, threads, context, prompt_tokens, warmup_tokens,
                                   tokens)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PhaseCost, tokens, seconds, bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RunResult, error, load, prefill, decode, first_token_seconds, chosen, expert_lookups,
                                   expert_hits, io_wait_seconds, streamed_bytes, resident_bytes, mode, plan,
                                   process_peak, group_peak, out_of_memory)

namespace {

template <class T>
std::string dump(const T& value) {
  return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

template <class T>
Result<T> parse(const std::string& text, const char* what) {
  try {
    return nlohmann::json::parse(text).get<T>();
  } catch (const nlohmann::json::exception& error) {
    return fail(ErrorCode::kInternal, "the {} is not what hypura-bench writes: {}", what, error.what());
  }
}

}  // namespace

std::string to_json_line(const RunSpec& spec) {
  return dump(spec);
}
std::string to_json_line(const RunResult& result) {
  return dump(result);
}

Result<RunSpec> spec_from_json(const std::string& text) {
  return parse<RunSpec>(text, "run's description");
}
Result<RunResult> result_from_json(const std::string& text) {
  return parse<RunResult>(text, "run's result");
}

}  // namespace hypura::bench
