// What a GGUF model holds: its files, tensors, their roles and where their bytes lie. Read from headers alone; no
// tensor data is touched. Works by structure (3-D expert tensors, tensor names), not by a list of architectures.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hypura/result.h"

struct gguf_context;

namespace hypura {

// What a tensor does in the network, told from its name and shape.
enum class TensorRole {
  kEmbedding,     // token_embd and other lookup tables
  kOutput,        // output.weight: the matrix to the vocabulary
  kNorm,          // *_norm.weight and their biases
  kAttention,     // matrices of attention, of MLA and of linear attention or state-space mixing
  kRouter,        // ffn_gate_inp: chooses the experts
  kRoutedExpert,  // *_exps.weight: 3-D, one slice an expert, several of them
  kSharedExpert,  // *_shexp.weight
  kDenseFfn,      // ffn_{gate,up,down}.weight
  kOther,         // biases, scales, rope factors, and what is not known
};

const char* role_name(TensorRole role);

// ggml's name of a ggml_type: "q4_0", "f32". `type` must be one that open_model gave.
const char* type_name(int type);

// Bytes on disk: `length` bytes at `offset` of files[file].
struct Extent {
  uint32_t file = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
};

struct TensorInfo {
  std::string name;
  TensorRole role = TensorRole::kOther;
  int layer = -1;                            // from "blk.N."; -1 for tensors outside the layers
  int type = 0;                              // a ggml_type
  std::array<int64_t, 4> shape{1, 1, 1, 1};  // ggml order: shape[0] is the row length in elements
  Extent extent;

  // Bytes of shape[0] elements.
  uint64_t row_bytes() const;
  // Number of expert slices: shape[2] of a routed expert's matrix, else 0.
  int64_t experts() const { return role == TensorRole::kRoutedExpert ? shape[2] : 0; }
  // The extent of expert `expert`, 0 <= expert < experts(): slices lie one after another, equal in size.
  Extent expert_extent(int64_t expert) const;
};

struct ModelFile {
  std::filesystem::path path;
  uint64_t size = 0;
};

struct GgufDeleter {
  void operator()(gguf_context* context) const;
};
using GgufPtr = std::unique_ptr<gguf_context, GgufDeleter>;

// A model's description. Immutable after open_model, so any thread may read it. Copies share the header.
struct Model {
  std::vector<ModelFile> files;     // one, or all parts of a split set in order
  std::vector<TensorInfo> tensors;  // in file order
  // Tensors of the file that were taken out of `tensors`, because nothing is to be computed with them.
  std::vector<TensorInfo> unused;
  // Those of parts that read images or sound, which llama.cpp does not know as the model's own. Not counted in what
  // follows.
  std::vector<TensorInfo> other_parts;
  std::shared_ptr<const gguf_context> metadata;  // the first file's header: keys, tokenizer, chat template

  std::string architecture;  // letters, digits, '-', '_' and '.'
  std::string name;          // printable
  int64_t layers = 0;        // block_count
  int64_t mtp_layers = 0;    // the last of them, which predict further tokens (multi-token prediction)
  int64_t embedding_length = 0;
  int64_t context_length = 0;  // what the model was trained for
  int64_t vocabulary = 0;      // number of tokens
  int64_t experts = 0;         // 0 when no tensor is a routed expert
  int64_t experts_used = 0;    // experts a token takes in a MoE layer, at most
  int64_t parameters = 0;      // elements in all tensors
  uint64_t bytes = 0;          // sum of the tensors' lengths

  // Whether the tensor belongs to such a layer.
  bool of_mtp(const TensorInfo& tensor) const { return tensor.layer >= layers - mtp_layers; }
  // Also among the unused; nullptr when there is none. The time grows with the number of tensors.
  const TensorInfo* find(std::string_view tensor) const;
};

// Reads the headers of the model that `path` belongs to: a GGUF file, or any part of a split set (the others are found
// by name beside it). Any thread may call it (see parse_metadata for ggml's log). Fails with kIo when a file cannot be
// opened or read, and with kBadModel, naming file and tensor or key, on: bad magic, unknown version, truncated header,
// truncated data, overlapping, misaligned or out-of-range extents, duplicate names, a missing or foreign part, unknown
// type, a shape that does not fit its type, absurd counts. Nothing is allocated from a size that was not first checked
// against the file's length.
Result<Model> open_model(const std::filesystem::path& path);

}  // namespace hypura
