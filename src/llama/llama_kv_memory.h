// The KvMemory of a llama.cpp context.
#pragma once

#include "llama/kv_memory.h"

struct llama_context;
struct llama_memory_i;

namespace hypura {

class LlamaKvMemory final : public KvMemory {
 public:
  // The context must have been made for `sequences` at least, and outlive the object.
  LlamaKvMemory(llama_context& context, uint32_t sequences);

  uint32_t sequences() const override { return sequences_; }
  bool can_cut() const override { return can_cut_; }
  uint32_t cut(uint32_t sequence, uint32_t count) override;
  uint32_t copy(uint32_t from, uint32_t to, uint32_t count) override;

 private:
  bool holds(uint32_t sequence, uint32_t count) const;

  llama_memory_i* memory_;
  uint32_t sequences_;
  uint32_t window_;  // tokens that the layers look back which see least; 0: all layers see all
  bool can_cut_;
};

}  // namespace hypura
