#include <unistd.h>

#include "cli/commands.h"
#include "cli/devices/devices_report.h"
#include "cli/output.h"
#include "llama/llama_runtime.h"
#include "machine/cpu.h"
#include "machine/memory.h"
#include "support/fail.h"

namespace hypura {

Result<int> devices_command(const DevicesOptions& options) {
  if (Status status = init_llama(); !status) {
    return propagate(status.error());
  }
  const auto memory = read_memory_limits();
  if (!memory) {
    return propagate(memory.error());
  }
  const DevicesReport report{read_cpu().model, usable_cores(), memory->total,     memory->allowed(),
                             gpu_devices(),    gpu_backends(), read_gpu_drivers()};
  Output out(STDOUT_FILENO, "standard output");
  if (options.json) {
    out.write(devices_to_json(report).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  } else {
    out.write(devices_text(report));
  }
  return out.status().map([] { return 0; });
}

}  // namespace hypura
