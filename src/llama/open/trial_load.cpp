#include "llama/open/trial_load.h"

#include <algorithm>
#include <string>

#include "gguf.h"
#include "hypura/generator.h"
#include "llama-ext.h"
#include "llama/llama_guard.h"
#include "llama/llama_runtime.h"
#include "llama/open/make_llama.h"
#include "llama/open/memory_estimate.h"
#include "llama/open/mtp_layers.h"
#include "llama/open/trial_graph.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr uint32_t kTrialContext = 256;
constexpr uint32_t kTrialPass = 32;

std::string file_of(const Model& model) {
  return model.files.front().path.string();
}

Status check_vocabulary(const Model& model) {
  const gguf_context* metadata = model.metadata.get();
  const int64_t kind = gguf_find_key(metadata, "tokenizer.ggml.model");
  const bool is_text = kind >= 0 && gguf_get_kv_type(metadata, kind) == GGUF_TYPE_STRING;
  const std::string_view name = is_text ? gguf_get_val_str(metadata, kind) : "";
  const int64_t tokens = gguf_find_key(metadata, "tokenizer.ggml.tokens");
  const bool listed = tokens >= 0 && gguf_get_kv_type(metadata, tokens) == GGUF_TYPE_ARRAY &&
                      gguf_get_arr_type(metadata, tokens) == GGUF_TYPE_STRING;
  if (name.empty() || name == "no_vocab" || name == "none" || !listed) {
    return fail(ErrorCode::kBadModel,
                "{}: has no vocabulary (keys tokenizer.ggml.model and tokens), so text can be neither read "
                "nor written",
                file_of(model));
  }
  return {};
}

// llama.cpp allocates this even where it allocates nothing else, and fills it. A model's state is small beside its
// weights.
Status check_state(const Model& model) {
  constexpr double kAlwaysFine = 256 * kMiB;
  const double bytes = estimate_state_bytes(model);
  if (bytes <= kAlwaysFine + 4 * static_cast<double>(model.bytes)) {
    return {};
  }
  return fail(
      ErrorCode::kBadModel,
      "{}: by its keys it keeps a state of {:.1f} GiB, which its {} of weights cannot compute with; get the file "
      "from another source",
      file_of(model), bytes / static_cast<double>(kGiB), format_bytes(model.bytes));
}

Status check_writes_text(const Model& model, const llama_model& loaded) {
  const char* what = nullptr;
  if (llama_model_is_diffusion(&loaded)) {
    what = "is a diffusion model, which does not write text token by token";
  } else if (!llama_model_has_decoder(&loaded)) {
    what = "is an encoder, which generates no text";
  } else if (llama_model_has_encoder(&loaded)) {
    what = model.architecture.starts_with("t5") ? "has an encoder beside its decoder, which Hypura does not run"
                                                : "only drafts for another model, and writes no text of its own";
  }
  if (llama_model_n_layer(&loaded) < 1) {
    what = "has no layers but those that draft for another model (MTP)";
  }
  return what == nullptr ? Status() : not_a_writer(model, what);
}

Status make_trial_context(const Model& model, llama_model& loaded, bool mtp) {
  ContextParams params;
  params.cells = std::min(kTrialContext, static_cast<uint32_t>(model.context_length));
  params.pass = kTrialPass;
  params.mtp = mtp;
  const LlamaContextPtr context = make_llama_context(loaded, params);
  if (context == nullptr) {
    return fail(ErrorCode::kBadModel, "{}: llama.cpp cannot compute this model: {}", file_of(model),
                take_llama_error());
  }
  if (llama_get_memory(context.get()) == nullptr) {
    return not_a_writer(model, "is an encoder, which generates no text");
  }
  const ggml_cgraph* graph = llama_graph_reserve(context.get(), 1, 1, 1);
  if (graph == nullptr) {
    return fail(ErrorCode::kBadModel, "{}: llama.cpp cannot compute this model: {}", file_of(model),
                take_llama_error());
  }
  if (const auto fault = fault_of_graph(graph)) {
    return fail(ErrorCode::kBadModel, "{}: llama.cpp cannot compute this model: {}", file_of(model), *fault);
  }
  return {};
}

Status load_and_try(const Model& model, const VirtualFile& file, const TrialOptions& options) {
  ModelParams params;
  params.mtp = options.mtp;
  params.host_only = true;
  params.allocate = false;
  const auto loaded = make_llama_model(model, file, params);
  if (!loaded) {
    return propagate(loaded.error());
  }
  if (Status status = check_writes_text(model, **loaded); !status) {
    return status;
  }
  Status status = make_trial_context(model, **loaded, false);
  return status && options.mtp ? make_trial_context(model, **loaded, true) : status;
}

}  // namespace

tl::unexpected<Error> not_a_writer(const Model& model, std::string_view what) {
  return fail(ErrorCode::kUsage, "{} {}: only models that generate text token by token can run", model.name, what);
}

Status try_model(const Model& model, const TrialOptions& options) {
  if (Status status = check_vocabulary(model).and_then([&] { return check_state(model); }); !status) {
    return status;
  }
  const auto header =
      make_virtual_header(model, options.vocabulary ? VirtualVocabulary::kWhole : VirtualVocabulary::kCounted);
  if (!header) {
    return propagate(header.error());
  }
  const VirtualFile file(*header);
  Status status;
  const bool survived = survives([&] {
    status = guarded(ErrorCode::kBadModel, file_of(model) + ": llama.cpp cannot load this model",
                     [&] { return load_and_try(model, file, options); });
  });
  if (!survived) {
    return fail(ErrorCode::kBadModel,
                "{}: llama.cpp crashes on this model: a tensor that it needs is missing, or a number that it divides "
                "by is zero; get the file from another source",
                file_of(model));
  }
  return status;
}

Status check_model(const std::filesystem::path& path) {
  return open_and_try(path).map([](const Model&) {});
}

Result<Model> open_and_try(const std::filesystem::path& path) {
  if (Status status = init_llama(); !status) {
    return propagate(status.error());
  }
  auto model = open_model(path);
  const Status tried = model ? try_model(used_part(*model, false), {true, false}) : Status();
  return tried ? std::move(model) : propagate(tried.error());
}

}  // namespace hypura
