#include "engine/memory_estimate.h"
#include "engine/open_common.h"
#include "engine/open_engine.h"

namespace hypura {

Result<OpenParts> open_resident(const OpenRequest& request) {
  OpenParts parts;
  parts.placement.mode = Mode::kResident;
  llama_model_params params = llama_model_default_params();
  // Direct reads: with the weights in memory once, a copy in the page cache would be the second.
  params.load_mode = request.options.direct_io ? LLAMA_LOAD_MODE_DIRECT_IO : LLAMA_LOAD_MODE_NONE;
  params.use_extra_bufts = request.options.repack;
  params.progress_callback_user_data = const_cast<EngineOptions*>(&request.options);
  params.progress_callback = [](float share, void* data) {
    const auto* options = static_cast<const EngineOptions*>(data);
    if (options->progress) {
      options->progress(share);
    }
    return true;
  };
  take_llama_error();
  parts.llama.reset(llama_model_load_from_file(request.model.files.front().path.c_str(), params));
  if (parts.llama == nullptr) {
    return load_failure(request);
  }
  const uint32_t ubatch = request.options.ubatch > 0 ? request.options.ubatch : kLargestUbatch;
  if (Status status = make_context(request, parts, ubatch); !status) {
    return propagate(status.error());
  }
  const ContextMemory memory = context_memory(*parts.context);
  parts.ledger = {{"weights", request.model.bytes},
                  {"KV cache", memory.kv},
                  {"compute buffers", memory.compute},
                  {"vocabulary", vocabulary_bytes(request.model)}};
  return parts;
}

}  // namespace hypura
