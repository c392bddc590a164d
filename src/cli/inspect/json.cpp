#include "cli/inspect/json.h"

#include <nlohmann/json.hpp>

#include "cli/inspect/figures.h"
#include "cli/inspect/tensor_list.h"

namespace hypura {

namespace {

using Json = nlohmann::ordered_json;

// What the plan could not tell is zero there.
Json number_or_null(double value) {
  return value > 0 ? Json(value) : Json(nullptr);
}

Json model_json(const Model& model) {
  Json json = {{"name", model.name},
               {"architecture", model.architecture},
               {"parameters", model.parameters},
               {"active_parameters", active_parameters(model)},
               {"bytes", model.bytes},
               {"layers", model.layers},
               {"experts", model.experts},
               {"experts_used", model.experts_used},
               {"embedding_length", model.embedding_length},
               {"context_length", model.context_length},
               {"vocabulary", model.vocabulary}};
  json["files"] = Json::array();
  for (const ModelFile& file : model.files) {
    json["files"].push_back({{"path", file.path.string()}, {"bytes", file.size}});
  }
  json["types"] = Json::array();
  for (const TypeShare& share : type_shares(model)) {
    json["types"].push_back(
        {{"type", share.type}, {"tensors", share.tensors}, {"parameters", share.parameters}, {"bytes", share.bytes}});
  }
  return json;
}

Json prediction_json(const Prediction& prediction) {
  const Json calibration = prediction.calibration ? Json(*prediction.calibration) : Json(nullptr);
  return {{"tokens_per_second", number_or_null(prediction.tokens_per_second)},
          {"tokens_per_second_with_full_context", number_or_null(prediction.full_context_tokens_per_second)},
          {"calibration_factor", calibration},
          {"pace_of_earlier_runs", calibration},  // its name until 0.1
          {"decode_seconds", number_or_null(prediction.decode_seconds)},
          {"disk_bytes_per_token", prediction.bytes_per_token},
          {"expert_hit_rate", prediction.hit_rate ? Json(*prediction.hit_rate) : Json(nullptr)},
          {"expert_hit_rate_source", prediction.hit_rate_source},
          {"prefill_512_seconds", number_or_null(prediction.prefill512_seconds)},
          {"prefill_4096_seconds", number_or_null(prediction.prefill4096_seconds)},
          {"load_seconds", number_or_null(prediction.load_seconds)},
          {"first_token_seconds", number_or_null(prediction.first_token_seconds)},
          {"bound_tokens_per_second", number_or_null(prediction.bound_tokens_per_second)},
          {"bound_by", to_string(prediction.bound_by)},
          {"share_of_bound", number_or_null(share_of_bound(prediction))},
          {"memory_peak", prediction.memory_peak}};
}

Json roles_json(const Plan& plan) {
  Json roles = Json::array();
  for (const RoleLine& line : role_lines(plan)) {
    roles.push_back({{"role", role_name(line.role)},
                     {"tensors", line.tensors},
                     {"bytes", line.bytes.total()},
                     {"device_bytes", line.bytes.device},
                     {"ram_bytes", line.bytes.ram},
                     {"disk_bytes", line.bytes.disk},
                     {"ways", line.ways}});
  }
  return roles;
}

Json shares_json(const std::vector<DeviceShare>& shares) {
  Json json = Json::array();
  for (const DeviceShare& share : shares) {
    json.push_back({{"name", share.name},
                    {"budget", share.budget},
                    {"bytes", share.bytes},
                    {"first_layer", share.first_layer},
                    {"layers", share.layers},
                    {"experts", share.experts}});
  }
  return json;
}

Json device_json(const DevicePlan& device, const Placement& placement) {
  return {{"name", device.name},
          {"devices", shares_json(device.shares)},
          {"description", device.description},
          {"budget", device.budget},
          {"weights", device.weights},
          {"experts", device.experts},
          {"layers", device.layers ? Json(*device.layers) : Json(nullptr)},
          {"layer_slots", placement.gpu ? placement.gpu->layer_slots : std::vector<uint32_t>()},
          {"stages_layers", device.stages},
          {"expert_hit_rate", device.hit_rate ? Json(*device.hit_rate) : Json(nullptr)},
          {"ram_hit_rate", device.ram_hit_rate ? Json(*device.ram_hit_rate) : Json(nullptr)},
          {"mixed_compute", device.mixed},
          {"uploaded_bytes_per_token", device.uploaded_bytes_per_token},
          {"compute_seconds", device.compute_seconds},
          {"cpu_seconds", device.cpu_seconds},
          {"upload_seconds", device.upload_seconds},
          {"cut_seconds", device.cut_seconds},
          {"disk_seconds", device.disk_seconds}};
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
                    {"threads", it.threads},
                    {"budget", it.budget},
                    {"measured", it.measured},
                    {"disk_bytes_per_second", number_or_null(it.disk_bytes_per_second)},
                    {"compute_factor", number_or_null(it.slower)},
                    {"round_trip_seconds_p50", number_or_null(it.round_trip_seconds)},
                    {"round_trip_seconds_p90", number_or_null(it.slow_round_trip_seconds)},
                    {"send_bytes_per_second", number_or_null(it.send_bytes_per_second)},
                    {"receive_bytes_per_second", number_or_null(it.receive_bytes_per_second)},
                    {"expert_share", it.share},
                    {"expert_hit_rate", it.asked ? Json(it.hit_rate) : Json(nullptr)},
                    {"tokens_per_second_with", number_or_null(it.with_tokens_per_second)},
                    {"tokens_per_second_without", number_or_null(it.without_tokens_per_second)}});
  }
  return json;
}

Json plan_json(const Plan& plan) {
  const Placement& placement = plan.placement;
  Json json = {{"mode", to_string(plan.mode())},
               {"sentence", plan.sentence},
               {"why", plan.why},
               {"budget", plan.budget},
               {"process_margin", plan.process_overhead},
               {"context", plan.context},
               {"ubatch", placement.ubatch},
               {"kv_type", to_string(placement.kv_type)},
               {"expert_slots", placement.experts.slots},
               {"experts_in_all_layers", placement.experts.all},
               {"layer_slots", placement.experts.layer_slots},
               {"pinned_bytes", plan.pinned_bytes},
               {"ring_bytes", placement.dense.ring_bytes},
               {"lp_gap", placement.bound ? Json(placement.gap()) : Json(nullptr)}};
  json["gpu"] = plan.device ? device_json(*plan.device, placement) : Json(nullptr);
  json["workers"] = workers_json(plan.workers);
  json["roles"] = roles_json(plan);
  json["ledger"] = Json::array();
  for (const LedgerLine& line : plan.ledger) {
    json["ledger"].push_back({{"purpose", to_string(line)}, {"bytes", line.bytes}, {"tier", to_string(line.tier)}});
  }
  json["predicted"] = prediction_json(plan.prediction);
  json["predicted"]["tokens_per_second_without_workers"] = number_or_null(plan.alone_tokens_per_second);
  json["predicted"]["tokens_per_second_with_1_gib_more_memory"] = number_or_null(plan.more_memory_tokens_per_second);
  json["predicted"]["tokens_per_second_with_1_gib_more_vram"] = number_or_null(plan.more_vram_tokens_per_second);
  const bool mixed = plan.device && plan.device->mixed;
  const double other_way = plan.mixed_other_way_tokens_per_second;
  const double this_way = other_way > 0 ? plan.prediction.tokens_per_second : 0;
  json["predicted"]["tokens_per_second_with_mixed_compute"] = number_or_null(mixed ? this_way : other_way);
  json["predicted"]["tokens_per_second_without_mixed_compute"] = number_or_null(mixed ? other_way : this_way);
  json["predicted"]["tokens_per_second_with_1_gb_per_second_more_disk"] =
      number_or_null(plan.more_disk_tokens_per_second);
  json["predicted"]["tokens_per_second_with_a_repacked_copy"] = number_or_null(plan.repacked_tokens_per_second);
  // Its name until 0.1.
  json["predicted"]["tokens_per_second_with_a_packed_copy"] = number_or_null(plan.repacked_tokens_per_second);
  json["predicted"]["prefill_512_seconds_with_a_repacked_copy"] = number_or_null(plan.repacked_prefill512_seconds);
  return json;
}

Json machine_json(const MachineProfile& machine) {
  return {{"cpu", machine.cpu_model},
          {"cores", machine.cores},
          {"threads", machine.threads},
          {"memory_allowed", machine.memory_allowed},
          {"disk_method", machine.storage.method},
          {"disk_scattered_bytes_per_second", machine.storage.scattered_bytes_per_second},
          {"disk_sequential_bytes_per_second", machine.storage.sequential_bytes_per_second},
          {"disk_sustained_bytes_per_second", number_or_null(machine.storage.sustained_bytes_per_second)},
          {"measured_at", machine.measured_at}};
}

Json tensor_json(const TensorLine& line) {
  const TensorInfo& tensor = *line.tensor;
  Json json = {{"name", tensor.name},
               {"role", role_name(tensor.role)},
               {"layer", tensor.layer >= 0 ? Json(tensor.layer) : Json(nullptr)},
               {"type", type_name(tensor.type)},
               {"shape", tensor.shape},
               {"bytes", tensor.extent.length},
               {"file", tensor.extent.file},
               {"offset", tensor.extent.offset}};
  if (line.placed != nullptr) {
    const TierBytes bytes = tier_bytes(*line.placed);
    json["way"] = to_string(line.placed->way);
    json["device_bytes"] = bytes.device;
    json["ram_bytes"] = bytes.ram;
    json["disk_bytes"] = bytes.disk;
  }
  return json;
}

}  // namespace

std::string inspect_json(const InspectView& view) {
  Json json;
  json["model"] = model_json(view.model);
  json["machine"] = view.machine != nullptr ? machine_json(*view.machine) : Json(nullptr);
  json["plan"] = view.plan != nullptr ? plan_json(*view.plan) : Json(nullptr);
  json["error"] = nullptr;
  if (view.error != nullptr) {
    json["error"] = {{"code", static_cast<int>(view.error->code)}, {"message", view.error->message}};
  }
  json["warnings"] = view.plan != nullptr ? view.plan->warnings : std::vector<std::string>();
  json["tensors"] = Json::array();
  for (const TensorLine& line : tensor_lines(view)) {
    json["tensors"].push_back(tensor_json(line));
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace hypura
