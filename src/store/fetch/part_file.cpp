#include "store/fetch/part_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "support/atomic_file.h"
#include "support/fail.h"

namespace hypura {

namespace {

using RecordJson = nlohmann::json;

tl::unexpected<Error> part_failed(const std::filesystem::path& path, std::string_view what, int error) {
  return fail(ErrorCode::kIo, "{}: cannot be {}: {}{}", path.string(), what, std::generic_category().message(error),
              error == ENOSPC ? "; make room and run the same again: what was fetched is kept" : "");
}

RecordJson record_of(const BlobIdentity& identity, const ByteRanges& there) {
  RecordJson ranges = RecordJson::array();
  for (const ByteRange& range : there.ranges()) {
    ranges.push_back({range.begin, range.end});
  }
  return {{"size", identity.size}, {"sha256", identity.sha256}, {"etag", identity.etag}, {"there", std::move(ranges)}};
}

}  // namespace

bool BlobIdentity::continues(const BlobIdentity& other) const {
  if (size != other.size) {
    return false;
  }
  return !sha256.empty() && !other.sha256.empty() ? sha256 == other.sha256 : !etag.empty() && etag == other.etag;
}

std::filesystem::path PartFile::bytes_path(const std::filesystem::path& target) {
  return target.string() + ".hypura.incomplete";
}

std::filesystem::path PartFile::record_path(const std::filesystem::path& target) {
  return bytes_path(target).string() + ".json";
}

uint64_t bytes_of_part(const std::filesystem::path& target, const BlobIdentity& identity) {
  PartFile part(target, identity);
  part.read_record();
  return part.there_.total();
}

Result<PartFile> PartFile::open(const std::filesystem::path& target, const BlobIdentity& identity) {
  PartFile part(target, identity);
  std::error_code error;
  std::filesystem::create_directories(target.parent_path(), error);
  if (error) {
    return part_failed(target.parent_path(), "made", error.value());
  }
  const std::filesystem::path path = bytes_path(target);
  part.fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (part.fd_ < 0) {
    return part_failed(path, "written", errno);
  }
  part.read_record();
  if (part.there_.total() == 0) {
    if (Status status = part.begin_anew(identity); !status) {
      return propagate(status.error());
    }
  }
  return part;
}

// A record that is damaged is none: its bytes are fetched again.
void PartFile::read_record() {
  std::ifstream file(record_path(target_));
  const RecordJson record = RecordJson::parse(file, nullptr, false);
  if (!record.is_object()) {
    return;
  }
  try {
    const BlobIdentity before{record.at("size").get<uint64_t>(), record.at("sha256").get<std::string>(),
                              record.at("etag").get<std::string>()};
    if (!identity_.continues(before)) {
      return;
    }
    std::error_code ignored;
    const uint64_t length = std::filesystem::file_size(bytes_path(target_), ignored);
    for (const RecordJson& range : record.at("there")) {
      const ByteRange bytes{range.at(0).get<uint64_t>(), range.at(1).get<uint64_t>()};
      if (bytes.end <= identity_.size && !ignored && bytes.end <= length) {
        there_.add(bytes);
      }
    }
  } catch (const RecordJson::exception&) {
    there_.clear();
  }
}

Status PartFile::write(uint64_t offset, std::span<const uint8_t> bytes) {
  for (uint64_t at = offset; !bytes.empty();) {
    const ssize_t written = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      return part_failed(bytes_path(target_), "written", written < 0 ? errno : ENOSPC);
    }
    there_.add({at, at + static_cast<uint64_t>(written)});
    at += static_cast<uint64_t>(written);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

Status PartFile::read(uint64_t offset, std::span<uint8_t> bytes) const {
  while (!bytes.empty()) {
    const ssize_t count = ::pread(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      return part_failed(bytes_path(target_), "read", count < 0 ? errno : EIO);
    }
    offset += static_cast<uint64_t>(count);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return {};
}

Status PartFile::save() {
  // Bytes that a power cut took would otherwise be recorded as there.
  if (::fsync(fd_) != 0) {
    return part_failed(bytes_path(target_), "written", errno);
  }
  return replace_file(record_path(target_), record_of(identity_, there_).dump());
}

Status PartFile::begin_anew(const BlobIdentity& identity) {
  std::error_code ignored;
  std::filesystem::remove(record_path(target_), ignored);  // before the bytes
  identity_ = identity;
  there_.clear();
  if (::ftruncate(fd_, 0) != 0) {
    return part_failed(bytes_path(target_), "written", errno);
  }
  return {};
}

void PartFile::discard() {
  std::error_code ignored;
  std::filesystem::remove(record_path(target_), ignored);
  std::filesystem::remove(bytes_path(target_), ignored);
  there_.clear();
}

Status PartFile::finish() {
  if (::fsync(fd_) != 0) {
    return part_failed(bytes_path(target_), "written", errno);
  }
  if (::rename(bytes_path(target_).c_str(), target_.c_str()) != 0) {
    return part_failed(target_, "made", errno);
  }
  std::error_code ignored;
  std::filesystem::remove(record_path(target_), ignored);
  return {};
}

PartFile::PartFile(PartFile&& other) noexcept
    : target_(std::move(other.target_)),
      identity_(std::move(other.identity_)),
      there_(std::move(other.there_)),
      fd_(std::exchange(other.fd_, -1)) {}

PartFile& PartFile::operator=(PartFile&& other) noexcept {
  std::swap(target_, other.target_);
  std::swap(identity_, other.identity_);
  std::swap(there_, other.there_);
  std::swap(fd_, other.fd_);
  return *this;
}

PartFile::~PartFile() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

}  // namespace hypura
