#include "model/header_values.h"

#include <fmt/format.h>
#include <gguf.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

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

void add_array(std::string& json, const gguf_context& header, int64_t key) {
  const gguf_type type = gguf_get_arr_type(&header, key);
  const size_t count = std::min(gguf_get_arr_n(&header, key), kMostElements);
  json += '[';
  for (size_t i = 0; i < count; ++i) {
    json += i > 0 ? "," : "";
    if (type == GGUF_TYPE_STRING) {
      add_string(json, gguf_get_arr_str(&header, key, i));
    } else {
      add_element(json, type, gguf_get_arr_data(&header, key), i);
    }
  }
  json += ']';
}

}  // namespace

std::string header_text(const gguf_context& header, const std::string& key) {
  const int64_t id = gguf_find_key(&header, key.c_str());
  return id >= 0 && gguf_get_kv_type(&header, id) == GGUF_TYPE_STRING ? gguf_get_val_str(&header, id) : "";
}

int64_t header_number(const gguf_context& header, const std::string& key, int64_t otherwise) {
  const int64_t id = gguf_find_key(&header, key.c_str());
  if (id < 0) {
    return otherwise;
  }
  switch (gguf_get_kv_type(&header, id)) {
    case GGUF_TYPE_UINT32:
      return gguf_get_val_u32(&header, id);
    case GGUF_TYPE_INT32:
      return gguf_get_val_i32(&header, id);
    case GGUF_TYPE_BOOL:
      return gguf_get_val_bool(&header, id) ? 1 : 0;
    default:
      return otherwise;
  }
}

std::string header_token(const gguf_context& header, const std::string& key) {
  const int64_t id = header_number(header, "tokenizer.ggml." + key, -1);
  const int64_t tokens = gguf_find_key(&header, "tokenizer.ggml.tokens");
  const bool known = id >= 0 && tokens >= 0 && gguf_get_kv_type(&header, tokens) == GGUF_TYPE_ARRAY &&
                     gguf_get_arr_type(&header, tokens) == GGUF_TYPE_STRING &&
                     static_cast<size_t>(id) < gguf_get_arr_n(&header, tokens);
  return known ? gguf_get_arr_str(&header, tokens, static_cast<size_t>(id)) : "";
}

std::string header_json(const gguf_context& header) {
  std::string json = "{";
  for (int64_t key = 0; key < gguf_get_n_kv(&header); ++key) {
    json += key > 0 ? "," : "";
    add_string(json, gguf_get_key(&header, key));
    json += ':';
    const gguf_type type = gguf_get_kv_type(&header, key);
    if (type == GGUF_TYPE_ARRAY) {
      add_array(json, header, key);
    } else if (type == GGUF_TYPE_STRING) {
      add_string(json, gguf_get_val_str(&header, key));
    } else {
      add_element(json, type, gguf_get_val_data(&header, key), 0);
    }
  }
  json += '}';
  return json;
}

}  // namespace hypura
