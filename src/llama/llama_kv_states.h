// The KvStates of a llama.cpp context.
//
// llama.cpp saves and loads whole sequences only. So a part of one goes through a spare sequence: cells can be shared
// by sequences, and a part of a sequence can be copied to another without moving a byte. What is relied on:
// llama_memory_seq_cp() of a range shares its cells and no others; llama_state_seq_set_data() puts cells where there
// are free ones, and leaves those of other sequences alone.
#pragma once

#include "llama/kv_states.h"

struct llama_context;
struct llama_memory_i;
struct llama_model;

namespace hypura {

class LlamaKvStates final : public KvStates {
 public:
  // The context must have a sequence `spare` that nobody else uses, in one stream of cells with the others, where
  // needs_spare(). It must outlive the object. What takes more than `most` bytes is not saved.
  LlamaKvStates(llama_context& context, uint32_t spare, uint64_t most = UINT64_MAX);

  Parts parts() const override { return parts_; }
  std::vector<uint8_t> save(uint32_t sequence, uint32_t from, uint32_t end) override;
  bool load(uint32_t sequence, uint32_t from, uint32_t end, std::span<const uint8_t> state) override;

 private:
  uint32_t part_end(uint32_t from, uint32_t end) const;
  bool add_part(uint32_t sequence, uint32_t from, uint32_t end, std::vector<uint8_t>& to);
  bool spare_has(uint32_t from, uint32_t end) const;
  bool load_part(uint32_t sequence, uint32_t from, uint32_t end, std::span<const uint8_t> part);

  llama_context& context_;
  llama_memory_i* memory_;
  uint32_t spare_;
  uint64_t most_;
  uint32_t window_;  // as LlamaKvMemory's
  Parts parts_;
};

// Whether a LlamaKvStates of the model needs a spare sequence.
bool needs_spare(const llama_model& model);

}  // namespace hypura
