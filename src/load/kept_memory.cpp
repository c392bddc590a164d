#include "load/kept_memory.h"

#include <algorithm>
#include <utility>

#include "history/model_fingerprint.h"
#include "kv/kv_disk.h"
#include "llama/llama_runtime.h"
#include "load/open_model.h"
#include "machine/cpu.h"
#include "plan/kept_choice.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

// Where a model chooses by the length of its context how positions are turned, keys depend on it.
bool depends_on_context(const Model& model) {
  return std::ranges::any_of(model.tensors,
                             [](const TensorInfo& it) { return it.name.find("rope_factors") != std::string::npos; });
}

// Its files' times too: other weights may stand behind the same header.
std::string fingerprint_of(const Model& model) {
  std::string text = fmt::format("{:016x}", model_fingerprint(model));
  for (const ModelFile& it : model.files) {
    std::error_code unknown;
    text += fmt::format(" {}", std::filesystem::last_write_time(it.path, unknown).time_since_epoch().count());
  }
  return text;
}

KvIdentity identity_of(const OpenModel& model) {
  const Plan& plan = model.plan;
  KvIdentity identity;
  std::error_code unknown;
  const std::filesystem::path& file = model.file->files.front().path;
  const std::filesystem::path whole = std::filesystem::absolute(file, unknown);
  identity.model = (unknown ? file : whole).string();
  identity.fingerprint = fingerprint_of(*model.file);
  identity.build = fmt::format("Hypura {}, ggml {}", HYPURA_VERSION, ggml_build());
  identity.way = fmt::format("{}, {}, {}", model.conditions.way, to_string(plan.placement.kv_type), read_cpu().model);
  if (depends_on_context(*model.file)) {
    identity.way += fmt::format(", {} tokens of context", cells(*model.context));
  }
  return identity;
}

// The plan's sentence gets that too.
std::unique_ptr<KvDisk> open_disk(const EngineOptions& options, const KvIdentity& identity, Plan& plan) {
  if (options.kv_disk == 0) {
    return nullptr;
  }
  auto disk = kv_root().and_then([&](const std::filesystem::path& root) {
    const uint64_t most =
        options.kv_disk ? *options.kv_disk : default_kv_disk(root);  // which looks at all that is there
    return KvDisk::open(root, identity, most).map([&](std::unique_ptr<KvDisk> opened) {
      plan.kept_sentence += fmt::format("; and on disk, up to {} in {} (--kv-disk)", format_bytes(most), root.string());
      return opened;
    });
  });
  if (!disk) {
    plan.warnings.push_back(fmt::format("conversations are not kept on disk: {}", disk.error().message));
  }
  return disk ? std::move(*disk) : nullptr;
}

// By the plan's figures for 512 and 4096 tokens.
double prompt_seconds(const Prediction& prediction, uint32_t tokens) {
  constexpr double kFew = 512;
  constexpr double kMany = 4096;
  const double few = prediction.prefill512_seconds;
  const double each = (prediction.prefill4096_seconds - few) / (kMany - kFew);
  return tokens < kFew ? few * tokens / kFew : few + each * (tokens - kFew);
}

}  // namespace

KeptMemory reserve_kept_memory(OpenRequest& request, Budget& budget) {
  KeptMemory kept;
  if (!request.options.keep_kv) {
    return kept;
  }
  const KeptChoice choice = choose_kept(request);
  auto reserved = choice.most > 0
                      ? budget.reserve(Purpose::kKvStore, Tier::kRam, choice.all)
                      : fail(ErrorCode::kBudget, "the memory for that would cost the weights more than it saves");
  if (!reserved) {
    kept.left_out = fmt::format("conversations are not kept beyond the context: {}", reserved.error().message);
    return kept;
  }
  request.budget -= choice.all;
  request.spare_sequence = true;
  kept.most = choice.most;
  kept.reserved = std::move(*reserved);
  kept.sentence =
      fmt::format("conversations that leave the context are kept in memory, up to {}{}", format_bytes(choice.most),
                  choice.more_pays_not ? " (more would cost the weights there more than it saves)" : "");
  return kept;
}

std::unique_ptr<KeptKv> open_kept_kv(const EngineOptions& options, OpenModel& model, KvStates& states) {
  const KeptMemory& kept = model.kept_memory;
  model.plan.kept_sentence = kept.sentence;
  const KvIdentity identity = identity_of(model);
  const Prediction& prediction = model.plan.prediction;
  KeptKvSpeeds speeds;
  speeds.prompt_seconds = [prediction](uint32_t tokens) { return prompt_seconds(prediction, tokens); };
  speeds.disk_bytes_per_second = model.problem.dense_disk.bytes_per_second;
  auto store =
      std::make_unique<KvStore>(kv_key_of(identity.text()), kept.most, open_disk(options, identity, model.plan));
  return std::make_unique<KeptKv>(states, std::move(store), std::move(speeds));
}

}  // namespace hypura
