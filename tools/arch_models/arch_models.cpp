#include "arch_models/arch_models.h"

#include <charconv>
#include <cstring>

// Its functions have no other door: they are those of a program.
#define main upstream_main  // NOLINT(readability-identifier-naming)
#include "tests/test-llama-archs.cpp"
#undef main

#include "support/fail.h"

namespace hypura {

namespace {

constexpr uint32_t kExperts = 6;
constexpr uint32_t kExpertsUsed = 2;
constexpr size_t kSeed = 1;
constexpr float kDeviation = 0.1F;

// Upstream's own list, of what it saves to files. Of refact it loads experts and computes none.
bool is_made(llm_arch arch, bool experts) {
  for (const llm_arch other :
       {LLM_ARCH_UNKNOWN, LLM_ARCH_GEMMA4, LLM_ARCH_GEMMA4_ASSISTANT, LLM_ARCH_EAGLE3, LLM_ARCH_DFLASH}) {
    if (arch == other) {
      return false;
    }
  }
  if (experts && arch == LLM_ARCH_REFACT) {
    return false;
  }
  return (experts ? moe_implemented(arch) : !moe_mandatory(arch)) && llama_model_saver_supports_arch(arch) &&
         arch_supported(arch);
}

// Of what an architecture can do without, llama.cpp makes only what the header names. These do not compute without all
// of it: so in these layers.
struct Needed {
  llm_arch arch;
  std::vector<int> layers;
  std::vector<std::string> suffixes;
};

const std::vector<Needed>& needed() {
  static const std::vector<std::string> kLinear = {"attn_qkv.weight", "attn_gate.weight"};
  static const std::vector<std::string> kJoined = {"attn_qkv.weight"};
  static const std::vector<std::string> kBias = {"ssm_conv1d.bias"};
  static const std::vector<std::string> kIndexer = {"indexer.k_norm.weight", "indexer.k_norm.bias",
                                                    "indexer.proj.weight", "indexer.attn_k.weight",
                                                    "indexer.attn_q_b.weight"};
  static const std::vector<Needed> kAll = {
      {LLM_ARCH_QWEN3NEXT, {0}, kLinear},    {LLM_ARCH_QWEN35, {0}, kLinear},     {LLM_ARCH_QWEN35MOE, {0}, kLinear},
      {LLM_ARCH_QWEN4EXP, {0}, kLinear},     {LLM_ARCH_PHI3, {0, 1}, kJoined},    {LLM_ARCH_POCKETTTS, {0, 1}, kJoined},
      {LLM_ARCH_FALCON_H1, {0, 1}, kBias},   {LLM_ARCH_NEMOTRON_H, {1}, kBias},   {LLM_ARCH_NEMOTRON_H_MOE, {1}, kBias},
      {LLM_ARCH_GRANITE_HYBRID, {1}, kBias}, {LLM_ARCH_GLM_DSA, {0, 1}, kIndexer}};
  return kAll;
}

std::vector<std::string> needed_names(llm_arch arch) {
  std::vector<std::string> names;
  for (const Needed& it : needed()) {
    for (const int layer : it.layers) {
      for (const std::string& suffix : it.suffixes) {
        if (it.arch == arch) {
          names.push_back("blk." + std::to_string(layer) + "." + suffix);
        }
      }
    }
  }
  return names;
}

// The keys, and `count` tensors at least: these, and others that mean nothing. They have no shape here: it follows from
// the keys.
gguf_context_ptr with_tensors(const gguf_context* keys, const std::vector<std::string>& names, size_t count) {
  gguf_context_ptr result(gguf_init_empty());
  gguf_set_kv(result.get(), keys);
  ggml_tensor tensor{};
  tensor.type = GGML_TYPE_F32;
  std::fill(std::begin(tensor.ne), std::end(tensor.ne), 1);
  for (size_t i = 0; i < std::max(count, names.size()); ++i) {
    ggml_set_name(&tensor, i < names.size() ? names[i].c_str() : ("nothing." + std::to_string(i)).c_str());
    gguf_add_tensor(result.get(), &tensor);
  }
  return result;
}

// What llama.cpp logs as errors while this is there.
class Errors {
 public:
  Errors() {
    llama_log_get(&log_, &data_);
    llama_log_set(
        [](ggml_log_level level, const char* line, void* errors) {
          if (level == GGML_LOG_LEVEL_ERROR) {
            static_cast<Errors*>(errors)->text += line;
          }
        },
        this);
  }
  ~Errors() { llama_log_set(log_, data_); }
  Errors(const Errors&) = delete;
  Errors& operator=(const Errors&) = delete;

  std::string text;

 private:
  ggml_log_callback log_ = nullptr;
  void* data_ = nullptr;
};

llama_model_ptr made_of(gguf_context* header) {
  tensor_data_params data{kSeed, kDeviation};
  llama_model_params params = llama_model_default_params();
  ggml_backend_dev_t no_devices[] = {nullptr};
  params.devices = no_devices;
  return llama_model_ptr(llama_model_init_from_user(header, set_tensor_data, &data, params));
}

// llama.cpp's released libraries want the header to have as many tensors as the model will: "expected 8, got 20".
size_t tensors_wanted(const std::string& error) {
  constexpr std::string_view kBefore = ", got ";
  size_t count = 0;
  if (const size_t at = error.find(kBefore); at != std::string::npos) {
    std::from_chars(error.data() + at + kBefore.size(), error.data() + error.size(), count);
  }
  return count;
}

}  // namespace

std::vector<ArchModel> arch_models() {
  std::vector<ArchModel> models;
  for (const llm_arch arch : llm_arch_all()) {
    for (const bool experts : {false, true}) {
      if (is_made(arch, experts)) {
        models.push_back({llm_arch_name(arch), experts});
      }
    }
  }
  return models;
}

Status write_arch_model(const ArchModel& model, const std::filesystem::path& file) {
  Errors errors;
  const gguf_context_ptr keys = get_gguf_ctx(llm_arch_from_string(model.architecture), model.experts);
  if (model.experts) {
    gguf_set_val_u32(keys.get(), (model.architecture + ".expert_count").c_str(), kExperts);
    gguf_set_val_u32(keys.get(), (model.architecture + ".expert_used_count").c_str(), kExpertsUsed);
  }
  const std::vector<std::string> names = needed_names(llm_arch_from_string(model.architecture));
  llama_model_ptr made = made_of(with_tensors(keys.get(), names, 0).get());
  if (const size_t wanted = tensors_wanted(errors.text); made == nullptr && wanted > 0) {
    errors.text.clear();
    made = made_of(with_tensors(keys.get(), names, wanted).get());
  }
  if (made == nullptr) {
    return fail(ErrorCode::kInternal, "llama.cpp cannot make a model of {}: {}", model.architecture, errors.text);
  }
  llama_model_save_to_file(made.get(), file.c_str());
  return {};
}

}  // namespace hypura
