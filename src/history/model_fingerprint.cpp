#include "history/model_fingerprint.h"

#include <fstream>
#include <vector>

#include "support/cache_folder.h"
#include "support/fail.h"
#include "support/fnv.h"
#include "support/units.h"

namespace hypura {

namespace {

template <class T>
uint64_t add(uint64_t hash, const T& number) {
  return fnv1a({reinterpret_cast<const char*>(&number), sizeof(number)}, hash);
}

}  // namespace

uint64_t model_fingerprint(const Model& model) {
  uint64_t hash = fnv1a(model.architecture);
  for (const TensorInfo& tensor : model.tensors) {
    hash = add(add(fnv1a(tensor.name, hash), tensor.shape), tensor.type);
  }
  for (const ModelFile& file : model.files) {
    hash = add(hash, file.size);
  }
  std::ifstream file(model.files.front().path, std::ios::binary);
  std::vector<char> bytes(64 * kKiB);
  for (uint64_t done = 0; done < kMiB && file; done += bytes.size()) {
    file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    hash = fnv1a({bytes.data(), static_cast<size_t>(file.gcount())}, hash);
  }
  return hash;
}

Result<std::filesystem::path> file_about(const Model& model, std::string_view folder, std::string_view ending) {
  const auto cache = cache_folder();
  if (!cache) {
    return fail(ErrorCode::kIo, "no cache folder: neither XDG_CACHE_HOME nor HOME is an absolute path");
  }
  return *cache / folder / fmt::format("{:016x}.{}", model_fingerprint(model), ending);
}

}  // namespace hypura
