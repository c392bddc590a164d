// Writes a page where the user wants it.
#pragma once

#include <filesystem>
#include <string_view>

#include "hypura/result.h"
#include "model/model.h"

namespace hypura {

// Writes `page` to `path`, replacing what was there only when the new page is complete. Fails with kUsage when `path`
// is one of the model's own files, with kIo when it cannot be written.
Status write_page(const std::filesystem::path& path, std::string_view page, const Model& model);

}  // namespace hypura
