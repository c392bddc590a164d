#include <algorithm>
#include <system_error>
#include <thread>

#include "backend/repacked_layout.h"
#include "backend/stream_layout.h"
#include "hypura/repack.h"
#include "llama/open/trial_load.h"
#include "machine/memory.h"
#include "storage/output_file.h"
#include "storage/reader.h"
#include "store/repacked_copy.h"
#include "support/fail.h"
#include "support/memory/memory_region.h"
#include "support/units.h"

namespace hypura {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kPieceBytes = 32 * kMiB;  // read and repacked at a time

Status append(OutputFile& file, const std::byte* data, uint64_t length) {
  return file.append({reinterpret_cast<const uint8_t*>(data), length});
}

class Repacker {
 public:
  Repacker(const Model& model, const std::function<bool(double)>& progress) : model_(model), progress_(progress) {}

  Result<RepackSummary> repack();

 private:
  Status check_free_space() const;
  void remove_finished() const;
  Status repack_file(uint32_t file);
  Status repack_tensor(const TensorInfo& tensor, OutputFile& copy);
  Status read(const Extent& extent);
  void repack_piece(const TensorInfo& tensor, int64_t rows, uint64_t row_bytes);

  const Model& model_;
  const std::function<bool(double)>& progress_;
  std::unique_ptr<Reader> reader_;
  MemoryRegion plain_;
  MemoryRegion repacked_;
  std::byte* piece_ = nullptr;  // what was read last, in plain_
  RepackSummary summary_;
};

Status Repacker::check_free_space() const {
  uint64_t needed = 0;
  for (const ModelFile& file : model_.files) {
    needed += file.size;
    OutputFile::remove_leftover(repacked_name(file.path));
  }
  std::error_code error;
  const fs::path folder = fs::absolute(model_.files.front().path).parent_path();
  const uint64_t free = fs::space(folder, error).available;
  if (!error && free < needed) {
    return fail(ErrorCode::kIo, "{} has {} free, but a repacked copy needs {}", folder.string(), format_bytes(free),
                format_bytes(needed));
  }
  return {};
}

Result<RepackSummary> Repacker::repack() {
  for (const TensorInfo& tensor : model_.tensors) {
    summary_.repacked_bytes += is_repacked(tensor) ? tensor.extent.length : 0;
  }
  if (summary_.repacked_bytes == 0) {
    return fail(
        ErrorCode::kUsage,
        "{}: ggml has no faster layout for this model's types on this processor, so repacking would gain nothing",
        model_.files.front().path.string());
  }
  if (Status status = check_free_space(); !status) {
    return propagate(status.error());
  }
  std::vector<fs::path> paths;
  for (const ModelFile& file : model_.files) {
    paths.push_back(file.path);
  }
  auto reader = Reader::open(paths, {});
  auto plain = MemoryRegion::allocate(kPieceBytes + 2 * kDirectAlignment);
  auto repacked = MemoryRegion::allocate(kPieceBytes);
  if (!reader || !plain || !repacked) {
    return propagate(!reader ? reader.error() : !plain ? plain.error() : repacked.error());
  }
  reader_ = std::move(*reader);
  plain_ = std::move(*plain);
  repacked_ = std::move(*repacked);
  for (uint32_t file = 0; file < model_.files.size(); ++file) {
    if (Status status = repack_file(file); !status) {
      remove_finished();
      return propagate(status.error());
    }
  }
  return std::move(summary_);
}

// The copies of a set's first files are of no use without those of the others.
void Repacker::remove_finished() const {
  std::error_code ignored;
  for (const fs::path& file : summary_.files) {
    fs::remove(file, ignored);
  }
}

Status Repacker::repack_file(uint32_t file) {
  const uint64_t label_offset = repacked_label_offset(model_.files[file].size);
  const fs::path name = repacked_name(model_.files[file].path);
  auto label = repacked_label(model_, file);
  if (!label) {
    return propagate(label.error());
  }
  auto copy = OutputFile::create(name, label_offset + kRepackedLabelBytes, false);
  if (!copy) {
    return propagate(copy.error());
  }
  std::vector<const TensorInfo*> tensors;
  for (const TensorInfo& tensor : model_.tensors) {
    if (tensor.extent.file == file) {
      tensors.push_back(&tensor);
    }
  }
  std::sort(tensors.begin(), tensors.end(), [](const TensorInfo* a, const TensorInfo* b) {
    return a->extent.offset < b->extent.offset;  // a copy is written from front to back
  });
  for (const TensorInfo* tensor : tensors) {
    if (Status status = repack_tensor(*tensor, *copy); !status) {
      return status;
    }
  }
  Status status = copy->pad_to(label_offset);
  label->resize(kRepackedLabelBytes);
  status = status ? append(*copy, reinterpret_cast<const std::byte*>(label->data()), label->size()) : status;
  status = status ? copy->finish() : status;
  if (status) {
    summary_.files.push_back(name);
  }
  return status;
}

Status Repacker::repack_tensor(const TensorInfo& tensor, OutputFile& copy) {
  const bool repacked = is_repacked(tensor);
  const uint64_t row = tensor.row_bytes();
  const uint64_t group = repacked ? row * kRowGroup : 1;
  const uint64_t most = std::max<uint64_t>(kPieceBytes / group, 1) * group;
  Status status = copy.pad_to(tensor.extent.offset);
  for (uint64_t done = 0; status && done < tensor.extent.length;) {
    const uint64_t length = std::min(most, tensor.extent.length - done);
    if (length > kPieceBytes) {
      return fail(ErrorCode::kBadModel, "tensor '{}' has rows of {}, too long to be repacked", tensor.name,
                  format_bytes(row));
    }
    status = read({tensor.extent.file, tensor.extent.offset + done, length});
    if (!status) {
      return propagate(status.error(), tensor.name);
    }
    if (repacked) {
      repack_piece(tensor, static_cast<int64_t>(length / row), row);
    }
    status = append(copy, repacked ? repacked_.data() : piece_, length);
    done += length;
    summary_.bytes += length;
    if (progress_ && !progress_(static_cast<double>(summary_.bytes) / static_cast<double>(model_.bytes))) {
      return fail(ErrorCode::kCancelled, "repacking was cancelled; {} was not written",
                  repacked_name(model_.files[tensor.extent.file].path).string());
    }
  }
  return status;
}

Status Repacker::read(const Extent& extent) {
  piece_ = plain_.data() + extent.offset % kDirectAlignment;
  const ReadRequest request = {extent.file, extent.offset, extent.length, piece_};
  return reader_->wait(reader_->submit({&request, 1}, Priority::kDemand));
}

// Groups of rows, shared by the cores.
void Repacker::repack_piece(const TensorInfo& tensor, int64_t rows, uint64_t row_bytes) {
  const int64_t groups = (rows + kRowGroup - 1) / kRowGroup;
  const int64_t threads = std::min<int64_t>(usable_cores(), groups);
  std::vector<std::thread> workers;
  for (int64_t thread = 0; thread < threads; ++thread) {
    workers.emplace_back([&, thread] {
      const int64_t first = groups * thread / threads * kRowGroup;
      const int64_t end = std::min(rows, groups * (thread + 1) / threads * kRowGroup);
      const uint64_t at = static_cast<uint64_t>(first) * row_bytes;
      repack_rows(tensor.type, tensor.shape[0], end - first, piece_ + at, repacked_.data() + at);
    });
  }
  for (std::thread& worker : workers) {
    worker.join();
  }
}

}  // namespace

Result<RepackSummary> repack_model(const fs::path& path, const std::function<bool(double)>& progress) {
  return open_and_try(path).and_then([&](const Model& model) { return Repacker(model, progress).repack(); });
}

}  // namespace hypura
