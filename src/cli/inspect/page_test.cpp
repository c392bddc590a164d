#include "cli/inspect/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>

#include "cli/inspect/fake_plan_for_test.h"
#include "cli/inspect/page_file.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) {
    ++found;
  }
  return found;
}

TEST(InspectPage, IsOneWholeDocument) {
  const Model model = small_moe(6);
  const Plan plan = small_plan(model, 0.37);
  const std::string page = inspect_page({.model = model, .plan = &plan}, false);
  EXPECT_THAT(page, AllOf(testing::StartsWith("<!doctype html>"), testing::EndsWith("</html>\n"),
                          HasSubstr("<title>small · Hypura</title>"), HasSubstr("prefers-color-scheme: dark")));
  for (const char* element : {"div", "section", "table", "tr", "td", "span", "svg", "g", "p", "dl", "main"}) {
    const std::regex open(std::string("<") + element + "[ >]");
    const auto opened = std::distance(std::sregex_iterator(page.begin(), page.end(), open), std::sregex_iterator());
    EXPECT_EQ(static_cast<size_t>(opened), count(page, std::string("</") + element + ">")) << element;
  }
}

TEST(InspectPage, NeedsNoNetworkAndNoScript) {
  const Model model = small_moe(6);
  const Plan plan = small_plan(model, 0.37);
  const std::string page = inspect_page({.model = model, .plan = &plan}, true);
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  for (const char* part : {"http:", "https:", "src=", "href=", "<script", "url(", "@import"}) {
    EXPECT_THAT(page, Not(HasSubstr(part)));
  }
}

TEST(InspectPage, DrawsEveryCellOfTheMap) {
  const Model model = small_moe(6);
  const Plan plan = small_plan(model, 0.25);
  const std::string page = inspect_page({.model = model, .plan = &plan}, false);
  // Norms and attention in 6 layers, router and experts in 5, one dense layer, the embedding and the output.
  EXPECT_EQ(count(page, "<g><title>"), 6 + 6 + 5 + 5 + 1 + 2);
  EXPECT_EQ(count(page, "<rect class=\"disk\""), 5);
  EXPECT_THAT(page, HasSubstr("<title>layer 3: routed expert, 144.0 KiB, 25 % kept in memory</title>"));
  EXPECT_THAT(page, HasSubstr("height=\"14.00\""));  // a quarter of a tall row
}

TEST(InspectPage, FoldsHundredsOfLayers) {
  const Model model = small_moe(400);
  const Plan plan = small_plan(model, 0.25);
  EXPECT_THAT(inspect_page({.model = model, .plan = &plan}, false),
              HasSubstr("<title>layers 398 to 399: routed expert"));
}

TEST(InspectPage, ShowsFiguresLedgerAndWarnings) {
  const Model model = small_moe(6);
  const Plan plan = small_plan(model, 0.37);
  const std::string page = inspect_page({.model = model, .plan = &plan}, false);
  EXPECT_THAT(page, HasSubstr(R"(<div class="value">7.50 tok/s</div>)"));
  EXPECT_THAT(page, HasSubstr(R"(title="expert slots: 4.0 MiB" style="width:50.000%)"));
  EXPECT_THAT(page, HasSubstr("not needed <b>1.0 MiB</b>"));
  EXPECT_THAT(page, HasSubstr("the cache is below one token&#39;s cycle"));
  EXPECT_THAT(page, HasSubstr(R"(<div class="bar" style="width:75.00%">)"));
  EXPECT_THAT(page, Not(HasSubstr("<details>")));
}

TEST(InspectPage, EscapesWhatTheFileSays) {
  Model model = small_moe(2);
  const std::string evil = "</title><script>alert(\"1\")</script>'&";
  model.name = evil;
  model.architecture = evil;
  model.files.front().path = evil;
  model.tensors.front().name = evil;
  Plan plan = small_plan(model, 0.5);
  plan.sentence = plan.why = evil;
  plan.prediction.hit_rate_source = evil;
  plan.ledger.front().note = evil;
  plan.warnings = {evil};
  const Error error{ErrorCode::kBudget, evil};
  for (const std::string& page :
       {inspect_page({.model = model, .plan = &plan}, true), inspect_page({.model = model, .error = &error}, true)}) {
    EXPECT_THAT(page, AllOf(Not(HasSubstr("<script")), HasSubstr("&lt;script&gt;alert(&quot;1&quot;)")));
    EXPECT_EQ(count(page, "</title>"), 1 + count(page, "<g><title>"));
  }
}

TEST(InspectPage, WithoutAPlanSaysWhy) {
  const Model model = small_moe(2);
  const Error error{ErrorCode::kBudget, "the smallest budget is about 3.0 MiB:\n table"};
  EXPECT_THAT(inspect_page({.model = model, .error = &error}, false),
              AllOf(HasSubstr("<div class=\"callout bad\">the smallest budget is about 3.0 MiB</div>"),
                    HasSubstr("qwen3moe, 2 layers"), Not(HasSubstr("<svg"))));
}

TEST(PageFile, ReplacesAnEarlierPage) {
  const TempDir dir;
  const auto path = dir.path() / "plan.html";
  std::ofstream(path) << "an earlier, longer page";
  const auto status = write_page(path, "page", small_moe(1));
  ASSERT_TRUE(status) << status.error().message;
  std::string text;
  std::getline(std::ifstream(path), text);
  EXPECT_EQ(text, "page");
  EXPECT_FALSE(std::filesystem::exists(dir.path() / "plan.html.partial"));
}

TEST(PageFile, NeverOverwritesTheModel) {
  const TempDir dir;
  Model model = small_moe(1);
  model.files.front().path = dir.path() / "m.gguf";
  std::ofstream(model.files.front().path) << "weights";
  std::filesystem::create_symlink(dir.path() / "m.gguf", dir.path() / "link.html");
  for (const char* name : {"m.gguf", "link.html"}) {
    const auto status = write_page(dir.path() / name, "page", model);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kUsage);
    EXPECT_THAT(status.error().message, HasSubstr("--html"));
  }
  EXPECT_EQ(std::filesystem::file_size(dir.path() / "m.gguf"), 7);
}

TEST(PageFile, FailureNamesTheFile) {
  const TempDir dir;
  const auto status = write_page(dir.path() / "missing" / "plan.html", "page", small_moe(1));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_THAT(status.error().message, AllOf(HasSubstr("plan.html"), HasSubstr("No such file")));
  std::filesystem::create_directory(dir.path() / "folder");
  EXPECT_FALSE(write_page(dir.path() / "folder", "page", small_moe(1)));
  EXPECT_FALSE(std::filesystem::exists(dir.path() / "folder.partial"));
}

}  // namespace
}  // namespace hypura
