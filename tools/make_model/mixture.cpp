#include "make_model/mixture.h"

namespace hypura {
namespace {

bool has(std::string_view name, std::string_view part) {
  return name.find(part) != std::string_view::npos;
}

// Half of the layers: the first and last eighth, and every third between them.
bool is_favoured(int64_t layer, int64_t layers) {
  const int64_t eighth = layers / 8;
  return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

// What llama.cpp's quantiser makes of Q4_K_M, but for its exceptions by model.
ggml_type q4_k_m(const MatrixPlace& place) {
  if (place.name == "output.weight") {
    return GGML_TYPE_Q6_K;
  }
  if (has(place.name, "attn_qkv")) {
    return GGML_TYPE_Q5_K;
  }
  const bool weighty = has(place.name, "attn_v.") || has(place.name, "ffn_down");
  return weighty && is_favoured(place.layer, place.layers) ? GGML_TYPE_Q6_K : GGML_TYPE_Q4_K;
}

ggml_type chosen_type(const Choice& choice, const MatrixPlace& place) {
  switch (choice.mixture) {
    case Mixture::kQ4KM:
      return q4_k_m(place);
    case Mixture::kMxfp4Moe:
      return has(place.name, "_exps.") ? GGML_TYPE_MXFP4 : GGML_TYPE_Q8_0;
    case Mixture::kNone:
      break;
  }
  return has(place.name, "ffn_down") ? choice.down_type : choice.type;
}

}  // namespace

ggml_type type_of_matrix(const Choice& choice, const MatrixPlace& place) {
  const ggml_type type = chosen_type(choice, place);
  if (place.row % ggml_blck_size(type) == 0) {
    return type;
  }
  return type == GGML_TYPE_Q5_K || type == GGML_TYPE_Q6_K ? GGML_TYPE_Q8_0 : GGML_TYPE_Q5_0;
}

}  // namespace hypura
