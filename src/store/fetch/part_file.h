// A file that is not whole yet: its bytes, and a record beside it of which of them are there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "hypura/result.h"
#include "store/fetch/byte_ranges.h"

namespace hypura {

// What the bytes are of. Bytes of one identity may be put together.
struct BlobIdentity {
  uint64_t size = 0;
  std::string sha256;  // empty: not known
  std::string etag;    // that the server gave; empty: none

  // Whether bytes fetched of `other` are of this as well: told by the hash, where both have one, else by the ETag.
  bool continues(const BlobIdentity& other) const;
};

// How many bytes of a target that is not whole yet an earlier run left, which a run for `identity` could go on with.
uint64_t bytes_of_part(const std::filesystem::path& target, const BlobIdentity& identity);

// The bytes of `target` lie in target + ".hypura.incomplete" until they are all there, at their places, with holes
// between: a name of its own, because what lies under huggingface_hub's ".incomplete" is without holes. The record,
// with ".json" behind that, is written after the bytes it names, so what it says is there however the program ended.
// Not thread-safe; whoever uses it holds the lock of its target.
class PartFile {
 public:
  // Opens what an earlier run left of `identity`; of anything else it is thrown away. Fails with kIo.
  static Result<PartFile> open(const std::filesystem::path& target, const BlobIdentity& identity);

  PartFile(PartFile&& other) noexcept;
  PartFile& operator=(PartFile&& other) noexcept;
  ~PartFile();

  const ByteRanges& there() const { return there_; }

  // Fails with kIo, on a full disk too: what was written before stays.
  Status write(uint64_t offset, std::span<const uint8_t> bytes);
  // Reads bytes that are there.
  Status read(uint64_t offset, std::span<uint8_t> bytes) const;
  // Writes the record of what is there; of ranges that have no end yet too.
  Status save();
  // As after opening with nothing left.
  Status begin_anew(const BlobIdentity& identity);
  // Removes the bytes and the record.
  void discard();
  // Gives the bytes, which must be whole, their name; the record goes. They are on disk by then.
  Status finish();

  // The files of a target that is not whole, whether they are there or not.
  static std::filesystem::path bytes_path(const std::filesystem::path& target);
  static std::filesystem::path record_path(const std::filesystem::path& target);

 private:
  friend uint64_t bytes_of_part(const std::filesystem::path& target, const BlobIdentity& identity);

  PartFile(std::filesystem::path target, BlobIdentity identity)
      : target_(std::move(target)), identity_(std::move(identity)) {}

  void read_record();

  std::filesystem::path target_;
  BlobIdentity identity_;
  ByteRanges there_;
  int fd_ = -1;
};

}  // namespace hypura
