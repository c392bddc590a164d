// What a GGUF header says, for those who show it: what is not there, or is of another type, is no error as it is for
// those who compute by it (model/metadata.h).
#pragma once

#include <cstdint>
#include <string>

struct gguf_context;

namespace hypura {

// Empty when the key is not there or no string.
std::string header_text(const gguf_context& header, const std::string& key);

// `otherwise` when the key is not there, no whole number of 32 bits and no bool.
int64_t header_number(const gguf_context& header, const std::string& key, int64_t otherwise);

// The text of the token that the tokenizer's `key` numbers, as "bos_token_id"; empty when it has none.
std::string header_token(const gguf_context& header, const std::string& key);

// The key-value pairs as a JSON object, in their order. Arrays are cut at a million elements; a number that is none in
// JSON is null.
std::string header_json(const gguf_context& header);

}  // namespace hypura
