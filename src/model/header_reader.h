// Reads a header forward, piece by piece, never past the file's end.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hypura/result.h"
#include "support/fail.h"

namespace hypura {

// Called before bytes of a file are read, so that those up to `end` can still be put there: for a file that is fetched
// as it is read. An error ends the reading.
using BytesWanted = std::function<Status(uint64_t end)>;

// Thread-compatible: one thread at a time. `what` in every call names, for the error's message, the thing being read.
class HeaderReader {
 public:
  // Fails with kIo, also on what is not a regular file.
  static Result<HeaderReader> open(const std::filesystem::path& path, BytesWanted wanted = {});

  template <class T>
  Result<T> number(std::string_view what) {
    if (Status status = ensure(sizeof(T), what); !status) {
      return propagate(status.error());
    }
    T value{};
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  // A length of 64 bits and as many bytes, which stay valid until the next call.
  Result<std::string_view> text(std::string_view what);
  // Like text, for a key or a tensor: fails also when it is empty or holds control characters.
  Result<std::string> name(std::string_view what);
  // Skips `count` elements of `size` bytes each.
  Status skip(uint64_t count, uint64_t size, std::string_view what);

  // What was read so far, from the file's start on; valid until the next read.
  std::string_view beginning() const { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }
  uint64_t position() const { return position_; }
  uint64_t file_size() const { return file_size_; }
  const std::filesystem::path& path() const { return path_; }
  // Gives the bytes read so far away; the reader is then spent.
  std::vector<uint8_t> take_bytes() { return std::move(bytes_); }

 private:
  struct FileCloser {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  HeaderReader(std::filesystem::path path, std::unique_ptr<std::FILE, FileCloser> file, uint64_t file_size,
               BytesWanted wanted)
      : path_(std::move(path)), file_(std::move(file)), file_size_(file_size), wanted_(std::move(wanted)) {}

  // Makes bytes_ hold `count` bytes from position_ on.
  Status ensure(uint64_t count, std::string_view what);

  std::filesystem::path path_;
  std::unique_ptr<std::FILE, FileCloser> file_;
  uint64_t file_size_ = 0;
  BytesWanted wanted_;
  uint64_t position_ = 0;  // <= bytes_.size() <= file_size_
  std::vector<uint8_t> bytes_;
};

}  // namespace hypura
