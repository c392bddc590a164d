#include "model/header_scan.h"

#include <ggml.h>
#include <gguf.h>

#include <algorithm>
#include <bit>
#include <optional>

#include "model/header_reader.h"
#include "model/kinds.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF files are read as they lie");

constexpr uint64_t kMinKeyBytes = 8 + 1 + 4 + 1;             // name, type, value
constexpr int64_t kMaxElements = int64_t{1} << 46;           // a tensor; the sum over a file then fits 63 bits
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 0 + 4 + 8;  // name, dimensions, type, offset

// Bytes of a value of fixed size; 0 for strings, arrays and unknown types.
uint64_t value_size(int32_t type) {
  switch (type) {
    case GGUF_TYPE_UINT8:
    case GGUF_TYPE_INT8:
    case GGUF_TYPE_BOOL:
      return 1;
    case GGUF_TYPE_UINT16:
    case GGUF_TYPE_INT16:
      return 2;
    case GGUF_TYPE_UINT32:
    case GGUF_TYPE_INT32:
    case GGUF_TYPE_FLOAT32:
      return 4;
    case GGUF_TYPE_UINT64:
    case GGUF_TYPE_INT64:
    case GGUF_TYPE_FLOAT64:
      return 8;
    default:
      return 0;
  }
}

struct Counts {
  uint64_t tensors = 0;
  uint64_t keys = 0;
};

Status check_count(const HeaderReader& in, std::string_view what, uint64_t count, uint64_t min_bytes, uint64_t limit) {
  if (count > limit || count > in.file_size() / min_bytes) {
    return fail(ErrorCode::kBadModel, "{}: the header claims {} {}, more than {}; the header is damaged",
                in.path().string(), count, what, count > limit ? "any model has" : "the file can hold");
  }
  return {};
}

Result<Counts> scan_preamble(HeaderReader& in) {
  const Result<std::array<char, 4>> magic = in.number<std::array<char, 4>>("the magic");
  if (!magic) {
    return propagate(magic.error());
  }
  if (std::string_view(magic->data(), magic->size()) != GGUF_MAGIC) {
    const std::string_view what = known_as(in.beginning());
    return fail(ErrorCode::kBadModel, "{}: is not a GGUF file: {}", in.path().string(),
                what.empty() ? "it does not start with \"GGUF\"" : fmt::format("it is {}", what));
  }
  const Result<uint32_t> version = in.number<uint32_t>("the version");
  if (!version) {
    return propagate(version.error());
  }
  if (*version < 2 || *version > GGUF_VERSION) {
    return fail(ErrorCode::kBadModel, "{}: has GGUF version {}, but only 2 to {} can be read; convert it again{}",
                in.path().string(), *version, GGUF_VERSION,
                (*version & 0xffff) == 0 ? " (it is in big-endian order)" : "");
  }
  const Result<uint64_t> tensors = in.number<uint64_t>("the number of tensors");
  const Result<uint64_t> keys = in.number<uint64_t>("the number of keys");
  if (!tensors || !keys) {
    return propagate(!tensors ? tensors.error() : keys.error());
  }
  if (Status status = check_count(in, "tensors", *tensors, kMinTensorBytes, kMaxHeaderTensors); !status) {
    return propagate(status.error());
  }
  if (Status status = check_count(in, "keys", *keys, kMinKeyBytes, kMaxHeaderKeys); !status) {
    return propagate(status.error());
  }
  return Counts{*tensors, *keys};
}

Status scan_values(HeaderReader& in, int32_t type, uint64_t count, const std::string& what) {
  if (type != GGUF_TYPE_STRING) {
    const uint64_t size = value_size(type);
    if (size == 0) {
      return fail(ErrorCode::kBadModel, "{}: {} has the unknown type {}; the header is damaged", in.path().string(),
                  what, type);
    }
    return in.skip(count, size, what);
  }
  for (uint64_t i = 0; i < count; ++i) {
    if (const Result<std::string_view> text = in.text(what); !text) {
      return propagate(text.error());
    }
  }
  return {};
}

// `elements_left` is what the arrays of the whole header may still claim.
Status scan_array(HeaderReader& in, const std::string& what, uint64_t& elements_left) {
  const Result<int32_t> type = in.number<int32_t>(what);
  if (!type) {
    return propagate(type.error());
  }
  const Result<uint64_t> count = in.number<uint64_t>(what);
  if (!count) {
    return propagate(count.error());
  }
  if (*count > elements_left) {
    return fail(ErrorCode::kBadModel, "{}: {} claims {} elements, more than any model has; the header is damaged",
                in.path().string(), what, *count);
  }
  elements_left -= *count;
  return scan_values(in, *type, *count, what);
}

Status scan_alignment(HeaderReader& in, int32_t type, Header& header) {
  constexpr std::string_view what = "key " GGUF_KEY_GENERAL_ALIGNMENT;
  if (type != GGUF_TYPE_UINT32) {
    return fail(ErrorCode::kBadModel, "{}: {} has type {} where a 32-bit number is needed", in.path().string(), what,
                type);
  }
  const Result<uint32_t> alignment = in.number<uint32_t>(what);
  if (!alignment) {
    return propagate(alignment.error());
  }
  if (!std::has_single_bit(*alignment)) {
    return fail(ErrorCode::kBadModel, "{}: {} is {}, not a power of two", in.path().string(), what, *alignment);
  }
  header.alignment = *alignment;
  return {};
}

Status scan_key(HeaderReader& in, uint64_t index, Header& header, uint64_t& elements_left) {
  const Result<std::string> name = in.name(fmt::format("key {}", index));
  if (!name) {
    return propagate(name.error());
  }
  const std::string what = "key " + *name;
  const Result<int32_t> type = in.number<int32_t>(what);
  if (!type) {
    return propagate(type.error());
  }
  if (*name == GGUF_KEY_GENERAL_ALIGNMENT) {
    return scan_alignment(in, *type, header);
  }
  return *type == GGUF_TYPE_ARRAY ? scan_array(in, what, elements_left) : scan_values(in, *type, 1, what);
}

Status scan_shape(HeaderReader& in, const std::string& what, HeaderTensor& tensor) {
  const Result<uint32_t> dimensions = in.number<uint32_t>(what);
  if (!dimensions) {
    return propagate(dimensions.error());
  }
  if (*dimensions > tensor.shape.size()) {
    return fail(ErrorCode::kBadModel, "{}: {} has {} dimensions, more than {}", in.path().string(), what, *dimensions,
                tensor.shape.size());
  }
  for (uint32_t i = 0; i < *dimensions; ++i) {
    const Result<int64_t> length = in.number<int64_t>(what);
    if (!length) {
      return propagate(length.error());
    }
    if (*length < 1) {
      return fail(ErrorCode::kBadModel, "{}: {} has {} elements in dimension {}", in.path().string(), what, *length, i);
    }
    tensor.shape[i] = *length;
  }
  return {};
}

// The size in bytes of a tensor whose type and shape are valid; nullopt when it is absurd.
std::optional<uint64_t> tensor_bytes(const HeaderTensor& tensor, int64_t block_length, uint64_t block_bytes) {
  int64_t elements = 1;
  for (const int64_t length : tensor.shape) {
    if (__builtin_mul_overflow(elements, length, &elements) || elements > kMaxElements) {
      return std::nullopt;
    }
  }
  return static_cast<uint64_t>(elements / block_length) * block_bytes;
}

Status measure(const HeaderReader& in, const std::string& what, HeaderTensor& tensor) {
  const bool known = tensor.type >= 0 && tensor.type < GGML_TYPE_COUNT;
  const auto type = static_cast<ggml_type>(known ? tensor.type : 0);
  // Types that ggml has dropped keep their number, with a block of length zero.
  const int64_t block_length = known ? ggml_blck_size(type) : 0;
  if (block_length == 0) {
    return fail(ErrorCode::kBadModel, "{}: {} has the unknown type {}; the file is damaged or too new",
                in.path().string(), what, tensor.type);
  }
  if (tensor.shape[0] % block_length != 0) {
    return fail(ErrorCode::kBadModel, "{}: {} has rows of {} elements, not a multiple of the {} in a block of {}",
                in.path().string(), what, tensor.shape[0], block_length, ggml_type_name(type));
  }
  const std::optional<uint64_t> length = tensor_bytes(tensor, block_length, ggml_type_size(type));
  if (!length) {
    return fail(ErrorCode::kBadModel, "{}: {} has an impossible shape: {} x {} x {} x {}", in.path().string(), what,
                tensor.shape[0], tensor.shape[1], tensor.shape[2], tensor.shape[3]);
  }
  tensor.length = *length;
  return {};
}

Result<HeaderTensor> scan_tensor(HeaderReader& in, uint64_t index) {
  HeaderTensor tensor;
  Result<std::string> name = in.name(fmt::format("tensor {}", index));
  if (!name) {
    return propagate(name.error());
  }
  tensor.name = *std::move(name);
  if (tensor.name.size() >= GGML_MAX_NAME) {
    return fail(ErrorCode::kBadModel, "{}: the name of tensor {} has {} bytes, more than {}", in.path().string(), index,
                tensor.name.size(), GGML_MAX_NAME - 1);
  }
  const std::string what = "tensor " + tensor.name;
  if (Status status = scan_shape(in, what, tensor); !status) {
    return propagate(status.error());
  }
  const Result<int32_t> type = in.number<int32_t>(what);
  const Result<uint64_t> offset = in.number<uint64_t>(what);
  if (!type || !offset) {
    return propagate(!type ? type.error() : offset.error());
  }
  tensor.type = *type;
  tensor.offset = *offset;
  if (Status status = measure(in, what, tensor); !status) {
    return propagate(status.error());
  }
  return tensor;
}

}  // namespace

Result<Header> scan_header(const std::filesystem::path& path, const BytesWanted& wanted) {
  Result<HeaderReader> in = HeaderReader::open(path, wanted);
  if (!in) {
    return propagate(in.error());
  }
  const Result<Counts> counts = scan_preamble(*in);
  if (!counts) {
    return propagate(counts.error());
  }
  Header header;
  header.path = path;
  header.file_size = in->file_size();
  header.alignment = GGUF_DEFAULT_ALIGNMENT;
  uint64_t elements_left = kMaxArrayElements;
  for (uint64_t i = 0; i < counts->keys; ++i) {
    if (Status status = scan_key(*in, i, header, elements_left); !status) {
      return propagate(status.error());
    }
  }
  header.tensors.reserve(counts->tensors);
  for (uint64_t i = 0; i < counts->tensors; ++i) {
    Result<HeaderTensor> tensor = scan_tensor(*in, i);
    if (!tensor) {
      return propagate(tensor.error());
    }
    header.tensors.push_back(*std::move(tensor));
  }
  const uint64_t step = counts->tensors > 0 ? header.alignment : 1;
  header.data_offset = round_up(in->position(), step);
  header.bytes = in->take_bytes();
  return header;
}

Status check_layout(const Header& header) {
  const uint64_t data_size = header.file_size - std::min(header.data_offset, header.file_size);
  uint64_t end = 0;
  for (const HeaderTensor& tensor : header.tensors) {
    if (tensor.offset % header.alignment != 0) {
      return fail(ErrorCode::kBadModel, "{}: tensor {} is misaligned: its offset {} is not a multiple of {}",
                  header.path.string(), tensor.name, tensor.offset, header.alignment);
    }
    if (tensor.offset > data_size || tensor.length > data_size - tensor.offset) {
      return fail(ErrorCode::kBadModel,
                  "{}: tensor {} is cut off: it needs {} bytes at offset {} of the data, which has {}; fetch the file "
                  "again",
                  header.path.string(), tensor.name, tensor.length, tensor.offset, data_size);
    }
    if (tensor.offset < end) {
      return fail(ErrorCode::kBadModel, "{}: tensor {} overlaps the tensor before it; the header is damaged",
                  header.path.string(), tensor.name);
    }
    end = tensor.offset + tensor.length;
  }
  return {};
}

}  // namespace hypura
