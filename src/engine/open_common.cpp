#include "engine/open_common.h"

#include <algorithm>

#include "llama-ext.h"

namespace hypura {

OpenParts::~OpenParts() {
  context.reset();
  llama.reset();
  weights.reset();
}

Status make_context(const OpenRequest& request, OpenParts& parts, uint32_t ubatch) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = request.context;
  params.n_batch = ubatch;  // one pass over the weights for each llama_decode
  params.n_ubatch = ubatch;
  params.n_outputs_max = std::min(request.options.outputs, ubatch);
  params.n_threads = static_cast<int32_t>(request.threads);
  params.n_threads_batch = static_cast<int32_t>(request.threads);
  params.no_perf = true;
  take_llama_error();
  parts.context.reset();  // before the next one: their buffers must not be held at once
  parts.context.reset(llama_init_from_model(parts.llama.get(), params));
  if (parts.context == nullptr) {
    return fail(ErrorCode::kBudget, "llama.cpp could not make a context of {} tokens: {}", request.context,
                take_llama_error());
  }
  parts.ubatch = llama_n_batch(parts.context.get());  // lowered when it was more than the context
  if (parts.threadpool == nullptr) {
    parts.threadpool = make_threadpool(request.threads);
  }
  if (parts.threadpool != nullptr) {
    llama_attach_threadpool(parts.context.get(), parts.threadpool.get(), parts.threadpool.get());
  }
  return {};
}

ContextMemory context_memory(const llama_context& context) {
  ContextMemory memory;
  for (const auto& [type, sizes] : llama_get_memory_breakdown(&context)) {
    memory.kv += sizes.context;
    memory.compute += sizes.compute;
  }
  return memory;
}

tl::unexpected<Error> load_failure(const OpenRequest& request) {
  return fail(ErrorCode::kBadModel, "{}: llama.cpp cannot load this model: {}",
              request.model.files.front().path.string(), take_llama_error());
}

}  // namespace hypura
