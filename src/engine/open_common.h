// What opening a model resident and streamed has in common.
#pragma once

#include "engine/open_engine.h"

namespace hypura {

inline constexpr uint32_t kLargestUbatch = 512;
inline constexpr uint32_t kSmallestUbatch = 32;

// Makes parts.context, of request.context tokens and at most `ubatch` tokens a pass (parts.ubatch tells), and its
// thread pool, for parts.llama.
Status make_context(const OpenRequest& request, OpenParts& parts, uint32_t ubatch);

// Bytes that the context has allocated.
struct ContextMemory {
  uint64_t kv = 0;
  uint64_t compute = 0;  // output buffers included
};
ContextMemory context_memory(const llama_context& context);

// The error of a load that llama.cpp refused, with its reason.
tl::unexpected<Error> load_failure(const OpenRequest& request);

}  // namespace hypura
