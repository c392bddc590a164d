// Tells models apart, for what is kept about them between runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "hypura/result.h"
#include "model/model.h"

namespace hypura {

// Of its tensors' names, shapes and types, the sizes of its files, and the first MiB of the first, which holds most
// keys; that MiB is read. Any thread.
uint64_t model_fingerprint(const Model& model);

// The file in the user's cache folder that keeps one kind of history of the model: "FOLDER/FINGERPRINT.ENDING".
// Fails with kIo when there is no such folder.
Result<std::filesystem::path> file_about(const Model& model, std::string_view folder, std::string_view ending);

}  // namespace hypura
