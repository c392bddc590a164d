#include "bench/child.h"

#include "bench/measure.h"
#include "support/log.h"

namespace hypura::bench {

namespace {

Result<RunResult> make_run(const std::string& text) {
  const auto spec = spec_from_json(text);
  if (!spec) {
    return propagate(spec.error());
  }
  const std::unique_ptr<Subject> subject = spec->engine == "hypura" ? make_hypura_subject() : make_plain_subject();
  return measure(*subject, *spec);
}

}  // namespace

int run_as_child(const std::string& spec) {
  init_log(false);
  auto result = make_run(spec);
  RunResult failed;
  if (!result) {
    failed.error = result.error().message;
  }
  fmt::print("{}\n", to_json_line(result ? *result : failed));
  return result ? 0 : static_cast<int>(result.error().code);
}

}  // namespace hypura::bench
