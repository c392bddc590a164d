#include "model/roles.h"

#include <algorithm>
#include <charconv>
#include <span>

namespace hypura {
namespace {

using namespace std::string_view_literals;

constexpr std::array kEmbeddings = {"token_embd"sv, "position_embd"sv, "token_types"sv, "per_layer_token_embd"sv,
                                    "nextn.embed_tokens"sv};
constexpr std::array kOutputs = {"output"sv, "nextn.shared_head_head"sv};
// The second one is a table from token to experts, which stands in for the router in some layers.
constexpr std::array kRouters = {"ffn_gate_inp"sv, "ffn_gate_tid2eid"sv};
constexpr std::array kExpertEndings = {"_exps"sv, "_chexps"sv};
constexpr std::array kMixers = {"attn_"sv,     "ssm_"sv,     "time_mix_"sv, "cross_attn_"sv,
                                "vis_attn_"sv, "indexer."sv, "indexer_"sv,  "shortconv."sv};
constexpr std::array kDense = {"ffn_gate"sv,        "ffn_up"sv,        "ffn_down"sv,        "ffn_latent_up"sv,
                               "ffn_latent_down"sv, "ffn_routed_up"sv, "ffn_routed_down"sv, "vis_gate"sv,
                               "vis_up"sv,          "vis_down"sv};
constexpr std::array kDenseStarts = {"ffn_gate."sv, "ffn_up."sv, "ffn_down."sv, "channel_mix_"sv};

bool equals_any(std::string_view text, std::span<const std::string_view> list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

bool starts_any(std::string_view text, std::span<const std::string_view> list) {
  return std::any_of(list.begin(), list.end(), [&](std::string_view start) { return text.starts_with(start); });
}

bool ends_any(std::string_view text, std::span<const std::string_view> list) {
  return std::any_of(list.begin(), list.end(), [&](std::string_view end) { return text.ends_with(end); });
}

// Takes a leading "blk.N." off `name` and returns N, or returns -1 and leaves `name` alone.
int take_layer(std::string_view& name) {
  constexpr std::string_view start = "blk.";
  int layer = -1;
  if (!name.starts_with(start)) {
    return -1;
  }
  const char* digits = name.data() + start.size();
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(digits, end, layer);
  if (error != std::errc() || layer < 0 || rest == end || *rest != '.') {
    return -1;
  }
  name.remove_prefix(static_cast<size_t>(rest + 1 - name.data()));
  return layer;
}

// The role of a matrix outside the experts, whose name without layer and ".weight" is `base`.
TensorRole matrix_role(std::string_view base) {
  if (equals_any(base, kEmbeddings)) {
    return TensorRole::kEmbedding;
  }
  if (equals_any(base, kOutputs)) {
    return TensorRole::kOutput;
  }
  if (equals_any(base, kRouters)) {
    return TensorRole::kRouter;
  }
  if (starts_any(base, kMixers)) {
    return TensorRole::kAttention;
  }
  if (equals_any(base, kDense) || starts_any(base, kDenseStarts)) {
    return TensorRole::kDenseFfn;
  }
  return TensorRole::kOther;
}

}  // namespace

const char* role_name(TensorRole role) {
  switch (role) {
    case TensorRole::kEmbedding:
      return "embedding";
    case TensorRole::kOutput:
      return "output";
    case TensorRole::kNorm:
      return "norm";
    case TensorRole::kAttention:
      return "attention";
    case TensorRole::kRouter:
      return "router";
    case TensorRole::kRoutedExpert:
      return "routed expert";
    case TensorRole::kSharedExpert:
      return "shared expert";
    case TensorRole::kDenseFfn:
      return "dense ffn";
    case TensorRole::kOther:
      return "other";
  }
  return "other";
}

int layer_of(std::string_view name) {
  return take_layer(name);
}

TensorRole role_of(std::string_view name, const std::array<int64_t, 4>& shape) {
  std::string_view base = name;
  if (base.starts_with("enc.") || base.starts_with("dec.")) {
    base.remove_prefix(4);
  }
  take_layer(base);
  if (base.find("norm") != std::string_view::npos || base.starts_with("time_mix_ln.")) {
    return TensorRole::kNorm;
  }
  const bool is_vector = shape[1] == 1 && shape[2] == 1 && shape[3] == 1;
  if (is_vector || base.ends_with(".bias") || base.ends_with("scale")) {
    return TensorRole::kOther;
  }
  if (base.ends_with(".weight")) {
    base.remove_suffix(std::string_view(".weight").size());
  }
  if (ends_any(base, kExpertEndings)) {
    return shape[2] > 1 && shape[3] == 1 ? TensorRole::kRoutedExpert : TensorRole::kDenseFfn;
  }
  if (base.ends_with("_shexp")) {
    return base == "ffn_gate_inp_shexp" ? TensorRole::kOther : TensorRole::kSharedExpert;
  }
  return matrix_role(base);
}

}  // namespace hypura
