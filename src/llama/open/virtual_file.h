// A FILE that shows llama.cpp a model's header and no data, or data that come from elsewhere.
//
// llama.cpp's loader wants to read every tensor. Where ours are filled by other means it is made to read nothing: the
// file's seek answers a position in the data section with the end of the file, and a read of min(wanted, bytes to
// the end) bytes is one of none. Not one byte is copied for a tensor, whatever its size.
//
// What is relied on upstream (llama.cpp v0.4.0, v0.5.0; llama_file on a FILE): a tensor is read by fseek to its offset,
// ftell, and fread of min(size, file size - position); and in the C library, that fseek to a multiple of the buffer
// size calls the stream's seek with just that offset and takes over the position that it answers. Each data offset is
// therefore a multiple of kVirtualAlignment, which is also the size of the stream's buffer. If any of this changes, the
// read fails and so does the load, with a message (virtual_file_test.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

#include "hypura/result.h"
#include "model/model.h"

namespace hypura {

inline constexpr uint32_t kVirtualAlignment = 64 * 1024;

struct VirtualTensor {
  uint64_t offset = 0;  // in the virtual file
  Extent extent;        // in the model's files
  bool given = true;    // false: llama.cpp is to read none of it, though it reads others
};

struct VirtualHeader {
  std::vector<std::byte> bytes;        // padded to kVirtualAlignment
  std::vector<VirtualTensor> tensors;  // by ascending offset
  uint64_t file_size = 0;              // with all tensors behind it
};

enum class VirtualVocabulary {
  kWhole,
  kCounted,  // nothing but how many tokens it has, which takes llama.cpp no time to read
};

// A header of one file for the whole model, its parts merged, its tensors aligned to kVirtualAlignment.
Result<VirtualHeader> make_virtual_header(const Model& model, VirtualVocabulary vocabulary = VirtualVocabulary::kWhole);

// Where the data section's bytes come from.
class VirtualData {
 public:
  virtual ~VirtualData() = default;

  // Copies `bytes` from `offset` of the virtual file, behind its header; gives how many, fewer only at its end, or -1.
  virtual int64_t read(uint64_t offset, char* to, size_t bytes) = 0;

  // Whether there is anything to read there; else the file ends, for who seeks that.
  virtual bool gives(uint64_t /*offset*/) const { return true; }
};

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

// The open stream. The header must outlive it. Not copyable or movable: the stream points to it.
class VirtualFile {
 public:
  // `data`, which must outlive the object: nullptr for none.
  explicit VirtualFile(const VirtualHeader& header, VirtualData* data = nullptr);
  VirtualFile(const VirtualFile&) = delete;
  VirtualFile& operator=(const VirtualFile&) = delete;

  std::FILE* file() const { return file_.get(); }

  // The stream's operations, for the C library. read_at gives the number of bytes copied, 0 past the end, and past the
  // header where there are no data; -1 when they could not be read.
  int64_t read_at(char* to, size_t bytes);
  // `whence` as in fseek. Gives the new position: where no data are given, the end of the file for any in the data
  // section.
  int64_t seek_to(int64_t offset, int whence);

 private:
  std::FILE* open_stream();  // platform code

  const VirtualHeader& header_;
  VirtualData* data_;
  uint64_t position_ = 0;
  std::unique_ptr<std::FILE, FileCloser> file_;
  std::vector<char> buffer_;
};

}  // namespace hypura
