#include "store/catalogue/catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "store/catalogue/created.h"
#include "store/catalogue/fetched.h"
#include "store/catalogue/remove.h"
#include "store/catalogue/walk.h"
#include "support/environment_for_test.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string kBytes = "GGUF and more";
const std::string kModelLayer = "application/vnd.ollama.image.model";

// Stores of other programs, made by hand.
class CatalogueTest : public testing::Test {
 protected:
  CatalogueTest() {
    places_.hugging_face = {dir_.path() / "hub"};
    places_.ollama = {dir_.path() / "ollama"};
    places_.lm_studio = {dir_.path() / "lmstudio"};
    places_.data = dir_.path() / "data";
  }

  // A file in a snapshot, as a relative link to its blob.
  fs::path hugging_face(const std::string& repository, const std::string& commit, const std::string& name,
                        const std::string& bytes = kBytes) {
    const std::string folder = "hub/models--" + repository;
    const fs::path blob = dir_.write(folder + "/blobs/" + std::to_string(++blobs_), bytes);
    const fs::path path = dir_.path() / folder / "snapshots" / commit / name;
    fs::create_directories(path.parent_path());
    fs::create_symlink(fs::relative(blob, path.parent_path()), path);
    return path;
  }

  // A blob in Ollama's store, and the layer that names it.
  nlohmann::json layer(const std::string& type, const std::string& bytes) {
    const std::string hex = std::string(62, 'a') + std::to_string(10 + ++blobs_);
    dir_.write("ollama/blobs/sha256-" + hex, bytes);
    return {{"mediaType", type}, {"digest", "sha256:" + hex}, {"size", bytes.size()}};
  }

  void manifest(const std::string& path, const nlohmann::json& json) {
    dir_.write("ollama/manifests/" + path, json.dump());
  }

  const Catalogue& read() { return catalogue_ = read_catalogue(places_); }

  std::vector<std::string> names() {
    std::vector<std::string> names;
    for (const CatalogueEntry& entry : catalogue_.entries) {
      names.push_back(entry.name);
    }
    return names;
  }

  std::string found(const std::string& name) {
    const auto entry = find_in(catalogue_, name);
    return entry ? (*entry)->name : entry.error().message;
  }

  TempDir dir_;
  ModelPlaces places_;
  Catalogue catalogue_;
  int blobs_ = 0;
};

TEST_F(CatalogueTest, HuggingFacesCacheIsReadInPlace) {
  const fs::path whole = hugging_face("o--r-GGUF", "c2", "r-Q4_K_M.gguf");
  hugging_face("o--r-GGUF", "c2", "mmproj-F16.gguf");
  const fs::path first = hugging_face("o--r-GGUF", "c2", "Q8_0/r-Q8_0-00001-of-00002.gguf");
  hugging_face("o--r-GGUF", "c2", "Q8_0/r-Q8_0-00002-of-00002.gguf");
  hugging_face("o--r-GGUF", "c1", "r-Q2_K.gguf");    // in an older snapshot only
  hugging_face("o--r-GGUF", "c1", "r-Q4_K_M.gguf");  // in both: the one that main means
  dir_.write("hub/models--o--r-GGUF/refs/main", "c2");
  read();
  EXPECT_THAT(names(), ElementsAre("hf.co/o/r-GGUF:Q8_0", "hf.co/o/r-GGUF:Q2_K", "hf.co/o/r-GGUF:Q4_K_M"));
  EXPECT_TRUE(catalogue_.problems.empty());
  const CatalogueEntry& split = catalogue_.entries[0];
  // The links, beside which the other parts are looked for: the blobs they lead to have other names.
  ASSERT_EQ(split.files.size(), 2U);
  EXPECT_EQ(split.files[0], first);
  EXPECT_EQ(split.bytes, 2 * kBytes.size());
  EXPECT_TRUE(split.usable());
  EXPECT_FALSE(split.ours);
  EXPECT_EQ(catalogue_.entries[2].files[0], whole);

  EXPECT_EQ(found("hf.co/o/r-GGUF"), "hf.co/o/r-GGUF:Q4_K_M");
  EXPECT_EQ(found("O/R-gguf:q8_0"), "hf.co/o/r-GGUF:Q8_0");
  EXPECT_EQ(found("https://huggingface.co/o/r-GGUF/resolve/main/r-Q2_K.gguf"), "hf.co/o/r-GGUF:Q2_K");
  EXPECT_EQ(found("hf.co/o/r-GGUF:Q6_K"),
            "on this machine hf.co/o/r-GGUF has no Q6_K; it has Q8_0, Q2_K, Q4_K_M; `hypura pull hf.co/o/r-GGUF:Q6_K` "
            "fetches it");
  EXPECT_EQ(find_model_file(catalogue_, "o/r-GGUF:Q8_0").value(), first);
}

TEST_F(CatalogueTest, WhatCannotBeUsedSaysWhy) {
  hugging_face("o--base", "c1", "model.safetensors");
  hugging_face("o--parts", "c1", "m-00001-of-00003.gguf");
  hugging_face("o--text", "c1", "m.gguf", "<html>");
  fs::remove(dir_.path() / "hub/models--o--gone/blobs/x");
  fs::create_directories(dir_.path() / "hub/models--o--gone/snapshots/c1");
  fs::create_symlink("../../blobs/none", dir_.path() / "hub/models--o--gone/snapshots/c1/m.gguf");
  dir_.write("hub/models--o--config/snapshots/c1/config.json", "{}");
  dir_.write("hub/version.txt", "1");
  read();
  EXPECT_THAT(names(), ElementsAre("hf.co/o/base", "hf.co/o/parts", "hf.co/o/text"));
  EXPECT_THAT(found("o/base"), HasSubstr("safetensors only"));
  EXPECT_THAT(found("hf.co/o/parts"), HasSubstr("has 1 of 3 parts"));
  EXPECT_THAT(found("hf.co/o/text"), HasSubstr("no GGUF file"));
  ASSERT_EQ(catalogue_.problems.size(), 1U);
  EXPECT_THAT(catalogue_.problems[0], HasSubstr("leads to no file"));
}

TEST_F(CatalogueTest, OllamasStoreIsReadInPlace) {
  manifest("registry.ollama.ai/library/qwen3/30b",
           {{"layers",
             {layer(kModelLayer, kBytes), layer("application/vnd.ollama.image.system", "Be kind."),
              layer("application/vnd.ollama.image.params", R"({"temperature":0.5})"),
              layer("application/vnd.ollama.image.template", "{{ .Prompt }}")}}});
  manifest("hf.co/o/r-GGUF/Q4_K_M", {{"layers", {layer(kModelLayer, kBytes)}}});
  manifest("localhost:5000/ns/m/latest", {{"layers", {layer(kModelLayer, kBytes)}}});
  read();
  EXPECT_THAT(names(), ElementsAre("hf.co/o/r-GGUF:Q4_K_M", "localhost:5000/ns/m:latest", "qwen3:30b"));
  const CatalogueEntry& entry = catalogue_.entries[2];
  EXPECT_TRUE(entry.usable()) << entry.problem;
  EXPECT_EQ(entry.preset.system, "Be kind.");
  EXPECT_EQ(entry.preset.parameters, R"({"temperature":0.5})");
  EXPECT_EQ(entry.bytes, kBytes.size());
  EXPECT_EQ(found("QWEN3:30B"), "qwen3:30b");
  EXPECT_EQ(found("registry.ollama.ai/library/qwen3:30b"), "qwen3:30b");
  EXPECT_EQ(found("o/r-gguf:q4_k_m"), "hf.co/o/r-GGUF:Q4_K_M");
  EXPECT_EQ(found("localhost:5000/ns/m"), "localhost:5000/ns/m:latest");
  EXPECT_THAT(found("qwen3"), HasSubstr("`hypura pull qwen3`"));
}

TEST_F(CatalogueTest, OfAListOfManifestsTheOneWithAGgufIsTaken) {
  const nlohmann::json weights = {{"layers", {layer(kModelLayer, kBytes)}}};
  const std::string list = "application/vnd.ollama.manifest.list.v2+json";
  nlohmann::json inlined = weights;
  inlined["runner"] = "llamacpp";
  inlined["format"] = "gguf";
  const nlohmann::json tensors = {{"runner", "mlx"}, {"format", "safetensors"}, {"layers", nlohmann::json::array()}};
  manifest("registry.ollama.ai/library/a/latest", {{"mediaType", list}, {"manifests", {tensors, inlined}}});
  nlohmann::json reference = layer("application/vnd.docker.distribution.manifest.v2+json", weights.dump());
  reference["runner"] = "ollama";
  reference["format"] = "gguf";
  manifest("registry.ollama.ai/library/b/latest", {{"mediaType", list}, {"manifests", {tensors, reference}}});
  manifest("registry.ollama.ai/library/c/latest", {{"mediaType", list}, {"manifests", {tensors}}});
  nlohmann::json itself = layer(list, R"({"mediaType":"application/vnd.ollama.manifest.list.v2+json"})");
  itself["runner"] = "ollama";
  manifest("registry.ollama.ai/library/d/latest", {{"mediaType", list}, {"manifests", {itself}}});
  read();
  EXPECT_EQ(found("a"), "a:latest");
  EXPECT_EQ(found("b"), "b:latest");
  EXPECT_THAT(found("c"), HasSubstr("has no GGUF file; it has safetensors for mlx"));
  EXPECT_THAT(found("d"), HasSubstr("a list of manifests is in another one"));
}

TEST_F(CatalogueTest, DamagedManifestsAreTold) {
  const std::string library = "registry.ollama.ai/library/";
  dir_.write("ollama/manifests/" + library + "cut/latest", "{\"layers\":[");
  dir_.write("ollama/manifests/" + library + "deep/latest", std::string(100'000, '['));
  dir_.write("ollama/manifests/" + library + "huge/latest", std::string((4 << 20) + 1, ' '));
  manifest(library + "types/latest", {{"layers", {1, "x", {{"mediaType", 7}}}}, {"manifests", 3}});
  manifest(library + "out/latest",
           {{"layers", {{{"mediaType", kModelLayer}, {"digest", "sha256:../../../../etc/passwd"}}}}});
  manifest(library + "gone/latest",
           {{"layers", {{{"mediaType", kModelLayer}, {"digest", "sha256:" + std::string(64, 'f')}}}}});
  manifest(library + "adapter/latest",
           {{"layers", {layer(kModelLayer, kBytes), layer("application/vnd.ollama.image.adapter", "x")}}});
  manifest(library + "cloud/latest", {{"layers", nlohmann::json::array()}});
  manifest("short/path", {{"layers", nlohmann::json::array()}});
  read();
  EXPECT_EQ(catalogue_.entries.size(), 8U);
  for (const CatalogueEntry& entry : catalogue_.entries) {
    EXPECT_FALSE(entry.usable()) << entry.name;
  }
  EXPECT_THAT(found("out"), HasSubstr("names no SHA-256"));
  EXPECT_THAT(found("gone"), HasSubstr("is not there"));
  EXPECT_THAT(found("adapter"), HasSubstr("LoRA"));
  EXPECT_THAT(found("huge"), HasSubstr("the most is"));
  EXPECT_EQ(catalogue_.problems.size(), 1U);
}

TEST_F(CatalogueTest, LmStudioAndFoldersAreReadInPlace) {
  dir_.write("lmstudio/pub/model-GGUF/m-Q4_0.gguf", kBytes);
  dir_.write("lmstudio/pub/model-GGUF/mmproj-m.gguf", kBytes);
  dir_.write("lmstudio/pub/two/a.gguf", kBytes);
  dir_.write("lmstudio/pub/two/b.gguf", kBytes);
  dir_.write("lmstudio/pub/mlx/model.safetensors", "x");
  dir_.write("own/deep/My Model.gguf", kBytes);
  dir_.write("own/.hidden/x.gguf", kBytes);
  add_models_folder(places_, dir_.path() / "own");
  read();
  EXPECT_THAT(names(), ElementsAre("pub/model-GGUF:Q4_0", "pub/two:a", "pub/two:b", "pub/mlx", "deep/My Model"));
  EXPECT_EQ(found("pub/model-GGUF"), "pub/model-GGUF:Q4_0");
  EXPECT_EQ(found("pub/two:b"), "pub/two:b");
  EXPECT_EQ(found("deep/My Model"), "deep/My Model");
  EXPECT_THAT(found("my model"), HasSubstr("is not the name"));
}

TEST_F(CatalogueTest, CyclesPipesAndDevicesEndNothing) {
  dir_.write("own/a.gguf", kBytes);
  fs::create_directory_symlink("..", dir_.path() / "own/up");
  fs::create_directory_symlink(".", dir_.path() / "own/here");
  fs::create_symlink("loop.gguf", dir_.path() / "own/loop.gguf");
  ASSERT_EQ(::mkfifo((dir_.path() / "own/pipe.gguf").c_str(), 0600), 0);
  fs::create_symlink("/dev/zero", dir_.path() / "own/zero.gguf");
  places_.folders = {dir_.path() / "own", dir_.path() / "nowhere"};
  read();
  EXPECT_EQ(found("a"), "a");
  for (const char* name : {"loop", "pipe", "zero"}) {
    EXPECT_THAT(found(name), HasSubstr("is not there")) << name;
  }
  EXPECT_EQ(catalogue_.entries.size(), 4U);
}

TEST_F(CatalogueTest, AFolderThatIsAStoreIsReadAsOne) {
  dir_.write("moved/manifests/x", "");
  dir_.write("moved/blobs/x", "");
  dir_.write("cache/models--o--r/refs/main", "");
  add_models_folder(places_, dir_.path() / "moved");
  add_models_folder(places_, dir_.path() / "cache");
  EXPECT_EQ(places_.ollama.back(), dir_.path() / "moved");
  EXPECT_EQ(places_.hugging_face.back(), dir_.path() / "cache");
  EXPECT_TRUE(places_.folders.empty());
}

TEST_F(CatalogueTest, WhatIsAmbiguousIsTold) {
  hugging_face("user--model", "c1", "m-Q8_0.gguf");
  read();
  EXPECT_EQ(found("user/model"), "hf.co/user/model:Q8_0");
  manifest("registry.ollama.ai/user/model/latest", {{"layers", {layer(kModelLayer, kBytes)}}});
  read();
  EXPECT_THAT(found("user/model"), HasSubstr("write hf.co/user/model or ollama.com/user/model:latest"));
  EXPECT_EQ(found("ollama.com/user/model"), "ollama.com/user/model:latest");
}

TEST_F(CatalogueTest, AFileThatExistsWins) {
  dir_.write("own/a.gguf", kBytes);
  places_.folders = {dir_.path() / "own"};
  read();
  const fs::path other = dir_.write("else/a.gguf", kBytes);
  EXPECT_EQ(find_model_file(catalogue_, other.string()).value(), other);
  EXPECT_EQ(find_model_file(catalogue_, "a").value(), dir_.path() / "own/a.gguf");
  EXPECT_EQ(find_model_file(catalogue_, "./nowhere.gguf").value(), "./nowhere.gguf");  // opening says what is wrong
}

TEST_F(CatalogueTest, WhatHypuraFetchedIsOurs) {
  const fs::path link = hugging_face("o--r", "c1", "m-Q8_0.gguf");
  hugging_face("o--r", "c1", "m-Q4_0.gguf");
  ASSERT_TRUE(record_fetched(*places_.data, {"hf.co/o/r:Q8_0", {{link, fs::canonical(link)}}}).has_value());
  const fs::path web = dir_.write("data/web/x.gguf", kBytes);
  ASSERT_TRUE(record_fetched(*places_.data, {"https://example.org/x.gguf", {{web, web}}}).has_value());
  read();
  EXPECT_FALSE(find_in(catalogue_, "o/r:Q4_0").value()->ours);
  EXPECT_TRUE(find_in(catalogue_, "o/r:Q8_0").value()->ours);
  EXPECT_TRUE(find_in(catalogue_, "https://example.org/x.gguf").value()->ours);
  EXPECT_EQ(catalogue_.entries.size(), 3U);
}

TEST_F(CatalogueTest, APlaceIsTheSameByEveryWay) {
  const fs::path link = hugging_face("o--r", "c1", "m-Q8_0.gguf");
  ASSERT_TRUE(record_fetched(*places_.data, {"hf.co/o/r:Q8_0", {{link, fs::canonical(link)}}}).has_value());
  fs::create_directory_symlink(dir_.path() / "hub", dir_.path() / "other-way");
  places_.hugging_face = {dir_.path() / "other-way", dir_.path() / "hub"};
  read();
  ASSERT_THAT(names(), ElementsAre("hf.co/o/r:Q8_0"));
  EXPECT_TRUE(catalogue_.entries[0].ours);
  ASSERT_TRUE(remove_model(catalogue_, *places_.data, "o/r:Q8_0").has_value());
  EXPECT_FALSE(fs::exists(fs::symlink_status(link)));
}

TEST_F(CatalogueTest, OnlyWhatHypuraFetchedIsRemoved) {
  const fs::path link = hugging_face("o--r", "c1", "m-Q8_0.gguf");
  read();
  const auto refused = remove_model(catalogue_, *places_.data, "o/r:Q8_0");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
  EXPECT_THAT(refused.error().message, HasSubstr("was not fetched by Hypura: it lies in"));
  EXPECT_TRUE(fs::exists(link));
  EXPECT_THAT(remove_model(catalogue_, *places_.data, "none").error().message,
              HasSubstr("is no model on this machine"));
}

TEST_F(CatalogueTest, CreatedModelsFollowWhatTheyAreMadeFrom) {
  manifest("registry.ollama.ai/library/base/latest",
           {{"layers",
             {layer(kModelLayer, kBytes), layer("application/vnd.ollama.image.system", "Old."),
              layer("application/vnd.ollama.image.params", R"({"top_k":1,"seed":2})")}}});
  const ModelPreset preset{"New.", R"({"seed":3})", "", "{{ .Prompt }}\n"};
  ASSERT_TRUE(save_created(*places_.data, {"pirate:latest", "base:latest", "", preset, ""}).has_value());
  ASSERT_TRUE(save_created(*places_.data, {"orphan:latest", "none:latest", "/nowhere", {}, ""}).has_value());
  dir_.write("data/created/x.json", "[]");
  read();
  EXPECT_THAT(names(), ElementsAre("orphan:latest", "pirate:latest", "base:latest"));
  const CatalogueEntry* pirate = find_in(catalogue_, "Pirate").value();
  EXPECT_EQ(pirate->preset.system, "New.");
  EXPECT_EQ(pirate->preset.parameters, R"({"seed":3,"top_k":1})");
  EXPECT_EQ(pirate->preset.chat_template, "{{ .Prompt }}\n");
  EXPECT_EQ(pirate->files, catalogue_.entries[2].files);
  EXPECT_TRUE(pirate->ours);
  EXPECT_THAT(found("orphan"), HasSubstr("not on this machine any more"));
  EXPECT_EQ(catalogue_.problems.size(), 1U);
  ASSERT_TRUE(remove_created(*places_.data, "pirate:latest").has_value());
  read();
  EXPECT_THAT(found("pirate"), HasSubstr("is not on this machine"));
}

TEST(CreatedName, IsNoNameOfSomethingToFetch) {
  EXPECT_EQ(created_name("mario").value(), "mario:latest");
  EXPECT_EQ(created_name("me/mario:v2").value(), "me/mario:v2");
  for (const char* text : {"", "hf.co/o/r", "o/r-GGUF", "reg.example:5000/n/m", "https://example.org/x.gguf", "./x"}) {
    EXPECT_FALSE(created_name(text).has_value()) << text;
  }
}

TEST(ModelPlaces, AreThoseOfTheOtherPrograms) {
  EnvironmentVariable home("HOME", "/home/someone");
  EnvironmentVariable hub("HF_HUB_CACHE", nullptr);
  EnvironmentVariable old_hub("HUGGINGFACE_HUB_CACHE", nullptr);
  EnvironmentVariable hf("HF_HOME", nullptr);
  EnvironmentVariable caches("XDG_CACHE_HOME", nullptr);
  EnvironmentVariable data("XDG_DATA_HOME", nullptr);
  EnvironmentVariable ollama("OLLAMA_MODELS", nullptr);
  EnvironmentVariable llama("LLAMA_CACHE", nullptr);
  ModelPlaces places = places_from_environment();
  EXPECT_THAT(places.hugging_face, ElementsAre("/home/someone/.cache/huggingface/hub"));
  EXPECT_THAT(places.ollama, ElementsAre("/home/someone/.ollama/models", "/usr/share/ollama/.ollama/models"));
  EXPECT_THAT(places.lm_studio, ElementsAre("/home/someone/.lmstudio/models", "/home/someone/.cache/lm-studio/models"));
  EXPECT_THAT(places.folders, ElementsAre("/home/someone/.cache/llama.cpp"));
  hf.set("/hf");
  ollama.set("/ollama");
  places = places_from_environment();
  EXPECT_THAT(places.hugging_face, ElementsAre("/hf/hub"));
  EXPECT_THAT(places.ollama, ElementsAre("/ollama"));
  hub.set("/hub");
  EXPECT_THAT(places_from_environment().hugging_face, ElementsAre("/hub"));
}

TEST(FilesBelow, StopsAtADepth) {
  const TempDir dir;
  std::string deep;
  for (int i = 0; i <= kDeepestFolder + 1; ++i) {
    deep += "d/";
  }
  dir.write(deep + "x.gguf", "");
  dir.write("a.gguf", "");
  std::vector<std::string> problems;
  EXPECT_THAT(files_below(dir.path(), problems), ElementsAre("a.gguf"));
  EXPECT_EQ(problems.size(), 1U);
}

}  // namespace
}  // namespace hypura
