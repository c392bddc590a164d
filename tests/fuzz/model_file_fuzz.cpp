// A model's file, up to its first token: the GGUF header, the vocabulary, the chat template, whatever they say.
//
// The first byte chooses: a header as it stands, given tensors of zeros behind it; or one of the small models of
// make_model/zero_model.h with changes that the other bytes tell, which gets past the checks of structure more often.
// What it must do is come back: with a token, or with an error.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "hypura/engine.h"
#include "hypura/plan.h"
#include "llama/llama_runtime.h"
#include "make_model/zero_model.h"
#include "support/log.h"
#include "support/units.h"

namespace hypura {
namespace {

// Takes values off the input's front; zeros when it is used up.
class Input {
 public:
  explicit Input(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  bool empty() const { return bytes_.empty(); }

  template <class T>
  T number() {
    T value{};
    const size_t count = std::min(sizeof(T), bytes_.size());
    std::memcpy(&value, bytes_.data(), count);
    bytes_ = bytes_.subspan(count);
    return value;
  }

  size_t below(size_t bound) { return bound == 0 ? 0 : number<uint16_t>() % bound; }

  std::string text(size_t most) {
    const size_t count = std::min(below(most + 1), bytes_.size());
    std::string text(reinterpret_cast<const char*>(bytes_.data()), count);
    bytes_ = bytes_.subspan(count);
    std::replace(text.begin(), text.end(), '\0', '0');  // ggml takes them as C strings
    return text;
  }

 private:
  std::span<const uint8_t> bytes_;
};

ZeroModel base_model(size_t which) {
  constexpr std::array kLikeLlama = {"llama", "qwen2", "llada", "mistral3", "olmo2"};
  switch (which % 8) {
    case 0:
      return zero_moe();
    case 1:
      return zero_mamba();
    case 2:
      return zero_t5(true);
    default:
      return llama_like(kLikeLlama[which % 8 - 3]);
  }
}

std::vector<std::string> keys_of(const gguf_context* file) {
  std::vector<std::string> keys;
  for (int64_t i = 0; i < gguf_get_n_kv(file); ++i) {
    keys.emplace_back(gguf_get_key(file, i));
  }
  return keys;
}

void set_texts(gguf_context* file, const char* key, const std::vector<std::string>& texts) {
  std::vector<const char*> pointers;
  for (const std::string& text : texts) {
    pointers.push_back(text.c_str());
  }
  gguf_set_arr_str(file, key, pointers.data(), pointers.size());
}

// Some of the tokens' texts become others.
void change_vocabulary(gguf_context* file, Input& input) {
  constexpr const char* kTokens = "tokenizer.ggml.tokens";
  const int64_t key = gguf_find_key(file, kTokens);
  if (key < 0 || gguf_get_kv_type(file, key) != GGUF_TYPE_ARRAY || gguf_get_arr_type(file, key) != GGUF_TYPE_STRING) {
    return;
  }
  std::vector<std::string> texts;
  for (size_t i = 0; i < gguf_get_arr_n(file, key); ++i) {
    texts.emplace_back(gguf_get_arr_str(file, key, i));
  }
  for (size_t changes = 1 + input.below(4); changes > 0 && !texts.empty(); --changes) {
    texts[input.below(texts.size())] = input.text(24);
  }
  if (input.below(4) == 0) {
    texts.resize(input.below(2 * ZeroModel::kWords), "x");
  }
  set_texts(file, kTokens, texts);
}

void change_array(gguf_context* file, const char* key, Input& input) {
  std::vector<int32_t> numbers(input.below(600));
  for (size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = i < 8 ? input.number<int32_t>() : numbers[i - 8];
  }
  constexpr std::array kTypes = {GGUF_TYPE_INT32, GGUF_TYPE_UINT32, GGUF_TYPE_FLOAT32};
  gguf_set_arr_data(file, key, kTypes[input.below(kTypes.size())], numbers.data(), numbers.size());
}

void change_key(gguf_context* file, const std::string& key, Input& input) {
  constexpr std::array<uint32_t, 8> kNumbers = {0, 1, 2, 3, 64, 1U << 16, INT32_MAX, UINT32_MAX};
  switch (input.below(8)) {
    case 0:
      gguf_remove_key(file, key.c_str());
      return;
    case 1:
      gguf_set_val_u32(file, key.c_str(), kNumbers[input.below(kNumbers.size())]);
      return;
    case 2:
      gguf_set_val_u32(file, key.c_str(), input.number<uint32_t>());
      return;
    case 3:
      gguf_set_val_f32(file, key.c_str(), input.number<float>());
      return;
    case 4:
      gguf_set_val_str(file, key.c_str(), input.text(64).c_str());
      return;
    case 5:
      gguf_set_val_bool(file, key.c_str(), input.below(2) == 0);
      return;
    case 6:
      change_array(file, key.c_str(), input);
      return;
    default:
      gguf_set_val_i32(file, key.c_str(), input.number<int32_t>());
  }
}

// Keys that models have and the small ones do not.
constexpr std::array kMoreKeys = {
    "rope.dimension_count", "rope.dimension_sections",     "rope.freq_base",
    "rope.scaling.type",    "rope.scaling.factor",         "attention.sliding_window",
    "attention.key_length", "attention.value_length",      "attention.causal",
    "attention.clamp_kqv",  "attention.max_alibi_bias",    "pooling_type",
    "nextn_predict_layers", "leading_dense_block_count",   "logit_scale",
    "expert_gating_func",   "attention.temperature_scale", "rope.scaling.original_context_length"};

void change_header(gguf_context* file, Input& input) {
  for (size_t changes = 1 + input.below(6); changes > 0; --changes) {
    const std::vector<std::string> keys = keys_of(file);
    const size_t what = input.below(8);
    if (what == 0) {
      change_vocabulary(file, input);
    } else if (what == 1) {
      gguf_set_val_str(file, "tokenizer.chat_template", input.text(2000).c_str());
    } else if (what == 2) {
      set_texts(file, "tokenizer.ggml.merges", {input.text(8), input.text(8)});
      gguf_set_val_str(file, "tokenizer.ggml.model", "gpt2");
      gguf_set_val_str(file, "tokenizer.ggml.pre", "default");
    } else if (what == 3) {
      const int64_t architecture = gguf_find_key(file, "general.architecture");
      const bool known = architecture >= 0 && gguf_get_kv_type(file, architecture) == GGUF_TYPE_STRING;
      const std::string prefix = known ? gguf_get_val_str(file, architecture) : "llama";
      change_key(file, prefix + "." + kMoreKeys[input.below(kMoreKeys.size())], input);
    } else if (!keys.empty()) {
      change_key(file, keys[input.below(keys.size())], input);
    }
  }
}

// The alignment is ggml's own affair when it writes: it does not take others.
std::string changed_model(Input input) {
  const ZeroModel model = base_model(input.number<uint8_t>());
  const uint8_t left_out = input.number<uint8_t>();  // 0 to 63: that tensor
  size_t tensor = 0;
  return model.bytes(
      [&](gguf_context* file) {
        change_header(file, input);
        gguf_remove_key(file, "general.alignment");
      },
      [&](const std::string&) { return tensor++ != left_out; });
}

// What the header says of tensors beyond its end is zeros.
std::string header_alone(std::span<const uint8_t> bytes) {
  std::string file(bytes.begin(), bytes.end());
  return file.append(kMiB, '\0');
}

// A file without a name.
class MemoryFile {
 public:
  explicit MemoryFile(const std::string& bytes) : fd_(::memfd_create("model", MFD_CLOEXEC)) {
    if (fd_ < 0 || ::write(fd_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
      std::abort();
    }
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

void run(const std::string& path) {
  EngineOptions options;
  options.model = path;
  options.context = 64;
  options.threads = 1;
  options.memory = 64 * kMiB;
  options.run_history = false;
  options.direct_io = false;
  static_cast<void>(plan_model(options, nullptr));
  const auto engine = Engine::open(options);
  if (!engine) {
    return;
  }
  auto session = (*engine)->new_session();
  GenerateOptions generate;
  generate.max_tokens = 2;
  generate.sampling.temperature = 0;
  static_cast<void>((*session)->complete("a b\n1", generate));
  static_cast<void>((*session)->chat({{"system", "b"}, {"user", "a"}}, generate));
}

}  // namespace
}  // namespace hypura

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  hypura::logger().set_level(spdlog::level::off);
  return hypura::init_llama() ? 0 : 1;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) {
    return 0;
  }
  const std::span<const uint8_t> rest(data + 1, size - 1);
  const bool as_it_stands = data[0] % 8 == 0;
  const hypura::MemoryFile file(as_it_stands ? hypura::header_alone(rest) : hypura::changed_model(hypura::Input(rest)));
  hypura::run(file.path());
  return 0;
}
