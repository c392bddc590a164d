#include "model/header_reader.h"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "model/header_scan.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {
namespace {

// Most parts of a split model have headers of a few KiB; those with a tokenizer have many MiB.
constexpr uint64_t kFirstStep = 64 * kKiB;
constexpr uint64_t kLastStep = kMiB;

}  // namespace

Result<HeaderReader> HeaderReader::open(const std::filesystem::path& path, BytesWanted wanted) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    return fail(ErrorCode::kIo, "{}: cannot be opened: {}", path.string(),
                error ? error.message() : std::string("no such file"));
  }
  // Opening a pipe would wait for its writer, and a device has no size.
  if (!std::filesystem::is_regular_file(status)) {
    return fail(ErrorCode::kIo, "{}: is not a file; give the path of a GGUF file", path.string());
  }
  const uint64_t size = std::filesystem::file_size(path, error);
  std::unique_ptr<std::FILE, FileCloser> file(error ? nullptr : std::fopen(path.c_str(), "rb"));
  if (!file) {
    const std::error_code reason = error ? error : std::error_code(errno, std::generic_category());
    return fail(ErrorCode::kIo, "{}: cannot be opened: {}", path.string(), reason.message());
  }
  return HeaderReader(path, std::move(file), size, std::move(wanted));
}

Result<std::string_view> HeaderReader::text(std::string_view what) {
  const Result<uint64_t> length = number<uint64_t>(what);
  if (!length) {
    return propagate(length.error());
  }
  if (Status status = ensure(*length, what); !status) {
    return propagate(status.error());
  }
  const std::string_view view(reinterpret_cast<const char*>(bytes_.data() + position_), *length);
  position_ += *length;
  return view;
}

Result<std::string> HeaderReader::name(std::string_view what) {
  const Result<std::string_view> view = text(what);
  if (!view) {
    return propagate(view.error());
  }
  const auto is_control = [](char letter) { return static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f; };
  if (view->empty() || std::any_of(view->begin(), view->end(), is_control)) {
    return fail(ErrorCode::kBadModel, "{}: the name of {} is empty or not text; the header is damaged", path_.string(),
                what);
  }
  return std::string(*view);
}

Status HeaderReader::skip(uint64_t count, uint64_t size, std::string_view what) {
  uint64_t total = 0;
  if (__builtin_mul_overflow(count, size, &total)) {
    total = UINT64_MAX;
  }
  if (Status status = ensure(total, what); !status) {
    return status;
  }
  position_ += total;
  return {};
}

Status HeaderReader::ensure(uint64_t count, std::string_view what) {
  if (count > file_size_ - position_) {
    return fail(ErrorCode::kBadModel,
                "{}: the header is cut short or damaged: {} needs {} bytes at offset {} but the file ends at {}; fetch "
                "it again",
                path_.string(), what, count, position_, file_size_);
  }
  if (count > kMaxHeaderBytes - std::min(position_, kMaxHeaderBytes)) {
    return fail(ErrorCode::kBadModel, "{}: {} makes the header larger than {}; the header is damaged", path_.string(),
                what, format_bytes(kMaxHeaderBytes));
  }
  const uint64_t have = bytes_.size();
  if (position_ + count <= have) {
    return {};
  }
  const uint64_t step = std::clamp(have, kFirstStep, kLastStep);
  const uint64_t want = std::min(file_size_, round_up(position_ + count, step));
  if (Status status = wanted_ ? wanted_(want) : Status(); !status) {
    return status;
  }
  bytes_.resize(want);
  if (std::fread(bytes_.data() + have, 1, want - have, file_.get()) != want - have) {
    return fail(ErrorCode::kIo, "{}: reading {} bytes at offset {} failed: {}", path_.string(), want - have, have,
                std::ferror(file_.get()) ? std::generic_category().message(errno) : "the file was truncated");
  }
  return {};
}

}  // namespace hypura
