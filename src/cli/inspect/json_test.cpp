#include "cli/inspect/json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/inspect/fake_plan_for_test.h"

namespace hypura {
namespace {

TEST(InspectJson, HoldsModelPlanAndTensors) {
  const Model model = small_moe(3);
  const Plan plan = small_plan(model, 0.25);
  const auto json = nlohmann::json::parse(inspect_json({.model = model, .plan = &plan}));
  EXPECT_EQ(json["model"]["parameters"], model.parameters);
  EXPECT_LT(json["model"]["active_parameters"], model.parameters);
  EXPECT_EQ(json["model"]["files"][0]["path"], "models/small.gguf");
  EXPECT_EQ(json["model"]["types"][0]["type"], "q4_0");
  EXPECT_EQ(json["plan"]["mode"], "expert-streaming");
  EXPECT_EQ(json["plan"]["layer_slots"], (std::vector<int>{3, 3}));
  EXPECT_EQ(json["plan"]["ledger"][1]["purpose"], "expert slots");
  EXPECT_DOUBLE_EQ(json["plan"]["predicted"]["tokens_per_second"].get<double>(), 7.5);
  EXPECT_DOUBLE_EQ(json["plan"]["predicted"]["tokens_per_second_with_full_context"].get<double>(), 5);
  EXPECT_TRUE(json["plan"]["predicted"]["calibration_factor"].is_null());
  EXPECT_TRUE(json["plan"]["predicted"]["pace_of_earlier_runs"].is_null());
  EXPECT_DOUBLE_EQ(json["plan"]["predicted"]["share_of_bound"].get<double>(), 0.75);
  EXPECT_EQ(json["plan"]["predicted"]["bound_by"], "disk");
  EXPECT_DOUBLE_EQ(json["plan"]["predicted"]["tokens_per_second_with_1_gib_more_memory"].get<double>(), 8.25);
  EXPECT_EQ(json["plan"]["ledger"][1]["tier"], "RAM");
  EXPECT_TRUE(json["plan"]["gpu"].is_null());
  EXPECT_TRUE(json["machine"].is_null());
  EXPECT_TRUE(json["error"].is_null());
  EXPECT_EQ(json["warnings"].size(), 1);
  ASSERT_EQ(json["tensors"].size(), model.tensors.size());
  uint64_t bytes = 0;
  for (const auto& tensor : json["tensors"]) {
    bytes += tensor["ram_bytes"].get<uint64_t>() + tensor["disk_bytes"].get<uint64_t>();
  }
  EXPECT_EQ(bytes, model.bytes);
  EXPECT_TRUE(json["tensors"][0]["layer"].is_null());
  EXPECT_EQ(json["tensors"][1]["layer"], 0);
}

TEST(InspectJson, TellsOfTheGpu) {
  const Model model = small_moe(3);
  Plan plan = small_plan(model, 0.25);
  plan.placement.gpu.emplace().layer_slots = {4, 5};
  DevicePlan& device = plan.device.emplace();
  device.name = "CUDA0";
  device.budget = 4096;
  device.hit_rate = 0.5;
  plan.ledger.push_back({Purpose::kKvCache, 512, "", Tier::kDevice});
  plan.prediction.bound_by = Limit::kUpload;
  const auto json = nlohmann::json::parse(inspect_json({.model = model, .plan = &plan}));
  EXPECT_EQ(json["plan"]["gpu"]["name"], "CUDA0");
  EXPECT_EQ(json["plan"]["gpu"]["budget"], 4096);
  EXPECT_EQ(json["plan"]["gpu"]["layer_slots"], (std::vector<int>{4, 5}));
  EXPECT_DOUBLE_EQ(json["plan"]["gpu"]["expert_hit_rate"].get<double>(), 0.5);
  EXPECT_TRUE(json["plan"]["gpu"]["ram_hit_rate"].is_null());
  EXPECT_TRUE(json["plan"]["gpu"]["layers"].is_null()) << "it has all";
  EXPECT_TRUE(json["plan"]["gpu"]["devices"].empty()) << "it is alone";
  EXPECT_EQ(json["plan"]["ledger"].back()["tier"], "device");
  EXPECT_EQ(json["plan"]["ledger"].back()["purpose"], "KV cache on the GPU");
  EXPECT_EQ(json["plan"]["predicted"]["bound_by"], "upload");
  plan.device->shares = {{"CUDA0", 2048, 1000, 0, 1, 4}, {"CUDA1", 2048, 1500, 1, 2, 5}};
  const auto several = nlohmann::json::parse(inspect_json({.model = model, .plan = &plan}))["plan"]["gpu"]["devices"];
  ASSERT_EQ(several.size(), 2U);
  EXPECT_EQ(several[1]["name"], "CUDA1");
  EXPECT_EQ(several[1]["bytes"], 1500);
  EXPECT_EQ(several[1]["first_layer"], 1);
  plan.device->layers = 3;
  const auto divided = nlohmann::json::parse(inspect_json({.model = model, .plan = &plan}));
  EXPECT_EQ(divided["plan"]["gpu"]["layers"], 3);
}

TEST(InspectJson, TellsOfWorkers) {
  const Model model = small_moe(6);
  Plan plan = small_plan(model, 0.37);
  EXPECT_TRUE(nlohmann::json::parse(inspect_json({.model = model, .plan = &plan}))["plan"]["workers"].empty());
  add_workers(plan);
  const auto json = nlohmann::json::parse(inspect_json({.model = model, .plan = &plan}))["plan"];
  ASSERT_EQ(json["workers"].size(), 3U);
  const auto& good = json["workers"][0];
  EXPECT_EQ(good["name"], "box:1");
  EXPECT_EQ(good["asked"], true);
  EXPECT_TRUE(good["reason"].is_null());
  EXPECT_EQ(good["expert_share"], 0.6);
  EXPECT_EQ(good["round_trip_seconds_p90"], 0.0004);
  EXPECT_EQ(good["tokens_per_second_without"], 4);
  EXPECT_EQ(json["workers"][1]["reason"], "it is too far");
  EXPECT_TRUE(json["workers"][1]["expert_hit_rate"].is_null());
  EXPECT_EQ(json["workers"][2]["there"], false);
  EXPECT_TRUE(json["workers"][2]["tokens_per_second_with"].is_null());
  EXPECT_EQ(json["predicted"]["tokens_per_second_without_workers"], 4);
}

TEST(InspectJson, WhatIsNotKnownIsNull) {
  const Model model = small_moe(2);
  Plan plan = small_plan(model, 1);
  plan.prediction.hit_rate.reset();
  plan.prediction.bound_tokens_per_second = 0;
  plan.more_disk_tokens_per_second = 0;
  plan.placement.bound.reset();
  const auto json = nlohmann::json::parse(inspect_json({.model = model, .plan = &plan}));
  EXPECT_TRUE(json["plan"]["predicted"]["expert_hit_rate"].is_null());
  EXPECT_TRUE(json["plan"]["predicted"]["bound_tokens_per_second"].is_null());
  EXPECT_TRUE(json["plan"]["predicted"]["share_of_bound"].is_null());
  EXPECT_TRUE(json["plan"]["predicted"]["tokens_per_second_with_1_gb_per_second_more_disk"].is_null());
  EXPECT_TRUE(json["plan"]["lp_gap"].is_null());
}

TEST(InspectJson, AnErrorStandsInThePlansPlace) {
  Model model = small_moe(2);
  model.name = "bad \xff name";
  const Error error{ErrorCode::kBudget, "too small"};
  const auto json = nlohmann::json::parse(inspect_json({.model = model, .error = &error}));
  EXPECT_TRUE(json["plan"].is_null());
  EXPECT_EQ(json["error"]["code"], 4);
  EXPECT_EQ(json["error"]["message"], "too small");
  EXPECT_EQ(json["tensors"].size(), model.tensors.size());
  EXPECT_FALSE(json["tensors"][0].contains("way"));
}

}  // namespace
}  // namespace hypura
