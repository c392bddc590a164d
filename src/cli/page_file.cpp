#include "cli/page_file.h"

#include <cerrno>
#include <fstream>
#include <system_error>

namespace hypura {

namespace {

tl::unexpected<Error> cannot_write(const std::filesystem::path& path, const std::error_code& reason) {
  return fail(ErrorCode::kIo, "{} could not be written: {}", path.string(), reason.message());
}

}  // namespace

Status write_page(const std::filesystem::path& path, std::string_view page, const Model& model) {
  std::error_code error;
  for (const ModelFile& file : model.files) {
    if (std::filesystem::equivalent(path, file.path, error)) {
      return fail(ErrorCode::kUsage, "--html {} would overwrite the model; name another file", path.string());
    }
  }
  std::filesystem::path partial = path;
  partial += ".partial";
  std::ofstream file(partial, std::ios::binary | std::ios::trunc);
  file << page;
  file.close();
  if (!file) {
    const std::error_code reason(errno, std::generic_category());
    std::filesystem::remove(partial, error);
    return cannot_write(path, reason);
  }
  std::filesystem::rename(partial, path, error);
  if (error) {
    const std::error_code reason = error;
    std::filesystem::remove(partial, error);
    return cannot_write(path, reason);
  }
  return {};
}

}  // namespace hypura
