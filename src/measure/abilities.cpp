#include "measure/abilities.h"

#include <unistd.h>

#include "measure/memory_box.h"
#include "measure/page_cache.h"
#include "measure/readahead.h"
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
                "{}: {} stay in the page cache, so another process uses the file, or its file system is memory",
                model.string(), format_bytes(*left));
  }
  return {};
}

void note(bool& able, std::string& reason, const Status& status) {
  able = status.has_value();
  reason = status ? "" : status.error().message;
}

}  // namespace

Abilities find_abilities(const std::filesystem::path& model) {
  Abilities abilities;
  note(abilities.cgroups, abilities.no_cgroups, MemoryBox::create(own_box_name(), kGiB).map([](const MemoryBox&) {}));
  note(abilities.drop_caches, abilities.no_drop_caches, may_drop_caches());
  note(abilities.drop_file_cache, abilities.no_drop_file_cache, try_file_cache(model));
  note(abilities.readahead, abilities.no_readahead, try_readahead(model));
  return abilities;
}

std::string own_box_name() {
  return fmt::format("hypura-bench-{}", getpid());
}

}  // namespace hypura
