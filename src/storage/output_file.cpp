#include "storage/output_file.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "storage/uncached.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr size_t kWriteBlock = 4096;

tl::unexpected<Error> write_failed(const std::filesystem::path& path, int error) {
  return fail(ErrorCode::kIo, "{} could not be written: {}", path.string(), std::generic_category().message(error));
}

Status write_all(const std::filesystem::path& path, int fd, std::span<const uint8_t> data, uint64_t offset) {
  while (!data.empty()) {
    const ssize_t written = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      return write_failed(path, written < 0 ? errno : ENOSPC);
    }
    data = data.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
  if (const int error = flush_uncached(fd); error != 0) {
    return write_failed(path, error);
  }
  return {};
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

std::filesystem::path partial_path(std::filesystem::path path) {
  return path += ".partial";
}

Status check_free_space(const std::filesystem::path& path, uint64_t bytes) {
  std::error_code error;
  const auto space = std::filesystem::space(folder_of(path), error);
  if (!error && space.available < bytes) {
    return fail(ErrorCode::kIo, "{} needs {}, but the disk has only {} free", path.string(), format_bytes(bytes),
                format_bytes(space.available));
  }
  return {};
}

}  // namespace

Result<OutputFile> OutputFile::create(const std::filesystem::path& path, uint64_t bytes, bool sparse, Readers readers,
                                      size_t buffer) {
  if (!sparse) {
    if (auto enough = check_free_space(path, bytes); !enough) {
      return propagate(enough.error());
    }
  }
  remove_leftover(path);
  const unsigned mode = readers == Readers::kUser ? 0600 : 0644;
  int fd = open_nameless(folder_of(path), mode);
  const bool named = fd < 0;
  fd = named ? open_uncached(partial_path(path), mode) : fd;
  if (fd < 0) {
    return fail(ErrorCode::kIo, "{} cannot be created: {}", path.string(), std::generic_category().message(errno));
  }
  return OutputFile(path, fd, named, bytes, buffer);
}

void OutputFile::remove_leftover(const std::filesystem::path& path) {
  ::unlink(partial_path(path).c_str());
}

OutputFile::OutputFile(std::filesystem::path path, int fd, bool named, uint64_t bytes, size_t buffer)
    : path_(std::move(path)),
      fd_(fd),
      named_(named),
      bytes_(bytes),
      capacity_(static_cast<size_t>(std::min<uint64_t>(buffer, round_up(bytes, kWriteBlock)))),
      filling_(static_cast<uint8_t*>(std::aligned_alloc(kWriteBlock, capacity_))),
      writing_(static_cast<uint8_t*>(std::aligned_alloc(kWriteBlock, capacity_))) {}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      named_(other.named_),
      bytes_(other.bytes_),
      position_(other.position_),
      flushed_(other.flushed_),
      capacity_(other.capacity_),
      filling_(std::move(other.filling_)),
      writing_(std::move(other.writing_)),
      pending_(std::move(other.pending_)) {}

OutputFile::~OutputFile() {
  if (pending_.valid()) {
    pending_.wait();
  }
  if (fd_ >= 0) {
    ::close(fd_);
    if (named_) {
      remove_leftover(path_);
    }
  }
}

Status OutputFile::append(std::span<const uint8_t> data) {
  while (!data.empty()) {
    const size_t used = static_cast<size_t>(position_ - flushed_);
    const size_t length = std::min(capacity_ - used, data.size());
    std::memcpy(filling_.get() + used, data.data(), length);
    data = data.subspan(length);
    position_ += length;
    if (used + length == capacity_) {
      if (auto status = flush(); !status) {
        return status;
      }
    }
  }
  return {};
}

Status OutputFile::pad_to(uint64_t position) {
  constexpr std::array<uint8_t, kWriteBlock> kZeros{};
  while (position_ < position) {
    const uint64_t length = std::min<uint64_t>(kZeros.size(), position - position_);
    if (auto status = append(std::span(kZeros).first(static_cast<size_t>(length))); !status) {
      return status;
    }
  }
  return {};
}

// Hands the filled buffer, rounded up to whole blocks, to the writing thread.
Status OutputFile::flush() {
  if (auto status = wait(); !status) {
    return status;
  }
  std::swap(filling_, writing_);
  const size_t used = static_cast<size_t>(position_ - flushed_);
  const size_t length = static_cast<size_t>(round_up(used, kWriteBlock));
  std::memset(writing_.get() + used, 0, length - used);
  pending_ = std::async(std::launch::async, [path = path_, fd = fd_, data = std::span(writing_.get(), length),
                                             offset = flushed_] { return write_all(path, fd, data, offset); });
  flushed_ = position_;
  return {};
}

Status OutputFile::wait() {
  return pending_.valid() ? pending_.get() : Status{};
}

Status OutputFile::finish() {
  if (position_ > flushed_) {
    if (auto status = flush(); !status) {
      return status;
    }
  }
  if (auto status = wait(); !status) {
    return status;
  }
  if (::ftruncate(fd_, static_cast<off_t>(bytes_)) != 0) {
    return write_failed(path_, errno);
  }
  if (Status status = give_name(); !status) {
    return status;
  }
  if (::close(std::exchange(fd_, -1)) != 0 || ::rename(partial_path(path_).c_str(), path_.c_str()) != 0) {
    const int error = errno;
    remove_leftover(path_);
    return write_failed(path_, error);
  }
  return {};
}

// A link does not replace what has the name already, a rename does: so the file has its partial name for a moment.
Status OutputFile::give_name() {
  const int error = named_ ? 0 : name_file(fd_, partial_path(path_));
  named_ = named_ || error == 0;
  return error == 0 ? Status() : write_failed(path_, error);
}

}  // namespace hypura
