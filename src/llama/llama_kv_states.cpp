#include "llama/llama_kv_states.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "llama.h"
#include "llama/llama_context.h"
#include "llama/llama_guard.h"
#include "support/log.h"

namespace hypura {

namespace {

llama_seq_id id_of(uint32_t sequence) {
  return static_cast<llama_seq_id>(sequence);
}

llama_pos position_of(uint32_t token) {
  return static_cast<llama_pos>(token);
}

// What llama.cpp gives of a whole sequence; nothing on failure, and where it is more than `most` bytes.
std::vector<uint8_t> state_of(llama_context& context, uint32_t sequence, uint64_t most) {
  const size_t size = llama_state_seq_get_size(&context, id_of(sequence));
  if (size > most) {
    return {};
  }
  std::vector<uint8_t> state(size);
  if (llama_state_seq_get_data(&context, state.data(), state.size(), id_of(sequence)) != state.size()) {
    state.clear();
  }
  return state;
}

bool set_state(llama_context& context, uint32_t sequence, std::span<const uint8_t> state) {
  return llama_state_seq_set_data(&context, state.data(), state.size(), id_of(sequence)) == state.size();
}

// A state takes no part of a sequence but its end. Beside layers that attend to a window (DeepSeek V4 has such, and
// copies no part of a sequence) it is not tried.
KvStates::Parts parts_of(const llama_model& model) {
  if (can_cut(model)) {
    return KvStates::Parts::kAny;
  }
  return llama_model_n_swa(&model) > 0 ? KvStates::Parts::kWhole : KvStates::Parts::kLast;
}

// A state that llama.cpp refuses, or does not get, is computed instead.
template <class Work>
auto or_nothing(Work&& work) -> decltype(work()) {
  using Given = decltype(work());
  auto given = guarded(ErrorCode::kInternal, "keys and values cannot be saved or loaded",
                       [&]() -> Result<Given> { return work(); });
  if (!given) {
    logger().debug("{}", given.error().message);
  }
  return given ? std::move(*given) : Given();
}

}  // namespace

LlamaKvStates::LlamaKvStates(llama_context& context, uint32_t spare, uint64_t most)
    : context_(context),
      memory_(llama_get_memory(&context)),
      spare_(spare),
      most_(most),
      window_(static_cast<uint32_t>(std::max(llama_model_n_swa(llama_get_model(&context)), 0))),
      parts_(parts_of(*llama_get_model(&context))) {}

bool needs_spare(const llama_model& model) {
  return parts_of(model) != KvStates::Parts::kWhole;
}

// Of layers that attend to a window llama.cpp saves only what the sequence's last token sees. In a part of half a
// window, which begins at a multiple of that, the last token sees all.
uint32_t LlamaKvStates::part_end(uint32_t from, uint32_t end) const {
  if (window_ == 0) {
    return end;
  }
  const uint32_t part = std::bit_floor(std::max(window_ / 2, 1U));
  return std::min(end, (from / part + 1) * part);
}

std::vector<uint8_t> LlamaKvStates::save(uint32_t sequence, uint32_t from, uint32_t end) {
  return or_nothing([&]() -> std::vector<uint8_t> {
    const llama_pos first = llama_memory_seq_pos_min(memory_, id_of(sequence));
    if (first < 0 || (parts_ == Parts::kAny && first > position_of(from)) ||
        (parts_ != Parts::kAny && llama_memory_seq_pos_max(memory_, id_of(sequence)) + 1 != position_of(end))) {
      return {};
    }
    if (parts_ == Parts::kWhole) {
      return state_of(context_, sequence, most_);
    }
    std::vector<uint8_t> state;
    for (uint32_t part = from; part < end; part = part_end(part, end)) {
      if (!add_part(sequence, part, part_end(part, end), state)) {
        return {};
      }
    }
    return state;
  });
}

// Appends the part's bytes, after how many there are.
bool LlamaKvStates::add_part(uint32_t sequence, uint32_t from, uint32_t end, std::vector<uint8_t>& to) {
  llama_memory_seq_rm(memory_, id_of(spare_), -1, -1);
  llama_memory_seq_cp(memory_, id_of(sequence), id_of(spare_), position_of(from), position_of(end));
  const uint64_t size = llama_state_seq_get_size(&context_, id_of(spare_));
  const size_t begin = to.size();
  if (begin + size > most_) {
    llama_memory_seq_rm(memory_, id_of(spare_), -1, -1);
    return false;
  }
  to.resize(begin + sizeof(size) + size);
  std::memcpy(to.data() + begin, &size, sizeof(size));
  const size_t got = llama_state_seq_get_data(&context_, to.data() + begin + sizeof(size), size, id_of(spare_));
  const bool all = spare_has(from, end);
  llama_memory_seq_rm(memory_, id_of(spare_), -1, -1);
  return got == size && all;
}

bool LlamaKvStates::load(uint32_t sequence, uint32_t from, uint32_t end, std::span<const uint8_t> state) {
  return or_nothing([&]() -> bool {
    if (parts_ == Parts::kWhole) {
      return set_state(context_, sequence, state) &&
             llama_memory_seq_pos_max(memory_, id_of(sequence)) + 1 == position_of(end);
    }
    for (uint32_t part = from; part < end; part = part_end(part, end)) {
      uint64_t size = 0;
      if (state.size() < sizeof(size)) {
        return false;
      }
      std::memcpy(&size, state.data(), sizeof(size));
      state = state.subspan(sizeof(size));
      if (size > state.size() || !load_part(sequence, part, part_end(part, end), state.first(size))) {
        return false;
      }
      state = state.subspan(size);
    }
    return state.empty();
  });
}

// A state knows only which token it is after.
bool LlamaKvStates::spare_has(uint32_t from, uint32_t end) const {
  return llama_memory_seq_pos_max(memory_, id_of(spare_)) + 1 == position_of(end) &&
         (parts_ != Parts::kAny || llama_memory_seq_pos_min(memory_, id_of(spare_)) == position_of(from));
}

bool LlamaKvStates::load_part(uint32_t sequence, uint32_t from, uint32_t end, std::span<const uint8_t> part) {
  const bool loaded = set_state(context_, spare_, part) && spare_has(from, end);
  if (loaded) {
    llama_memory_seq_cp(memory_, id_of(spare_), id_of(sequence), position_of(from), position_of(end));
  }
  llama_memory_seq_rm(memory_, id_of(spare_), -1, -1);
  return loaded;
}

}  // namespace hypura
