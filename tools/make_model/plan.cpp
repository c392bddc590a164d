#include "make_model/plan.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "make_model/tensors.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr int64_t kDefaultLayers = 4;
constexpr int64_t kMostMtp = 8;

uint64_t bytes_with_layers(GeneratorPlan plan, const Vocab& vocab, int64_t layers) {
  plan.shape.layers = layers;
  plan.tensors = plan_tensors(plan, vocab);
  return plan.tensor_bytes();
}

// The number of layers that comes nearest to `size`; 0 when less than half a layer fits. Two and three layers are
// compared because the first may be of another kind.
int64_t layers_for(const GeneratorPlan& plan, const Vocab& vocab, uint64_t size) {
  const auto two = static_cast<double>(bytes_with_layers(plan, vocab, 2));
  const auto three = static_cast<double>(bytes_with_layers(plan, vocab, 3));
  return std::llround(2.0 + (static_cast<double>(size) - two) / (three - two));
}

// The first preset for which the number of layers is natural, or the last.
Status choose_shape(GeneratorPlan& plan, const Vocab& vocab) {
  const auto shapes = presets(plan.choice.arch);
  for (const auto& preset : shapes) {
    auto shape = resolve_shape(plan.spec, plan.choice, preset);
    if (!shape) {
      return propagate(shape.error());
    }
    plan.shape = *shape;
    if (plan.spec.size == 0) {
      plan.shape.layers = plan.shape.layers > 0 ? plan.shape.layers : kDefaultLayers;
      return {};
    }
    plan.shape.layers = layers_for(plan, vocab, plan.spec.size);
    if (plan.shape.layers <= preset.layers) {
      break;
    }
  }
  if (plan.shape.layers > presets(plan.choice.arch).back().layers) {
    return fail(ErrorCode::kUsage, "--size {} needs {} layers of this shape, more than llama.cpp loads; widen it",
                format_bytes(plan.spec.size), plan.shape.layers);
  }
  if (plan.shape.layers < 1) {
    return fail(ErrorCode::kUsage, "--size {} is too small: one layer and the vocabulary take {}",
                format_bytes(plan.spec.size), format_bytes(bytes_with_layers(plan, vocab, 1)));
  }
  return {};
}

Status check_mtp(const GeneratorPlan& plan) {
  const int64_t mtp = plan.spec.mtp;
  if (mtp == 0) {
    return {};
  }
  if (plan.choice.arch != Arch::kFused) {
    return fail(ErrorCode::kUsage, "--mtp is for --arch fused; --arch {} has no such layers here", plan.spec.arch);
  }
  if (mtp < 0 || mtp > kMostMtp) {
    return fail(ErrorCode::kUsage, "--mtp {} is out of range; give a number up to {}", mtp, kMostMtp);
  }
  if (plan.spec.keep_layers > 0) {
    return fail(ErrorCode::kUsage, "--keep-layers cuts off the layers that --mtp adds; leave one of them out");
  }
  return {};
}

// Needs the shape: the depth may be what --size has chosen.
Status check_depths(const GeneratorPlan& plan) {
  for (const auto& [flag, value] :
       {std::pair{"--quiet-after", plan.spec.quiet_after}, std::pair{"--keep-layers", plan.spec.keep_layers}}) {
    if (value < 0 || value > plan.shape.layers) {
      return fail(ErrorCode::kUsage, "{} {} is out of range; the whole model has {} layers, give a number up to that",
                  flag, value, plan.shape.layers);
    }
  }
  const int64_t layers = plan.spec.keep_layers > 0 ? plan.spec.keep_layers : plan.shape.layers;
  if (plan.choice.arch == Arch::kQwen3Next && layers < kFullAttentionInterval) {
    return fail(ErrorCode::kUsage,
                "--arch qwen3next has its first layer with attention as the {}th: give as many layers",
                kFullAttentionInterval);
  }
  return {};
}

}  // namespace

uint64_t TensorPlan::values() const {
  uint64_t product = 1;
  for (const int64_t dim : dims) {
    product *= static_cast<uint64_t>(dim);
  }
  return product;
}

uint64_t TensorPlan::bytes() const {
  return rows() * ggml_row_size(type, dims[0]);
}

uint64_t GeneratorPlan::tensor_bytes() const {
  uint64_t sum = 0;
  for (const TensorPlan& tensor : tensors) {
    sum += round_up(tensor.bytes(), kTensorAlignment);
  }
  return sum;
}

uint64_t GeneratorPlan::parameters() const {
  uint64_t sum = 0;
  for (const TensorPlan& tensor : tensors) {
    sum += tensor.values();
  }
  return sum;
}

int64_t leading_dense_layers(const GeneratorPlan& plan) {
  const Arch arch = plan.choice.arch;
  const bool has = arch == Arch::kFused || arch == Arch::kDeepSeek2 || arch == Arch::kGlm4Moe;
  return has && plan.shape.layers > 1 && plan.spec.mtp == 0 ? 1 : 0;
}

std::string_view gguf_arch(Arch arch) {
  switch (arch) {
    case Arch::kDense:
    case Arch::kMixtral:
      return "llama";
    case Arch::kQwen3Moe:
      return "qwen3moe";
    case Arch::kQwen2Moe:
      return "qwen2moe";
    case Arch::kGptOss:
      return "gpt-oss";
    case Arch::kFused:
      return "hy_v3";
    case Arch::kGemma4:
      return "gemma4";
    case Arch::kDeepSeek2:
      return "deepseek2";
    case Arch::kGlm4Moe:
      return "glm4moe";
    case Arch::kQwen3Next:
      return "qwen3next";
  }
  return "llama";
}

Result<GeneratorPlan> plan_model(const ModelSpec& spec, const Vocab& vocab) {
  auto choice = parse_choice(spec);
  if (!choice) {
    return propagate(choice.error());
  }
  GeneratorPlan plan{.spec = spec, .choice = *choice, .shape = {}, .layers = 0, .tensors = {}, .whole = {}};
  if (auto status = choose_shape(plan, vocab); !status) {
    return propagate(status.error());
  }
  if (auto status = check_depths(plan); !status) {
    return propagate(status.error());
  }
  if (auto status = check_mtp(plan); !status) {
    return propagate(status.error());
  }
  plan.layers = spec.keep_layers > 0 ? spec.keep_layers : plan.shape.layers;
  plan.whole = plan_tensors(plan, vocab);
  std::copy_if(plan.whole.begin(), plan.whole.end(), std::back_inserter(plan.tensors),
               [&](const TensorPlan& tensor) { return tensor.layer < plan.layers + spec.mtp; });
  if (spec.split > static_cast<int64_t>(plan.tensors.size())) {
    return fail(ErrorCode::kUsage, "--split {} asks for more parts than the model's {} tensors", spec.split,
                plan.tensors.size());
  }
  return plan;
}

}  // namespace hypura
