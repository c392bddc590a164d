#include "store/names/model_name.h"

#include <gtest/gtest.h>

#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

NameReading only(const std::string& text) {
  const auto name = read_model_name(text);
  EXPECT_TRUE(name.has_value()) << text << ": " << name.error().message;
  EXPECT_EQ(name->text, text);
  const auto reading = only_reading(*name);
  EXPECT_TRUE(reading.has_value()) << text;
  return *reading;
}

std::string refused(const std::string& text, FilesAs files = FilesAs::kNames) {
  const auto name = read_model_name(text, files);
  EXPECT_FALSE(name.has_value()) << text;
  EXPECT_TRUE(name || name.error().code == ErrorCode::kUsage) << text;
  return name ? "" : name.error().message;
}

TEST(ModelName, ReadsRepositoriesOnHuggingFace) {
  const NameReading plain = HuggingFaceName{"unsloth", "Qwen3-30B-A3B-GGUF", "Q4_K_M", "", ""};
  EXPECT_EQ(only("hf.co/unsloth/Qwen3-30B-A3B-GGUF:Q4_K_M"), plain);
  EXPECT_EQ(only("huggingface.co/unsloth/Qwen3-30B-A3B-GGUF:Q4_K_M"), plain);
  EXPECT_EQ(only("unsloth/Qwen3-30B-A3B-GGUF:Q4_K_M"), plain);
  EXPECT_EQ(only("https://huggingface.co/unsloth/Qwen3-30B-A3B-GGUF:Q4_K_M"), plain);
  EXPECT_EQ(only("o/r:UD-q4_k_xl"), NameReading(HuggingFaceName{"o", "r", "UD-q4_k_xl", "", ""}));
  EXPECT_EQ(only("o/r-gguf"), NameReading(HuggingFaceName{"o", "r-gguf", "", "", ""}));
  EXPECT_EQ(only("https://huggingface.co/o/r/"), NameReading(HuggingFaceName{"o", "r", "", "", ""}));
}

TEST(ModelName, ReadsAddressesOfFilesInRepositories) {
  const NameReading file = HuggingFaceName{"o", "r", "", "main", "Q4/x.gguf"};
  EXPECT_EQ(only("https://huggingface.co/o/r/resolve/main/Q4/x.gguf?download=true"), file);
  EXPECT_EQ(only("https://hf.co/o/r/blob/main/Q4/x.gguf"), file);
  // What the repository's layout does not explain stays an address.
  EXPECT_EQ(only("https://huggingface.co/o/r/resolve/main/a%20b.gguf"),
            NameReading(AddressName{"https://huggingface.co/o/r/resolve/main/a%20b.gguf"}));
}

TEST(ModelName, ReadsNamesInRegistries) {
  const std::string registry(kOllamaRegistry);
  EXPECT_EQ(only("qwen3:30b"), NameReading(OllamaName{registry, "library", "qwen3", "30b"}));
  EXPECT_EQ(only("qwen2.5"), NameReading(OllamaName{registry, "library", "qwen2.5", "latest"}));
  EXPECT_EQ(only("user/model:tag"), NameReading(OllamaName{registry, "user", "model", "tag"}));
  EXPECT_EQ(only("ollama.com/user/model"), NameReading(OllamaName{registry, "user", "model", "latest"}));
  EXPECT_EQ(only("https://ollama.com/library/qwen3:30b"), only("qwen3:30b"));
  EXPECT_EQ(only("registry.ollama.ai/library/x:tag"), NameReading(OllamaName{registry, "library", "x", "tag"}));
  EXPECT_EQ(only("LOCALHOST.lan:5000/ns/model:tag"),
            NameReading(OllamaName{"localhost.lan:5000", "ns", "model", "tag"}));
}

TEST(ModelName, TellsWhatIsAmbiguous) {
  const auto name = read_model_name("user/model");
  ASSERT_TRUE(name.has_value());
  ASSERT_EQ(name->readings.size(), 2U);
  const auto reading = only_reading(*name);
  ASSERT_FALSE(reading.has_value());
  EXPECT_NE(reading.error().message.find("write hf.co/user/model or ollama.com/user/model:latest"), std::string::npos)
      << reading.error().message;
}

TEST(ModelName, AFileThatExistsWins) {
  const TempDir dir;
  const std::string file = dir.write("qwen3", "x").string();
  EXPECT_EQ(only(file), NameReading(FileName{file}));
  EXPECT_EQ(only("./nowhere"), NameReading(FileName{"./nowhere"}));
  EXPECT_EQ(only("o/nowhere.GGUF"), NameReading(FileName{"o/nowhere.GGUF"}));
  EXPECT_NE(refused("./nowhere", FilesAs::kErrors), "");
  // The file system is not asked for another machine.
  EXPECT_NE(refused(file, FilesAs::kErrors), "");
}

TEST(ModelName, ReadsAddresses) {
  for (const char* url : {"https://example.org/m.gguf", "http://127.0.0.1:8080/m.gguf?x=1", "http://[::1]/m.gguf"}) {
    EXPECT_EQ(only(url), NameReading(AddressName{url}));
  }
  EXPECT_NE(refused("http://example.org/m.gguf").find("https://"), std::string::npos);
  EXPECT_NE(refused("http://127.0.0.1.evil.example/m.gguf"), "");
  EXPECT_NE(refused("https://user:word@example.org/m.gguf"), "");
  EXPECT_NE(refused("https://example.org/m.zip").find("end in .gguf"), std::string::npos);
  EXPECT_NE(refused("https:///m.gguf"), "");
}

TEST(ModelName, RefusesWhatIsNoName) {
  for (const char* text : {"", "a b", "hf.co/o", "hf.co/o/r/x", "o/../r", "hf.co/../r", "o//r", "o/r:", "q:a:b", "-m",
                           "a/b/c/d", "a/b/c", "hf.co/o/r:Q4\n", "qwen3:..", "h:99999999/n/m:t"}) {
    EXPECT_NE(refused(text), "") << text;
  }
  EXPECT_NE(refused(std::string(5000, 'a')), "");
  EXPECT_NE(refused(std::string("a\0b", 3)), "");
}

TEST(ModelName, TheTextReadsAsTheSameAgain) {
  for (const char* text :
       {"hf.co/o/r:Q8_0", "hf.co/o/r", "qwen3:30b", "ollama.com/user/model:tag", "reg.example:5000/ns/model:tag",
        "https://huggingface.co/o/r/resolve/main/x.gguf", "https://example.org/m.gguf", "./x"}) {
    EXPECT_EQ(text_of(only(text)), text);
  }
}

TEST(ModelName, KnowsQuantizations) {
  for (const char* text : {"Q4_K_M", "q8_0", "IQ2_XXS", "TQ1_0", "bf16", "UD-Q4_K_XL", "MXFP4", "Q4"}) {
    EXPECT_TRUE(is_quantization(text)) << text;
  }
  for (const char* text : {"", "30b", "latest", "Q", "Qwen", "Q4_", "Q4K", "UD-", "a3b-q4_K_M"}) {
    EXPECT_FALSE(is_quantization(text)) << text;
  }
}

}  // namespace
}  // namespace hypura
