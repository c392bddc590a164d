#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "generate/model_card.h"
#include "gguf.h"

namespace hypura {

namespace {

constexpr size_t kMostElements = 1000000;

void add_string(std::string& json, const char* text) {
  json += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

template <class T>
void add_number(std::string& json, T value) {
  if (!std::isfinite(static_cast<double>(value))) {
    json += "null";
  } else {
    fmt::format_to(std::back_inserter(json), "{}", value);
  }
}

// Element `i` of an array of `type` that begins at `data`.
void add_element(std::string& json, gguf_type type, const void* data, size_t i) {
  switch (type) {
    case GGUF_TYPE_UINT8:
      return add_number(json, static_cast<const uint8_t*>(data)[i]);
    case GGUF_TYPE_INT8:
      return add_number(json, static_cast<int>(static_cast<const int8_t*>(data)[i]));
    case GGUF_TYPE_UINT16:
      return add_number(json, static_cast<const uint16_t*>(data)[i]);
    case GGUF_TYPE_INT16:
      return add_number(json, static_cast<const int16_t*>(data)[i]);
    case GGUF_TYPE_UINT32:
      return add_number(json, static_cast<const uint32_t*>(data)[i]);
    case GGUF_TYPE_INT32:
      return add_number(json, static_cast<const int32_t*>(data)[i]);
    case GGUF_TYPE_UINT64:
      return add_number(json, static_cast<const uint64_t*>(data)[i]);
    case GGUF_TYPE_INT64:
      return add_number(json, static_cast<const int64_t*>(data)[i]);
    case GGUF_TYPE_FLOAT32:
      return add_number(json, static_cast<const float*>(data)[i]);
    case GGUF_TYPE_FLOAT64:
      return add_number(json, static_cast<const double*>(data)[i]);
    case GGUF_TYPE_BOOL:
      json += static_cast<const int8_t*>(data)[i] != 0 ? "true" : "false";
      return;
    default:
      json += "null";
  }
}

void add_array(std::string& json, const gguf_context& metadata, int64_t key) {
  const gguf_type type = gguf_get_arr_type(&metadata, key);
  const size_t count = std::min(gguf_get_arr_n(&metadata, key), kMostElements);
  json += '[';
  for (size_t i = 0; i < count; ++i) {
    json += i > 0 ? "," : "";
    if (type == GGUF_TYPE_STRING) {
      add_string(json, gguf_get_arr_str(&metadata, key, i));
    } else {
      add_element(json, type, gguf_get_arr_data(&metadata, key), i);
    }
  }
  json += ']';
}

}  // namespace

std::string metadata_json(const gguf_context& metadata) {
  std::string json = "{";
  for (int64_t key = 0; key < gguf_get_n_kv(&metadata); ++key) {
    json += key > 0 ? "," : "";
    add_string(json, gguf_get_key(&metadata, key));
    json += ':';
    const gguf_type type = gguf_get_kv_type(&metadata, key);
    if (type == GGUF_TYPE_ARRAY) {
      add_array(json, metadata, key);
    } else if (type == GGUF_TYPE_STRING) {
      add_string(json, gguf_get_val_str(&metadata, key));
    } else {
      add_element(json, type, gguf_get_val_data(&metadata, key), 0);
    }
  }
  json += '}';
  return json;
}

}  // namespace hypura
