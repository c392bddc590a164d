#include "server/json/json.h"

#include <cstdint>
#include <optional>
#include <vector>

#include "support/fail.h"

namespace hypura {

namespace {

// An object finds a key by looking at all before it, so reading one costs half the square of its keys. This is about a
// second's work, or one object of 20 000 keys.
constexpr uint64_t kMaxKeyLookups = 200'000'000;

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// The code unit of the escape "\uXXXX" at `at`; none when there is no such escape.
std::optional<uint32_t> unicode_escape(std::string_view text, size_t at) {
  constexpr size_t kLength = 6;
  if (at + kLength > text.size() || text[at] != '\\' || text[at + 1] != 'u') {
    return std::nullopt;
  }
  uint32_t unit = 0;
  for (size_t i = at + 2; i < at + kLength; ++i) {
    const char c = text[i];
    uint32_t digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint32_t>(c - 'a') + 10;
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<uint32_t>(c - 'A') + 10;
    } else {
      return std::nullopt;
    }
    unit = unit * 16 + digit;
  }
  return unit;
}

// Looks over the text before it is parsed, without recursion and without caring whether it is valid.
class Scan {
 public:
  explicit Scan(std::string_view text) : text_(text) {}

  Status run() {
    for (at_ = 0; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') {
        skip_string();
      } else if (c == '{' || c == '[') {
        keys_.push_back(0);
        if (keys_.size() > kMaxJsonDepth) {
          return fail(ErrorCode::kUsage, "the JSON is nested more than {} deep", kMaxJsonDepth);
        }
      } else if ((c == '}' || c == ']') && !keys_.empty()) {
        keys_.pop_back();
      } else if (c == ':' && !keys_.empty()) {
        lookups_ += ++keys_.back();
        if (lookups_ > kMaxKeyLookups) {
          return fail(ErrorCode::kUsage, "an object in the JSON has too many keys");
        }
      }
    }
    return {};
  }

  // Where the escapes of halves of surrogate pairs are.
  const std::vector<size_t>& halves() const { return halves_; }

 private:
  // From the opening quote to the closing one.
  void skip_string() {
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\') {
        skip_escape();
      }
    }
  }

  // To the last character of the escape, or of the pair of escapes.
  void skip_escape() {
    const std::optional<uint32_t> unit = unicode_escape(text_, at_);
    if (!unit) {
      ++at_;
      return;
    }
    const size_t start = at_;
    at_ += 5;
    const bool high = *unit >= 0xD800 && *unit <= 0xDBFF;
    const bool low = *unit >= 0xDC00 && *unit <= 0xDFFF;
    if (high) {
      const std::optional<uint32_t> second = unicode_escape(text_, start + 6);
      if (second && *second >= 0xDC00 && *second <= 0xDFFF) {
        at_ += 6;
        return;
      }
    }
    if (high || low) {
      halves_.push_back(start);
    }
  }

  std::string_view text_;
  size_t at_ = 0;
  std::vector<uint32_t> keys_;  // of each open object or array, so far
  uint64_t lookups_ = 0;
  std::vector<size_t> halves_;
};

// Takes everything and keeps nothing but where the text goes wrong.
class ErrorLocator : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    position_ = position;
    return false;
  }

  size_t position() const { return position_; }

 private:
  size_t position_ = 0;
};

tl::unexpected<Error> syntax_error(std::string_view text) {
  ErrorLocator locator;
  Json::sax_parse(text.begin(), text.end(), &locator);
  if (locator.position() > text.size()) {
    return fail(ErrorCode::kUsage, "unexpected EOF: the JSON ends too early");
  }
  return fail(ErrorCode::kUsage, "invalid JSON at byte {}", locator.position());
}

}  // namespace

Result<Json> parse_json(std::string_view text) {
  while (!text.empty() && is_space(text.back())) {
    text.remove_suffix(1);
  }
  if (text.empty()) {
    return fail(ErrorCode::kUsage, "{}", kMissingBody);
  }
  Scan scan(text);
  if (const Status scanned = scan.run(); !scanned) {
    return propagate(scanned.error());
  }
  std::string mended;
  if (!scan.halves().empty()) {
    mended = text;
    for (const size_t at : scan.halves()) {
      mended.replace(at + 2, 4, "FFFD");
    }
    text = mended;
  }
  Json json = Json::parse(text.begin(), text.end(), nullptr, false);
  if (json.is_discarded()) {
    return syntax_error(text);
  }
  return json;
}

std::string dump_json(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace hypura
