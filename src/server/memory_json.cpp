#include "server/memory_json.h"

namespace hypura {

Json memory_json(const MemoryState& state) {
  return {{"opened", state.opened},
          {"limit", state.limit},
          {"least", state.least},
          {"fixed", state.fixed},
          {"given_back_bytes", state.given_back_bytes},
          {"shrunk", state.shrunk},
          {"grown", state.grown},
          {"tokens_per_second", state.tokens_per_second},
          {"sentence", state.sentence}};
}

Json memory_json(const MemoryKeeperState& state) {
  return {{"follows", state.follows},
          {"by_hand", state.wish ? Json(*state.wish) : Json(nullptr)},
          {"model", state.model ? memory_json(*state.model) : Json(nullptr)}};
}

}  // namespace hypura
