// What servers of models answer: lists of files, manifests, headers. Whatever comes, no name of a file leaves its
// folder, no digest is anything but one, and no redirect leads off the web.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "store/fetch/blob_place.h"
#include "store/fetch/server_answers.h"
#include "store/fetch/sha256.h"
#include "store/fetch/web_address.h"

namespace hypura {
namespace {

void must(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void try_one(const std::string& input) {
  if (const auto files = read_tree(input)) {
    for (const TreeFile& file : *files) {
      const std::filesystem::path path = std::filesystem::path("/folder") / file.path;
      must(path.lexically_normal().string().starts_with("/folder/"));
      must(file.hash.find('/') == std::string::npos);
    }
  }
  if (const auto layers = read_manifest(input)) {
    for (const RegistryLayer& layer : *layers) {
      must(is_sha256(layer.sha256) && layer.size > 0);
    }
  }
  for (const std::string& digest : read_manifest_list(input).digests) {
    must(is_sha256(digest.substr(7)));
  }
  must(read_commit(input).find('/') == std::string::npos);
  if (const auto range = read_content_range(input)) {
    must(range->range.begin < range->range.end && range->range.end <= range->size);
  }
  if (const auto next = redirected("https://example.org/a", input)) {
    must(next->starts_with("https://"));
  }
}

}  // namespace
}  // namespace hypura

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hypura::try_one({reinterpret_cast<const char*>(data), size});
  return 0;
}
