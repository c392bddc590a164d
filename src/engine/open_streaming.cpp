#include <algorithm>

#include "engine/memory_estimate.h"
#include "engine/open_common.h"
#include "engine/open_engine.h"
#include "engine/virtual_file.h"
#include "support/log.h"
#include "support/units.h"

namespace hypura {

namespace {

PlacementInput sizes_of(const OpenRequest& request, const StreamLayout& layout) {
  PlacementInput input;
  input.budget = request.budget;
  input.fixed = layout.resident_bytes;
  for (const DenseItem& item : layout.dense) {
    input.dense += item.room;
  }
  input.largest_room = layout.largest_room;
  input.experts = layout.expert_bytes;
  input.slot_stride = layout.slot_stride;
  input.expert_slots = static_cast<uint32_t>(layout.expert_layers.size()) * layout.experts;
  input.experts_used = static_cast<uint32_t>(request.model.experts_used);
  return input;
}

Status load(const OpenRequest& request, OpenParts& parts) {
  auto header = make_virtual_header(request.model);
  if (!header) {
    return propagate(header.error());
  }
  VirtualFile file(std::move(*header));
  const llama_model_tensor_buft_override overrides[] = {
      {parts.weights->layout().pattern.c_str(), parts.weights->stream_buffer_type()},
      {".*", parts.weights->resident_buffer_type()},
      {nullptr, nullptr}};
  ggml_backend_dev_t no_devices[] = {nullptr};
  llama_model_params params = llama_model_default_params();
  params.devices = no_devices;
  params.n_gpu_layers = 0;
  params.load_mode = LLAMA_LOAD_MODE_NONE;
  params.tensor_buft_overrides = overrides;
  params.use_extra_bufts = false;  // streamed weights come as they are on disk, and all kernels should be the same
  params.progress_callback = [](float /*share*/, void* /*data*/) { return true; };
  take_llama_error();
  parts.llama.reset(llama_model_load_from_file_ptr(file.file(), params));
  if (parts.llama == nullptr) {
    return load_failure(request);
  }
  return parts.weights->finish_loading(request.options.progress);
}

// The largest ubatch whose buffers take at most an eighth of what the weights that stay leave of the budget.
Status make_fitting_context(const OpenRequest& request, OpenParts& parts) {
  const uint64_t left = request.budget - std::min(request.budget, parts.weights->layout().resident_bytes);
  uint32_t ubatch = request.options.ubatch > 0 ? request.options.ubatch : std::min(kLargestUbatch, request.context);
  for (;; ubatch /= 2) {
    if (Status status = make_context(request, parts, ubatch); !status) {
      return status;
    }
    const uint64_t bytes = context_memory(*parts.context).compute +
                           StreamedWeights::row_buffer_bytes(parts.weights->layout(), parts.ubatch);
    if (request.options.ubatch > 0 || bytes <= left / 8 || ubatch / 2 < kSmallestUbatch) {
      return {};
    }
  }
}

std::vector<LedgerLine> make_ledger(const OpenRequest& request, const OpenParts& parts, const ContextMemory& memory) {
  const StreamLayout& layout = parts.weights->layout();
  const Placement& placement = parts.placement;
  std::vector<LedgerLine> ledger = {{"resident weights", layout.resident_bytes}};
  if (!layout.dense.empty()) {
    ledger.push_back({"pinned dense weights", placement.pinned_bytes});
    ledger.push_back({"ring for dense weights", placement.ring_bytes});
  }
  if (!layout.expert_layers.empty()) {
    ledger.push_back(
        {fmt::format("expert slots ({} of {})", placement.slots, layout.expert_layers.size() * layout.experts),
         placement.slots * layout.slot_stride});
    ledger.push_back({"expert row buffers", StreamedWeights::row_buffer_bytes(layout, parts.ubatch)});
  }
  ledger.push_back({"KV cache", memory.kv});
  ledger.push_back({"compute buffers", memory.compute});
  ledger.push_back({"vocabulary", vocabulary_bytes(request.model)});
  return ledger;
}

std::string ledger_text(const std::vector<LedgerLine>& ledger) {
  std::string text;
  for (const LedgerLine& line : ledger) {
    text += fmt::format("\n  {:>10}  {}", format_bytes(line.bytes), line.purpose);
  }
  return text;
}

Status size_caches(const OpenRequest& request, OpenParts& parts) {
  const StreamLayout& layout = parts.weights->layout();
  const ContextMemory memory = context_memory(*parts.context);
  PlacementInput input = sizes_of(request, layout);
  input.runtime = memory.kv + memory.compute + vocabulary_bytes(request.model) +
                  StreamedWeights::row_buffer_bytes(layout, parts.ubatch);
  const Mode mode = parts.placement.mode;
  auto placement = place(input, mode);
  if (!placement) {
    return fail(ErrorCode::kBudget, "{}; the smallest that can work with this context is {}:{}",
                placement.error().message, format_bytes(minimum_budget(input, mode)),
                ledger_text(make_ledger(request, parts, memory)));
  }
  parts.placement = *placement;
  parts.ledger = make_ledger(request, parts, memory);
  return parts.weights->allocate_caches(
      {placement->slots, placement->spare_slots, placement->pinned_bytes, placement->ring_bytes, parts.ubatch});
}

}  // namespace

PlacementInput placement_input(const OpenRequest& request) {
  const StreamLayout layout = lay_out(request.model, true, true);
  PlacementInput input = sizes_of(request, layout);
  const uint32_t ubatch = request.options.ubatch > 0 ? request.options.ubatch : kSmallestUbatch;
  input.runtime = estimate_kv_bytes(request.model, request.context) +
                  estimate_compute_bytes(request.model, ubatch, std::min(ubatch, request.options.outputs)) +
                  StreamedWeights::row_buffer_bytes(layout, ubatch) + vocabulary_bytes(request.model);
  return input;
}

Result<OpenParts> open_streaming(const OpenRequest& request, Mode mode) {
  OpenParts parts;
  parts.placement.mode = mode;
  std::vector<std::filesystem::path> paths;
  for (const ModelFile& file : request.model.files) {
    paths.push_back(file.path);
  }
  ReaderOptions reader_options;
  reader_options.direct = request.options.direct_io;
  auto reader = Reader::open(std::move(paths), reader_options);
  if (!reader) {
    return propagate(reader.error());
  }
  parts.reader = std::move(*reader);
  if (!parts.reader->notice().empty()) {
    spdlog::warn("{}", parts.reader->notice());
  }
  StreamLayout layout = lay_out(request.model, mode == Mode::kExpertStreaming || mode == Mode::kMixedStreaming,
                                mode == Mode::kDenseStreaming || mode == Mode::kMixedStreaming);
  auto weights = StreamedWeights::create(request.model, *parts.reader, std::move(layout));
  if (!weights) {
    return propagate(weights.error());
  }
  parts.weights = std::move(*weights);
  if (Status status = load(request, parts); !status) {
    return propagate(status.error());
  }
  if (Status status = make_fitting_context(request, parts); !status) {
    return propagate(status.error());
  }
  parts.weights->set_threads(static_cast<int>(request.threads));
  if (parts.threadpool != nullptr) {
    parts.weights->set_threadpool(parts.threadpool.get());
  }
  if (Status status = size_caches(request, parts); !status) {
    return propagate(status.error());
  }
  return parts;
}

}  // namespace hypura
