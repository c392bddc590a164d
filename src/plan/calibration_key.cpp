#include "plan/gpu_problem.h"
#include "plan/placement_problem.h"

namespace hypura {

std::string calibration_key(const OpenRequest& request, const Placement& placement) {
  if (placement.gpu) {
    return fmt::format("{} on {}, {}{}", to_string(placement.mode()), joined_names(used_names(request, placement)),
                       to_string(placement.kv_type), placement.gpu->mixed ? ", mixed" : "");
  }
  std::string key = fmt::format("{}, {} threads, {}{}{}", to_string(placement.mode()), request.threads,
                                request.reads_repacked() ? "repacked copy" : (request.repacks() ? "repacked" : "plain"),
                                placement.kv_type == KvType::kF16 ? "" : ", ",
                                placement.kv_type == KvType::kF16 ? "" : to_string(placement.kv_type));
  if (const GpuLayers* layers = request.gpu_layers()) {
    key += fmt::format(", {} layers on {}", layers->count, request.gpu.name());
  }
  return key;
}

}  // namespace hypura
