#include "storage/open.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <map>
#include <new>
#include <system_error>

#include "support/elapsed.h"
#include "support/fail.h"
#include "support/units.h"

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
  const int64_t got = read_at(fd, block.data(), block.size(), 0);
  return got < 0 ? static_cast<int>(-got) : 0;
}

bool means_no_direct(int error) {
  return error == EINVAL || error == EOPNOTSUPP || error == ENOTSUP;  // NOLINT(misc-redundant-expression): Linux
}

// One file, direct where that is wanted and possible; where not possible `notice` says so, if it says nothing yet.
Result<OpenFile> open_one(const fs::path& path, bool direct, std::string& notice) {
  if (Status status = check_kind(path); !status) {
    return propagate(status.error());
  }
  OpenFile opened;
  opened.path = path;
  if (direct) {
    opened.fd = FileDescriptor(open_direct(path.c_str()));
    const int error = opened.fd.get() < 0 ? errno : probe_direct(opened.fd.get());
    if (error == 0) {
      opened.direct = true;
      return opened;
    }
    if (!means_no_direct(error)) {
      return open_failed(path, error);
    }
    if (notice.empty()) {
      notice = fmt::format(
          "'{}' does not allow direct I/O ({}), so it is read through the page cache, which competes with Hypura's own "
          "caches for memory; a local ext4, xfs or btrfs disk allows it",
          path.string(), errno_text(error));
    }
  }
  opened.fd = FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (opened.fd.get() < 0) {
    return open_failed(path, errno);
  }
  return opened;
}

Status open_mirrors(const std::vector<Mirror>& mirrors, bool direct, OpenFiles& opened) {
  const size_t files = opened.files.size();
  for (uint32_t i = 0; i < mirrors.size(); ++i) {
    if (mirrors[i].size() != files) {
      return fail(ErrorCode::kInternal, "a mirror of {} files was given for {}", mirrors[i].size(), files);
    }
    for (uint32_t file = 0; file < files; ++file) {
      if (mirrors[i][file].empty()) {
        continue;
      }
      auto copy = open_one(mirrors[i][file], direct, opened.notice);
      if (!copy) {
        return propagate(copy.error());
      }
      copy->file = file;
      copy->copy = i + 1;
      opened.files.push_back(std::move(*copy));
    }
  }
  return {};
}

// How fast the file is, from a few reads as large as those to come, in its middle.
Result<double> speed_of(const OpenFile& file) {
  constexpr uint64_t kPiece = kMiB;
  constexpr uint64_t kPieces = 4;
  struct stat about {};
  if (::fstat(file.fd.get(), &about) != 0) {
    return open_failed(file.path, errno);
  }
  const AlignedMemory memory = aligned_memory(kPiece);
  const auto size = static_cast<uint64_t>(std::max<off_t>(about.st_size, 0));
  const uint64_t begin = size > 2 * kPieces * kPiece ? round_down(size / 2, kDirectAlignment) : 0;
  const auto start = std::chrono::steady_clock::now();
  uint64_t read = 0;
  for (uint64_t i = 0; i < kPieces; ++i) {
    const int64_t got = read_at(file.fd.get(), memory.get(), kPiece, begin + i * kPiece);
    if (got < 0) {
      return fail(ErrorCode::kIo, "cannot read '{}' at offset {}: {}; check the disk and its cables",
                  file.path.string(), begin + i * kPiece, errno_text(static_cast<int>(-got)));
    }
    read += static_cast<uint64_t>(got);
  }
  return std::max<double>(static_cast<double>(read), 1) / std::max(seconds_since(start), 1e-9);
}

// Numbers the lanes and measures each on the first of its files.
Status measure_lanes(OpenFiles& opened) {
  std::map<std::pair<uint32_t, dev_t>, uint32_t> lanes;
  for (OpenFile& file : opened.files) {
    struct stat about {};
    if (::fstat(file.fd.get(), &about) != 0) {
      return open_failed(file.path, errno);
    }
    const auto [lane, is_new] = lanes.emplace(std::pair(file.copy, about.st_dev), static_cast<uint32_t>(lanes.size()));
    file.lane = lane->second;
    if (is_new) {
      const auto speed = speed_of(file);
      if (!speed) {
        return propagate(speed.error());
      }
      opened.speeds.push_back(*speed);
    }
  }
  return {};
}

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

int64_t read_at(int fd, std::byte* to, uint64_t length, uint64_t offset) {
  ssize_t got = 0;
  do {
    got = ::pread(fd, to, length, static_cast<off_t>(offset));
  } while (got < 0 && errno == EINTR);
  return got < 0 ? -int64_t{errno} : int64_t{got};
}

void AlignedDelete::operator()(std::byte* memory) const {
  ::operator delete[](memory, std::align_val_t(kDirectAlignment));
}

AlignedMemory aligned_memory(uint64_t size) {
  return AlignedMemory(static_cast<std::byte*>(::operator new[](size, std::align_val_t(kDirectAlignment))));
}

std::string errno_text(int error) {
  return std::error_code(error, std::generic_category()).message();
}

Result<OpenFiles> open_files(const std::vector<fs::path>& paths, const std::vector<Mirror>& mirrors, bool direct) {
  OpenFiles opened;
  for (const fs::path& path : paths) {
    auto file = open_one(path, direct, opened.notice);
    if (!file) {
      return propagate(file.error());
    }
    file->file = static_cast<uint32_t>(opened.files.size());
    opened.files.push_back(std::move(*file));
  }
  if (mirrors.empty()) {
    return opened;
  }
  Status status = open_mirrors(mirrors, direct, opened).and_then([&] { return measure_lanes(opened); });
  if (!status) {
    return propagate(status.error());
  }
  return opened;
}

}  // namespace hypura
