// Stretches of text that a tokenizer's splitter takes in one go.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace hypura {

// What a splitter repeats without a bound: its regular expressions call themselves for each character of such a run.
enum class Splitter {
  kFlat,         // nothing: it is written out by hand, or counts
  kClasses,      // letters, digits, punctuation with the line breaks after it, white space: each by itself
  kSentences,    // as kClasses, but letters with single spaces between them
  kPhrases,      // everything up to white space and some punctuation
  kSolid,        // everything up to white space
  kDigitGroups,  // digits, and for each digit again all that follow
  kUnknown,      // any of these
};

// The splitter of BPE vocabularies that llama.cpp knows by this name ("tokenizer.ggml.pre").
Splitter splitter_named(std::string_view name);

struct TextRun {
  size_t begin = 0;  // of bytes
  size_t end = 0;
  size_t characters = 0;
};

// The runs of `text` that have more than `most` characters, by their end; they may overlap. Never too short: what may
// belong to a run is taken to do so.
std::vector<TextRun> long_runs(std::string_view text, Splitter splitter, size_t most);

// Bytes of the character at `at` as llama.cpp reads UTF-8: a byte that begins none is one itself.
size_t character_bytes(std::string_view text, size_t at);

}  // namespace hypura
