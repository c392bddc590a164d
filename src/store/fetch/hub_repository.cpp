// Repositories on Hugging Face: their tree by the hub's API, their files' places in its cache.
#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "store/fetch/blob_place.h"
#include "store/fetch/remote_model.h"
#include "store/fetch/server_answers.h"
#include "store/fetch/sha256.h"
#include "store/fetch/web_address.h"
#include "store/names/gguf_files.h"
#include "support/fail.h"
#include "support/printable.h"

namespace hypura {

namespace {

constexpr size_t kMostPage = size_t{16} << 20U;
constexpr int kMostPages = 200;  // of a thousand files
constexpr const char* kMain = "main";

// One repository at one revision.
class HubRepository {
 public:
  HubRepository(const RemoteAccess& access, const HuggingFaceName& name)
      : access_(access), name_(name), revision_(name.revision.empty() ? kMain : name.revision) {}

  Result<RemoteModel> model();

 private:
  Result<WebPage> get(const std::string& url) const;
  Status find_commit();
  Result<std::vector<TreeFile>> tree() const;
  Result<GgufSet> choose(const std::vector<TreeFile>& files) const;
  std::string quant_to_say(const GgufSet& chosen, const std::vector<TreeFile>& files) const;
  Result<RemoteFile> file(const TreeFile& found) const;

  std::string api(const std::string& rest) const {
    return fmt::format("{}/api/models/{}/{}/{}", access_.settings.hub, name_.org, name_.repo, rest);
  }
  std::string words() const { return text_of(HuggingFaceName{name_.org, name_.repo, "", "", ""}); }
  std::filesystem::path folder() const { return access_.settings.hub_cache / folder_name(); }
  std::string folder_name() const { return fmt::format("models--{}--{}", name_.org, name_.repo); }

  const RemoteAccess& access_;
  const HuggingFaceName& name_;
  std::string revision_;
  std::string commit_;
};

Result<WebPage> HubRepository::get(const std::string& url) const {
  const std::string& token = access_.settings.hub_token;
  auto page = get_patiently(access_.client, {url, token, {}, {}}, kMostPage, access_.retries, access_.keep_going);
  if (page && page->head.status != 200) {
    return propagate(refused(words(), page->head, !token.empty()));
  }
  return page;
}

Status HubRepository::find_commit() {
  const auto page = get(api("revision/" + escaped_path(revision_)));
  if (!page) {
    return propagate(page.error());
  }
  commit_ = read_commit(page->body);
  if (commit_.empty()) {
    return fail(ErrorCode::kBadModel, "{}: the server does not tell which commit {} is", words(), printable(revision_));
  }
  return {};
}

// `<https://…?cursor=…>; rel="next"`; empty: none, or one that leads to another server.
std::string next_page(const WebHead& head) {
  const std::string link = head.header("link");
  const size_t end = link.find(">; rel=\"next\"");
  const size_t begin = end == std::string::npos ? end : link.rfind('<', end);
  if (begin == std::string::npos) {
    return {};
  }
  const auto next = redirected(head.url, link.substr(begin + 1, end - begin - 1));
  return next && origin_of(*next) == origin_of(head.url) ? *next : std::string();
}

Result<std::vector<TreeFile>> HubRepository::tree() const {
  std::vector<TreeFile> files;
  std::string url = api(fmt::format("tree/{}?recursive=true", commit_));
  for (int page_number = 0; !url.empty(); ++page_number) {
    const auto page = page_number < kMostPages ? get(url) : fail(ErrorCode::kBadModel, "{}: too many files", words());
    if (!page) {
      return propagate(page.error());
    }
    auto more = read_tree(page->body);
    if (!more) {
      return propagate(more.error(), words());
    }
    std::move(more->begin(), more->end(), std::back_inserter(files));
    url = next_page(page->head);
  }
  return files;
}

Result<GgufSet> HubRepository::choose(const std::vector<TreeFile>& files) const {
  std::vector<std::string> names;
  names.reserve(files.size());
  for (const TreeFile& file : files) {
    names.push_back(file.path);
  }
  const std::vector<GgufSet> sets = gguf_sets(names);
  auto chosen = choose_set(sets, name_.quant, words());
  if (!name_.file.empty()) {
    const auto has_it = [this](const GgufSet& set) {
      return std::find(set.files.begin(), set.files.end(), name_.file) != set.files.end();
    };
    const auto found = std::find_if(sets.begin(), sets.end(), has_it);
    chosen = found != sets.end() ? Result<GgufSet>(*found)
                                 : fail(ErrorCode::kUsage, "{} has no file {} that is a model", words(), name_.file);
  }
  if (chosen && !chosen->whole()) {
    return fail(ErrorCode::kBadModel, "{}: only {} of the {} parts of {} are there", words(), chosen->files.size(),
                chosen->parts, chosen->stem);
  }
  return chosen;
}

// By which the model is found again: as it was written where that is more than a quantization.
std::string HubRepository::quant_to_say(const GgufSet& chosen, const std::vector<TreeFile>& files) const {
  const auto of_it = [&chosen](const TreeFile& file) {
    const auto part = gguf_part(file.path);
    return part && part->part == 1 && !is_companion(file.path) && quant_of(file.path) == chosen.quant;
  };
  return std::count_if(files.begin(), files.end(), of_it) == 1 ? chosen.quant : name_.quant;
}

Result<RemoteFile> HubRepository::file(const TreeFile& found) const {
  RemoteFile remote;
  remote.name = found.path;
  remote.url = fmt::format("{}/{}/{}/resolve/{}/{}", access_.settings.hub, name_.org, name_.repo, commit_,
                           escaped_path(found.path));
  remote.token = access_.settings.hub_token;
  remote.size = found.size;
  remote.sha256 = is_sha256(found.hash) ? found.hash : std::string();
  remote.blob = folder() / "blobs" / found.hash;
  remote.lock = access_.settings.hub_cache / ".locks" / folder_name() / (found.hash + ".lock");
  remote.path = folder() / "snapshots" / commit_ / found.path;
  if (remote.size == 0) {
    return fail(ErrorCode::kBadModel, "{}: {} is empty", words(), found.path);
  }
  return remote;
}

Result<RemoteModel> HubRepository::model() {
  if (access_.settings.hub_cache.empty()) {
    return fail(ErrorCode::kUsage, "there is no folder to fetch into: set HF_HUB_CACHE or HOME");
  }
  if (Status status = find_commit(); !status) {
    return propagate(status.error());
  }
  const auto files = tree();
  if (!files) {
    return propagate(files.error());
  }
  const auto chosen = choose(*files);
  if (!chosen) {
    return propagate(chosen.error());
  }
  RemoteModel model;
  model.identity = HuggingFaceName{name_.org, name_.repo, quant_to_say(*chosen, *files), name_.revision, name_.file};
  model.name = text_of(model.identity);
  for (const std::string& part : chosen->files) {
    const auto found =
        std::find_if(files->begin(), files->end(), [&part](const TreeFile& file) { return file.path == part; });
    auto remote = file(*found);
    if (!remote) {
      return propagate(remote.error());
    }
    model.parts.push_back(std::move(*remote));
  }
  if (revision_ != commit_ && is_safe_file_name(revision_)) {
    model.texts.push_back({folder() / "refs" / revision_, commit_});
  }
  return model;
}

}  // namespace

Result<RemoteModel> remote::of_hugging_face(const RemoteAccess& access, const HuggingFaceName& name) {
  return HubRepository(access, name).model();
}

}  // namespace hypura
