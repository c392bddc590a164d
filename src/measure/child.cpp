#include "measure/child.h"

#include "measure/measure_run.h"
#include "measure/prediction.h"
#include "measure/serving_run.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

namespace {

Result<RunResult> make_run(const std::string& text) {
  const auto spec = spec_from_json(text);
  if (!spec) {
    return propagate(spec.error());
  }
  const bool ours = spec->engine == "hypura";
  const PredictedRun predicted = ours && spec->predict ? predict(*spec) : PredictedRun{};
  if (spec->answers > 0) {
    return measure_serving(*spec);
  }
  const std::unique_ptr<Subject> subject = ours ? make_hypura_subject() : make_plain_subject();
  auto result = measure_run(*subject, *spec);
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
