#include "llama/open/virtual_file.h"

#include <algorithm>
#include <cstring>

#include "ggml.h"
#include "gguf.h"
#include "llama/open/mtp_layers.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

ggml_tensor describe(const TensorInfo& tensor) {
  ggml_tensor described{};
  described.type = static_cast<ggml_type>(tensor.type);
  std::copy(tensor.shape.begin(), tensor.shape.end(), described.ne);
  described.nb[0] = ggml_type_size(described.type);
  described.nb[1] = ggml_row_size(described.type, described.ne[0]);
  described.nb[2] = described.nb[1] * static_cast<size_t>(described.ne[1]);
  described.nb[3] = described.nb[2] * static_cast<size_t>(described.ne[2]);
  ggml_set_name(&described, tensor.name.c_str());
  return described;
}

constexpr const char* kAlignmentKey = "general.alignment";

std::vector<std::byte> header_bytes(const gguf_context* header) {
  std::vector<std::byte> bytes(gguf_get_meta_size(header));
  gguf_get_meta_data(header, bytes.data());
  return bytes;
}

// An empty header whose tensors will be aligned to kVirtualAlignment: gguf takes that number only from a header it
// reads.
GgufPtr aligned_header() {
  const GgufPtr empty(gguf_init_empty());
  gguf_set_val_u32(empty.get(), kAlignmentKey, kVirtualAlignment);
  const std::vector<std::byte> bytes = header_bytes(empty.get());
  return GgufPtr(gguf_init_from_buffer(bytes.data(), bytes.size(), {true, nullptr}));
}

// llama.cpp makes a vocabulary of as many tokens without text.
void leave_out_texts(const Model& model, gguf_context* header) {
  for (const char* key :
       {"tokens", "token_type", "scores", "merges", "added_tokens", "precompiled_charsmap", "hf.json", "rwkv.world"}) {
    gguf_remove_key(header, fmt::format("tokenizer.ggml.{}", key).c_str());
  }
  gguf_set_val_str(header, "tokenizer.ggml.model", "no_vocab");
  gguf_set_val_u32(header, (model.architecture + ".vocab_size").c_str(), static_cast<uint32_t>(model.vocabulary));
}

}  // namespace

Result<VirtualHeader> make_virtual_header(const Model& model, VirtualVocabulary vocabulary) {
  const GgufPtr merged = aligned_header();
  gguf_set_kv(merged.get(), model.metadata.get());
  for (const char* key : {"split.no", "split.count", "split.tensors.count"}) {
    gguf_remove_key(merged.get(), key);
  }
  gguf_set_val_u32(merged.get(), kAlignmentKey, kVirtualAlignment);  // the model's own was copied over it
  if (vocabulary == VirtualVocabulary::kCounted) {
    leave_out_texts(model, merged.get());
  }
  VirtualHeader header;
  uint64_t data = 0;
  static const std::vector<TensorInfo> kNone;
  for (const auto* tensors : {&model.tensors, may_lack_mtp(model.architecture) ? &kNone : &model.unused}) {
    for (const TensorInfo& tensor : *tensors) {
      if (tensor.name.size() >= GGML_MAX_NAME) {
        return fail(ErrorCode::kBadModel, "tensor name '{}' is longer than ggml allows", tensor.name);
      }
      const ggml_tensor described = describe(tensor);
      gguf_add_tensor(merged.get(), &described);
      header.tensors.push_back({data, tensor.extent});
      data += round_up(tensor.extent.length, kVirtualAlignment);
    }
  }
  header.bytes = header_bytes(merged.get());
  header.bytes.resize(round_up(header.bytes.size(), kVirtualAlignment));
  header.file_size = header.bytes.size() + data;
  for (VirtualTensor& tensor : header.tensors) {
    tensor.offset += header.bytes.size();
  }
  return header;
}

VirtualFile::VirtualFile(const VirtualHeader& header, VirtualData* data)
    : header_(header), data_(data), buffer_(kVirtualAlignment) {
  file_.reset(open_stream());
  std::setvbuf(file_.get(), buffer_.data(), _IOFBF, buffer_.size());
}

int64_t VirtualFile::read_at(char* to, size_t bytes) {
  int64_t count = 0;
  if (position_ < header_.bytes.size()) {
    count = static_cast<int64_t>(std::min<uint64_t>(bytes, header_.bytes.size() - position_));
    std::memcpy(to, header_.bytes.data() + position_, static_cast<size_t>(count));
  } else if (data_ != nullptr) {
    count = data_->read(position_, to, bytes);
  }
  position_ += static_cast<uint64_t>(std::max<int64_t>(count, 0));
  return count;
}

int64_t VirtualFile::seek_to(int64_t offset, int whence) {
  const auto size = static_cast<int64_t>(header_.file_size);
  int64_t target = offset;
  if (whence == SEEK_CUR) {
    target += static_cast<int64_t>(position_);
  } else if (whence == SEEK_END) {
    target += size;
  }
  if (target < 0) {
    return -1;
  }
  position_ = static_cast<uint64_t>(target);
  if (position_ >= header_.bytes.size() && (data_ == nullptr || !data_->gives(position_))) {
    position_ = header_.file_size;
  }
  return static_cast<int64_t>(position_);
}

}  // namespace hypura
