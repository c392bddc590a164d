// What Hypura itself fetched: a record for each model, written when it is whole. `hypura rm` removes what has one, and
// nothing else.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "hypura/result.h"

namespace hypura {

struct FetchedFile {
  std::filesystem::path path;  // absolute: what a command opens; in Hugging Face's cache a link
  std::filesystem::path blob;  // absolute: where the bytes lie; the same as `path` where that is no link
};

struct FetchedModel {
  std::string name;  // text_of() of what was fetched, with the quantization that was chosen: hf.co/ORG/REPO:Q4_K_M
  std::vector<FetchedFile> files;  // the parts of a split model in order; then what came with it
};

// Records below `data` (support/data_folder.h), in place of an earlier one of that name. Fails with kIo.
Status record_fetched(const std::filesystem::path& data, const FetchedModel& model);

// All that are recorded, by name. A record that is damaged, or names what is no absolute path, is passed over with a
// sentence in `problems`.
std::vector<FetchedModel> fetched_models(const std::filesystem::path& data, std::vector<std::string>& problems);

// Removes the files of a model, blobs only where no other link beside leads to them and no other record names them,
// folders that are then empty, and at last the record. Bytes that are free again. Fails with kIo, naming the file; the
// record then stays.
Result<uint64_t> remove_fetched(const std::filesystem::path& data, const FetchedModel& model);

}  // namespace hypura
