#include "cli/inspect/text.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <utility>

#include "cli/inspect/fake_plan_for_test.h"
#include "make_model/make_model.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(InspectText, SaysWhatTheModelIsAndHowItWouldRun) {
  const Model model = small_moe(6);
  const Plan plan = small_plan(model, 0.37);
  const std::string text = inspect_text({.model = model, .plan = &plan}, {});
  EXPECT_THAT(text,
              AllOf(HasSubstr("qwen3moe, 6 layers of 8 experts, 2 used by a token"), HasSubstr("of which a token uses"),
                    HasSubstr("q4_0 9"), HasSubstr("in 1 file"), HasSubstr("not measured")));
  EXPECT_THAT(text, AllOf(HasSubstr("Plan: expert-streaming"), HasSubstr("The experts do not fit."),
                          HasSubstr("3 of 8 experts a layer"), HasSubstr("save more than 0.3 % of the time")));
  EXPECT_THAT(text, AllOf(HasSubstr("  resident weights      2.0 MiB\n"), HasSubstr("experts 37%   .  3")));
  EXPECT_THAT(text, HasSubstr("  decode             7.50 tok/s  133 ms and 233.0 MiB from disk a token\n"
                              "  at the end         5.00 tok/s  with 4096 tokens in the context\n"
                              "  physical bound     10.0 tok/s  set by the disk; 75 % of it predicted\n"
                              "  experts found            61 %  in memory when asked for (prior)\n"
                              "  prompt of 512          17.0 s  30.1 tok/s\n"));
  EXPECT_THAT(text, HasSubstr("  1 GiB more RAM     8.25 tok/s  +10 %\n"
                              "  1 GB/s more disk   9.00 tok/s  +20 %\n"));
  EXPECT_THAT(text, HasSubstr("Warnings\n  - the cache is below one token's cycle\n"));
  EXPECT_THAT(text, AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr("Tensors"))));
}

TEST(InspectText, ShowsTheCalibrationOfEarlierRuns) {
  const Model model = small_moe(6);
  Plan plan = small_plan(model, 0.37);
  EXPECT_THAT(inspect_text({.model = model, .plan = &plan}, {}), Not(HasSubstr("earlier runs")));
  plan.prediction.calibration = 1.234;
  EXPECT_THAT(inspect_text({.model = model, .plan = &plan}, {}),
              HasSubstr("  earlier runs           1.23 x  the estimated time; included above\n"));
}

TEST(InspectText, TellsOfEachMachine) {
  const Model model = small_moe(6);
  Plan plan = small_plan(model, 0.37);
  EXPECT_THAT(inspect_text({.model = model, .plan = &plan}, {}), Not(HasSubstr("Machines")));
  add_workers(plan);
  EXPECT_THAT(
      inspect_text({.model = model, .plan = &plan}, {}),
      AllOf(HasSubstr(
                "Machines\n  this machine\n    computes 40 % of a token's experts; 4.00 tok/s alone; slots "
                "for 15 experts\n  box:1\n    computes 60 % of a token's experts, 50 % of them from memory; "
                "7.50 tok/s\n    with it, 4.00 tok/s without; slots for 20 experts in 4.0 MiB, 8 threads;\n    reads "
                "512.0 MiB/s, computes"),
            HasSubstr("  far:1\n    is not asked: it is too far; slots for 20 experts"),
            HasSubstr("  gone:1\n    is not there: Connection refused\n"),
            HasSubstr("  without workers    4.00 tok/s  this machine alone\n")));
}

TEST(InspectText, TheTableSumsUp) {
  const Model model = small_moe(6);
  Plan plan = small_plan(model, 0);
  const std::string text = inspect_text({.model = model, .plan = &plan}, {});
  EXPECT_THAT(text, HasSubstr("  role           tensors        size         RAM        disk  how\n"));
  EXPECT_THAT(text, HasSubstr("  routed expert        5   720.0 KiB           -   720.0 KiB  slots\n"));
  EXPECT_THAT(text,
              HasSubstr(fmt::format("  sum            {:>7} {:>11}", model.tensors.size(), format_bytes(model.bytes))));
  plan.tensors.front().device_share = std::exchange(plan.tensors.front().ram_share, 0);
  EXPECT_THAT(inspect_text({.model = model, .plan = &plan}, {}),
              HasSubstr("     device         RAM        disk  how\n"));
}

TEST(InspectText, FitsEightyColumns) {
  const Model model = small_moe(130);
  Plan plan = small_plan(model, 0.37);
  add_workers(plan);
  plan.why = std::string(40, 'x') + " " + std::string(60, 'y') + " and a good many more words until the line is full";
  std::istringstream lines(inspect_text({.model = model, .plan = &plan}, {}));
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 80) << line;
    EXPECT_FALSE(line.ends_with(' ')) << line;
  }
}

TEST(InspectText, ListsTensorsWhenAsked) {
  const Model model = small_moe(2);
  const Plan plan = small_plan(model, 0.375);
  const std::string text = inspect_text({.model = model, .plan = &plan}, {.tensors = true});
  EXPECT_THAT(text,
              HasSubstr("  blk.1.ffn_up_exps.weight   routed expert  q4_0     256 x 128 x 8   144.0 KiB  38 % RAM, "
                        "slots\n"));
  EXPECT_THAT(text, HasSubstr("  blk.0.attn_norm.weight     norm           f32                256     1.0 KiB  RAM, "
                              "pinned\n"));
}

TEST(InspectText, WithoutAPlanTheModelIsStillShown) {
  const Model model = small_moe(2);
  const Error error{ErrorCode::kBudget, "small cannot run in 1.0 MiB: the smallest budget is about 3.0 MiB:\n  1 MiB"};
  const std::string text = inspect_text({.model = model, .error = &error}, {});
  EXPECT_THAT(text, AllOf(HasSubstr("qwen3moe, 2 layers of 8 experts"), HasSubstr("No plan\n"),
                          HasSubstr("the smallest budget is about 3.0 MiB\n"), HasSubstr("routed expert"),
                          Not(HasSubstr("Predicted"))));
}

TEST(InspectText, ANameCannotMoveTheCursor) {
  Model model = small_moe(2);
  model.name = "evil\x1b[2J\nname";
  model.architecture = "a\x1b]0;t\x07";
  Plan plan = small_plan(model, 1);
  plan.sentence = model.name + " in 8 MiB";
  plan.warnings = {model.name};
  const std::string text = inspect_text({.model = model, .plan = &plan}, {});
  EXPECT_THAT(text, AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr("\x07")), HasSubstr("evil?[2J?name")));
}

TEST(InspectText, ColoursAreForTerminalsThatWantThem) {
  EXPECT_TRUE(wants_colour(true, nullptr, "xterm"));
  EXPECT_TRUE(wants_colour(true, "", nullptr));
  EXPECT_FALSE(wants_colour(true, "1", "xterm"));
  EXPECT_FALSE(wants_colour(true, nullptr, "dumb"));
  EXPECT_FALSE(wants_colour(false, nullptr, "xterm"));
  const Model model = small_moe(2);
  const Plan plan = small_plan(model, 1);
  EXPECT_THAT(inspect_text({.model = model, .plan = &plan}, {.colour = true}), HasSubstr("\x1b[1mMap\x1b[0m"));
}

TEST(InspectText, ASparseSplitModelIsReadByItsHeaders) {
  const TempDir dir;
  ModelSpec spec;
  spec.output = dir.path() / "huge.gguf";
  spec.arch = "qwen3moe";
  spec.layers = 70;
  spec.embedding = 4096;
  spec.experts = 128;
  spec.expert_ff = 1024;
  spec.split = 7;
  spec.sparse = true;
  const auto path = make_model(spec);
  ASSERT_TRUE(path) << path.error().message;
  const auto model = open_model(*path);
  ASSERT_TRUE(model) << model.error().message;
  const Plan plan = small_plan(*model, 0.05);
  const std::string text = inspect_text({.model = *model, .plan = &plan}, {.tensors = true});
  EXPECT_THAT(text, AllOf(HasSubstr("qwen3moe, 70 layers of 128 experts"), HasSubstr("in 7 files"),
                          HasSubstr("a column is 2 layers"), HasSubstr("blk.69.ffn_down_exps.weight")));
  EXPECT_GT(model->bytes, 50 * kGiB);
}

}  // namespace
}  // namespace hypura
