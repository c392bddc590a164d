#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <thread>

#include "backend/fast_layout.h"
#include "backend/stream_layout.h"
#include "engine/llama_runtime.h"
#include "engine/packed_copy.h"
#include "ggml.h"
#include "hardware/memory.h"
#include "hypura/pack.h"
#include "storage/reader.h"
#include "support/memory_region.h"
#include "support/units.h"

namespace hypura {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kPieceBytes = 32 * kMiB;  // read, packed and written at a time

// A file that appears under its name when it is complete, and not at all when that fails.
class NewFile {
 public:
  explicit NewFile(fs::path path) : path_(std::move(path)), part_(fs::path(path_) += ".part") {}
  ~NewFile() {
    if (fd_ >= 0) {
      ::close(fd_);
      ::unlink(part_.c_str());
    }
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  Status open() {
    fd_ = ::open(part_.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    return fd_ >= 0 ? Status() : failure("cannot be made");
  }

  Status write(const std::byte* data, uint64_t length, uint64_t offset) {
    while (length > 0) {
      const ssize_t written = ::pwrite(fd_, data, length, static_cast<off_t>(offset));
      if (written < 0 && errno != EINTR) {
        return failure("cannot be written");
      }
      const uint64_t done = written < 0 ? 0 : static_cast<uint64_t>(written);
      data += done;
      offset += done;
      length -= done;
    }
    return {};
  }

  Status finish() {
    if (::fsync(fd_) != 0 || ::rename(part_.c_str(), path_.c_str()) != 0) {
      return failure("cannot be completed");
    }
    ::close(fd_);
    fd_ = -1;
    return {};
  }

 private:
  tl::unexpected<Error> failure(const char* what) const {
    return fail(ErrorCode::kIo, "{} {}: {}", part_.string(), what, std::generic_category().message(errno));
  }

  fs::path path_;
  fs::path part_;
  int fd_ = -1;
};

class Packer {
 public:
  Packer(const Model& model, const std::function<void(double)>& progress) : model_(model), progress_(progress) {}

  Result<PackSummary> pack();

 private:
  Status check_room() const;
  Status pack_file(uint32_t file);
  Status pack_tensor(const TensorInfo& tensor, NewFile& copy);
  Status read(const Extent& extent);
  void pack_rows(const TensorInfo& tensor, int64_t rows, uint64_t row_bytes);

  const Model& model_;
  const std::function<void(double)>& progress_;
  std::unique_ptr<Reader> reader_;
  MemoryRegion plain_;
  MemoryRegion packed_;
  std::byte* piece_ = nullptr;  // what was read last, in plain_
  PackSummary summary_;
};

Status Packer::check_room() const {
  uint64_t needed = 0;
  for (const ModelFile& file : model_.files) {
    needed += file.size;
  }
  std::error_code error;
  const fs::path folder = model_.files.front().path.parent_path();
  const uint64_t free = fs::space(folder.empty() ? fs::path(".") : folder, error).available;
  if (!error && free < needed) {
    return fail(ErrorCode::kIo, "{} has {} free, and a packed copy needs {}", folder.string(), format_bytes(free),
                format_bytes(needed));
  }
  return {};
}

Result<PackSummary> Packer::pack() {
  for (const TensorInfo& tensor : model_.tensors) {
    summary_.packed_bytes += is_packed(tensor) ? tensor.extent.length : 0;
  }
  if (summary_.packed_bytes == 0) {
    return fail(ErrorCode::kUsage,
                "{}: ggml has no faster layout for this model's types on this processor, so packing would gain nothing",
                model_.files.front().path.string());
  }
  if (Status status = check_room(); !status) {
    return propagate(status.error());
  }
  std::vector<fs::path> paths;
  for (const ModelFile& file : model_.files) {
    paths.push_back(file.path);
  }
  auto reader = Reader::open(paths, {});
  auto plain = MemoryRegion::allocate(kPieceBytes + 2 * kDirectAlignment);
  auto packed = MemoryRegion::allocate(kPieceBytes);
  if (!reader || !plain || !packed) {
    return propagate(!reader ? reader.error() : !plain ? plain.error() : packed.error());
  }
  reader_ = std::move(*reader);
  plain_ = std::move(*plain);
  packed_ = std::move(*packed);
  for (uint32_t file = 0; file < model_.files.size(); ++file) {
    if (Status status = pack_file(file); !status) {
      return propagate(status.error());
    }
  }
  return std::move(summary_);
}

Status Packer::pack_file(uint32_t file) {
  const fs::path& source = model_.files[file].path;
  NewFile copy(packed_name(source));
  Status status = copy.open();
  for (const auto* tensors : {&model_.tensors, &model_.unused}) {
    for (const TensorInfo& tensor : *tensors) {
      if (status && tensor.extent.file == file) {
        status = pack_tensor(tensor, copy);
      }
    }
  }
  if (!status) {
    return status;
  }
  auto label = packed_label(model_, file);
  if (!label) {
    return propagate(label.error());
  }
  label->resize(kPackedLabelBytes);
  status = copy.write(reinterpret_cast<const std::byte*>(label->data()), label->size(),
                      packed_label_offset(model_.files[file].size));
  status = status ? copy.finish() : status;
  summary_.files.push_back(packed_name(source));
  return status;
}

Status Packer::pack_tensor(const TensorInfo& tensor, NewFile& copy) {
  const bool packed = is_packed(tensor);
  const uint64_t row = ggml_row_size(static_cast<ggml_type>(tensor.type), tensor.shape[0]);
  const uint64_t group = packed ? row * kRowGroup : 1;
  const uint64_t most = std::max<uint64_t>(kPieceBytes / group, 1) * group;
  for (uint64_t done = 0; done < tensor.extent.length;) {
    const uint64_t length = std::min(most, tensor.extent.length - done);
    if (length > kPieceBytes) {
      return fail(ErrorCode::kBadModel, "tensor '{}' has rows of {}, too long to be packed", tensor.name,
                  format_bytes(row));
    }
    if (Status status = read({tensor.extent.file, tensor.extent.offset + done, length}); !status) {
      return propagate(status.error(), tensor.name);
    }
    if (packed) {
      pack_rows(tensor, static_cast<int64_t>(length / row), row);
    }
    if (Status status = copy.write(packed ? packed_.data() : piece_, length, tensor.extent.offset + done); !status) {
      return status;
    }
    done += length;
    summary_.bytes += length;
    if (progress_) {
      progress_(static_cast<double>(summary_.bytes) / static_cast<double>(model_.bytes));
    }
  }
  return {};
}

Status Packer::read(const Extent& extent) {
  piece_ = plain_.data() + extent.offset % kDirectAlignment;
  const ReadRequest request = {extent.file, extent.offset, extent.length, piece_};
  return reader_->wait(reader_->submit({&request, 1}, Priority::kDemand));
}

// Groups of rows, shared by the cores.
void Packer::pack_rows(const TensorInfo& tensor, int64_t rows, uint64_t row_bytes) {
  const int64_t groups = (rows + kRowGroup - 1) / kRowGroup;
  const int64_t threads = std::min<int64_t>(usable_cores(), groups);
  std::vector<std::thread> workers;
  for (int64_t thread = 0; thread < threads; ++thread) {
    workers.emplace_back([&, thread] {
      const int64_t first = groups * thread / threads * kRowGroup;
      const int64_t end = std::min(rows, groups * (thread + 1) / threads * kRowGroup);
      const uint64_t at = static_cast<uint64_t>(first) * row_bytes;
      make_fast_layout(tensor.type, tensor.shape[0], end - first, piece_ + at, packed_.data() + at);
    });
  }
  for (std::thread& worker : workers) {
    worker.join();
  }
}

}  // namespace

Result<PackSummary> pack_model(const fs::path& path, const std::function<void(double)>& progress) {
  if (Status status = init_llama(); !status) {
    return propagate(status.error());
  }
  return open_model(path).and_then([&](const Model& model) { return Packer(model, progress).pack(); });
}

}  // namespace hypura
