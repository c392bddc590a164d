#include "storage/reader.h"

#include "storage/open.h"
#include "storage/reader_core.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

Status check_options(const ReaderOptions& options) {
  if (options.chunk_bytes == 0 || options.chunk_bytes % kDirectAlignment != 0 || options.chunk_bytes > kGiB) {
    return fail(ErrorCode::kUsage, "a read chunk of {} bytes is invalid; choose a multiple of {} up to 1 GiB",
                options.chunk_bytes, kDirectAlignment);
  }
  if (options.depth == 0 || options.depth > 4096 || options.prefetch_depth == 0) {
    return fail(ErrorCode::kUsage, "a read depth of {} with {} for prefetch is invalid; choose from 1 to 4096",
                options.depth, options.prefetch_depth);
  }
  if (options.threads == 0 || options.threads > 1024) {
    return fail(ErrorCode::kUsage, "{} reading threads are invalid; choose from 1 to 1024", options.threads);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Reader>> Reader::open(const std::vector<std::filesystem::path>& files,
                                             const ReaderOptions& options, const std::vector<Mirror>& mirrors) {
  if (Status status = check_options(options); !status) {
    return propagate(std::move(status.error()));
  }
  Result<OpenFiles> opened = open_files(files, mirrors, options.direct);
  if (!opened) {
    return propagate(std::move(opened.error()));
  }
  if (!options.force_threads) {
    if (std::unique_ptr<Reader> reader = make_uring_reader(*opened, options)) {
      return reader;
    }
  }
  return make_thread_reader(std::move(*opened), options);
}

}  // namespace hypura
