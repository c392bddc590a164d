// A scan of a GGUF header that trusts nothing in it. It comes before ggml's own parser, which would otherwise take
// 32 bytes of memory for each 8 that a file claims for an array of strings, compare every name with every other one,
// and let the product of a tensor's dimensions wrap around to zero.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "hypura/result.h"
#include "model/header_reader.h"

namespace hypura {

// Bounds on one file, far above any real model: the largest tokenizers take some 20 MiB and 1.3 million elements
// (tokens, scores, types, merges), and llama.cpp loads at most 512 layers of some 60 tensors.
inline constexpr uint64_t kMaxHeaderBytes = 128U << 20;
inline constexpr uint64_t kMaxHeaderKeys = 16384;
inline constexpr uint64_t kMaxHeaderTensors = 32768;
inline constexpr uint64_t kMaxArrayElements = 8U << 20;  // in all arrays together

// A tensor as the header states it, its type known and its size computed without overflow.
struct HeaderTensor {
  std::string name;
  std::array<int64_t, 4> shape{1, 1, 1, 1};
  int type = 0;         // a ggml_type
  uint64_t offset = 0;  // bytes from the start of the data section
  uint64_t length = 0;  // bytes
};

// One file's header, and its bytes for the parser that follows.
struct Header {
  std::filesystem::path path;
  uint64_t file_size = 0;
  std::vector<uint8_t> bytes;  // from the file's start; reaches past the end of the header
  uint64_t alignment = 0;
  uint64_t data_offset = 0;  // where the data section starts in the file
  std::vector<HeaderTensor> tensors;
};

// Reads and scans the header of the file at `path`. Every length is checked against the file's size before anything
// is read or allocated for it; `wanted`, where there is one, is called before anything is read. Fails with kIo when the
// file cannot be opened or read, else with kBadModel. Does not look at what keys mean, nor at duplicates (ggml's parser
// does).
Result<Header> scan_header(const std::filesystem::path& path, const BytesWanted& wanted = {});

// Checks that the tensors' data is aligned, in order, free of overlaps and inside the file. Fails with kBadModel,
// naming the file and the tensor.
Status check_layout(const Header& header);

}  // namespace hypura
