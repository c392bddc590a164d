// A large file written from front to back, at disk speed and in little memory.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <memory>
#include <span>

#include "hypura/result.h"

namespace hypura {

// Collects bytes in one buffer while another thread writes the previous. The file carries ".partial" behind its name
// until finish() and is removed if that is never reached. Use from one thread.
class OutputFile {
 public:
  // `bytes` is the length the file will have. Fails with kIo when it cannot be created or the disk has too little
  // room (unless `sparse`, when only the header will take any).
  static Result<OutputFile> create(const std::filesystem::path& path, uint64_t bytes, bool sparse);

  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();

  // Errors of an earlier write may appear at a later call.
  Status append(std::span<const uint8_t> data);

  // Zero bytes up to `position`, which must not lie before the end.
  Status pad_to(uint64_t position);

  // Waits for everything, gives the file its length (a hole where nothing was written) and its name.
  Status finish();

  uint64_t position() const { return position_; }

 private:
  struct Free {
    void operator()(uint8_t* memory) const { std::free(memory); }
  };
  using Buffer = std::unique_ptr<uint8_t[], Free>;

  OutputFile(std::filesystem::path path, int fd, uint64_t bytes);

  std::filesystem::path partial_path() const;
  Status flush();
  Status wait();

  std::filesystem::path path_;
  int fd_ = -1;
  uint64_t bytes_ = 0;
  uint64_t position_ = 0;  // of the next byte
  uint64_t flushed_ = 0;   // handed to the writing thread
  size_t capacity_ = 0;
  Buffer filling_;
  Buffer writing_;
  std::future<Status> pending_;
};

}  // namespace hypura
