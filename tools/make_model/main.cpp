// hypura-make-model OUT.gguf --arch ... : the command line over make_model.
#include <fmt/format.h>
#include <ggml.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>

#include "make_model/make_model.h"
#include "make_model/writer.h"
#include "support/units.h"

namespace hypura {
namespace {

void add_options(CLI::App& app, ModelSpec& spec, std::string& size) {
  app.add_option("output", spec.output, "File to write")->required();
  app.add_option("--arch", spec.arch,
                 "dense, mixtral, qwen3moe, qwen2moe, gpt-oss, fused, gemma4, deepseek2, glm4moe or qwen3next")
      ->required();
  app.add_option("--type", spec.type, "Q4_0, Q8_0, Q2_K, Q4_K, Q6_K, F16, Q4_K_M or MXFP4_MOE")->capture_default_str();
  app.add_option("--down-type", spec.down_type, "Another type for ffn_down and ffn_down_exps");
  app.add_option("--size", size, "Approximate size, such as 6G; sets the number of layers");
  app.add_option("--layers", spec.layers, "Number of layers (4)");
  app.add_option("--embedding", spec.embedding, "Width of the hidden state");
  app.add_option("--heads", spec.heads, "Attention heads");
  app.add_option("--kv-heads", spec.kv_heads, "Key-value heads");
  app.add_option("--ff", spec.ff, "Width of dense feed-forward parts (qwen2moe: of the shared expert)");
  app.add_option("--experts", spec.experts, "Experts per layer");
  app.add_option("--experts-used", spec.experts_used, "Experts per token");
  app.add_option("--expert-ff", spec.expert_ff, "Width of an expert");
  app.add_option("--context", spec.context, "Context length the file states")->capture_default_str();
  app.add_option("--vocab", spec.vocab, "GGUF file whose tokenizer is copied");
  app.add_option("--vocab-tokens", spec.vocab_tokens, "Pad the vocabulary with unused tokens to N tokens");
  app.add_flag("--tied", spec.tied, "The token embeddings are the output matrix too");
  app.add_option("--per-layer", spec.per_layer, "gemma4: width of a layer's embeddings of a token")
      ->capture_default_str();
  app.add_option("--split", spec.split, "Number of files")->capture_default_str();
  app.add_option("--skew", spec.skew, "Zipf-like exponent of expert popularity; 1 is strong")->capture_default_str();
  app.add_option("--quiet-after", spec.quiet_after, "Layers after the first N add little to the hidden state");
  app.add_option("--mtp", spec.mtp, "fused: layers that predict further tokens; best with --quiet-after 1 (0)");
  app.add_option("--keep-layers", spec.keep_layers, "Write only the first N layers of the model");
  app.add_option("--seed", spec.seed, "Same seed, same file")->capture_default_str();
  app.add_flag("--sparse", spec.sparse, "Headers only; the data is a hole that reads as zeros");
}

// What the file holds: "52 layers", "52 layers (quiet after 2)", "the first 2 of 52 layers".
std::string describe_layers(const GeneratorPlan& plan) {
  const std::string layers = plan.layers < plan.shape.layers
                                 ? fmt::format("the first {} of {} layers", plan.layers, plan.shape.layers)
                                 : fmt::format("{} layers", plan.layers);
  const bool quiet = plan.spec.quiet_after > 0 && plan.spec.quiet_after < plan.layers;
  const std::string text = quiet ? fmt::format("{} (quiet after {})", layers, plan.spec.quiet_after) : layers;
  return plan.spec.mtp > 0 ? fmt::format("{}, {} for MTP", text, plan.spec.mtp) : text;
}

// Asks the tensors: what is kept may be a leading dense layer alone.
std::string describe_experts(const GeneratorPlan& plan) {
  const bool routed = std::any_of(plan.tensors.begin(), plan.tensors.end(),
                                  [](const TensorPlan& tensor) { return tensor.fill == Fill::kRouter; });
  return routed ? fmt::format("{} experts ({} used)", plan.shape.experts, plan.shape.experts_used) : "no experts";
}

// "PATH: 5.9 GiB, qwen3moe Q4_0, 24 layers, 64 experts (8 used), 9927.0 M parameters"
void print_summary(const WrittenModel& model) {
  const auto& [plan, parts] = model;
  uint64_t bytes = 0;
  for (const Part& part : parts) {
    bytes += part.bytes;
  }
  const std::string files = parts.size() > 1 ? fmt::format(" in {} files", parts.size()) : "";
  fmt::print("{}: {}{}, {} {}, {}, {}, {:.1f} M parameters\n", parts.front().path.string(), format_bytes(bytes), files,
             gguf_arch(plan.choice.arch), plan.spec.type, describe_layers(plan), describe_experts(plan),
             static_cast<double>(plan.parameters()) / 1e6);
}

int report(const Error& error) {
  fmt::print(stderr, "hypura-make-model: {}\n", error.message);
  return static_cast<int>(error.code);
}

}  // namespace
}  // namespace hypura

int main(int argc, char** argv) {
  CLI::App app("Writes a GGUF model with random weights, for tests and benchmarks.", "hypura-make-model");
  hypura::ModelSpec spec;
  std::string size;
  hypura::add_options(app, spec, size);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return hypura::report({hypura::ErrorCode::kUsage, error.what()});
  }
  if (!size.empty()) {
    auto bytes = hypura::parse_bytes(size);
    if (!bytes) {
      return hypura::report(bytes.error());
    }
    spec.size = *bytes;
  }
  // Its own messages about a bad vocabulary file would come on top of our sentence.
  ggml_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  const auto model = hypura::write_model(spec);
  if (!model) {
    return hypura::report(model.error());
  }
  hypura::print_summary(*model);
  return 0;
}
