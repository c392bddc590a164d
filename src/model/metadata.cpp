#include "model/metadata.h"

#include <ggml.h>
#include <gguf.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "model/ggml_log.h"
#include "support/fail.h"

namespace hypura {
namespace {

size_t read_bytes(void* data, void* out, uint64_t offset, size_t length) {
  const std::vector<uint8_t>& bytes = static_cast<const Header*>(data)->bytes;
  if (offset > bytes.size() || length > bytes.size() - offset) {
    return 0;
  }
  std::memcpy(out, bytes.data() + offset, length);
  return length;
}

template <class T>
std::optional<int64_t> element(const void* data, size_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + index * sizeof(T), sizeof(T));
  return std::in_range<int64_t>(value) ? std::optional<int64_t>(static_cast<int64_t>(value)) : std::nullopt;
}

std::optional<int64_t> integer_at(gguf_type type, const void* data, size_t index) {
  switch (type) {
    case GGUF_TYPE_UINT8:
      return element<uint8_t>(data, index);
    case GGUF_TYPE_INT8:
      return element<int8_t>(data, index);
    case GGUF_TYPE_UINT16:
      return element<uint16_t>(data, index);
    case GGUF_TYPE_INT16:
      return element<int16_t>(data, index);
    case GGUF_TYPE_UINT32:
      return element<uint32_t>(data, index);
    case GGUF_TYPE_INT32:
      return element<int32_t>(data, index);
    case GGUF_TYPE_UINT64:
      return element<uint64_t>(data, index);
    case GGUF_TYPE_INT64:
      return element<int64_t>(data, index);
    default:
      return std::nullopt;
  }
}

}  // namespace

void GgufDeleter::operator()(gguf_context* context) const {
  gguf_free(context);
}

Result<GgufPtr> parse_metadata(const Header& header) {
  const GgmlLogCapture log(GgmlLogCapture::Rest::kDropped);
  GgufPtr context;
  try {
    // Tensor data is never asked for, so the file's size is only the bound of what the header may claim.
    context.reset(gguf_init_from_callback(&read_bytes, const_cast<Header*>(&header), 0, header.file_size,
                                          {.no_alloc = true, .ctx = nullptr}));
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::kInternal, "{}: not enough memory to read the header", header.path.string());
  }
  if (!context) {
    // The first line states the cause; those after it tell what failed in turn.
    const std::string reason = log.first();
    return fail(ErrorCode::kBadModel, "{}: the header is damaged: {}", header.path.string(),
                reason.empty() ? "no reason given" : reason);
  }
  return context;
}

tl::unexpected<Error> Metadata::wrong_type(const std::string& key, std::string_view wanted) const {
  return fail(ErrorCode::kBadModel, "{}: key {} is not {}", path_.string(), key, wanted);
}

Result<std::optional<std::string>> Metadata::text(const std::string& key) const {
  const int64_t id = gguf_find_key(&context_, key.c_str());
  if (id < 0) {
    return std::nullopt;
  }
  if (gguf_get_kv_type(&context_, id) != GGUF_TYPE_STRING) {
    return wrong_type(key, "a string");
  }
  return gguf_get_val_str(&context_, id);
}

Result<std::optional<int64_t>> Metadata::integer(const std::string& key) const {
  const int64_t id = gguf_find_key(&context_, key.c_str());
  if (id >= 0 && gguf_get_kv_type(&context_, id) == GGUF_TYPE_ARRAY) {
    return wrong_type(key, "a single number");
  }
  return largest(key);
}

Result<std::optional<int64_t>> Metadata::largest(const std::string& key) const {
  const int64_t id = gguf_find_key(&context_, key.c_str());
  if (id < 0) {
    return std::nullopt;
  }
  const bool is_array = gguf_get_kv_type(&context_, id) == GGUF_TYPE_ARRAY;
  const gguf_type type = is_array ? gguf_get_arr_type(&context_, id) : gguf_get_kv_type(&context_, id);
  if (type == GGUF_TYPE_STRING) {
    return wrong_type(key, "a whole number");
  }
  const size_t count = gguf_get_arr_n(&context_, id);
  const void* data = gguf_get_arr_data(&context_, id);
  std::optional<int64_t> most;
  for (size_t i = 0; i < count; ++i) {
    const std::optional<int64_t> value = integer_at(type, data, i);
    if (!value) {
      return wrong_type(key, "a whole number");
    }
    most = std::max(most.value_or(*value), *value);
  }
  return most;
}

Result<std::optional<int64_t>> Metadata::uint16(const std::string& key) const {
  const int64_t id = gguf_find_key(&context_, key.c_str());
  if (id >= 0 && gguf_get_kv_type(&context_, id) != GGUF_TYPE_UINT16) {
    return wrong_type(key, "a whole number of 16 bits");
  }
  return integer(key);
}

Result<int64_t> Metadata::required(const std::string& key, const Result<std::optional<int64_t>>& value, int64_t low,
                                   int64_t high) const {
  if (!value) {
    return propagate(value.error());
  }
  if (!*value) {
    return fail(ErrorCode::kBadModel, "{}: key {} is missing; the file is not a language model, or is malformed",
                path_.string(), key);
  }
  if (**value < low || **value > high) {
    return fail(ErrorCode::kBadModel, "{}: key {} is {}, not within {} and {}", path_.string(), key, **value, low,
                high);
  }
  return **value;
}

bool Metadata::has(const std::string& key) const {
  return gguf_find_key(&context_, key.c_str()) >= 0;
}

std::optional<int64_t> Metadata::array_length(const std::string& key) const {
  const int64_t id = gguf_find_key(&context_, key.c_str());
  if (id < 0 || gguf_get_kv_type(&context_, id) != GGUF_TYPE_ARRAY) {
    return std::nullopt;
  }
  return static_cast<int64_t>(gguf_get_arr_n(&context_, id));
}

}  // namespace hypura
