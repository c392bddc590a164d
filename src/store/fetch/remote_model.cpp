#include "store/fetch/remote_model.h"

#include <algorithm>
#include <system_error>

#include "store/fetch/blob_place.h"
#include "store/fetch/part_file.h"
#include "store/fetch/server_answers.h"
#include "store/names/gguf_files.h"
#include "support/fail.h"

namespace hypura {

namespace {

constexpr size_t kMostAddressParts = 512;

uint64_t missing_of(const RemoteFile& file) {
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(file.blob, error);
  if (!error && size == file.size) {
    return 0;
  }
  const BlobIdentity identity{file.size, file.sha256, {}};
  return file.size - std::min(file.size, bytes_of_part(file.blob, identity));
}

uint64_t sum_over(const RemoteModel& model, uint64_t (*of)(const RemoteFile&)) {
  uint64_t sum = 0;
  for (const auto* files : {&model.parts, &model.others}) {
    for (const RemoteFile& file : *files) {
      sum += of(file);
    }
  }
  return sum;
}

struct Asking {
  const RemoteAccess& access;

  Result<RemoteModel> operator()(const HuggingFaceName& name) const { return remote::of_hugging_face(access, name); }
  Result<RemoteModel> operator()(const OllamaName& name) const { return remote::of_registry(access, name); }
  Result<RemoteModel> operator()(const AddressName& name) const { return remote::of_address(access, name); }
  Result<RemoteModel> operator()(const FileName& name) const {
    return fail(ErrorCode::kUsage, "'{}' is a file of this machine, which cannot be fetched", name.path.string());
  }
};

}  // namespace

uint64_t RemoteModel::bytes() const {
  return sum_over(*this, [](const RemoteFile& file) { return file.size; });
}

uint64_t RemoteModel::missing() const {
  return sum_over(*this, missing_of);
}

Result<RemoteModel> find_remote_model(const RemoteAccess& access, const NameReading& name) {
  if (access.settings.offline) {
    return fail(ErrorCode::kUsage, "{} is not on this machine, and HF_HUB_OFFLINE forbids fetching it", text_of(name));
  }
  return std::visit(Asking{access}, name);
}

namespace remote {

Result<RemoteModel> of_address(const RemoteAccess& access, const AddressName& name) {
  // Of an address only the path names files; what stands behind "?" goes to the server alone.
  const size_t query = std::min(name.url.find_first_of("?#"), name.url.size());
  const size_t host = name.url.find("://") + 3;
  const size_t slash = name.url.find('/', host);
  if (host < 3 || slash >= query) {
    return fail(ErrorCode::kUsage, "{}: is no address of a file", name.url);
  }
  std::string place = name.url.substr(host, slash - host);
  std::replace(place.begin(), place.end(), ':', '_');
  const std::string path = name.url.substr(slash + 1, query - slash - 1);
  const auto part = gguf_part(path);
  if (!is_safe_file_name(place) || !is_safe_file_name(path) || !part || part->parts > kMostAddressParts) {
    return fail(ErrorCode::kUsage, "{}: its path cannot be the name of a GGUF file here", name.url);
  }
  RemoteModel model{name, text_of(name), {}, {}, {}};
  const std::filesystem::path folder = access.settings.data / "web" / place;
  for (size_t i = 1; i <= part->parts; ++i) {
    RemoteFile file;
    file.name = part->parts == 1 ? path : fmt::format("{}-{:05}-of-{:05}.gguf", part->stem, i, part->parts);
    file.url = name.url.substr(0, slash + 1) + file.name + name.url.substr(query, name.url.find('#') - query);
    const auto there = locate_blob(access.client, file.url, {}, access.retries, access.keep_going);
    if (!there) {
      return propagate(there.error());
    }
    file.size = there->size;
    file.sha256 = there->sha256;
    file.blob = folder / file.name;
    file.path = file.blob;
    file.lock = file.blob.string() + ".lock";
    model.parts.push_back(std::move(file));
  }
  return model;
}

}  // namespace remote

}  // namespace hypura
