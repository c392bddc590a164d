#include "engine/open_common.h"
#include "engine/open_engine.h"

namespace hypura {

Result<OpenParts> open_resident(const OpenRequest& request, Chosen chosen) {
  OpenParts parts;
  llama_model_params params = llama_model_default_params();
  // Direct reads: with the weights in memory once, a copy in the page cache would be the second.
  params.load_mode = request.options.direct_io ? LLAMA_LOAD_MODE_DIRECT_IO : LLAMA_LOAD_MODE_NONE;
  params.load_mtp = request.options.draft.mtp;
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
  if (Status status = settle(request, parts, chosen); !status) {
    return propagate(status.error());
  }
  parts.ledger = make_ledger(chosen);
  parts.chosen = std::move(chosen);
  return parts;
}

}  // namespace hypura
