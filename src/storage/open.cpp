#include "storage/open.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <system_error>

#include "storage/reader.h"

namespace hypura {

namespace {

namespace fs = std::filesystem;

// Before opening, because opening a pipe would block.
Status check_kind(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    return fail(ErrorCode::kIo, "cannot open '{}': {}; check the path and its permissions", path.string(),
                error ? error.message() : errno_text(ENOENT));
  }
  if (!fs::is_regular_file(status) && !fs::is_block_file(status)) {
    return fail(ErrorCode::kIo, "cannot open '{}': it is not a regular file; give the path of a model file",
                path.string());
  }
  return {};
}

tl::unexpected<Error> open_failed(const fs::path& path, int error) {
  return fail(ErrorCode::kIo, "cannot open '{}' for reading: {}; check the path and its permissions", path.string(),
              errno_text(error));
}

// Some file systems accept O_DIRECT when opening and refuse it when reading, so only a read is proof. 0 or errno.
int probe_direct(int fd) {
  alignas(kDirectAlignment) std::array<std::byte, kDirectAlignment> block{};
  ssize_t got = 0;
  do {
    got = ::pread(fd, block.data(), block.size(), 0);
  } while (got < 0 && errno == EINTR);
  return got < 0 ? errno : 0;
}

bool means_no_direct(int error) {
  return error == EINVAL || error == EOPNOTSUPP || error == ENOTSUP;  // NOLINT(misc-redundant-expression): Linux
}

// The files opened for direct I/O; with `notice` set and no files when one of them does not allow it.
Result<OpenFiles> open_all_direct(const std::vector<fs::path>& paths) {
  OpenFiles opened;
  opened.direct = true;
  for (const fs::path& path : paths) {
    FileDescriptor fd(open_direct(path.c_str()));
    const int error = fd.get() < 0 ? errno : probe_direct(fd.get());
    if (means_no_direct(error)) {
      OpenFiles refused;
      refused.notice = fmt::format(
          "'{}' does not allow direct I/O ({}), so the model is read through the page cache, which competes with "
          "Hypura's own caches for memory; a local ext4, xfs or btrfs disk allows it",
          path.string(), errno_text(error));
      return refused;
    }
    if (error != 0) {
      return open_failed(path, error);
    }
    opened.files.push_back({path, std::move(fd)});
  }
  return opened;
}

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

std::string errno_text(int error) {
  return std::error_code(error, std::generic_category()).message();
}

Result<OpenFiles> open_files(const std::vector<fs::path>& paths, bool direct) {
  for (const fs::path& path : paths) {
    if (Status status = check_kind(path); !status) {
      return propagate(status.error());
    }
  }
  OpenFiles opened;
  if (direct) {
    Result<OpenFiles> result = open_all_direct(paths);
    if (!result || result->direct) {
      return result;
    }
    opened.notice = std::move(result->notice);
  }
  for (const fs::path& path : paths) {
    FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) {
      return open_failed(path, errno);
    }
    opened.files.push_back({path, std::move(fd)});
  }
  return opened;
}

}  // namespace hypura
