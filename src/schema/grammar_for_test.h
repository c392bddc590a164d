// For tests: what a grammar lets through, by llama.cpp's own reading of it.
#pragma once

#include <algorithm>
#include <memory>
#include <random>
#include <string>

#include "llama-grammar.h"
#include "schema/pattern/char_set.h"

namespace hypura::schema {

class GrammarForTest {
 public:
  explicit GrammarForTest(const std::string& rules)
      : grammar_(llama_grammar_init_impl(nullptr, rules.c_str(), "root", false, nullptr, 0, nullptr, 0)) {
    start();
  }

  // Whether llama.cpp takes it.
  bool good() const { return grammar_ != nullptr; }

  bool accepts(const std::string& text) {
    start();
    for (const char32_t c : characters(text)) {
      llama_grammar_accept(grammar_.get(), c);
      most_stacks_ = std::max(most_stacks_, stacks().size());
      if (stacks().empty()) {
        return false;
      }
    }
    return may_end();
  }

  // Some text that it lets through; empty when none was found that is not too long.
  std::string random_text(std::mt19937& random, size_t longest = 400) {
    start();
    std::string text;
    for (size_t i = 0; i < longest; ++i) {
      if (may_end() && (stacks().size() == 1 || random() % 2 == 0)) {
        return text;
      }
      const auto it = std::next(stacks().begin(), static_cast<std::ptrdiff_t>(random() % stacks().size()));
      const uint32_t c = it->empty() ? 0 : some_character(it->back(), random);
      const llama_grammar_stacks before = stacks();
      llama_grammar_accept(grammar_.get(), c);
      if (c == 0 || stacks().empty()) {
        llama_grammar_get_stacks(grammar_.get()) = before;
        continue;
      }
      append_utf8(text, c);
    }
    return "";
  }

  size_t most_stacks() const { return most_stacks_; }

 private:
  struct Deleter {
    void operator()(llama_grammar* it) const { llama_grammar_free_impl(it); }
  };

  llama_grammar_stacks& stacks() { return llama_grammar_get_stacks(grammar_.get()); }

  void start() {
    if (grammar_ != nullptr && begun_.empty()) {
      begun_ = stacks();
    }
    if (grammar_ != nullptr) {
      stacks() = begun_;
    }
  }

  bool may_end() {
    return std::any_of(stacks().begin(), stacks().end(), [](const llama_grammar_stack& it) { return it.empty(); });
  }

  static uint32_t some_character(const llama_grammar_element* element, std::mt19937& random) {
    if (element->type == LLAMA_GRETYPE_CHAR_NOT) {
      static constexpr std::u32string_view kSome = U"abcxyzABC 0123456789_-.,:/äß漢😀é";
      return kSome[random() % kSome.size()];
    }
    std::vector<CharRange> ranges;
    do {
      const bool range = element[1].type == LLAMA_GRETYPE_CHAR_RNG_UPPER;
      ranges.push_back({element[0].value, element[range ? 1 : 0].value});
      element += range ? 2 : 1;
    } while (element->type == LLAMA_GRETYPE_CHAR_ALT);
    const CharRange& range = ranges[random() % ranges.size()];
    return range.first + static_cast<uint32_t>(random() % (std::min<uint32_t>(range.last - range.first, 100) + 1));
  }

  static void append_utf8(std::string& text, uint32_t c) {
    if (c < 0x80) {
      text += static_cast<char>(c);
      return;
    }
    const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    text += static_cast<char>((0xFF00U >> (more + 1) & 0xFFU) | c >> (6 * more));
    for (int i = more - 1; i >= 0; --i) {
      text += static_cast<char>(0x80U | (c >> (6 * i) & 0x3FU));
    }
  }

  std::unique_ptr<llama_grammar, Deleter> grammar_;
  llama_grammar_stacks begun_;
  size_t most_stacks_ = 0;
};

}  // namespace hypura::schema
