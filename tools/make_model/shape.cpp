#include "make_model/shape.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "support/fail.h"
#include "support/units.h"

namespace hypura {
namespace {

// llama.cpp's own limits.
constexpr int64_t kMaxLayers = 512;
constexpr int64_t kMaxExperts = 1024;
constexpr int64_t kMaxDimension = int64_t{1} << 24;

constexpr std::array<std::pair<std::string_view, Arch>, 10> kArchs = {{{"dense", Arch::kDense},
                                                                       {"mixtral", Arch::kMixtral},
                                                                       {"qwen3moe", Arch::kQwen3Moe},
                                                                       {"qwen2moe", Arch::kQwen2Moe},
                                                                       {"gpt-oss", Arch::kGptOss},
                                                                       {"fused", Arch::kFused},
                                                                       {"gemma4", Arch::kGemma4},
                                                                       {"deepseek2", Arch::kDeepSeek2},
                                                                       {"glm4moe", Arch::kGlm4Moe},
                                                                       {"qwen3next", Arch::kQwen3Next}}};

constexpr std::array<std::pair<std::string_view, ggml_type>, 6> kTypes = {{{"Q4_0", GGML_TYPE_Q4_0},
                                                                           {"Q8_0", GGML_TYPE_Q8_0},
                                                                           {"Q2_K", GGML_TYPE_Q2_K},
                                                                           {"Q4_K", GGML_TYPE_Q4_K},
                                                                           {"Q6_K", GGML_TYPE_Q6_K},
                                                                           {"F16", GGML_TYPE_F16}}};

constexpr std::array<std::pair<std::string_view, Mixture>, 2> kMixtures = {
    {{"Q4_K_M", Mixture::kQ4KM}, {"MXFP4_MOE", Mixture::kMxfp4Moe}}};

// embedding, heads, kv_heads, head_dim, ff, experts, experts_used, expert_ff, layers
constexpr Shape kDensePresets[] = {{256, 4, 2, 64, 768, 0, 0, 0, 12},       {1024, 16, 4, 64, 2816, 0, 0, 0, 24},
                                   {2048, 32, 8, 64, 8192, 0, 0, 0, 28},    {4096, 32, 8, 128, 14336, 0, 0, 0, 64},
                                   {8192, 64, 8, 128, 28672, 0, 0, 0, 160}, {16384, 128, 8, 128, 53248, 0, 0, 0, 512}};
constexpr Shape kMixtralPresets[] = {{256, 4, 2, 64, 0, 8, 2, 512, 8},
                                     {1024, 16, 4, 64, 0, 8, 2, 3584, 24},
                                     {2048, 32, 8, 64, 0, 8, 2, 7168, 40},
                                     {4096, 32, 8, 128, 0, 8, 2, 14336, 48},
                                     {6144, 48, 8, 128, 0, 8, 2, 16384, 512}};
constexpr Shape kQwen3MoePresets[] = {{256, 4, 2, 64, 0, 128, 8, 64, 8},
                                      {1024, 16, 4, 64, 0, 64, 8, 512, 24},
                                      {2048, 32, 4, 128, 0, 64, 8, 1024, 36},
                                      {2048, 32, 4, 128, 0, 128, 8, 768, 64},
                                      {4096, 64, 4, 128, 0, 128, 8, 1536, 512}};
constexpr Shape kQwen2MoePresets[] = {{256, 4, 4, 64, 256, 32, 4, 64, 12},
                                      {1024, 16, 16, 64, 2816, 60, 4, 704, 20},
                                      {2048, 16, 16, 128, 5632, 60, 4, 1408, 40},
                                      {3584, 28, 4, 128, 20480, 64, 8, 2560, 512}};
constexpr Shape kGptOssPresets[] = {{256, 4, 2, 64, 0, 32, 4, 64, 12},
                                    {1440, 32, 8, 64, 0, 32, 4, 1440, 20},
                                    {2880, 64, 8, 64, 0, 32, 4, 2880, 30},
                                    {2880, 64, 8, 64, 0, 128, 4, 2880, 512}};
constexpr Shape kFusedPresets[] = {{256, 4, 2, 64, 512, 32, 4, 64, 12},
                                   {1024, 16, 4, 64, 4096, 64, 8, 512, 24},
                                   {2048, 32, 4, 128, 8192, 64, 8, 1024, 36},
                                   {4096, 64, 8, 128, 13312, 192, 8, 1536, 512}};

constexpr Shape kGemma4Presets[] = {
    {256, 4, 2, 64, 768, 0, 0, 0, 12}, {1536, 8, 1, 256, 6144, 0, 0, 0, 35}, {2560, 8, 2, 256, 10240, 0, 0, 0, 512}};

constexpr Shape kDeepSeek2Presets[] = {{256, 4, 1, 64, 512, 32, 4, 64, 12},
                                       {1024, 16, 1, 64, 2816, 64, 6, 512, 24},
                                       {2048, 16, 1, 128, 10944, 64, 6, 1408, 48},
                                       {7168, 128, 1, 128, 18432, 256, 8, 2048, 512}};
constexpr Shape kGlm4MoePresets[] = {{256, 4, 2, 64, 512, 32, 4, 64, 12},
                                     {1024, 16, 4, 64, 2816, 64, 8, 512, 40},
                                     {4096, 96, 8, 128, 10944, 128, 8, 1408, 512}};
constexpr Shape kQwen3NextPresets[] = {{256, 4, 2, 64, 0, 128, 8, 64, 8},
                                       {512, 8, 2, 64, 0, 128, 8, 128, 24},
                                       {1024, 16, 2, 128, 0, 256, 10, 256, 40},
                                       {2048, 16, 2, 256, 0, 512, 10, 512, 512}};

template <class Table>
std::string names(const Table& table) {
  std::string list;
  for (const auto& [name, value] : table) {
    list += list.empty() ? std::string(name) : ", " + std::string(name);
  }
  return list;
}

template <class Table>
auto find_name(const Table& table, std::string_view name) {
  return std::find_if(table.begin(), table.end(), [&](const auto& entry) { return entry.first == name; });
}

struct Flag {
  std::string_view name;
  int64_t value;
};

Status check_flags(const ModelSpec& spec) {
  const Flag flags[] = {{"--layers", spec.layers},
                        {"--embedding", spec.embedding},
                        {"--heads", spec.heads},
                        {"--kv-heads", spec.kv_heads},
                        {"--ff", spec.ff},
                        {"--experts", spec.experts},
                        {"--expert-ff", spec.expert_ff},
                        {"--experts-used", spec.experts_used},
                        {"--context", spec.context},
                        {"--per-layer", spec.per_layer},
                        {"--split", spec.split}};
  for (const Flag& flag : flags) {
    if (flag.value < 0 || flag.value > kMaxDimension) {
      return fail(ErrorCode::kUsage, "{} {} is out of range; give a number from 1 to {}", flag.name, flag.value,
                  kMaxDimension);
    }
  }
  if (spec.size > 0 && spec.layers > 0) {
    return fail(ErrorCode::kUsage, "--size chooses the number of layers; give either --size or --layers");
  }
  if (!(spec.skew >= 0.0 && spec.skew <= 4.0)) {
    return fail(ErrorCode::kUsage, "--skew {} is out of range; give an exponent from 0 to 4", spec.skew);
  }
  if (spec.context < 1 || spec.split < 1) {
    return fail(ErrorCode::kUsage, "--context and --split must be at least 1");
  }
  return {};
}

Status check_dense_flags(const ModelSpec& spec, const Shape& shape) {
  if (shape.experts == 0 && (spec.experts > 0 || spec.experts_used > 0 || spec.expert_ff > 0 || spec.skew > 0.0)) {
    return fail(ErrorCode::kUsage,
                "--arch {} has no experts; drop --experts, --experts-used, --expert-ff and --skew, or choose another",
                spec.arch);
  }
  if (shape.ff == 0 && spec.ff > 0) {
    return fail(ErrorCode::kUsage, "--arch {} has no dense feed-forward part; use --expert-ff instead of --ff",
                spec.arch);
  }
  return {};
}

// In these architectures the heads fill the embedding exactly; in the others the head size is free.
bool heads_fill_embedding(Arch arch) {
  return arch == Arch::kDense || arch == Arch::kMixtral || arch == Arch::kQwen2Moe;
}

Status place_heads(const ModelSpec& spec, Arch arch, Shape& shape) {
  if (spec.heads > 0) {
    shape.heads = spec.heads;
  } else if (spec.embedding > 0 && heads_fill_embedding(arch)) {
    shape.heads = std::max<int64_t>(1, shape.embedding / shape.head_dim);
  }
  if (heads_fill_embedding(arch)) {
    if (shape.embedding % shape.heads != 0) {
      return fail(ErrorCode::kUsage,
                  "an embedding of {} cannot be divided among {} heads; change --embedding or --heads", shape.embedding,
                  shape.heads);
    }
    shape.head_dim = shape.embedding / shape.heads;
  }
  if (spec.kv_heads > 0) {
    shape.kv_heads = spec.kv_heads;
  } else if (shape.heads % shape.kv_heads != 0) {
    shape.kv_heads = shape.heads;
  }
  if (shape.heads % shape.kv_heads != 0) {
    return fail(ErrorCode::kUsage, "{} heads cannot share {} key-value heads; change --heads or --kv-heads",
                shape.heads, shape.kv_heads);
  }
  if (shape.head_dim % 2 != 0) {
    return fail(ErrorCode::kUsage, "a head size of {} is odd, which rotary positions cannot use; change --heads",
                shape.head_dim);
  }
  return {};
}

Status check_multiple(std::string_view what, int64_t value, ggml_type type) {
  if (value % row_unit(type) == 0) {
    return {};
  }
  return fail(ErrorCode::kUsage, "{} is {}, but {} rows must be a multiple of {}; change it or the type", what, value,
              ggml_type_name(type), row_unit(type));
}

// Mixtures have a type of small blocks for rows that their own do not divide.
ggml_type type_for_rows(const Choice& choice, ggml_type type) {
  return choice.mixture == Mixture::kNone ? type : GGML_TYPE_Q8_0;
}

Status check_shape(const Shape& shape, const Choice& choice) {
  const ggml_type rows = type_for_rows(choice, choice.type);
  const ggml_type down_rows = type_for_rows(choice, choice.down_type);
  for (const auto& [what, value, type] :
       {std::tuple{"--embedding", shape.embedding, rows},
        std::tuple{"heads times head size", shape.heads * shape.head_dim, rows},
        std::tuple{"--ff", shape.ff, down_rows}, std::tuple{"--expert-ff", shape.expert_ff, down_rows}}) {
    if (auto status = check_multiple(what, value, type); !status) {
      return status;
    }
  }
  if (shape.layers > kMaxLayers) {
    return fail(ErrorCode::kUsage, "--layers {} is more than the {} that llama.cpp loads", shape.layers, kMaxLayers);
  }
  if (shape.experts > kMaxExperts) {
    return fail(ErrorCode::kUsage, "--experts {} is more than the {} that llama.cpp loads", shape.experts, kMaxExperts);
  }
  if (shape.experts_used > shape.experts) {
    return fail(ErrorCode::kUsage, "--experts-used {} is more than the {} experts there are", shape.experts_used,
                shape.experts);
  }
  return {};
}

}  // namespace

int64_t row_unit(ggml_type type) {
  return std::max<int64_t>(32, ggml_blck_size(type));
}

LatentShape latent_shape(const Shape& shape) {
  return {.rank = 4 * shape.head_dim, .query_rank = 12 * shape.head_dim, .rope = shape.head_dim / 2};
}

DeltaShape delta_shape(const Shape& shape) {
  return {.state = shape.head_dim / 2, .key_heads = shape.heads, .value_heads = 2 * shape.heads};
}

bool has_shared_expert(Arch arch) {
  return arch == Arch::kFused || arch == Arch::kDeepSeek2 || arch == Arch::kGlm4Moe || arch == Arch::kQwen3Next;
}

Result<Choice> parse_choice(const ModelSpec& spec) {
  const auto arch = find_name(kArchs, spec.arch);
  if (arch == kArchs.end()) {
    return fail(ErrorCode::kUsage, "--arch {} is unknown; choose one of {}", spec.arch, names(kArchs));
  }
  if (const auto mixture = find_name(kMixtures, spec.type); mixture != kMixtures.end()) {
    if (!spec.down_type.empty()) {
      return fail(ErrorCode::kUsage, "--type {} decides the types of all matrices; leave out --down-type", spec.type);
    }
    return Choice{arch->second, GGML_TYPE_Q4_K, GGML_TYPE_Q4_K, mixture->second};
  }
  const auto type = find_name(kTypes, spec.type);
  if (type == kTypes.end()) {
    return fail(ErrorCode::kUsage, "--type {} is unknown; choose one of {}, {}", spec.type, names(kTypes),
                names(kMixtures));
  }
  const auto down = spec.down_type.empty() ? type : find_name(kTypes, spec.down_type);
  if (down == kTypes.end()) {
    return fail(ErrorCode::kUsage, "--down-type {} is unknown; choose one of {}", spec.down_type, names(kTypes));
  }
  return Choice{arch->second, type->second, down->second, Mixture::kNone};
}

std::span<const Shape> presets(Arch arch) {
  switch (arch) {
    case Arch::kDense:
      return kDensePresets;
    case Arch::kMixtral:
      return kMixtralPresets;
    case Arch::kQwen3Moe:
      return kQwen3MoePresets;
    case Arch::kQwen2Moe:
      return kQwen2MoePresets;
    case Arch::kGptOss:
      return kGptOssPresets;
    case Arch::kFused:
      return kFusedPresets;
    case Arch::kGemma4:
      return kGemma4Presets;
    case Arch::kDeepSeek2:
      return kDeepSeek2Presets;
    case Arch::kGlm4Moe:
      return kGlm4MoePresets;
    case Arch::kQwen3Next:
      return kQwen3NextPresets;
  }
  return {};
}

Result<Shape> resolve_shape(const ModelSpec& spec, const Choice& choice, const Shape& preset) {
  Shape shape = preset;
  const auto wish = [](int64_t asked, int64_t fallback, int64_t unit) {
    return asked > 0 ? asked : static_cast<int64_t>(round_up(static_cast<uint64_t>(fallback), unit));
  };
  if (auto status = check_flags(spec); !status) {
    return propagate(status.error());
  }
  if (auto status = check_dense_flags(spec, preset); !status) {
    return propagate(status.error());
  }
  const int64_t unit = row_unit(type_for_rows(choice, choice.type));
  const int64_t down_unit = row_unit(type_for_rows(choice, choice.down_type));
  shape.layers = spec.layers;
  shape.embedding = wish(spec.embedding, preset.embedding, unit);
  shape.ff = wish(spec.ff, preset.ff, down_unit);
  shape.experts = wish(spec.experts, preset.experts, 1);
  shape.experts_used = wish(spec.experts_used, std::min(preset.experts_used, shape.experts), 1);
  shape.expert_ff = wish(spec.expert_ff, preset.expert_ff, down_unit);
  if (auto status = place_heads(spec, choice.arch, shape); !status) {
    return propagate(status.error());
  }
  if (auto status = check_shape(shape, choice); !status) {
    return propagate(status.error());
  }
  return shape;
}

}  // namespace hypura
