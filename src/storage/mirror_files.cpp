#include "storage/mirror_files.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "storage/open.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBlock = 64 * kKiB;  // of data that is compared
constexpr uint64_t kBlocks = 16;

Result<Mirror> files_of(const std::vector<MirroredFile>& files, const fs::path& place) {
  std::error_code error;
  const fs::file_status status = fs::status(place, error);
  if (!fs::exists(status)) {
    return fail(ErrorCode::kIo, "cannot open the mirror '{}': {}; check the path and its permissions", place.string(),
                error ? error.message() : errno_text(ENOENT));
  }
  const bool is_folder = fs::is_directory(status);
  const fs::path folder = is_folder ? place : place.parent_path();
  const auto has_its_name = [&](const MirroredFile& file) { return file.path.filename() == place.filename(); };
  const bool renamed = !is_folder && std::none_of(files.begin(), files.end(), has_its_name);
  Mirror mirror;
  for (const MirroredFile& file : files) {
    const fs::path copy = renamed && mirror.empty() ? place : folder / file.path.filename();
    mirror.push_back(fs::exists(copy, error) ? copy : fs::path());
  }
  if (std::all_of(mirror.begin(), mirror.end(), [](const fs::path& path) { return path.empty(); })) {
    return fail(ErrorCode::kIo, "the mirror '{}' has none of the model's files ('{}'): copies must keep their names",
                place.string(), files.front().path.filename().string());
  }
  return mirror;
}

// Two open files, block by block.
class Comparison {
 public:
  static Result<Comparison> open(const fs::path& file, const fs::path& copy, bool direct);

  // Compares a block at `offset`, a multiple of kDirectAlignment.
  Status compare(uint64_t offset) const;

 private:
  explicit Comparison(OpenFiles files) : files_(std::move(files)) {}

  // Reads a block: less where the file ends.
  Result<uint64_t> read(const OpenFile& file, uint64_t offset, std::byte* block) const;

  OpenFiles files_;
  AlignedMemory memory_ = aligned_memory(2 * kBlock);
};

Result<Comparison> Comparison::open(const fs::path& file, const fs::path& copy, bool direct) {
  return open_files({file, copy}, {}, direct).map([](OpenFiles files) { return Comparison(std::move(files)); });
}

Result<uint64_t> Comparison::read(const OpenFile& file, uint64_t offset, std::byte* block) const {
  uint64_t done = 0;
  while (done < kBlock && done % kDirectAlignment == 0) {
    const int64_t got = read_at(file.fd.get(), block + done, kBlock - done, offset + done);
    if (got < 0) {
      return fail(ErrorCode::kIo, "cannot read '{}' at offset {}: {}; check the disk and its cables",
                  file.path.string(), offset + done, errno_text(static_cast<int>(-got)));
    }
    if (got == 0) {
      break;
    }
    done += static_cast<uint64_t>(got);
  }
  return done;
}

Status Comparison::compare(uint64_t offset) const {
  const std::array<std::byte*, 2> blocks = {memory_.get(), memory_.get() + kBlock};
  std::array<uint64_t, 2> sizes{};
  for (size_t i = 0; i < 2; ++i) {
    const auto size = read(files_.files[i], offset, blocks[i]);
    if (!size) {
      return propagate(size.error());
    }
    sizes[i] = *size;
  }
  const auto difference = std::mismatch(blocks[0], blocks[0] + sizes[0], blocks[1], blocks[1] + sizes[1]);
  if (difference.first == blocks[0] + sizes[0] && difference.second == blocks[1] + sizes[1]) {
    return {};
  }
  return fail(ErrorCode::kBadModel, "'{}' is not a copy of '{}': they differ at offset {}; copy it again",
              files_.files[1].path.string(), files_.files[0].path.string(),
              offset + static_cast<uint64_t>(difference.first - blocks[0]));
}

// Where blocks are compared: all over the header, evenly over the rest, the last byte included.
std::vector<uint64_t> compared_offsets(uint64_t header_bytes, uint64_t size) {
  std::vector<uint64_t> offsets;
  for (uint64_t offset = 0; offset < std::min(header_bytes, size); offset += kBlock) {
    offsets.push_back(offset);
  }
  const uint64_t end = round_up(size, kDirectAlignment);
  const uint64_t last = end - std::min(end, kBlock);
  const uint64_t first = std::min(round_down(header_bytes, kDirectAlignment), last);
  for (uint64_t i = 0; i < kBlocks; ++i) {
    offsets.push_back(round_down(first + (last - first) / (kBlocks - 1) * i, kDirectAlignment));
  }
  offsets.back() = last;
  return offsets;
}

Status check_copy(const MirroredFile& file, const fs::path& copy, bool direct) {
  const std::array<fs::path, 2> paths = {file.path, copy};
  std::array<uint64_t, 2> sizes{};
  for (size_t i = 0; i < 2; ++i) {
    std::error_code error;
    if (fs::exists(paths[i], error) && !fs::is_regular_file(paths[i], error)) {  // opening a pipe waits for its writer
      return fail(ErrorCode::kIo, "'{}' is not a file; give the path of a copy of the model", paths[i].string());
    }
    sizes[i] = fs::file_size(paths[i], error);
    if (error) {
      return fail(ErrorCode::kIo, "cannot open '{}': {}; give the path of a model file", paths[i].string(),
                  error.message());
    }
  }
  if (sizes[0] != sizes[1]) {
    return fail(ErrorCode::kBadModel,
                "'{}' is not a copy of '{}': it has {} bytes instead of {}, so they differ at offset {} "
                "at the latest; copy it again",
                copy.string(), file.path.string(), sizes[1], sizes[0], std::min(sizes[0], sizes[1]));
  }
  const auto files = Comparison::open(file.path, copy, direct);
  if (!files) {
    return propagate(files.error());
  }
  for (const uint64_t offset : compared_offsets(file.header_bytes, sizes[0])) {
    if (Status status = files->compare(offset); !status) {
      return status;
    }
  }
  return {};
}

Status check_is_another(const fs::path& known, const fs::path& copy) {
  std::error_code error;
  if (!fs::equivalent(known, copy, error)) {
    return {};
  }
  return fail(
      ErrorCode::kUsage,
      "the mirror '{}' is the same file as '{}' and no second copy of it; copy it to another disk, or leave the "
      "mirror out",
      copy.string(), known.string());
}

}  // namespace

Result<std::vector<Mirror>> find_mirrors(const std::vector<MirroredFile>& files, const std::vector<fs::path>& places,
                                         bool direct) {
  std::vector<Mirror> mirrors;
  for (const fs::path& place : places) {
    auto mirror = files_of(files, place);
    if (!mirror) {
      return propagate(mirror.error());
    }
    for (size_t i = 0; i < files.size(); ++i) {
      const fs::path& copy = (*mirror)[i];
      Status status;
      if (!copy.empty()) {
        status = check_is_another(files[i].path, copy);
        for (const Mirror& earlier : mirrors) {
          status = status.and_then([&] { return check_is_another(earlier[i], copy); });
        }
        status = status.and_then([&] { return check_copy(files[i], copy, direct); });
      }
      if (!status) {
        return propagate(status.error());
      }
    }
    mirrors.push_back(std::move(*mirror));
  }
  return mirrors;
}

}  // namespace hypura
