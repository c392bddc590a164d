#include "llama/llama_kv_memory.h"

#include <algorithm>

#include "llama.h"
#include "llama/llama_context.h"

namespace hypura {

LlamaKvMemory::LlamaKvMemory(llama_context& context, uint32_t sequences)
    : memory_(llama_get_memory(&context)),
      sequences_(sequences),
      window_(static_cast<uint32_t>(std::max(llama_model_n_swa(llama_get_model(&context)), 0))),
      can_cut_(hypura::can_cut(*llama_get_model(&context))) {}

// Whether the first `count` tokens of a sequence are all there, as far as the next token looks back. Layers that attend
// to a window may have let go of what is before it.
bool LlamaKvMemory::holds(uint32_t sequence, uint32_t count) const {
  const llama_pos needed = window_ > 0 && count > window_ ? static_cast<llama_pos>(count - window_) : 0;
  const auto id = static_cast<llama_seq_id>(sequence);
  const llama_pos first = llama_memory_seq_pos_min(memory_, id);
  return first >= 0 && first <= needed && llama_memory_seq_pos_max(memory_, id) + 1 == static_cast<llama_pos>(count);
}

uint32_t LlamaKvMemory::cut(uint32_t sequence, uint32_t count) {
  const auto id = static_cast<llama_seq_id>(sequence);
  if (count > 0 && llama_memory_seq_rm(memory_, id, static_cast<llama_pos>(count), -1) && holds(sequence, count)) {
    return count;
  }
  llama_memory_seq_rm(memory_, id, -1, -1);  // never fails for a whole sequence
  return 0;
}

uint32_t LlamaKvMemory::copy(uint32_t from, uint32_t to, uint32_t count) {
  if (!can_cut_ || count == 0) {
    return 0;
  }
  llama_memory_seq_cp(memory_, static_cast<llama_seq_id>(from), static_cast<llama_seq_id>(to), 0,
                      static_cast<llama_pos>(count));
  return holds(to, count) ? count : cut(to, 0);
}

}  // namespace hypura
