#include <mach/mach.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <thread>

#include "machine/memory.h"
#include "machine/sysctl_darwin.h"
#include "support/fail.h"

namespace hypura {

namespace {

// What can be had without compressing or swapping: free pages, and those that hold files or are marked as
// expendable. Pages read ahead are counted by the kernel as free and as files, so they are taken off once.
std::optional<uint64_t> available_memory() {
  const mach_port_t host = mach_host_self();
  vm_statistics64_data_t pages = {};
  mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
  vm_size_t page_size = 0;
  const bool read =
      host_statistics64(host, HOST_VM_INFO64, reinterpret_cast<host_info64_t>(&pages), &count) == KERN_SUCCESS &&
      host_page_size(host, &page_size) == KERN_SUCCESS;
  mach_port_deallocate(mach_task_self(), host);
  if (!read) {
    return std::nullopt;
  }
  const uint64_t free = pages.free_count - std::min<uint64_t>(pages.free_count, pages.speculative_count);
  return (free + pages.external_page_count + pages.purgeable_count) * page_size;
}

}  // namespace

Result<MemoryLimits> read_memory_limits(const std::filesystem::path& /*root*/) {
  const std::optional<uint64_t> total = read_sysctl("hw.memsize");
  const std::optional<uint64_t> available = available_memory();
  if (!total || !available) {
    return fail(ErrorCode::kIo, "cannot query the machine's memory (hw.memsize, host_statistics64): {}",
                std::error_code(errno, std::generic_category()).message());
  }
  MemoryLimits limits;
  limits.total = *total;
  limits.available = std::min(*available, *total);
  return limits;
}

ProcessMemory read_process_memory() {
  mach_task_basic_info_data_t info = {};
  mach_msg_type_number_t count = MACH_TASK_BASIC_INFO_COUNT;
  if (task_info(mach_task_self(), MACH_TASK_BASIC_INFO, reinterpret_cast<task_info_t>(&info), &count) != KERN_SUCCESS) {
    return {};
  }
  return {info.resident_size, info.resident_size_max};
}

uint32_t usable_cores() {
  for (const char* name : {"hw.perflevel0.physicalcpu", "hw.physicalcpu"}) {
    const std::optional<uint64_t> cores = read_sysctl(name);
    if (cores && *cores > 0) {
      return static_cast<uint32_t>(*cores);
    }
  }
  return std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace hypura
