// For tests: a model whose chat template is another.
#pragma once

#include <filesystem>
#include <string>

#include "ggml.h"
#include "gguf.h"

namespace hypura {

// Copies `model` to `path`, with `chat_template`; false when that fails. Without `weights` what is written has a
// tokenizer only.
inline bool write_with_template(const std::filesystem::path& model, const std::filesystem::path& path,
                                const std::string& chat_template, bool weights) {
  ggml_context* tensors = nullptr;
  gguf_context* from = gguf_init_from_file(model.c_str(), {!weights, &tensors});
  if (from == nullptr) {
    return false;
  }
  gguf_context* to = gguf_init_empty();
  gguf_set_kv(to, from);
  gguf_set_val_str(to, "tokenizer.chat_template", chat_template.c_str());
  for (int64_t i = 0; weights && i < gguf_get_n_tensors(from); ++i) {
    gguf_add_tensor(to, ggml_get_tensor(tensors, gguf_get_tensor_name(from, i)));
  }
  const bool written = gguf_write_to_file(to, path.c_str(), !weights);
  gguf_free(to);
  gguf_free(from);
  ggml_free(tensors);
  return written;
}

// As models have them that think before they answer: always, unless they are told not to.
inline const std::string kThinkingTemplate =
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}"
    "{%- if message.role == 'assistant' and message.reasoning_content %}"
    "{{- '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' }}{%- endif %}"
    "{{- message.content + '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    "{%- endif %}";

}  // namespace hypura
