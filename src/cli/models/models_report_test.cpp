#include "cli/models/models_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;
using testing::Not;

Catalogue two_and_a_broken_one() {
  Catalogue catalogue;
  CatalogueEntry& first = catalogue.entries.emplace_back();
  first.name = "hf.co/o/r:Q4_K_M";
  first.origin = ModelOrigin::kHuggingFace;
  first.place = "/hub";
  first.files = {"/hub/x.gguf"};
  first.bytes = 3 * kGiB;
  first.ours = true;
  CatalogueEntry& second = catalogue.entries.emplace_back();
  second.name = "qwen3:30b\x1b[31m";
  second.origin = ModelOrigin::kOllama;
  second.place = "/ollama";
  second.files = {"/ollama/blobs/sha256-0"};
  second.bytes = 512;
  second.preset = {"Be kind.", R"({"top_k":1})", "", "{{ .Prompt }}"};
  CatalogueEntry& third = catalogue.entries.emplace_back();
  third.name = "hf.co/o/base";
  third.origin = ModelOrigin::kHuggingFace;
  third.place = "/hub";
  third.problem = "has weights as safetensors only";
  catalogue.problems = {"/hub/y.gguf: leads to no file"};
  return catalogue;
}

TEST(ModelsReport, ColumnsAreAligned) {
  EXPECT_EQ(catalogue_text(two_and_a_broken_one()),
            "Model                Size  Where\n"
            "hf.co/o/r:Q4_K_M  3.0 GiB  fetched by Hypura, Hugging Face's cache /hub\n"
            "qwen3:30b?[31m      512 B  Ollama /ollama\n"
            "\n"
            "Not usable:\n"
            "  hf.co/o/base (Hugging Face's cache /hub): has weights as safetensors only\n"
            "\n"
            "Passed over:\n"
            "  /hub/y.gguf: leads to no file\n");
  EXPECT_THAT(catalogue_text({}), HasSubstr("No models found"));
}

TEST(ModelsReport, JsonHasAllOfIt) {
  const auto json = catalogue_to_json(two_and_a_broken_one());
  EXPECT_EQ(json["models"].size(), 3U);
  EXPECT_EQ(json["models"][0]["bytes"], 3 * kGiB);
  EXPECT_EQ(json["models"][0]["removable"], true);
  EXPECT_EQ(json["models"][1]["parameters"]["top_k"], 1);
  EXPECT_EQ(json["models"][1]["template"], "{{ .Prompt }}");
  EXPECT_EQ(json["models"][2]["usable"], false);
  EXPECT_EQ(json["models"][2]["problem"], "has weights as safetensors only");
  EXPECT_EQ(json["problems"][0], "/hub/y.gguf: leads to no file");
}

TEST(ModelsReport, OneModelIsShownInDetail) {
  const Catalogue catalogue = two_and_a_broken_one();
  ModelCard card;
  card.architecture = "qwen3moe";
  card.parameter_size = "30.5B";
  card.trained_context = 40960;
  const std::string text = entry_text(catalogue.entries[1], &card);
  EXPECT_THAT(text, HasSubstr("architecture     qwen3moe\n"));
  EXPECT_THAT(text, HasSubstr("file             /ollama/blobs/sha256-0\n"));
  EXPECT_THAT(text, HasSubstr("system           Be kind.\n"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_EQ(entry_to_json(catalogue.entries[1], &card)["parameter_count"], 0);
  EXPECT_THAT(entry_text(catalogue.entries[2], nullptr), HasSubstr("not usable       has weights"));
}

}  // namespace
}  // namespace hypura
