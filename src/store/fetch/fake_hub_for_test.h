// Servers of Hugging Face's and of Ollama's shape for tests: lists of files, redirects to a second server with the
// bytes, registries with manifests and blobs.
#pragma once

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "store/fetch/loopback_server_for_test.h"
#include "store/fetch/sha256.h"

namespace hypura {

inline std::string sha256_of(const std::string& bytes) {
  Sha256 hash;
  hash.add({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  return hash.finish();
}

// One repository, org/repo. Its list comes in two pages; its files' bytes are elsewhere().
class FakeHub {
 public:
  static constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";

  explicit FakeHub(std::map<std::string, std::string> files)
      : files_(std::move(files)),
        elsewhere_([this](const TestRequest& request) { return blob(request); }),
        hub_([this](const TestRequest& request) { return answer(request); }) {}

  std::string url() const { return hub_.url(); }
  const LoopbackServer& hub() const { return hub_; }
  const LoopbackServer& elsewhere() const { return elsewhere_; }

 private:
  TestAnswer blob(const TestRequest& request) const {
    for (const auto& [name, bytes] : files_) {
      if (request.target == "/" + sha256_of(bytes)) {
        return ranged(request, bytes, "\"" + sha256_of(bytes) + "\"");
      }
    }
    return {404, {}, "", {}, {}};
  }

  TestAnswer page(bool second) const {
    nlohmann::json list = nlohmann::json::array();
    size_t index = 0;
    for (const auto& [name, bytes] : files_) {
      if ((index++ >= files_.size() / 2) == second) {
        list.push_back({{"type", "file"},
                        {"path", name},
                        {"size", bytes.size()},
                        {"oid", std::string(40, 'f')},
                        {"lfs", {{"oid", sha256_of(bytes)}, {"size", bytes.size()}, {"pointerSize", 134}}}});
      }
    }
    list.push_back({{"type", "directory"}, {"path", "folder"}, {"size", 0}, {"oid", std::string(40, 'e')}});
    TestAnswer result{200, {}, list.dump(), {}, {}};
    if (!second) {
      result.headers = {{"Link", "<" + hub_.url("/api/models/org/repo/tree/" + std::string(kCommit)) +
                                     "?recursive=true&cursor=2>; rel=\"next\""}};
    }
    return result;
  }

  TestAnswer answer(const TestRequest& request) const {
    if (request.target == "/api/models/org/repo/revision/main") {
      return {200, {}, nlohmann::json{{"sha", kCommit}}.dump(), {}, {}};
    }
    if (request.target.starts_with("/api/models/org/repo/tree/" + std::string(kCommit) + "?recursive=true")) {
      return page(request.target.ends_with("cursor=2"));
    }
    const std::string resolve = "/org/repo/resolve/" + std::string(kCommit) + "/";
    const auto found = files_.find(request.target.starts_with(resolve) ? request.target.substr(resolve.size()) : "");
    if (found == files_.end()) {
      return {401, {{"X-Error-Message", "Repository not found"}}, "", {}, {}};
    }
    const std::string hash = sha256_of(found->second);
    return {
        302,
        {{"Location", elsewhere_.url("/" + hash)}, {"X-Linked-Etag", "\"" + hash + "\""}, {"X-Repo-Commit", kCommit}},
        "",
        {},
        {}};
  }

  std::map<std::string, std::string> files_;
  LoopbackServer elsewhere_;
  LoopbackServer hub_;
};

// A registry with blobs by digest and manifests by reference. Blobs are redirected to, as Ollama's are.
class FakeRegistry {
 public:
  FakeRegistry() : server_([this](const TestRequest& request) { return answer(request); }) {}

  std::string host() const { return server_.url().substr(7); }

  // Gives the digest of the blob.
  std::string add_blob(const std::string& bytes) {
    const std::string digest = "sha256:" + sha256_of(bytes);
    blobs_[digest] = bytes;
    return digest;
  }
  void add_manifest(const std::string& reference, const std::string& text) { manifests_[reference] = text; }

  nlohmann::json layer(const std::string& kind, const std::string& bytes) {
    return {{"mediaType", "application/vnd.ollama.image." + kind}, {"digest", add_blob(bytes)}, {"size", bytes.size()}};
  }
  static std::string manifest(const nlohmann::json& layers) {
    return nlohmann::json{
        {"schemaVersion", 2}, {"mediaType", "application/vnd.docker.distribution.manifest.v2+json"}, {"layers", layers}}
        .dump();
  }

 private:
  TestAnswer answer(const TestRequest& request) const {
    const std::string manifests = "/v2/library/small/manifests/";
    const std::string blobs = "/v2/library/small/blobs/";
    if (request.target.starts_with(manifests)) {
      const auto found = manifests_.find(request.target.substr(manifests.size()));
      return found == manifests_.end() ? TestAnswer{404, {}, "", {}, {}} : TestAnswer{200, {}, found->second, {}, {}};
    }
    if (request.target.starts_with(blobs)) {
      return {307, {{"Location", "/data/" + request.target.substr(blobs.size())}}, "", {}, {}};
    }
    const auto found = blobs_.find(request.target.substr(std::min<size_t>(6, request.target.size())));
    return found == blobs_.end() ? TestAnswer{404, {}, "", {}, {}} : ranged(request, found->second, "\"e\"");
  }

  std::map<std::string, std::string> blobs_;
  std::map<std::string, std::string> manifests_;
  LoopbackServer server_;
};

}  // namespace hypura
