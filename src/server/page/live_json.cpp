#include "server/page/live_json.h"

#include <chrono>

#include "generate/engine/counters.h"
#include "server/json/json.h"
#include "server/memory_json.h"

namespace hypura {

namespace {

using Seconds = std::chrono::duration<double>;

// Strings of a page are text, whatever bytes a model's file has.
Json models_json(const ModelHost& host) {
  Json models = Json::array();
  for (const ModelPtr& model : host.models()) {
    const ModelCard& card = model->card;
    models.push_back({{"name", model->name},
                      {"architecture", card.architecture},
                      {"parameter_size", card.parameter_size},
                      {"quantization", card.quantization},
                      {"bytes", card.bytes},
                      {"trained_context", card.trained_context},
                      {"tools", card.tools},
                      {"thinking", card.thinking},
                      {"embeddings", card.embeddings}});
  }
  return models;
}

Json loaded_json(const LoadedModel& loaded) {
  Json json = {{"model", loaded.model->name}, {"context", loaded.context}, {"expires_in", nullptr}};
  if (loaded.expires) {
    json["expires_in"] = Seconds(*loaded.expires - std::chrono::system_clock::now()).count();
  }
  return json;
}

Json workers_json(const std::vector<WorkerPlan>& workers) {
  Json json = Json::array();
  for (const WorkerPlan& it : workers) {
    json.push_back({{"name", it.name},
                    {"there", it.there},
                    {"asked", it.asked},
                    {"reason", it.reason.empty() ? Json(nullptr) : Json(it.reason)},
                    {"layers", it.layers},
                    {"expert_slots", it.slots},
                    {"expert_share", it.share},
                    {"tokens_per_second_with", it.with_tokens_per_second},
                    {"tokens_per_second_without", it.without_tokens_per_second}});
  }
  return json;
}

Json plan_json(const Plan& plan) {
  Json json = {{"mode", to_string(plan.mode())},
               {"sentence", plan.sentence},
               {"why", plan.why},
               {"budget", plan.budget},
               {"process_margin", plan.process_overhead},
               {"tokens_per_second", plan.prediction.tokens_per_second},
               {"bound_tokens_per_second", plan.prediction.bound_tokens_per_second},
               {"ubatch", plan.placement.ubatch},
               {"kv_type", to_string(plan.placement.kv_type)},
               {"warnings", plan.warnings}};
  json["gpu"] =
      plan.device
          ? Json{{"name", plan.device->name}, {"budget", plan.device->budget}, {"experts", plan.device->experts}}
          : Json(nullptr);
  json["workers"] = workers_json(plan.workers);
  json["ledger"] = Json::array();
  for (const LedgerLine& line : plan.ledger) {
    json["ledger"].push_back({{"purpose", to_string(line)}, {"bytes", line.bytes}, {"tier", to_string(line.tier)}});
  }
  json["layers"] = Json::array();
  for (const LayerShare& share : plan.layers) {
    json["layers"].push_back({{"layer", share.layer},
                              {"dense_bytes", share.dense_bytes},
                              {"dense_kept", share.dense_kept},
                              {"expert_bytes", share.expert_bytes},
                              {"expert_kept", share.expert_kept}});
  }
  return json;
}

Json stats_json(const GeneratorStats& stats) {
  Json json;
  for (const Counter<GeneratorStats>& counter : generator_counters()) {
    with_number(counter, stats, [&](auto number) { json[std::string(counter.name)] = number; });
  }
  for (const Counter<EngineStats>& counter : engine_counters()) {
    // The prompts of answers have that name here.
    const std::string name(counter.name == "prompt_tokens" ? "evaluated_tokens" : counter.name);
    with_number(counter, stats.engine, [&](auto number) { json[name] = number; });
  }
  json["workers"] = Json::array();
  for (const WorkerCounters& worker : stats.engine.workers) {
    Json& its = json["workers"].emplace_back(Json{{"name", worker.name}});
    for (const Counter<WorkerCounters>& counter : worker_counters()) {
      with_number(counter, worker, [&](auto number) { its[std::string(counter.name)] = number; });
    }
  }
  return json;
}

Json layers_json(const std::vector<LiveLayer>& layers) {
  Json json = Json::array();
  for (const LiveLayer& layer : layers) {
    json.push_back({{"layer", layer.layer}, {"resident", layer.resident}, {"used", layer.used}});
  }
  return json;
}

}  // namespace

std::string live_json(const ModelHost& host) {
  Json json = {{"version", HYPURA_VERSION},
               {"time", Seconds(std::chrono::steady_clock::now().time_since_epoch()).count()},
               {"models", models_json(host)},
               {"loaded", nullptr},
               {"plan", nullptr},
               {"memory", nullptr},
               {"stats", nullptr},
               {"layers", Json::array()}};
  // Two questions to the host, between which the model may go: either answer alone means that none is loaded.
  const std::shared_ptr<Generator> generator = host.current();
  const std::vector<LoadedModel> loaded = host.loaded();
  if (generator != nullptr && !loaded.empty()) {
    json["loaded"] = loaded_json(loaded.front());
    json["plan"] = plan_json(generator->plan());
    json["memory"] = memory_json(generator->memory());
    json["stats"] = stats_json(generator->stats());
    json["layers"] = layers_json(generator->live());
  }
  return dump_json(json);
}

}  // namespace hypura
