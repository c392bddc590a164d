#include "machine/speed/scratch_file.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <random>
#include <span>
#include <string>

#include "storage/open.h"
#include "support/elapsed.h"
#include "support/fail.h"
#include "support/memory/memory_region.h"
#include "support/units.h"

namespace hypura {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kPiece = 8 * kMiB;  // of one write

tl::unexpected<Error> cannot_write(const fs::path& folder, int error) {
  return fail(ErrorCode::kIo,
              "cannot write a scratch file in '{}' to measure the disk: {}; name another folder, or a model "
              "file, which is only read",
              folder.string(), errno_text(error));
}

// Removes the name at the end, if it is still there.
class Name {
 public:
  explicit Name(fs::path path) : path_(std::move(path)) {}
  ~Name() { remove(); }
  Name(const Name&) = delete;
  Name& operator=(const Name&) = delete;

  const fs::path& path() const { return path_; }
  void remove() {
    if (!path_.empty()) {
      ::unlink(path_.c_str());
      path_.clear();
    }
  }

 private:
  fs::path path_;
};

// Random bytes that no compression gains on. Random is slow to make, so one piece serves for all.
void fill(std::span<std::byte> piece) {
  std::mt19937_64 random(std::random_device{}());
  for (size_t at = 0; at + sizeof(uint64_t) <= piece.size(); at += sizeof(uint64_t)) {
    const uint64_t word = random();
    std::memcpy(piece.data() + at, &word, sizeof(word));
  }
}

// Makes every block of a piece differ from all others, so that no deduplication gains on it either.
void number_blocks(std::span<std::byte> piece, uint64_t offset) {
  for (size_t at = 0; at + sizeof(uint64_t) <= piece.size(); at += kDirectAlignment) {
    const uint64_t number = offset + at;
    std::memcpy(piece.data() + at, &number, sizeof(number));
  }
}

// 0 or errno. Interrupted and short writes go on.
int write_all(int fd, std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written == 0 || (written < 0 && errno != EINTR)) {
      return written == 0 ? EIO : errno;
    }
    const auto done = static_cast<size_t>(std::max<ssize_t>(written, 0));
    bytes = bytes.subspan(done);
    offset += done;
  }
  return 0;
}

// Writes until size or time is up; bytes written, whole pieces. A disk that fills up meanwhile ends it early.
Result<uint64_t> write_random(int fd, const fs::path& folder, uint64_t size, const ScratchLimits& limits,
                              const std::function<void(double)>& progress) {
  auto memory = MemoryRegion::allocate(kPiece);
  if (!memory) {
    return propagate(memory.error());
  }
  fill(memory->span());
  const auto start = Clock::now();
  uint64_t done = 0;
  while (done < size) {
    const double elapsed = seconds_since(start);
    if (done >= limits.least_bytes && elapsed > limits.seconds) {
      break;
    }
    const std::span<std::byte> piece = memory->span().first(std::min(kPiece, size - done));
    number_blocks(piece, done);
    const int error = write_all(fd, piece, done);
    if (error != 0 && (done < limits.least_bytes || (error != ENOSPC && error != EDQUOT && error != EFBIG))) {
      return cannot_write(folder, error);
    }
    if (error != 0) {
      break;
    }
    done += piece.size();
    if (progress) {
      progress(static_cast<double>(done) / static_cast<double>(size));
    }
  }
  if (const int error = sync_data(fd); error != 0) {
    return cannot_write(folder, error);
  }
  return done;
}

}  // namespace

uint64_t scratch_size(const ScratchLimits& limits, uint64_t free) {
  const uint64_t size = round_down(std::min(limits.bytes, free / 4), kMiB);
  return size < limits.least_bytes ? 0 : size;
}

Result<ReadableFile> make_scratch_file(const fs::path& folder, const ScratchLimits& limits,
                                       const std::function<void(double)>& progress) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error) {
    return cannot_write(folder, error.value());
  }
  const uint64_t size = scratch_size(limits, space.available);
  if (size == 0) {
    return fail(
        ErrorCode::kIo,
        "'{}' has {} free, too little for a scratch file to measure the disk (a quarter of it, at least {}); free "
        "some space, or name a model file, which is only read",
        folder.string(), format_bytes(space.available), format_bytes(limits.least_bytes));
  }
  std::string pattern = (folder / ".hypura-profile-XXXXXX").string();
  const FileDescriptor file(::mkstemp(pattern.data()));
  if (file.get() < 0) {
    return cannot_write(folder, errno);
  }
  Name name(pattern);
  // One block first: opening for direct reads is tried out by reading.
  const std::string block(kDirectAlignment, 'h');
  if (const int failed = write_all(file.get(), std::as_bytes(std::span(block)), 0); failed != 0) {
    return cannot_write(folder, failed);
  }
  auto reader = Reader::open({name.path()}, {});
  if (!reader) {
    return propagate(reader.error());
  }
  name.remove();
  bypass_page_cache(file.get());
  const auto written = write_random(file.get(), folder, size, limits, progress);
  if (!written) {
    return propagate(written.error());
  }
  return ReadableFile{std::move(*reader), *written};
}

}  // namespace hypura
