#include "llama/open/mtp_layers.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "support/fail.h"

namespace hypura {

namespace {

// An architecture whose MTP layers llama.cpp computes (LLM_GRAPH_TYPE_DECODER_MTP).
struct MtpArchitecture {
  std::string_view name;
  int64_t most_layers;    // with more of them llama.cpp aborts
  bool recurrent;         // its state cannot be cut, so that no drafts can be taken back
  bool may_lack_tensors;  // see may_lack_mtp
};

constexpr int64_t kAny = INT64_MAX;
constexpr std::array kArchitectures = {
    MtpArchitecture{"bailingmoe3", 1, true, true}, MtpArchitecture{"cohere2moe", 1, false, true},
    MtpArchitecture{"deepseek2", 1, false, true},  MtpArchitecture{"deepseek32", 1, false, true},
    MtpArchitecture{"deepseek4", 1, true, false},  MtpArchitecture{"glm-dsa", 1, false, true},
    MtpArchitecture{"glm4moe", 1, false, true},    MtpArchitecture{"hy_v3", kAny, false, true},
    MtpArchitecture{"mimo2", kAny, false, true},   MtpArchitecture{"nemotron_h_moe", 1, true, false},
    MtpArchitecture{"qwen35", 1, true, false},     MtpArchitecture{"qwen35moe", 1, true, false},
    MtpArchitecture{"qwen3next", 1, true, false},  MtpArchitecture{"step35", kAny, false, true}};

const MtpArchitecture* find(std::string_view name) {
  const auto it = std::find_if(kArchitectures.begin(), kArchitectures.end(),
                               [&](const MtpArchitecture& entry) { return entry.name == name; });
  return it == kArchitectures.end() ? nullptr : it;
}

}  // namespace

Status check_mtp(const Model& model) {
  if (model.mtp_layers == 0) {
    return fail(ErrorCode::kUsage, "{} has no layers for multi-token prediction (MTP): leave out --draft-mtp",
                model.name);
  }
  const MtpArchitecture* known = find(model.architecture);
  if (known == nullptr) {
    return fail(ErrorCode::kUsage,
                "{} has layers for multi-token prediction (MTP), but llama.cpp does not support them for the "
                "architecture {}: leave out --draft-mtp",
                model.name, model.architecture);
  }
  if (known->recurrent) {
    return fail(ErrorCode::kUsage,
                "{} cannot draft: rejected drafts must be removed, but the recurrent state of the "
                "architecture {} cannot be rolled back; leave out --draft-mtp",
                model.name, model.architecture);
  }
  if (model.mtp_layers > known->most_layers) {
    return fail(ErrorCode::kUsage,
                "{} has {} layers for multi-token prediction (MTP), but llama.cpp supports at most {} for the "
                "architecture {}: leave out --draft-mtp",
                model.name, model.mtp_layers, known->most_layers, model.architecture);
  }
  for (int64_t layer = model.layers - model.mtp_layers; layer < model.layers; ++layer) {
    if (model.find(fmt::format("blk.{}.nextn.eh_proj.weight", layer)) == nullptr) {
      return fail(ErrorCode::kUsage,
                  "{} declares {} layers for multi-token prediction (MTP), but layer {} is not in the file: "
                  "use a file that has them, or leave out --draft-mtp",
                  model.name, model.mtp_layers, layer);
    }
  }
  return {};
}

Model used_part(const Model& model, bool mtp) {
  Model used = model;
  if (mtp) {
    return used;
  }
  const auto unused = std::stable_partition(used.tensors.begin(), used.tensors.end(),
                                            [&](const TensorInfo& it) { return !used.of_mtp(it); });
  for (auto it = unused; it != used.tensors.end(); ++it) {
    used.bytes -= it->extent.length;
  }
  used.unused.insert(used.unused.end(), std::make_move_iterator(unused), std::make_move_iterator(used.tensors.end()));
  used.tensors.erase(unused, used.tensors.end());
  used.mtp_layers = 0;
  return used;
}

bool may_lack_mtp(std::string_view architecture) {
  const MtpArchitecture* known = find(architecture);
  return known != nullptr && known->may_lack_tensors;
}

// Two architectures ask for most of such a layer without looking whether it is to be loaded, all of them for fused
// experts, and some for the tables.
uint64_t loaded_though_unused(const Model& model) {
  const bool most = model.architecture == "hy_v3" || model.architecture == "step35";
  uint64_t bytes = 0;
  for (const TensorInfo& tensor : model.unused) {
    const bool table = tensor.role == TensorRole::kEmbedding || tensor.role == TensorRole::kOutput;
    if (most || table || tensor.name.ends_with("ffn_gate_up_exps.weight")) {
      bytes += tensor.extent.length;
    }
  }
  return bytes;
}

}  // namespace hypura
