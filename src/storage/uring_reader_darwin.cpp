#include "storage/reader_core.h"

namespace hypura {

// io_uring is Linux's; macOS reads with the pread pool.
std::unique_ptr<Reader> make_uring_reader(OpenFiles& /*files*/, const ReaderOptions& /*options*/) {
  return nullptr;
}

}  // namespace hypura
