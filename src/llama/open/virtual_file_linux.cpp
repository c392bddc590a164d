#include <cerrno>

#include "llama/open/virtual_file.h"

namespace hypura {

namespace {

ssize_t read_stream(void* cookie, char* to, size_t bytes) {
  const int64_t count = static_cast<VirtualFile*>(cookie)->read_at(to, bytes);
  if (count < 0) {
    errno = EIO;
  }
  return static_cast<ssize_t>(count);
}

int seek_stream(void* cookie, off64_t* offset, int whence) {
  const int64_t position = static_cast<VirtualFile*>(cookie)->seek_to(*offset, whence);
  if (position < 0) {
    return -1;
  }
  *offset = position;
  return 0;
}

}  // namespace

std::FILE* VirtualFile::open_stream() {
  cookie_io_functions_t functions{};
  functions.read = read_stream;
  functions.seek = seek_stream;
  return fopencookie(this, "rb", functions);
}

}  // namespace hypura
