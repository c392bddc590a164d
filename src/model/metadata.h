// The keys of a GGUF header, through ggml's own parser.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "hypura/result.h"
#include "model/header_scan.h"
#include "model/model.h"

namespace hypura {

// Parses the bytes of a scanned header. Fails with kBadModel and ggml's own reason: a key or a tensor that stands
// twice, a gap between tensors. While it runs, ggml's log is diverted, so no other thread may set that log then;
// concurrent calls wait for each other, and what other threads log goes where it went before.
Result<GgufPtr> parse_metadata(const Header& header);

// Typed reading of one file's keys. A view: context and path must outlive it.
class Metadata {
 public:
  Metadata(const gguf_context& context, const std::filesystem::path& path) : context_(context), path_(path) {}

  // Fail with kBadModel, naming file and key, when the key is there with another type (or, for integers, a value that
  // 63 bits do not hold); nullopt when it is not there.
  Result<std::optional<std::string>> text(const std::string& key) const;
  Result<std::optional<int64_t>> integer(const std::string& key) const;
  // Like integer, and of an array of integers the largest: some models state one value a layer.
  Result<std::optional<int64_t>> largest(const std::string& key) const;

  // Like integer, for keys that llama.cpp reads as 16 bits wide and aborts on when they are not.
  Result<std::optional<int64_t>> uint16(const std::string& key) const;

  // What one of the above gave for `key`, which must be there and lie in [low, high].
  Result<int64_t> required(const std::string& key, const Result<std::optional<int64_t>>& value, int64_t low,
                           int64_t high) const;

  bool has(const std::string& key) const;

  const std::filesystem::path& path() const { return path_; }

  // Number of elements of an array; nullopt when the key is not there or no array.
  std::optional<int64_t> array_length(const std::string& key) const;

 private:
  tl::unexpected<Error> wrong_type(const std::string& key, std::string_view wanted) const;

  const gguf_context& context_;
  const std::filesystem::path& path_;
};

}  // namespace hypura
