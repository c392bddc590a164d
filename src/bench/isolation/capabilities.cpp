#include "bench/isolation/capabilities.h"

#include <unistd.h>

#include "bench/isolation/memory_cgroup.h"
#include "bench/isolation/page_cache.h"
#include "bench/isolation/readahead.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

Status try_readahead(const std::filesystem::path& model) {
  auto readahead = Readahead::of(model);
  if (!readahead) {
    return propagate(readahead.error());
  }
  return readahead->set(readahead->own_kib() + 4);  // restored on return
}

Status try_file_cache(const std::filesystem::path& model) {
  const auto left = drop_file_cache(model).and_then([&] { return cached_bytes(model); });
  if (!left) {
    return propagate(left.error());
  }
  if (*left > kCacheTolerance) {
    return fail(ErrorCode::kIo,
                "{}: {} stay in the page cache, so another process uses the file, or its file system is in memory",
                model.string(), format_bytes(*left));
  }
  return {};
}

void note(bool& able, std::string& reason, const Status& status) {
  able = status.has_value();
  reason = status ? "" : status.error().message;
}

}  // namespace

Capabilities find_capabilities(const std::filesystem::path& model) {
  Capabilities capabilities;
  note(capabilities.cgroups, capabilities.no_cgroups,
       MemoryCgroup::create(own_cgroup_name(), kGiB).map([](const MemoryCgroup&) {}));
  note(capabilities.drop_caches, capabilities.no_drop_caches, may_drop_caches());
  note(capabilities.drop_file_cache, capabilities.no_drop_file_cache, try_file_cache(model));
  note(capabilities.readahead, capabilities.no_readahead, try_readahead(model));
  return capabilities;
}

std::string own_cgroup_name() {
  return fmt::format("hypura-bench-{}", getpid());
}

}  // namespace hypura
