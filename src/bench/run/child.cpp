#include "bench/run/child.h"

#include "bench/run/measure_run.h"
#include "bench/run/plain_splits.h"
#include "bench/run/prediction.h"
#include "bench/run/serving_run.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

namespace {

Result<RunResult> make_run(const std::string& text) {
  const auto spec = spec_from_json(text);
  if (!spec) {
    return propagate(spec.error());
  }
  if (spec->engine == "splits") {
    return find_plain_splits(*spec).map([](PlainSplits splits) {
      RunResult result;
      result.plain_splits = std::move(splits);
      return result;
    });
  }
  const bool ours = spec->engine == "hypura";
  const PredictedRun predicted = ours && spec->predict ? predict(*spec) : PredictedRun{};
  if (spec->answers > 0) {
    return measure_serving(*spec);
  }
  const std::unique_ptr<BenchEngine> engine = ours ? make_hypura_engine() : make_plain_engine();
  auto result = measure_run(*engine, *spec);
  if (result) {
    result->predicted = predicted;
  }
  return result;
}

}  // namespace

int run_as_child(const std::string& spec) {
  init_log(false);
  auto result = make_run(spec);
  RunResult failed;
  if (!result) {
    failed.error = result.error().message;
    failed.error_code = static_cast<int>(result.error().code);
  }
  fmt::print("{}\n", to_json_line(result ? *result : failed));
  return failed.error_code;
}

}  // namespace hypura
