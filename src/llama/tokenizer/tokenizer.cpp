#include "llama/tokenizer/tokenizer.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "llama.h"
#include "llama/tokenizer/deep_stack.h"
#include "llama/tokenizer/spellings.h"
#include "llama/tokenizer/text_runs.h"
#include "support/log.h"

namespace hypura {

namespace {

// Shorter texts are left to llama.cpp as they are: no run in them is deep, nothing in them takes long.
constexpr size_t kEasyRun = 1024;
constexpr size_t kEasyBytes = 16384;

// llama.cpp's splitter takes some 350 bytes for each character of a run; in a debug build, more.
constexpr size_t kStackPerCharacter = 4096;
constexpr size_t kStackBesides = size_t{512} << 10;

// Of what takes llama.cpp a time that grows with the square of its number: the special tokens of a text, the characters
// in a row that a SentencePiece vocabulary has not, and the digits in a row of a splitter that counts them in threes.
constexpr size_t kSpecialsAtOnce = 512;
constexpr size_t kUnknownAtOnce = 2048;
constexpr size_t kDigitsAtOnce = 300;

constexpr size_t kLargeText = size_t{1} << 18;
constexpr size_t kMostBytes = size_t{1} << 29;  // llama.cpp counts in 32 bits

std::string metadata(const llama_model* model, const char* key) {
  std::array<char, 64> value = {};
  return llama_model_meta_val_str(model, key, value.data(), value.size()) < 0 ? "" : value.data();
}

Splitter splitter_of(const llama_model* model) {
  if (metadata(model, "tokenizer.ggml.model") == "gemma4") {
    return Splitter::kFlat;
  }
  const std::string name = metadata(model, "tokenizer.ggml.pre");
  return splitter_named(name.empty() ? "default" : name);
}

// What is known of a vocabulary. The lists are made when they are first needed.
class Facts {
 public:
  Facts(const llama_vocab* vocab, Splitter splitter) : vocab_(vocab), splitter_(splitter) {}

  const llama_vocab* vocab() const { return vocab_; }
  Splitter splitter() const { return llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_BPE ? splitter_ : Splitter::kFlat; }

  // The tokens that llama.cpp finds in a text before it splits the rest.
  const Spellings& specials(bool parse_special) {
    std::call_once(specials_once_, [this] { list_specials(); });
    return parse_special ? specials_ : defined_;
  }

  // Whether white space after that special token is dropped.
  bool eats_space(const std::string& special) {
    return std::find(eaters_.begin(), eaters_.end(), special) != eaters_.end();
  }

  // Whether any token has the character in its text.
  bool has(std::string_view character) {
    std::call_once(characters_once_, [this] { list_characters(); });
    const auto first = static_cast<unsigned char>(character.front());
    return first < ascii_.size() ? ascii_[first]
                                 : std::binary_search(characters_.begin(), characters_.end(), character);
  }

 private:
  void list_specials() {
    std::vector<std::string> all;
    std::vector<std::string> defined;
    for (llama_token token = 0; token < llama_vocab_n_tokens(vocab_); ++token) {
      const llama_token_attr attributes = llama_vocab_get_attr(vocab_, token);
      const bool user_defined = (attributes & LLAMA_TOKEN_ATTR_USER_DEFINED) != 0;
      if (!user_defined && (attributes & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) == 0) {
        continue;
      }
      all.emplace_back(llama_vocab_get_text(vocab_, token));
      if (user_defined) {
        defined.push_back(all.back());
      }
      if ((attributes & LLAMA_TOKEN_ATTR_RSTRIP) != 0) {
        eaters_.push_back(all.back());
      }
    }
    specials_ = Spellings(std::move(all));
    defined_ = Spellings(std::move(defined));
  }

  void list_characters() {
    for (llama_token token = 0; token < llama_vocab_n_tokens(vocab_); ++token) {
      const std::string_view text = llama_vocab_get_text(vocab_, token);
      for (size_t at = 0; at < text.size();) {
        const size_t bytes = character_bytes(text, at);
        characters_.push_back(text.substr(at, bytes));
        at += bytes;
      }
      if (characters_.size() > kMostListed) {
        sort_characters();
      }
    }
    sort_characters();
    for (const std::string_view character : characters_) {
      const auto first = static_cast<unsigned char>(character.front());
      if (first < ascii_.size()) {
        ascii_[first] = true;
      }
    }
  }

  void sort_characters() {
    std::sort(characters_.begin(), characters_.end());
    characters_.erase(std::unique(characters_.begin(), characters_.end()), characters_.end());
  }

  static constexpr size_t kMostListed = 65536;

  const llama_vocab* vocab_;
  Splitter splitter_;
  std::once_flag specials_once_;
  std::once_flag characters_once_;
  Spellings specials_;
  Spellings defined_;
  std::vector<std::string> eaters_;
  std::vector<std::string_view> characters_;  // sorted; the vocabulary owns them
  std::array<bool, 128> ascii_ = {};
};

struct Known {
  std::mutex mutex;
  std::map<const llama_vocab*, std::shared_ptr<Facts>> facts;
};

Known& known() {
  static Known known;
  return known;
}

std::shared_ptr<Facts> facts_of(const llama_vocab* vocab) {
  const std::lock_guard lock(known().mutex);
  const auto found = known().facts.find(vocab);
  return found != known().facts.end() ? found->second : std::make_shared<Facts>(vocab, Splitter::kUnknown);
}

// Where a special token stands in a text.
struct Special {
  size_t begin = 0;
  size_t shortest_end = 0;  // where several begin at one place, of the shortest
  size_t end = 0;
  bool eats_space = false;
};

// A place where a text is taken apart. What is between two of them is tokenized by itself.
struct Cut {
  size_t at = 0;
  bool after_special = false;
};

class Cuts {
 public:
  Cuts(Facts& facts, std::string_view text, bool parse_special)
      : facts_(facts), text_(text), parse_special_(parse_special) {}

  // After every so many special tokens: what is around one is tokenized apart anyway.
  void at_specials() {
    find_specials();
    size_t last = 0;
    size_t reach = 0;  // of the special tokens before this one
    for (size_t i = 0; i < specials_.size(); ++i) {
      const Special& it = specials_[i];
      const bool alone = reach <= it.begin && (i + 1 == specials_.size() || specials_[i + 1].begin >= it.end);
      reach = std::max(reach, it.end);
      if (alone && !it.eats_space && i - last >= kSpecialsAtOnce) {
        cuts_.push_back({it.end, true});
        last = i;
      }
    }
  }

  // Within runs that are too deep for llama.cpp, where no special token is. What runs remain is returned.
  size_t in_deep_runs() {
    size_t deepest = 0;
    for (const TextRun& run : long_runs(text_, facts_.splitter(), kEasyRun)) {
      if (run.characters <= kDeepestRun) {
        deepest = std::max(deepest, run.characters);
        continue;
      }
      // llama.cpp never hands on to the splitter what holds a whole special token.
      find_specials();
      size_t begin = run.begin;
      auto special = std::partition_point(specials_.begin(), specials_.end(),
                                          [&](const Special& it) { return it.begin < run.begin; });
      for (; special != specials_.end() && special->begin < run.end; ++special) {
        deepest = std::max(deepest, cut_run(begin, std::min(special->shortest_end, run.end)));
        begin = special->begin + 1;
      }
      deepest = std::max(deepest, cut_run(begin, run.end));
    }
    return deepest;
  }

  // Before characters that a SentencePiece vocabulary has in no token: nothing is merged there.
  void at_unknown() {
    size_t count = 0;
    for (size_t at = 0; at < text_.size();) {
      const size_t bytes = character_bytes(text_, at);
      const bool blank = text_[at] == ' ';  // a token has it as another character
      count = blank || facts_.has(text_.substr(at, bytes)) ? 0 : count + 1;
      if (count > kUnknownAtOnce) {
        cuts_.push_back({at, false});
        count = 1;
      }
      at += bytes;
    }
  }

  // Where threes of digits end that are counted from a number's end.
  void in_digits() {
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    for (size_t at = 0; at < text_.size(); ++at) {
      const size_t begin = at;
      while (at < text_.size() && digit(text_[at])) {
        ++at;
      }
      for (size_t place = at; place > begin + kDigitsAtOnce;) {
        place -= kDigitsAtOnce;
        cuts_.push_back({place, false});
      }
    }
  }

  std::vector<Cut> take() {
    for (size_t at = kMostBytes; at < text_.size(); at += kMostBytes) {
      cuts_.push_back({at, false});
    }
    std::sort(cuts_.begin(), cuts_.end(), [](const Cut& a, const Cut& b) {
      return a.at < b.at || (a.at == b.at && a.after_special && !b.after_special);
    });
    const auto same = [](const Cut& a, const Cut& b) { return a.at == b.at; };
    cuts_.erase(std::unique(cuts_.begin(), cuts_.end(), same), cuts_.end());
    std::erase_if(cuts_, [&](const Cut& it) { return it.at == 0 || it.at >= text_.size(); });
    return std::move(cuts_);
  }

 private:
  void find_specials() {
    if (sought_) {
      return;
    }
    sought_ = true;
    const Spellings& spellings = facts_.specials(parse_special_);
    for (size_t at = 0; at < text_.size() && !spellings.empty(); ++at) {
      const Spellings::Found here = spellings.at_beginning(text_.substr(at));
      if (here.longest != Spellings::kNone) {
        specials_.push_back({at, at + spellings[here.shortest].size(), at + spellings[here.longest].size(),
                             facts_.eats_space(spellings[here.longest])});
      }
    }
  }

  // Cuts [begin, end), of whose characters each but the last few may belong to one run; the longest piece is returned.
  size_t cut_run(size_t begin, size_t end) {
    size_t longest = 0;
    size_t count = 0;
    for (size_t at = begin; at < end;) {
      if (count >= kDeepestRun && !within_special(at)) {
        cuts_.push_back({at, false});
        count = 0;
      }
      longest = std::max(longest, ++count);
      at += character_bytes(text_, at);
    }
    return longest;
  }

  bool within_special(size_t place) const {
    auto it = std::partition_point(specials_.begin(), specials_.end(),
                                   [&](const Special& special) { return special.begin < place; });
    for (size_t looked = 0; it != specials_.begin() && looked < kSpecialsAtOnce; ++looked) {
      if ((--it)->end > place) {
        return true;
      }
    }
    return false;
  }

  Facts& facts_;
  std::string_view text_;
  bool parse_special_;
  bool sought_ = false;
  std::vector<Special> specials_;
  std::vector<Cut> cuts_;
};

// Appends the tokens of `text`. False when llama.cpp cannot make any: where the vocabulary has none for a byte.
bool append(const llama_vocab* vocab, std::string_view text, bool add_bos, bool parse_special,
            std::vector<int32_t>& tokens) {
  const size_t before = tokens.size();
  tokens.resize(before + text.size() / (text.size() < kLargeText ? 1 : 2) + 16);  // seldom too few
  const auto tokenize = [&] {
    return llama_tokenize(vocab, text.data(), static_cast<int32_t>(text.size()), tokens.data() + before,
                          static_cast<int32_t>(tokens.size() - before), add_bos, parse_special);
  };
  int32_t count = 0;
  try {  // perhaps exceptions of another C++ library, where llama.cpp was built with one
    count = tokenize();
    if (count < 0) {
      tokens.resize(before - static_cast<size_t>(static_cast<int64_t>(count)));
      count = tokenize();
    }
  } catch (...) {
    count = -1;
  }
  tokens.resize(before + static_cast<size_t>(std::max(count, 0)));
  return count >= 0;
}

// The tokens of a text that is taken apart.
class Pieces {
 public:
  Pieces(const llama_vocab* vocab, std::string_view text, bool parse_special)
      : vocab_(vocab), text_(text), parse_special_(parse_special) {}

  std::vector<int32_t> tokens(const std::vector<Cut>& cuts, bool add_bos) const {
    std::vector<int32_t> around;  // what begins and what ends every text
    if (add_bos) {
      append(vocab_, "", true, parse_special_, around);
    }
    const bool begins = llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_WPM || llama_vocab_get_add_bos(vocab_);
    const auto front = around.begin() + (begins && !around.empty() ? 1 : 0);
    std::vector<int32_t> tokens(around.begin(), front);
    size_t begin = 0;
    bool after_special = true;
    for (const Cut& cut : cuts) {
      add(text_.substr(begin, cut.at - begin), after_special, tokens);
      begin = cut.at;
      after_special = cut.after_special;
    }
    add(text_.substr(begin), after_special, tokens);
    tokens.insert(tokens.end(), front, around.end());
    return tokens;
  }

 private:
  void add(std::string_view piece, bool after_special, std::vector<int32_t>& tokens) const {
    const size_t before = tokens.size();
    if (!append(vocab_, piece, false, parse_special_, tokens)) {
      add_by_character(piece, tokens);
    } else if (!after_special && llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_SPM) {
      drop_space(piece, before, tokens);
    }
  }

  // A space may be put before every text, but none belongs here. The first character is one that no token has, and so
  // is spelled in bytes.
  void drop_space(std::string_view piece, size_t before, std::vector<int32_t>& tokens) const {
    const std::string_view first = piece.substr(0, character_bytes(piece, 0));
    std::vector<int32_t> alone;
    if (append(vocab_, first, false, parse_special_, alone) && alone.size() > first.size()) {
      const auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(before);
      tokens.erase(begin, begin + static_cast<std::ptrdiff_t>(alone.size() - first.size()));
    }
  }

  void add_by_character(std::string_view piece, std::vector<int32_t>& tokens) const {
    size_t lost = 0;
    for (size_t at = 0; at < piece.size();) {
      const size_t bytes = character_bytes(piece, at);
      lost += append(vocab_, piece.substr(at, bytes), false, parse_special_, tokens) ? 0 : 1;
      at += bytes;
    }
    logger().warn("{} characters of a text were left out: the model's vocabulary has no tokens for them", lost);
  }

  const llama_vocab* vocab_;
  std::string_view text_;
  bool parse_special_;
};

// Where no thread is to be had for a deep run.
std::vector<Cut> easy_cuts(std::string_view text) {
  std::vector<Cut> cuts;
  size_t last = 0;
  for (size_t at = 0; at < text.size(); at += character_bytes(text, at)) {
    if (at - last >= kEasyRun) {
      cuts.push_back({at, false});
      last = at;
    }
  }
  return cuts;
}

}  // namespace

std::vector<int32_t> tokenize_text(Vocabulary vocabulary, std::string_view text, bool add_bos, bool parse_special) {
  const llama_vocab* vocab = vocabulary.get();
  const Pieces pieces(vocab, text, parse_special);
  std::vector<int32_t> tokens;
  const auto whole = [&] {
    if (!append(vocab, text, add_bos, parse_special, tokens)) {
      tokens = pieces.tokens({}, add_bos);
    }
  };
  if (text.size() <= kEasyRun) {
    whole();
    return tokens;
  }
  const std::shared_ptr<Facts> facts = facts_of(vocab);
  Cuts cuts(*facts, text, parse_special);
  const size_t deepest = cuts.in_deep_runs();
  if (text.size() > kEasyBytes) {
    cuts.at_specials();
    if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_SPM) {
      cuts.at_unknown();
    }
  }
  if (facts->splitter() == Splitter::kDigitGroups) {
    cuts.in_digits();
  }
  const std::vector<Cut> places = cuts.take();
  const auto work = [&] {
    if (places.empty()) {
      whole();
    } else {
      tokens = pieces.tokens(places, add_bos);
    }
  };
  if (deepest == 0) {
    work();
  } else if (!run_on_stack(kStackBesides + deepest * kStackPerCharacter, work)) {
    tokens = pieces.tokens(easy_cuts(text), add_bos);
  }
  return tokens;
}

void know_tokenizer(const llama_model& model) {
  const llama_vocab* vocab = llama_model_get_vocab(&model);
  const std::lock_guard lock(known().mutex);
  known().facts[vocab] = std::make_shared<Facts>(vocab, splitter_of(&model));
}

void forget_tokenizer(const llama_model& model) {
  const std::lock_guard lock(known().mutex);
  known().facts.erase(llama_model_get_vocab(&model));
}

}  // namespace hypura
