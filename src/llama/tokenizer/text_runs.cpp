#include "llama/tokenizer/text_runs.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

namespace hypura {

namespace {

using namespace std::string_view_literals;

// Names whose expressions llama.cpp has written out by hand, or that repeat nothing. The others are kClasses.
constexpr std::array kFlatNames = {
    "llama3"sv,
    "llama-v3"sv,
    "llama-bpe"sv,
    "falcon3"sv,
    "falcon-h1"sv,
    "pixtral"sv,
    "midm-2.0"sv,
    "lfm2"sv,
    "jina-v5-nano"sv,
    "mpt"sv,
    "starcoder"sv,
    "gpt-2"sv,
    "phi-2"sv,
    "jina-es"sv,
    "jina-de"sv,
    "gigachat"sv,
    "jina-v2-es"sv,
    "jina-v2-de"sv,
    "a.x-4.0"sv,
    "mellum"sv,
    "modern-bert"sv,
    "gemma4"sv,
    "sarvam-moe"sv,
    "jina-v1-en"sv,
    "jina-v2-code"sv,
    "roberta-bpe"sv,
    "refact"sv,
    "command-r"sv,
    "qwen2"sv,
    "deepseek-r1-qwen"sv,
    "kormo"sv,
    "f2llmv2"sv,
    "qwen35"sv,
    "stablelm2"sv,
    "olmo"sv,
    "dbrx"sv,
    "smaug-bpe"sv,
    "glm4"sv,
    "chatglm-bpe"sv,
    "jais"sv,
    "smollm"sv,
    "codeshell"sv,
    "exaone"sv,
    "exaone4"sv,
    "minerva-7b"sv,
    "megrez"sv,
    "trillion"sv,
    "granite-docling"sv,
    "hunyuan"sv,
    "kimi-k2"sv,
    "grok-2"sv,
    "laguna"sv,
    "solar-open"sv,
    "mellum2"sv,
    "granite-embed-multi-311m"sv,
};
constexpr std::array kClassNames = {
    "default"sv,    "minicpm5"sv,      "deepseek-llm"sv, "deepseek-coder"sv, "deepseek-v3"sv,
    "youtu"sv,      "falcon"sv,        "jais-2"sv,       "tekken"sv,         "chameleon"sv,
    "gpt-4o"sv,     "llama4"sv,        "kanana2"sv,      "talkie"sv,         "granite-embed-multi-97m"sv,
    "tiny_aya"sv,   "cohere2moe"sv,    "bailingmoe"sv,   "bailingmoe2"sv,    "llada-moe"sv,
    "seed-coder"sv, "hunyuan-dense"sv, "joyai-llm"sv,    "afmoe"sv,          "minimax-m2"sv,
    "hy_v4"sv,      "spark2_5"sv,      "ufakzeka"sv,
};
constexpr std::array kPhraseNames = {"poro-chat"sv, "bloom"sv, "gpt3-finnish"sv, "viking"sv};

template <size_t N>
bool holds(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Which kind of run a character belongs to.
enum class Group : uint8_t { kLetter, kDigit, kMark, kSlash, kStop, kBlank, kSpace, kBreak, kOther };
constexpr size_t kGroups = 9;

// The runs that are counted at once, as bits.
constexpr size_t kRuns = 5;
constexpr uint8_t kLetters = 1;
constexpr uint8_t kDigits = 2;
constexpr uint8_t kMarks = 4;
constexpr uint8_t kSpaces = 8;
constexpr uint8_t kText = 16;
constexpr uint8_t kEach = kLetters | kDigits | kMarks | kSpaces;
constexpr size_t kMarksRun = 2;

// The runs that characters of each group continue, in the order of Group. What is not ASCII may be anything.
using Joins = std::array<uint8_t, kGroups>;
constexpr Joins kClassJoins = {kLetters, kDigits, kMarks, kMarks, kMarks, kSpaces, kSpaces, kSpaces | kMarks, kEach};
constexpr Joins kSentenceJoins = {kLetters,           kDigits, kMarks,           kMarks, kMarks,
                                  kSpaces | kLetters, kSpaces, kSpaces | kMarks, kEach};
constexpr Joins kPhraseJoins = {kText, kText, kText, kText, 0, 0, 0, 0, kText};
constexpr Joins kSolidJoins = {kText, kText, kText, kText, kText, 0, 0, 0, kText};
constexpr Joins kDigitJoins = {0, kDigits, 0, 0, 0, 0, 0, 0, kDigits};
constexpr Joins kAllJoins = {kLetters | kText,   kDigits | kText, kMarks | kText,   kMarks | kText, kMarks | kText,
                             kSpaces | kLetters, kSpaces,         kSpaces | kMarks, kEach | kText};

const Joins& joins_of(Splitter splitter) {
  switch (splitter) {
    case Splitter::kClasses:
      return kClassJoins;
    case Splitter::kSentences:
      return kSentenceJoins;
    case Splitter::kPhrases:
      return kPhraseJoins;
    case Splitter::kSolid:
      return kSolidJoins;
    case Splitter::kDigitGroups:
      return kDigitJoins;
    default:
      return kAllJoins;
  }
}

Group ascii_group(unsigned char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
    return Group::kLetter;
  }
  if (c >= '0' && c <= '9') {
    return Group::kDigit;
  }
  switch (c) {
    case ' ':
      return Group::kBlank;
    case '\n':
    case '\r':
      return Group::kBreak;
    case '\t':
    case '\v':
    case '\f':
      return Group::kSpace;
    case '/':
      return Group::kSlash;
    case '(':
    case ')':
    case '|':
    case '.':
    case ',':
    case '!':
    case '?':
      return Group::kStop;
    default:
      return Group::kMark;
  }
}

// Code point of a whole character that is not ASCII; 0 of a byte that begins none.
uint32_t code_point(std::string_view character) {
  if (character.size() < 2) {
    return 0;
  }
  uint32_t code = static_cast<unsigned char>(character[0]) & (0xffU >> (character.size() + 1));
  for (const char c : character.substr(1)) {
    code = code << 6 | (static_cast<unsigned char>(c) & 0x3fU);
  }
  return code;
}

// The group of what is not ASCII. Letters and punctuation are told apart where long texts without spaces are made of
// them, or a text of such a script would be one run.
Group other_group(uint32_t code) {
  const auto within = [code](uint32_t first, uint32_t last) { return code >= first && code <= last; };
  const bool european = within(0xc0, 0x24f) && code != 0xd7 && code != 0xf7;  // without the signs × and ÷
  if (european || within(0x400, 0x481) || within(0x3041, 0x3096) || within(0x30a1, 0x30fa) || within(0x3400, 0x4dbf) ||
      within(0x4e00, 0x9fa5) || within(0xac00, 0xd7a3)) {
    return Group::kLetter;
  }
  // “”‘’ and their like, 、 and 。, and ASCII's as wide as a Chinese character.
  if (within(0x2018, 0x201f) || within(0x3001, 0x3002) || within(0xff01, 0xff0f) || within(0xff1a, 0xff20)) {
    return Group::kMark;
  }
  return Group::kOther;
}

class RunCounter {
 public:
  RunCounter(const Joins& joins, size_t most) : joins_(joins), most_(most) {}

  void add(Group group, size_t at) {
    const uint8_t joins = joins_[static_cast<size_t>(group)];
    const bool breaks = group == Group::kBreak;
    for (size_t i = 0; i < kRuns; ++i) {
      const bool marks = i == kMarksRun;
      // Line breaks belong to punctuation only when they follow it; then other punctuation begins anew.
      const bool anew = marks && after_break_ && !breaks && group != Group::kSlash;
      if ((joins >> i & 1) == 0 || anew || (marks && breaks && counts_[i] == 0)) {
        close(i, at);
      }
      if ((joins >> i & 1) != 0 && !(marks && breaks && counts_[i] == 0)) {
        begins_[i] = counts_[i] == 0 ? at : begins_[i];
        ++counts_[i];
      }
    }
    after_break_ = breaks || (after_break_ && group == Group::kSlash);
  }

  std::vector<TextRun> finish(size_t end) {
    for (size_t i = 0; i < kRuns; ++i) {
      close(i, end);
    }
    return std::move(runs_);
  }

 private:
  void close(size_t i, size_t end) {
    if (counts_[i] > most_) {
      runs_.push_back({begins_[i], end, counts_[i]});
    }
    counts_[i] = 0;
  }

  const Joins& joins_;
  size_t most_;
  std::array<size_t, kRuns> begins_ = {};
  std::array<size_t, kRuns> counts_ = {};
  bool after_break_ = false;
  std::vector<TextRun> runs_;
};

}  // namespace

Splitter splitter_named(std::string_view name) {
  if (holds(kFlatNames, name)) {
    return Splitter::kFlat;
  }
  if (holds(kClassNames, name)) {
    return Splitter::kClasses;
  }
  if (holds(kPhraseNames, name)) {
    return Splitter::kPhrases;
  }
  if (name == "exaone-moe") {
    return Splitter::kSentences;
  }
  if (name == "whitespace") {
    return Splitter::kSolid;
  }
  return name == "superbpe" ? Splitter::kDigitGroups : Splitter::kUnknown;
}

size_t character_bytes(std::string_view text, size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  size_t bytes = 1;
  if (first >= 0xc0 && first < 0xf8) {
    bytes = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  }
  for (size_t i = 1; i < bytes; ++i) {
    if (at + i >= text.size() || (static_cast<unsigned char>(text[at + i]) & 0xc0) != 0x80) {
      return 1;
    }
  }
  return bytes;
}

std::vector<TextRun> long_runs(std::string_view text, Splitter splitter, size_t most) {
  if (splitter == Splitter::kFlat || text.size() <= most) {
    return {};
  }
  RunCounter counter(joins_of(splitter), most);
  for (size_t at = 0; at < text.size();) {
    const auto first = static_cast<unsigned char>(text[at]);
    if (first < 0x80) {
      counter.add(ascii_group(first), at);
      ++at;
      continue;
    }
    const size_t bytes = character_bytes(text, at);
    counter.add(other_group(code_point(text.substr(at, bytes))), at);
    at += bytes;
  }
  return counter.finish(text.size());
}

}  // namespace hypura
