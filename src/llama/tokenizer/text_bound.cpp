#include "llama/tokenizer/text_bound.h"

#include <algorithm>
#include <string>

#include "llama.h"
#include "llama/tokenizer/control_text.h"

namespace hypura {

namespace {

constexpr size_t kNoClass = 4;

enum ByteClass : size_t { kLetter, kDigit, kSign, kBeyondAscii };

size_t class_of(unsigned char byte) {
  if (byte >= 0x80) {
    return kBeyondAscii;
  }
  if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z')) {
    return kLetter;
  }
  if (byte >= '0' && byte <= '9') {
    return kDigit;
  }
  return byte > ' ' && byte < 0x7f ? size_t{kSign} : kNoClass;
}

// Bytes that UTF-8 never has.
bool is_no_utf8(unsigned byte) {
  return byte == 0xc0 || byte == 0xc1 || byte >= 0xf5;
}

bool goes_on(char c) {
  return (static_cast<unsigned char>(c) & 0xc0U) == 0x80U;
}

}  // namespace

TextBound::Counts TextBound::count(std::string_view text) {
  static const std::array<uint8_t, 256> kClassOf = [] {
    std::array<uint8_t, 256> table{};
    for (size_t byte = 0; byte < table.size(); ++byte) {
      table[byte] = static_cast<uint8_t>(class_of(static_cast<unsigned char>(byte)));
    }
    return table;
  }();
  std::array<uint64_t, kClasses + 1> counts{};
  for (const char c : text) {
    ++counts[kClassOf[static_cast<unsigned char>(c)]];
  }
  Counts result{};
  std::copy_n(counts.begin(), kClasses, result.begin());
  return result;
}

void TextBound::look_through() const {
  const auto type = vocab_.kind();
  if (type != LLAMA_VOCAB_TYPE_BPE && type != LLAMA_VOCAB_TYPE_SPM) {
    return;
  }
  std::array<bool, 256> alone{};
  Counts most{};
  const int32_t tokens = vocab_.size();
  for (int32_t token = 0; token < tokens; ++token) {
    const std::string text = token_text(vocab_, token, true);
    const Counts counts = count(text);
    for (size_t i = 0; i < kClasses; ++i) {
      most[i] = std::max(most[i], counts[i]);
    }
    if (text.size() == 1) {
      alone[static_cast<unsigned char>(text[0])] = true;
    }
  }
  for (unsigned byte = 0; byte < alone.size(); ++byte) {
    const size_t its_class = class_of(static_cast<unsigned char>(byte));
    if (its_class < kClasses && !alone[byte] && !is_no_utf8(byte)) {
      most[its_class] = 0;
    }
  }
  most_ = most;
}

uint64_t TextBound::least_tokens(std::string_view text) const {
  std::call_once(known_, [this] { look_through(); });
  const Counts counts = count(text);
  uint64_t least = 0;
  for (size_t i = 0; i < kClasses; ++i) {
    least = std::max(least, most_[i] == 0 ? 0 : counts[i] / most_[i]);
  }
  return least;
}

std::vector<int32_t> tokenize_end(Vocabulary vocab, std::string_view text, size_t count, bool parse_special,
                                  double& share) {
  constexpr size_t kBytesPerToken = 6;
  // Where the text is cut its tokens may be others than they were: some are left over for that.
  constexpr size_t kSpare = 64;
  for (size_t size = (count + kSpare) * kBytesPerToken;; size *= 2) {
    const std::string_view end = end_of(text, size);
    std::vector<int32_t> tokens = tokenize_text(vocab, end, false, parse_special);
    if (tokens.size() >= count + kSpare || end.size() == text.size()) {
      share = text.empty() ? 1 : static_cast<double>(end.size()) / static_cast<double>(text.size());
      return tokens;
    }
  }
}

std::string_view beginning_of(std::string_view text, size_t bytes) {
  size_t size = std::min(bytes, text.size());
  while (size > 0 && size < text.size() && goes_on(text[size])) {
    --size;
  }
  return text.substr(0, size);
}

std::string_view end_of(std::string_view text, size_t bytes) {
  std::string_view end = text.substr(text.size() - std::min(bytes, text.size()));
  while (end.size() < text.size() && !end.empty() && goes_on(end.front())) {
    end.remove_prefix(1);
  }
  return end;
}

uint64_t estimate_if_beyond(const TextBound& bound, Vocabulary vocab, std::string_view text, size_t limit) {
  constexpr size_t kBytesPerToken = 16;
  if (text.size() <= std::max(kAlwaysTokenised, limit * (kBytesPerToken / 2))) {
    return 0;
  }
  const bool sure = bound.least_tokens(text) > limit;
  const size_t wanted = sure ? kAlwaysTokenised : std::max(kAlwaysTokenised, limit * kBytesPerToken);
  const std::string_view beginning = beginning_of(text, wanted);
  if (beginning.size() == text.size()) {
    return 0;
  }
  // A text begins with about the tokens that its beginning has: never with fewer than half of them.
  const size_t tokens = tokenize_text(vocab, beginning, false, false).size();
  if (!sure && tokens <= 2 * limit) {
    return 0;
  }
  const double all =
      static_cast<double>(tokens) * static_cast<double>(text.size()) / static_cast<double>(beginning.size());
  return std::max<uint64_t>(static_cast<uint64_t>(all), limit + 1);
}

}  // namespace hypura
