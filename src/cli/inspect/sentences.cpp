#include "cli/inspect/sentences.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/inspect/words.h"
#include "support/printable.h"
#include "support/units.h"

namespace hypura {

namespace {

std::string architecture_sentence(const Model& model) {
  std::string layers =
      fmt::format("{}, {}", printable(model.architecture), plural(static_cast<uint64_t>(model.layers), "layer"));
  if (model.experts == 0) {
    return layers;
  }
  return fmt::format("{} of {} experts, {} used by a token", layers, model.experts, model.experts_used);
}

std::string parameter_sentence(const Model& model) {
  const int64_t active = active_parameters(model);
  if (active == model.parameters) {
    return count_words(model.parameters);
  }
  return fmt::format("{}, of which a token uses {}", count_words(model.parameters), count_words(active));
}

// "540.1 GiB in 20 files; q4_0 96 %, f32 4 %; 4.50 bits a parameter"
std::string weight_sentence(const Model& model) {
  std::vector<std::string> types;
  for (const TypeShare& share : type_shares(model)) {
    types.push_back(fmt::format("{} {}", share.type,
                                percent_words(static_cast<double>(share.bytes) / static_cast<double>(model.bytes))));
  }
  const double bits = 8 * static_cast<double>(model.bytes) / static_cast<double>(model.parameters);
  return fmt::format("{} in {}; {}; {:.2f} bits a parameter", format_bytes(model.bytes),
                     plural(model.files.size(), "file"), fmt::join(types, ", "), bits);
}

std::string disk_words(const StorageProfile& storage) {
  if (storage.points.empty()) {
    return "disk not measured";
  }
  const std::string sustained =
      storage.sustained_bytes_per_second > 0
          ? fmt::format(", {} GB/s sustained", significant(storage.sustained_bytes_per_second / 1e9))
          : "";
  return fmt::format("disk {} GB/s scattered, {} GB/s in sequence{} ({})",
                     significant(storage.scattered_bytes_per_second / 1e9),
                     significant(storage.sequential_bytes_per_second / 1e9), sustained, printable(storage.method));
}

}  // namespace

std::vector<std::pair<std::string, std::string>> model_sentences(const Model& model) {
  std::vector<std::pair<std::string, std::string>> sentences;
  sentences.emplace_back("architecture", architecture_sentence(model));
  sentences.emplace_back("parameters", parameter_sentence(model));
  sentences.emplace_back("weights", weight_sentence(model));
  sentences.emplace_back(
      "context", fmt::format("trained for {} tokens, of a vocabulary of {}", model.context_length, model.vocabulary));
  sentences.emplace_back("file", model.files.empty() ? "" : printable(model.files.front().path.string()));
  return sentences;
}

std::string machine_sentence(const MachineProfile* machine) {
  if (machine == nullptr) {
    return "not measured; after `hypura profile` the predictions are for this machine";
  }
  return fmt::format("{}, {}, {} of memory; {}; measured {}", printable(machine->cpu_model),
                     plural(machine->cores, "core"), format_bytes(machine->memory_allowed),
                     disk_words(machine->storage), printable(machine->measured_at));
}

std::vector<std::string> plan_sentences(const Plan& plan, const Model& model) {
  std::vector<std::string> sentences;
  for (const std::string& sentence : {plan.sentence, plan.why}) {
    if (!sentence.empty()) {
      sentences.push_back(printable(sentence));
    }
  }
  sentences.push_back(fmt::format("Context of {} tokens, KV cache {}, prompts {} tokens at once.", plan.context,
                                  to_string(plan.placement.kv_type), plan.placement.ubatch));
  if (const std::string slots = slot_words(plan, model); !slots.empty()) {
    sentences.push_back(fmt::format("Between tokens {} stay in {}.", slots, plan.device ? "RAM" : "memory"));
  }
  if (plan.placement.bound) {
    const double gap = plan.placement.gap();
    const std::string gain =
        gap < 0.0005 ? "be faster" : fmt::format("save more than {} of the time", percent_words(gap));
    sentences.push_back(fmt::format("No other division of the memory could {} (linear program).", gain));
  }
  return sentences;
}

namespace {

// Of a worker: how far it is.
std::string way_words(const WorkerPlan& worker) {
  return fmt::format("{} away, {} in one of ten; carries {}/s there and {}/s back",
                     seconds_words(worker.round_trip_seconds), seconds_words(worker.slow_round_trip_seconds),
                     format_bytes(static_cast<uint64_t>(worker.send_bytes_per_second)),
                     format_bytes(static_cast<uint64_t>(worker.receive_bytes_per_second)));
}

// Of one with whole layers.
std::string layers_words(const WorkerPlan& worker) {
  const std::string without = worker.without_tokens_per_second > 0
                                  ? rate_words(worker.without_tokens_per_second) + " without"
                                  : "without it the model does not fit";
  return fmt::format("computes {}, keys and values included; {} with it, {}; {} for them, {}; {}",
                     plural(worker.layers, "layer"), rate_words(worker.with_tokens_per_second), without,
                     format_bytes(worker.budget), plural(worker.threads, "thread"), way_words(worker));
}

std::string worker_words(const WorkerPlan& worker, const char* what) {
  if (!worker.there) {
    return fmt::format("is not there: {}", printable(worker.reason));
  }
  if (worker.layers > 0) {
    return layers_words(worker);
  }
  std::string words = worker.asked ? fmt::format("computes {} of a token's {}s, {} of them from memory",
                                                 percent_words(worker.share), what, percent_words(worker.hit_rate))
                                   : fmt::format("is not asked: {}", printable(worker.reason));
  words += worker.asked ? fmt::format("; {} with it, {} without", rate_words(worker.with_tokens_per_second),
                                      rate_words(worker.without_tokens_per_second))
                        : "";
  words += fmt::format("; slots for {} in {}, {}; ", plural(worker.slots, what), format_bytes(worker.budget),
                       plural(worker.threads, "thread"));
  words += worker.measured ? fmt::format("reads {}/s, computes one in {} times what this machine takes",
                                         format_bytes(static_cast<uint64_t>(worker.disk_bytes_per_second)),
                                         significant(worker.slower))
                           : "its speed is not measured, and taken for this machine's: run `hypura profile` there";
  return words + "; " + way_words(worker);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> machine_sentences(const Plan& plan) {
  std::vector<std::pair<std::string, std::string>> sentences;
  if (plan.workers.empty()) {
    return sentences;
  }
  const bool whole = std::ranges::any_of(plan.workers, [](const WorkerPlan& it) { return it.layers > 0; });
  double here = 1;
  for (const WorkerPlan& it : plan.workers) {
    here -= it.share;
  }
  const std::string alone = plan.alone_tokens_per_second > 0 ? rate_words(plan.alone_tokens_per_second) + " alone"
                                                             : "has no room for the model alone";
  const bool experts = plan.placement.experts.streamed;
  const char* what = experts ? "expert" : "feed-forward part";
  sentences.emplace_back(
      "this machine", whole
                          ? "computes the other layers; " + alone
                          : fmt::format("computes {} of a token's {}s; {} alone{}", percent_words(std::max(here, 0.0)),
                                        what, rate_words(plan.alone_tokens_per_second),
                                        experts ? "; slots for " + plural(plan.placement.experts.slots, what) : ""));
  for (const WorkerPlan& it : plan.workers) {
    sentences.emplace_back(printable(it.name), worker_words(it, what));
  }
  return sentences;
}

std::vector<std::string> all_warnings(const InspectView& view) {
  std::vector<std::string> warnings;
  if (view.plan != nullptr) {
    std::transform(view.plan->warnings.begin(), view.plan->warnings.end(), std::back_inserter(warnings), printable);
  }
  return warnings;
}

std::string first_line(std::string_view message) {
  std::string line = printable(message.substr(0, message.find('\n')));
  if (line.ends_with(':')) {
    line.pop_back();
  }
  return line;
}

}  // namespace hypura
