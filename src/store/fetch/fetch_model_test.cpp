#include "store/fetch/fetch_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "model/test_gguf.h"
#include "store/catalogue/fetched.h"
#include "store/fetch/fake_hub_for_test.h"
#include "store/fetch/part_file.h"
#include "store/fetch/remote_header.h"
#include "store/fetch/server_answers.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::string text_in(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

class FetchModelTest : public testing::Test {
 protected:
  void SetUp() override {
    settings_.hub_cache = folder_.path() / "hub";
    settings_.data = folder_.path() / "data";
    options_.download.retries.first_wait = std::chrono::milliseconds(1);
    options_.download.chunk = 4096;
  }

  RemoteAccess access() { return {*client_, settings_, {.most = 0}, {}}; }

  Result<RemoteModel> find(const std::string& text) {
    return read_model_name(text).and_then(only_reading).and_then([&](const NameReading& name) {
      return find_remote_model(access(), name);
    });
  }

  Result<fs::path> fetch(const std::string& text) {
    return find(text).and_then(
        [&](const RemoteModel& model) { return fetch_model(*client_, settings_, model, options_); });
  }

  std::vector<FetchedModel> records() {
    std::vector<std::string> problems;
    return fetched_models(settings_.data, problems);
  }

  TempDir folder_;
  FetchSettings settings_;
  FetchOptions options_;
  std::unique_ptr<WebClient> client_ = std::move(*WebClient::make());
  std::atomic<bool> stop_ = false;
};

std::map<std::string, std::string> repository_files() {
  return {{"README.md", "words"},
          {"preset.ini", "[server]\nrun = anything"},
          {"mmproj-F16.gguf", test_bytes(100, 9)},
          {"small-Q8_0.gguf", test_bytes(9000, 1)},
          {"small-Q4_K_M.gguf", test_bytes(10000, 2)},
          {"../small-Q4_K_M.gguf", test_bytes(200, 3)},
          {"BF16/small-BF16-00001-of-00002.gguf", test_bytes(7000, 4)},
          {"BF16/small-BF16-00002-of-00002.gguf", test_bytes(6000, 5)}};
}

TEST_F(FetchModelTest, ARepositoryGoesIntoHuggingFacesCache) {
  const FakeHub hub(repository_files());
  settings_.hub = hub.url();
  settings_.hub_token = "secret";
  const auto path = fetch("hf.co/org/repo");
  ASSERT_TRUE(path) << path.error().message;
  const fs::path repository = settings_.hub_cache / "models--org--repo";
  const std::string bytes = test_bytes(10000, 2);
  EXPECT_EQ(*path, repository / "snapshots" / FakeHub::kCommit / "small-Q4_K_M.gguf");
  EXPECT_EQ(fs::read_symlink(*path), fs::path("../../blobs") / sha256_of(bytes));
  EXPECT_EQ(text_in(*path), bytes);
  EXPECT_EQ(text_in(repository / "refs" / "main"), FakeHub::kCommit);
  EXPECT_TRUE(fs::exists(settings_.hub_cache / ".locks" / "models--org--repo" / (sha256_of(bytes) + ".lock")));
  std::vector<std::string> there;
  for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) {
    if (!entry.is_directory()) {
      there.push_back(entry.path().filename());
    }
  }
  EXPECT_THAT(there, SizeIs(5)) << "blob, link, main, lock and our record: " << testing::PrintToString(there);

  ASSERT_THAT(records(), SizeIs(1));
  EXPECT_EQ(records().front().name, "hf.co/org/repo:Q4_K_M");
  EXPECT_EQ(records().front().files.front().path, *path);
  EXPECT_EQ(records().front().files.front().blob, repository / "blobs" / sha256_of(bytes));
  for (const TestRequest& request : hub.elsewhere().requests()) {
    EXPECT_EQ(request.header("authorization"), "");
  }
  for (const TestRequest& request : hub.hub().requests()) {
    EXPECT_EQ(request.header("authorization"), "Bearer secret");
  }
  const size_t asked = hub.elsewhere().requests().size();
  EXPECT_EQ(fetch("hf.co/org/repo:q4_k_m").value(), *path);
  EXPECT_EQ(hub.elsewhere().requests().size(), asked);
}

TEST_F(FetchModelTest, SplitSetsComeWholeAndGoOnWhereTheyStopped) {
  const FakeHub hub(repository_files());
  settings_.hub = hub.url();
  options_.progress = [this](const FetchProgress& progress) {
    EXPECT_EQ(progress.size, 13000);
    stop_ = progress.bytes > 7000;
  };
  options_.download.keep_going = [this] { return !stop_; };
  options_.download.connections = 1;
  ASSERT_EQ(fetch("org/repo:BF16").error().code, ErrorCode::kCancelled);
  ASSERT_THAT(records(), SizeIs(1)) << "what is there can be removed";
  EXPECT_THAT(records().front().files, SizeIs(1));
  options_ = {};
  const auto model = find("org/repo:BF16");
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_LT(model->missing(), 6000);
  const auto path = fetch_model(*client_, settings_, *model, options_);
  ASSERT_TRUE(path) << path.error().message;
  EXPECT_EQ(text_in(*path), test_bytes(7000, 4));
  EXPECT_EQ(text_in(path->parent_path() / "small-BF16-00002-of-00002.gguf"), test_bytes(6000, 5));
  EXPECT_EQ(fs::read_symlink(*path), fs::path("../../../blobs") / sha256_of(test_bytes(7000, 4)));
  EXPECT_THAT(records().front().files, SizeIs(2));
  EXPECT_EQ(find("org/repo:BF16")->missing(), 0);
}

TEST_F(FetchModelTest, WhatAnotherProgramFetchedIsUsedButNotOurs) {
  const FakeHub hub(repository_files());
  settings_.hub = hub.url();
  const std::string bytes = test_bytes(9000, 1);
  folder_.write("hub/models--org--repo/blobs/" + sha256_of(bytes), bytes);
  const auto path = fetch("org/repo:Q8_0");
  ASSERT_TRUE(path) << path.error().message;
  EXPECT_EQ(text_in(*path), bytes);
  EXPECT_THAT(records(), IsEmpty());
  EXPECT_THAT(hub.elsewhere().requests(), IsEmpty());
}

TEST_F(FetchModelTest, WhatIsNotThereIsToldByName) {
  const FakeHub hub(repository_files());
  settings_.hub = hub.url();
  EXPECT_THAT(fetch("org/repo:Q2_K").error().message, HasSubstr("BF16, "));
  const auto other = fetch("hf.co/org/other");
  EXPECT_EQ(other.error().code, ErrorCode::kIo);
  EXPECT_THAT(other.error().message, HasSubstr("hf.co/org/other"));
  EXPECT_THAT(other.error().message, HasSubstr("HF_TOKEN"));
  EXPECT_THAT(other.error().message, HasSubstr("Repository not found"));
  settings_.offline = true;
  EXPECT_THAT(fetch("hf.co/org/repo").error().message, HasSubstr("HF_HUB_OFFLINE"));
  EXPECT_FALSE(fs::exists(settings_.hub_cache));
}

TEST_F(FetchModelTest, ADiskWithoutRoomForAllPartsIsToldBeforeTheFirst) {
  const FakeHub hub(repository_files());
  settings_.hub = hub.url();
  options_.download.keep_free = 0;
  options_.download.free_space = [](const fs::path&) -> Result<uint64_t> { return 12999; };
  EXPECT_THAT(fetch("org/repo:BF16").error().message, HasSubstr("are free"));
  EXPECT_THAT(hub.elsewhere().requests(), IsEmpty());
}

TEST_F(FetchModelTest, ARegistrysModelGoesIntoAStoreOfOllamasLayout) {
  FakeRegistry registry;
  const std::string bytes = test_bytes(20000, 6);
  const std::string manifest =
      FakeRegistry::manifest({registry.layer("model", bytes), registry.layer("template", "{{ .Prompt }}"),
                              registry.layer("projector", "eyes")});
  registry.add_manifest("7b", manifest);
  const std::string name = registry.host() + "/library/small:7b";
  const auto path = fetch(name);
  ASSERT_TRUE(path) << path.error().message;
  const fs::path store = settings_.data / "ollama";
  EXPECT_EQ(*path, store / "blobs" / ("sha256-" + sha256_of(bytes)));
  EXPECT_EQ(text_in(*path), bytes);
  EXPECT_EQ(text_in(store / "blobs" / ("sha256-" + sha256_of("{{ .Prompt }}"))), "{{ .Prompt }}");
  EXPECT_FALSE(fs::exists(store / "blobs" / ("sha256-" + sha256_of("eyes"))));
  EXPECT_EQ(text_in(store / "manifests" / registry.host() / "library/small/7b"), manifest);
  ASSERT_THAT(records(), SizeIs(1));
  EXPECT_EQ(records().front().name, name);
  EXPECT_THAT(records().front().files, SizeIs(3));
  EXPECT_THAT(fetch(registry.host() + "/library/small:8b").error().message, HasSubstr("it is not there"));
}

TEST_F(FetchModelTest, OfAListTheVariantWithAGgufFileIsTaken) {
  FakeRegistry registry;
  const auto add = [&](const nlohmann::json& layers) {
    const std::string text = FakeRegistry::manifest(layers);
    registry.add_manifest("sha256:" + sha256_of(text), text);
    return "sha256:" + sha256_of(text);
  };
  const std::string bytes = test_bytes(5000, 8);
  const std::string tensors = add(nlohmann::json::array({registry.layer("tensor", "safetensors")}));
  const std::string gguf = add(nlohmann::json::array({registry.layer("model", bytes)}));
  const nlohmann::json list = {{"manifests",
                                {{{"digest", tensors}, {"runner", "mlx"}, {"format", "safetensors"}},
                                 {{"digest", gguf}, {"runner", "ollama"}, {"format", "gguf"}}}}};
  registry.add_manifest("latest", list.dump());
  const auto path = fetch(registry.host() + "/library/small");
  ASSERT_TRUE(path) << path.error().message;
  EXPECT_EQ(text_in(*path), bytes);

  registry.add_manifest(gguf, FakeRegistry::manifest(nlohmann::json::array({registry.layer("model", "another")})));
  EXPECT_THAT(fetch(registry.host() + "/library/small").error().message, HasSubstr("not the one that was asked for"));
}

TEST_F(FetchModelTest, ManifestsAreNotTrusted) {
  FakeRegistry registry;
  nlohmann::json layer = registry.layer("model", "bytes");
  layer["digest"] = "sha256:../../../../etc/passwd";
  registry.add_manifest("latest", FakeRegistry::manifest(nlohmann::json::array({layer})));
  EXPECT_THAT(fetch(registry.host() + "/library/small").error().message, HasSubstr("without SHA-256"));
  registry.add_manifest("latest",
                        FakeRegistry::manifest({registry.layer("model", "bytes"), registry.layer("adapter", "more")}));
  EXPECT_THAT(fetch(registry.host() + "/library/small").error().message, HasSubstr("adapter"));
  registry.add_manifest("latest", "no JSON");
  EXPECT_EQ(fetch(registry.host() + "/library/small").error().code, ErrorCode::kBadModel);
}

TEST_F(FetchModelTest, AnAddressBringsItsOtherPartsToo) {
  const LoopbackServer server([](const TestRequest& request) {
    const bool first = request.target == "/dir/m-00001-of-00002.gguf?download=true";
    const bool second = request.target == "/dir/m-00002-of-00002.gguf?download=true";
    return first || second ? ranged(request, test_bytes(first ? 5000 : 6000), "\"e\"")
                           : TestAnswer{404, {}, "", {}, {}};
  });
  const auto path = fetch(server.url("/dir/m-00002-of-00002.gguf?download=true"));
  ASSERT_TRUE(path) << path.error().message;
  const std::string place = "127.0.0.1_" + server.url().substr(server.url().rfind(':') + 1);
  EXPECT_EQ(*path, settings_.data / "web" / place / "dir" / "m-00001-of-00002.gguf");
  EXPECT_EQ(text_in(*path), test_bytes(5000));
  EXPECT_EQ(text_in(path->parent_path() / "m-00002-of-00002.gguf"), test_bytes(6000));
  EXPECT_THAT(records().front().files, SizeIs(2));
}

TEST(FileNames, OfServersStayInTheirFolder) {
  for (const char* good : {"a.gguf", "Q4/a-00001-of-00002.gguf", "..a/b..", "\xc3\xa4.gguf"}) {
    EXPECT_TRUE(is_safe_file_name(good)) << good;
  }
  const std::string zero("a\0b", 3);
  for (const std::string& bad : {std::string(), std::string("/a"), std::string("../a"), std::string("a/../b"),
                                 std::string("a//b"), std::string("a/"), std::string("./a"), std::string("a\nb"),
                                 std::string("a\\b"), std::string("c:a"), std::string(256, 'a'), zero}) {
    EXPECT_FALSE(is_safe_file_name(bad)) << bad;
  }
}

// A vocabulary that takes several requests, and weights that are not fetched.
std::string model_with_vocabulary() {
  std::vector<std::string> words(60000, std::string(20, 'w'));
  std::vector<const char*> tokens;
  for (const std::string& word : words) {
    tokens.push_back(word.c_str());
  }
  const auto set_keys = [&](gguf_context* file) {
    set_small_keys(file);
    gguf_set_arr_str(file, "tokenizer.ggml.tokens", tokens.data(), tokens.size());
  };
  return gguf_bytes(set_keys, {{"token_embd.weight", GGML_TYPE_F32, {32, 60000}},
                               {"blk.0.attn_norm.weight", GGML_TYPE_F32, {32}},
                               {"blk.0.ffn_gate_exps.weight", GGML_TYPE_Q8_0, {32, 32, 4}},
                               {"blk.0.ffn_down_exps.weight", GGML_TYPE_Q8_0, {32, 32, 4}}});
}

TEST_F(FetchModelTest, AHeaderIsReadBeforeTheModelIsFetched) {
  const std::string bytes = model_with_vocabulary();
  const FakeHub hub({{"small-F32.gguf", bytes}});
  settings_.hub = hub.url();
  const auto remote = find("hf.co/org/repo");
  ASSERT_TRUE(remote) << remote.error().message;
  const auto header = read_remote_header(access(), *remote);
  ASSERT_TRUE(header) << header.error().message;
  EXPECT_LT(header->fetched, bytes.size() / 2);
  EXPECT_FALSE(fs::exists(settings_.hub_cache));
  const auto local = open_model(folder_.write("local.gguf", bytes));
  ASSERT_TRUE(local) << local.error().message;
  EXPECT_EQ(header->model.files.front().path, remote->parts.front().path);
  EXPECT_EQ(header->model.files.front().size, bytes.size());
  EXPECT_EQ(header->model.bytes, local->bytes);
  EXPECT_EQ(header->model.vocabulary, 60000);
  ASSERT_EQ(header->model.tensors.size(), local->tensors.size());
  for (size_t i = 0; i < local->tensors.size(); ++i) {
    EXPECT_EQ(header->model.tensors[i].name, local->tensors[i].name);
    EXPECT_EQ(header->model.tensors[i].extent.offset, local->tensors[i].extent.offset);
  }
}

TEST_F(FetchModelTest, ADamagedHeaderIsToldBeforeTheModelIsFetched) {
  std::string bytes = small_model();
  bytes.replace(0, 4, "ELF?");
  const FakeHub hub({{"small-F32.gguf", bytes}});
  settings_.hub = hub.url();
  const auto header = read_remote_header(access(), *find("hf.co/org/repo"));
  ASSERT_FALSE(header);
  EXPECT_EQ(header.error().code, ErrorCode::kBadModel) << header.error().message;
}

}  // namespace
}  // namespace hypura
