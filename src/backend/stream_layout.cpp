#include "backend/stream_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string_view>

#include "backend/repacked_layout.h"
#include "support/units.h"

namespace hypura {

namespace {

// The dense matrices a graph multiplies by, in the order of llama.cpp's graphs. Each is used by MUL_MAT only; should an
// architecture use one otherwise, ggml's scheduler copies it through the buffer's get_tensor: slow, still right.
constexpr std::array<std::string_view, 21> kDenseSuffixes = {
    "ssm_in.weight",        "attn_qkv.weight",  "attn_q_a.weight",     "attn_q_b.weight",       "attn_q.weight",
    "attn_kv_a_mqa.weight", "attn_kv_b.weight", "attn_k_b.weight",     "attn_v_b.weight",       "attn_k.weight",
    "attn_v.weight",        "attn_gate.weight", "ssm_out.weight",      "attn_output.weight",    "ffn_up.weight",
    "ffn_gate.weight",      "ffn_down.weight",  "ffn_up_shexp.weight", "ffn_gate_shexp.weight", "ffn_down_shexp.weight",
    "output.weight"};
constexpr std::array<std::string_view, 4> kExpertSuffixes = {"ffn_up_exps.weight", "ffn_gate_exps.weight",
                                                             "ffn_gate_up_exps.weight", "ffn_down_exps.weight"};

// "ffn_up.weight" of "blk.3.ffn_up.weight"; the whole name outside the layers.
std::string_view suffix_of(const TensorInfo& tensor) {
  std::string_view name = tensor.name;
  return tensor.layer < 0 ? name : name.substr(name.find('.', 4) + 1);
}

template <size_t N>
int rank_in(const std::array<std::string_view, N>& suffixes, std::string_view suffix) {
  const auto it = std::find(suffixes.begin(), suffixes.end(), suffix);
  return it == suffixes.end() ? -1 : static_cast<int>(it - suffixes.begin());
}

bool within(const StreamedLayers& of, const TensorInfo& tensor) {
  if (rank_in(kExpertSuffixes, suffix_of(tensor)) >= 0) {
    return tensor.layer < of.experts;
  }
  return tensor.layer < 0 ? of.output : tensor.layer < of.dense;
}

bool streamable_expert(const TensorInfo& tensor) {
  return tensor.role == TensorRole::kRoutedExpert && tensor.layer >= 0 && tensor.shape[2] > 1 && tensor.shape[3] == 1 &&
         rank_in(kExpertSuffixes, suffix_of(tensor)) >= 0;
}

// One matrix, or one for each head (of latent attention).
bool is_dense_matrix(const TensorInfo& tensor) {
  const bool matrix = tensor.shape[0] > 1 && tensor.shape[1] > 1 && tensor.shape[3] == 1;
  const int rank = rank_in(kDenseSuffixes, suffix_of(tensor));
  return matrix && rank >= 0 && (tensor.layer >= 0) == (suffix_of(tensor) != "output.weight");
}

// What MTP layers multiply by stays: they are computed between the passes, some of their matrices several times in a
// row, and a ring reads ahead in the order of a pass. The output matrix is theirs too.
bool streamable_dense(const Model& model, const TensorInfo& tensor) {
  if (model.of_mtp(tensor) || (model.mtp_layers > 0 && suffix_of(tensor) == "output.weight")) {
    return false;
  }
  return is_dense_matrix(tensor);
}

void lay_out_experts(const Model& model, const std::set<std::string_view>& suffixes, const StreamedLayers& of,
                     StreamLayout& layout) {
  std::map<int, ExpertLayer> layers;
  for (const TensorInfo& tensor : model.tensors) {
    if (!streamable_expert(tensor) || !within(of, tensor) || !suffixes.contains(suffix_of(tensor))) {
      continue;
    }
    ExpertLayer& layer = layers[tensor.layer];
    layer.layer = tensor.layer;
    layer.experts = static_cast<uint32_t>(tensor.experts());
    ExpertPart part;
    part.tensor = &tensor;
    part.slice_bytes = tensor.extent.length / static_cast<uint64_t>(tensor.experts());
    layer.parts.push_back(part);
    layout.expert_bytes += tensor.extent.length;
  }
  for (auto& [number, layer] : layers) {
    layout.experts = std::max(layout.experts, layer.experts);
    layout.experts_used = static_cast<uint32_t>(std::max<int64_t>(model.experts_used, 1));
    layout.expert_layers.push_back(std::move(layer));
  }
}

void lay_out_dense(const Model& model, const std::set<std::string_view>& suffixes, const StreamedLayers& of,
                   uint64_t range_bytes, StreamLayout& layout) {
  for (const TensorInfo& tensor : model.tensors) {
    if (!streamable_dense(model, tensor) || !within(of, tensor) || !suffixes.contains(suffix_of(tensor))) {
      continue;
    }
    for (const RowRange& rows : cut_rows(tensor, range_bytes)) {
      layout.dense.push_back(dense_item(tensor, rows));
    }
    layout.dense_bytes += tensor.extent.length;
  }
  const auto position = [](const DenseItem& item) {
    const bool last = item.tensor->layer < 0;
    return std::pair(last ? INT32_MAX : item.tensor->layer, rank_in(kDenseSuffixes, suffix_of(*item.tensor)));
  };
  std::stable_sort(layout.dense.begin(), layout.dense.end(),
                   [&](const DenseItem& a, const DenseItem& b) { return position(a) < position(b); });
}

// Tables that models only look rows up in, or multiply by as well.
constexpr std::array<std::string_view, 2> kTables = {"token_embd.weight", "per_layer_token_embd.weight"};

// Of what a table's cache holds. Chosen: half of a text's tokens are some hundred different ones, and a row that is
// read takes one read.
constexpr uint64_t kTableCacheShare = 64;
constexpr uint64_t kLeastTableCache = 64 * kKiB;
constexpr uint64_t kMostTableCache = 8 * kMiB;

// Where there is no output matrix, a model that has an output at all multiplies by its token embeddings.
bool is_output_too(const Model& model, const TensorInfo& table) {
  const auto is_output = [](const TensorInfo& it) { return it.role == TensorRole::kOutput; };
  const auto is_last_norm = [](const TensorInfo& it) {
    return it.layer < 0 && it.name.ends_with("output_norm.weight");
  };
  return table.name == kTables.front() && std::ranges::none_of(model.tensors, is_output) &&
         std::ranges::any_of(model.tensors, is_last_norm);
}

TableItem table_item(const Model& model, const TensorInfo& tensor, const std::optional<uint64_t>& cache) {
  const uint64_t wanted =
      cache.value_or(std::clamp(tensor.extent.length / kTableCacheShare, kLeastTableCache, kMostTableCache));
  TableItem table;
  table.tensor = &tensor;
  table.slots = static_cast<uint32_t>(
      std::clamp<uint64_t>(wanted / tensor.row_bytes(), 1, static_cast<uint64_t>(tensor.shape[1])));
  table.is_output = is_output_too(model, tensor);
  table.by_token = tensor.shape[1] == model.vocabulary;
  return table;
}

void lay_out_tables(const Model& model, bool dense, const StreamedTables& wanted, uint64_t range_bytes,
                    StreamLayout& layout) {
  for (const TensorInfo& tensor : model.tensors) {
    const bool is_table = rank_in(kTables, tensor.name) >= 0 && tensor.shape[1] > 1 && tensor.shape[2] == 1 &&
                          tensor.shape[3] == 1 && tensor.shape[1] <= std::numeric_limits<int32_t>::max();
    if (!is_table) {
      continue;
    }
    const TableItem table = table_item(model, tensor, wanted.cache);
    if (table.is_output && dense && wanted.output && model.mtp_layers == 0) {
      layout.tables.push_back(table);
      for (const RowRange& rows : cut_rows(tensor, range_bytes)) {
        layout.dense.push_back(dense_item(tensor, rows));
      }
      layout.dense_bytes += tensor.extent.length;
    } else if (!table.is_output && wanted.lookups) {
      layout.tables.push_back(table);
      layout.table_bytes += tensor.extent.length;
    }
  }
}

// "(?!46\\.|47\\.)": not in these layers; empty when there are none.
std::string not_in(const std::set<int>& layers) {
  std::string list;
  for (int layer : layers) {
    list += fmt::format("{}{}\\.", list.empty() ? "" : "|", layer);
  }
  return list.empty() ? list : fmt::format("(?!{})", list);
}

std::string pattern_of(const Model& model, const std::set<std::string_view>& suffixes, const StreamedLayers& of) {
  std::set<int> no_experts;
  std::set<int> no_dense;
  for (const TensorInfo& tensor : model.unused) {
    no_experts.insert(tensor.layer);
  }
  no_dense = no_experts;
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    if (layer >= of.experts) {
      no_experts.insert(static_cast<int>(layer));
    }
    if (layer >= std::min(of.dense, model.layers - model.mtp_layers)) {
      no_dense.insert(static_cast<int>(layer));
    }
  }
  std::string experts;
  std::string dense;
  std::string pattern;
  for (std::string_view suffix : suffixes) {
    const std::string stem(suffix.substr(0, suffix.size() - std::string_view(".weight").size()));
    if (suffix == "output.weight") {
      pattern = of.output ? "^output\\.weight$" : "";
    } else {
      std::string& names = rank_in(kExpertSuffixes, suffix) >= 0 ? experts : dense;
      names += (names.empty() ? "" : "|") + stem;
    }
  }
  for (const auto& [names, except] : {std::pair(&experts, &no_experts), std::pair(&dense, &no_dense)}) {
    if (!names->empty()) {
      pattern += fmt::format("{}^blk\\.{}[0-9]+\\.({})\\.weight$", pattern.empty() ? "" : "|", not_in(*except), *names);
    }
  }
  return pattern;
}

// With the tables' names, "token_embd.weight".
std::string with_tables(std::string pattern, const std::vector<TableItem>& tables) {
  for (const TableItem& table : tables) {
    const std::string_view stem = std::string_view(table.tensor->name).substr(0, table.tensor->name.find('.'));
    pattern += fmt::format("{}^{}\\.weight$", pattern.empty() ? "" : "|", stem);
  }
  return pattern;
}

}  // namespace

bool is_repacked(const TensorInfo& tensor) {
  const bool is_streamed = streamable_expert(tensor) || (is_dense_matrix(tensor) && tensor.shape[2] == 1);
  return is_streamed && has_repacked_layout(tensor.type, tensor.shape[0], tensor.shape[1]);
}

bool StreamLayout::streams(const TensorInfo& tensor) const {
  const auto is_it = [&](const auto& entry) { return entry.tensor == &tensor; };
  return std::any_of(dense.begin(), dense.end(), is_it) || std::any_of(tables.begin(), tables.end(), is_it) ||
         std::any_of(expert_layers.begin(), expert_layers.end(), [&](const ExpertLayer& layer) {
           return std::any_of(layer.parts.begin(), layer.parts.end(), is_it);
         });
}

StreamLayout lay_out(const Model& model, bool experts, bool dense, bool repacked, StreamedLayers of,
                     uint64_t range_bytes, const StreamedTables& tables) {
  StreamLayout layout;
  std::set<std::string_view> suffixes;
  std::set<std::string_view> refused;
  for (const TensorInfo& tensor : model.tensors) {
    if (!within(of, tensor) && !of.alike) {
      continue;
    }
    const bool wanted = (experts && streamable_expert(tensor)) || (dense && streamable_dense(model, tensor));
    if (!model.of_mtp(tensor) || rank_in(kExpertSuffixes, suffix_of(tensor)) >= 0) {
      (wanted ? suffixes : refused).insert(suffix_of(tensor));
    }
  }
  for (std::string_view suffix : refused) {
    suffixes.erase(suffix);
  }
  lay_out_experts(model, suffixes, of, layout);
  lay_out_dense(model, suffixes, of, range_bytes, layout);
  lay_out_tables(model, dense, tables, range_bytes, layout);  // what is multiplied by in the end
  layout.repacked = repacked;
  for (ExpertLayer& layer : layout.expert_layers) {
    for (ExpertPart& part : layer.parts) {
      part.repacked = repacked && is_repacked(*part.tensor);
    }
  }
  for (DenseItem& item : layout.dense) {
    item.repacked = repacked && is_repacked(*item.tensor);
  }
  layout.resident_bytes = model.bytes - layout.expert_bytes - layout.dense_bytes - layout.table_bytes;
  layout.pattern = with_tables(pattern_of(model, suffixes, of), layout.tables);
  return layout;
}

std::string table_pattern(const StreamLayout& layout) {
  return with_tables({}, layout.tables);
}

}  // namespace hypura
