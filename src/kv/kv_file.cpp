#include "kv/kv_file.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <span>
#include <system_error>
#include <utility>

#include "storage/open.h"
#include "storage/output_file.h"
#include "support/fail.h"
#include "support/fnv.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr uint32_t kKvVersion = 1;
constexpr std::array<char, 8> kKvMagic = {'H', 'Y', 'P', 'U', 'R', 'A', 'K', 'V'};

// Followed by the tokens and the state. As in memory: the folder is this machine's, and a big-endian one finds another
// magic.
struct KvHeader {
  std::array<char, 8> magic = kKvMagic;
  uint32_t version = kKvVersion;
  uint32_t from = 0;
  uint64_t key = 0;
  uint64_t tokens = 0;
  uint64_t state = 0;     // bytes
  uint64_t checksum = 0;  // of all that follows, begun with the header before this
};
static_assert(sizeof(KvHeader) == 48);

std::string_view bytes_of(const void* data, size_t bytes) {
  return {static_cast<const char*>(data), bytes};
}

uint64_t checksum_of(const KvHeader& header, const KvEntry& entry) {
  uint64_t sum = fnv1a(bytes_of(&header, offsetof(KvHeader, checksum)));
  sum = fnv1a(bytes_of(entry.tokens.data(), entry.tokens.size() * sizeof(int32_t)), sum);
  return fnv1a(bytes_of(entry.state.data(), entry.state.size()), sum);
}

// Reads a file from front to back, past the page cache where the file system allows.
class FrontToBack {
 public:
  explicit FrontToBack(std::filesystem::path path)
      : path_(std::move(path)), fd_(open_direct(path_.c_str())), memory_(aligned_memory(kPiece)) {
    if (fd_.get() < 0) {
      fd_ = FileDescriptor(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    }
  }

  Status read(void* to, size_t bytes) {
    auto* out = static_cast<std::byte*>(to);
    while (bytes > 0) {
      if (used_ == filled_) {
        if (Status status = fill(); !status) {
          return status;
        }
      }
      const size_t some = std::min(bytes, filled_ - used_);
      std::memcpy(out, memory_.get() + used_, some);
      used_ += some;
      out += some;
      bytes -= some;
    }
    return {};
  }

 private:
  static constexpr size_t kPiece = kKvReadBytes;

  Status fill() {
    const int64_t got = fd_.get() < 0 ? -int64_t{errno} : read_at(fd_.get(), memory_.get(), kPiece, offset_);
    if (got < 0) {
      return fail(ErrorCode::kIo, "{} cannot be read: {}", path_.string(), errno_text(static_cast<int>(-got)));
    }
    if (got == 0) {
      return fail(ErrorCode::kBadModel, "{} is cut short", path_.string());
    }
    used_ = 0;
    filled_ = static_cast<size_t>(got);
    offset_ += filled_;
    return {};
  }

  std::filesystem::path path_;
  FileDescriptor fd_;
  AlignedMemory memory_;
  uint64_t offset_ = 0;
  size_t used_ = 0;
  size_t filled_ = 0;
};

template <class T>
bool parse_part(std::string_view& text, char end, int base, T& number) {
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  const auto used = static_cast<size_t>(stop - text.data());
  if (error != std::errc() || used >= text.size() || text[used] != end) {
    return false;
  }
  text.remove_prefix(used + 1);
  return true;
}

}  // namespace

std::string to_string(const KvFileName& name) {
  return fmt::format("{:016x}-{}-{}.kv", name.key, name.from, name.end);
}

std::optional<KvFileName> parse_kv_file_name(std::string_view name) {
  KvFileName parsed;
  const bool whole = parse_part(name, '-', 16, parsed.key) && parse_part(name, '-', 10, parsed.from) &&
                     parse_part(name, '.', 10, parsed.end) && name == "kv";
  return whole && parsed.from < parsed.end ? std::optional(parsed) : std::nullopt;
}

uint64_t kv_file_bytes(const KvEntry& entry) {
  return sizeof(KvHeader) + entry.bytes();
}

Status write_kv_file(const std::filesystem::path& path, const KvEntry& entry) {
  KvHeader header;
  header.from = entry.from;
  header.key = entry.key;
  header.tokens = entry.tokens.size();
  header.state = entry.state.size();
  header.checksum = checksum_of(header, entry);
  auto file = OutputFile::create(path, kv_file_bytes(entry), false, Readers::kUser, kKvWriteBytes / 2);
  if (!file) {
    return propagate(file.error());
  }
  const auto part = [](const void* data, size_t bytes) { return std::span(static_cast<const uint8_t*>(data), bytes); };
  for (const auto& it : {part(&header, sizeof(header)),
                         part(entry.tokens.data(), entry.tokens.size() * sizeof(int32_t)), std::span(entry.state)}) {
    if (Status status = file->append(it); !status) {
      return status;
    }
  }
  return file->finish();
}

Result<KvEntry> read_kv_file(const std::filesystem::path& path, const KvFileName& name) {
  const auto damaged = [&] { return fail(ErrorCode::kBadModel, "{} is damaged", path.string()); };
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(path, error);
  if (error) {
    return fail(ErrorCode::kIo, "{} cannot be read: {}", path.string(), error.message());
  }
  FrontToBack file(path);
  KvHeader header;
  if (Status status = file.read(&header, sizeof(header)); !status) {
    return propagate(status.error());
  }
  const bool right = header.magic == kKvMagic && header.version == kKvVersion && header.key == name.key &&
                     header.from == name.from && header.tokens == name.end;
  // What the header says is not trusted beyond what the file holds.
  const uint64_t rest = size - std::min<uint64_t>(size, sizeof(header));
  if (!right || header.tokens > rest / sizeof(int32_t) || header.state != rest - header.tokens * sizeof(int32_t)) {
    return damaged();
  }
  KvEntry entry;
  entry.key = header.key;
  entry.from = header.from;
  entry.tokens.resize(header.tokens);
  entry.state.resize(header.state);
  Status status = file.read(entry.tokens.data(), entry.tokens.size() * sizeof(int32_t));
  status = status ? file.read(entry.state.data(), entry.state.size()) : std::move(status);
  if (!status) {
    return propagate(status.error());
  }
  return checksum_of(header, entry) == header.checksum ? Result<KvEntry>(std::move(entry)) : damaged();
}

}  // namespace hypura
