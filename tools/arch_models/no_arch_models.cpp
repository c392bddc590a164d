// Where this llama.cpp's test makes no models that Hypura could open.
#include "arch_models/arch_models.h"
#include "support/fail.h"

namespace hypura {

std::vector<ArchModel> arch_models() {
  return {};
}

Status write_arch_model(const ArchModel& model, const std::filesystem::path& /*file*/) {
  return fail(ErrorCode::kInternal, "this llama.cpp makes no model of {}", model.architecture);
}

}  // namespace hypura
