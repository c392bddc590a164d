#include "cli/inspect/facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/inspect/fake_plan_for_test.h"
#include "cli/inspect/figures.h"
#include "cli/inspect/sentences.h"

namespace hypura {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Facts, ActiveParametersLeaveOutIdleExperts) {
  const Model model = small_moe(3);
  const int64_t expert_matrices = 2 * int64_t{256} * 128 * 8;
  EXPECT_EQ(active_parameters(model), model.parameters - expert_matrices * 6 / 8);
}

TEST(Facts, TypesComeByBytes) {
  const Model model = small_moe(3);
  const auto shares = type_shares(model);
  ASSERT_EQ(shares.size(), 2);
  EXPECT_EQ(shares[0].type, "q4_0");
  EXPECT_EQ(shares[1].type, "f32");
  EXPECT_EQ(shares[1].tensors, 5);
  EXPECT_EQ(shares[1].bytes, 4 * (3 * 256 + 2 * 256 * 8));
  EXPECT_EQ(shares[0].bytes + shares[1].bytes, model.bytes);
}

TEST(Facts, TiersAddUpToTheTensor) {
  PlacedTensor tensor;
  tensor.bytes = 1001;
  tensor.ram_share = 0.5;
  EXPECT_EQ(tier_bytes(tensor).total(), 1001);
  EXPECT_NEAR(static_cast<double>(tier_bytes(tensor).ram), 500.5, 0.5);
  tensor.device_share = 0.25;
  EXPECT_EQ(tier_bytes(tensor).total(), 1001);
  EXPECT_NEAR(static_cast<double>(tier_bytes(tensor).device), 250.25, 0.5);
  EXPECT_NEAR(static_cast<double>(tier_bytes(tensor).disk), 250.25, 1);
  tensor.device_share = 1;
  EXPECT_EQ(tier_bytes(tensor).ram, 0);
  tensor.device_share = 0;
  tensor.ram_share = 0;
  EXPECT_EQ(tier_bytes(tensor).disk, 1001);
  tensor.ram_share = 1.5;
  EXPECT_EQ(tier_bytes(tensor).ram, 1001);
}

TEST(Facts, PlacesAreWords) {
  PlacedTensor tensor;
  tensor.bytes = 1000;
  tensor.way = Way::kSlots;
  tensor.ram_share = 0.12;
  EXPECT_EQ(where_words(tensor), "12 % RAM, slots");
  tensor.ram_share = 0;
  EXPECT_EQ(where_words(tensor), "disk, slots");
  tensor.ram_share = 1;
  tensor.way = Way::kPinned;
  EXPECT_EQ(where_words(tensor), "RAM, pinned");
  tensor.device_share = 1;
  tensor.ram_share = 0;
  EXPECT_EQ(where_words(tensor), "device, pinned");
  tensor.way = Way::kSlots;
  tensor.device_share = 0.25;
  EXPECT_EQ(where_words(tensor), "25 % device, slots");
  tensor.ram_share = 0.5;
  EXPECT_EQ(where_words(tensor), "25 % device, 50 % RAM, slots");
}

TEST(Facts, RolesSumTensorsAndWays) {
  const Model model = small_moe(3);
  Plan plan = small_plan(model, 0.25);
  plan.tensors[2].way = Way::kRing;  // one of three attention matrices
  plan.tensors[2].ram_share = 0;
  uint64_t bytes = 0;
  for (const RoleLine& line : role_lines(plan)) {
    bytes += line.bytes.total();
    if (line.role == TensorRole::kAttention) {
      EXPECT_EQ(line.tensors, 3);
      EXPECT_THAT(line.ways, ElementsAre("ring", "pinned"));
      EXPECT_NEAR(line.bytes.kept(), 2.0 / 3, 1e-9);
    }
    if (line.role == TensorRole::kRoutedExpert) {
      EXPECT_NEAR(line.bytes.kept(), 0.25, 1e-4);
    }
  }
  EXPECT_EQ(bytes, model.bytes);
  EXPECT_EQ(role_lines(model).size(), role_lines(plan).size());
}

TEST(Facts, SlotsAreARange) {
  const Model model = small_moe(3);
  Plan plan = small_plan(model, 0.25);
  EXPECT_EQ(slot_words(plan, model), "3 of 8 experts a layer");
  plan.placement.experts.layer_slots[1] = 5;
  EXPECT_EQ(slot_words(plan, model), "3 to 5 of 8 experts a layer");
  plan.placement.experts.layer_slots.clear();
  EXPECT_EQ(slot_words(plan, model), "");
}

TEST(Figures, PromptsThatDoNotFitAreLeftOut) {
  const Model model = small_moe(2);
  Plan plan = small_plan(model, 0.25);
  const auto labels = [&plan] {
    std::vector<std::string> all;
    for (const Figure& figure : predictions(plan)) {
      all.push_back(figure.label);
    }
    return all;
  };
  EXPECT_THAT(labels(), testing::Contains("prompt of 4096"));
  plan.context = 2048;
  EXPECT_THAT(labels(), testing::Not(testing::Contains("prompt of 4096")));
  EXPECT_THAT(labels(), testing::Contains("prompt of 512"));
}

TEST(Figures, GainsAreRelativeToThePlan) {
  const Model model = small_moe(2);
  Plan plan = small_plan(model, 0.25);
  plan.more_memory_tokens_per_second = 7.5;
  const auto figures = improvements(plan);
  ASSERT_EQ(figures.size(), 2);
  EXPECT_EQ(figures[0].note, "no gain");
  EXPECT_EQ(figures[1].value, "9.00 tok/s");
  EXPECT_EQ(figures[1].note, "+20 %");
  plan.repacked_tokens_per_second = 15;
  ASSERT_EQ(improvements(plan).size(), 3);
  EXPECT_EQ(improvements(plan)[2].label, "a repacked copy");
  EXPECT_EQ(improvements(plan)[2].note, "+100 %");
  EXPECT_DOUBLE_EQ(share_of_bound(plan.prediction), 0.75);
}

TEST(Sentences, ABudgetErrorLosesItsTable) {
  EXPECT_EQ(first_line("the smallest budget is about 3.0 GiB:\n  1 GiB weights"),
            "the smallest budget is about 3.0 GiB");
}

TEST(Sentences, TheGapIsToldWhereThereIsOne) {
  const Model model = small_moe(2);
  Plan plan = small_plan(model, 0.25);
  EXPECT_THAT(plan_sentences(plan, model), testing::Contains(HasSubstr("save more than 0.3 % of the time")));
  plan.placement.bound = 1;
  EXPECT_THAT(plan_sentences(plan, model), testing::Contains(HasSubstr("could be faster")));
  plan.placement.bound.reset();
  EXPECT_THAT(plan_sentences(plan, model), testing::Not(testing::Contains(HasSubstr("linear program"))));
}

TEST(Sentences, AMachineNotMeasuredIsSaid) {
  EXPECT_THAT(machine_sentence(nullptr), HasSubstr("hypura profile"));
  MachineProfile machine;
  machine.cpu_model = "Some CPU";
  machine.cores = 1;
  machine.memory_allowed = 2 * kGiB;
  EXPECT_THAT(machine_sentence(&machine), HasSubstr("disk not measured"));
  machine.storage.points.push_back({});
  machine.storage.scattered_bytes_per_second = 2.1e9;
  machine.storage.method = "io_uring, direct";
  EXPECT_THAT(machine_sentence(&machine),
              testing::AllOf(HasSubstr("Some CPU, 1 core, 2.0 GiB"), HasSubstr("2.10 GB/s"), HasSubstr("io_uring")));
  EXPECT_THAT(machine_sentence(&machine), testing::Not(HasSubstr("sustained")));
  machine.storage.sustained_bytes_per_second = 1.6e9;
  EXPECT_THAT(machine_sentence(&machine), HasSubstr("1.60 GB/s sustained"));
}

}  // namespace
}  // namespace hypura
