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

// Who may read a new file: whom the umask lets, or its user alone.
enum class Readers : uint8_t { kAll, kUser };

// Collects bytes in one buffer while another thread writes the previous. The file has no name until finish(), and is
// gone if that is never reached, however the program ends; where there are no such files, it carries ".partial" behind
// its name until then, and is removed unless the program is killed. Use from one thread.
class OutputFile {
 public:
  // `bytes` is the length the file will have. Fails with kIo when it cannot be created or the disk has too little
  // space (unless `sparse`, when only the header will take any). `buffer`: bytes of memory that each of the two takes.
  static Result<OutputFile> create(const std::filesystem::path& path, uint64_t bytes, bool sparse,
                                   Readers readers = Readers::kAll, size_t buffer = size_t{32} << 20U);

  // Removes what a program that was killed left of the file at `path`.
  static void remove_leftover(const std::filesystem::path& path);

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

  OutputFile(std::filesystem::path path, int fd, bool named, uint64_t bytes, size_t buffer);

  Status give_name();
  Status flush();
  Status wait();

  std::filesystem::path path_;
  int fd_ = -1;
  bool named_ = false;  // the file has its partial name
  uint64_t bytes_ = 0;
  uint64_t position_ = 0;  // of the next byte
  uint64_t flushed_ = 0;   // handed to the writing thread
  size_t capacity_ = 0;
  Buffer filling_;
  Buffer writing_;
  std::future<Status> pending_;
};

}  // namespace hypura
