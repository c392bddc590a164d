#include <cerrno>

#include "llama/open/virtual_file.h"

namespace hypura {

namespace {

int read_stream(void* cookie, char* to, int bytes) {
  const int64_t count = static_cast<VirtualFile*>(cookie)->read_at(to, static_cast<size_t>(bytes));
  if (count < 0) {
    errno = EIO;
  }
  return static_cast<int>(count);
}

fpos_t seek_stream(void* cookie, fpos_t offset, int whence) {
  return static_cast<VirtualFile*>(cookie)->seek_to(offset, whence);
}

}  // namespace

std::FILE* VirtualFile::open_stream() {
  return funopen(this, read_stream, nullptr, seek_stream, nullptr);
}

}  // namespace hypura
