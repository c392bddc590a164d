#include "schema/rules.h"

#include <fmt/format.h>

#include <algorithm>

namespace hypura::schema {

namespace {

// A chain of this many rules counts one by one; larger numbers are counted in blocks.
constexpr uint64_t kChain = 64;

const CharSet kEscaped = {{0x00, 0x1F}, {'"', '"'}, {'\\', '\\'}, {0x7F, 0x7F}};

std::string literal(const std::string& text) {
  std::string made = "\"";
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (c == '"' || c == '\\') {
      made += '\\';
      made += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      made += fmt::format("\\x{:02X}", byte);
    } else {
      made += c;
    }
  }
  return made + "\"";
}

// A character that a JSON string has in an escaped form only.
std::string escape_of(uint32_t c) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return fmt::format("\\u{:04x}", c);
  }
}

// Where the character ends that begins at `at`.
size_t next_character(const std::string& text, size_t at) {
  do {
    ++at;
  } while (at < text.size() && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80);
  return at;
}

}  // namespace

Rules::Symbol Rules::notation(const std::string& notation) {
  const auto [it, is_new] = terminal_numbers_.try_emplace(notation, ~static_cast<Symbol>(terminals_.size()));
  if (is_new) {
    terminals_.push_back(notation);
  }
  return it->second;
}

Rules::Symbol Rules::text(const std::string& text) {
  return notation(literal(text));
}

Rules::Symbol Rules::rule() {
  rules_.emplace_back();
  return static_cast<Symbol>(rules_.size() - 1);
}

void Rules::add(Symbol rule, Sequence alternative) {
  size_ += 1 + alternative.size();
  rules_[static_cast<size_t>(rule)].push_back(std::move(alternative));
}

Rules::Symbol Rules::rule(std::vector<Sequence> alternatives) {
  const Symbol made = rule();
  for (Sequence& alternative : alternatives) {
    add(made, std::move(alternative));
  }
  return made;
}

Rules::Sequence Rules::repeated(Symbol symbol, uint64_t min, std::optional<uint64_t> max) {
  if (max && *max < min) {
    return {rule()};
  }
  Sequence made;
  if (min > 0) {
    made.push_back(exactly(symbol, min));
  }
  if (!max) {
    const auto [it, is_new] = repeated_.try_emplace({symbol, 0, false}, 0);
    if (is_new) {
      const Symbol any = it->second = rule();
      add(any, {symbol, any});
      add(any, {});
    }
    made.push_back(repeated_.at({symbol, 0, false}));
  } else if (*max > min) {
    made.push_back(at_most(symbol, *max - min));
  }
  return made;
}

Rules::Symbol Rules::exactly(Symbol symbol, uint64_t times) {
  if (times == 1) {
    return symbol;
  }
  if (const auto found = repeated_.find({symbol, times, true}); found != repeated_.end()) {
    return found->second;
  }
  const Symbol half = exactly(symbol, times / 2);
  Sequence both = {half, half};
  if (times % 2 != 0) {
    both.push_back(symbol);
  }
  return repeated_[{symbol, times, true}] = rule({std::move(both)});
}

// Up to a chain's length one by one. Beyond that a whole block comes first, or less than a block does: both are
// followed at once until that is known.
Rules::Symbol Rules::at_most(Symbol symbol, uint64_t times) {
  if (const auto found = repeated_.find({symbol, times, false}); found != repeated_.end()) {
    return found->second;
  }
  uint64_t block = 1;
  while (times > kChain && block * kChain < times) {
    block *= kChain;
  }
  Sequence first = {exactly(symbol, block)};
  if (times > block) {
    first.push_back(at_most(symbol, times - block));
  }
  const Symbol made = rule({std::move(first)});
  add(made, block > 1 ? Sequence{at_most(symbol, block - 1)} : Sequence());
  return repeated_[{symbol, times, false}] = made;
}

Rules::Symbol Rules::one_of(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  const Symbol made = rule();
  std::vector<Branch> todo = {{made, 0, texts.size(), 0}};
  while (!todo.empty()) {
    const Branch branch = todo.back();
    todo.pop_back();
    grow(texts, branch, todo);
  }
  return made;
}

// Adds what follows the first `branch.from` bytes, in which the texts from `begin` to `end` agree.
void Rules::grow(const std::vector<std::string>& texts, Branch branch, std::vector<Branch>& todo) {
  for (size_t begin = branch.begin; begin < branch.end;) {
    const std::string& first = texts[begin];
    if (first.size() == branch.from) {
      add(branch.rule, {});
      ++begin;
      continue;
    }
    const size_t head = next_character(first, branch.from) - branch.from;
    size_t last = begin + 1;
    while (last < branch.end && texts[last].compare(branch.from, head, first, branch.from, head) == 0) {
      ++last;
    }
    // What all of them begin with: of texts in order, what the first and the last have in common.
    const std::string& other = texts[last - 1];
    size_t common = branch.from + head;
    for (size_t next = common; common < first.size(); common = next) {
      next = next_character(first, common);
      if (other.compare(common, next - common, first, common, next - common) != 0) {
        break;
      }
    }
    Sequence alternative = {text(first.substr(branch.from, common - branch.from))};
    if (last - begin > 1) {
      alternative.push_back(rule());
      todo.push_back({alternative.back(), begin, last, common});
    }
    add(branch.rule, std::move(alternative));
    begin = last;
  }
}

Rules::Symbol Rules::string_rest(const Automaton& it) {
  const Automaton whole = trimmed(it);
  std::vector<Symbol> states;
  for (size_t i = 0; i < whole.states.size(); ++i) {
    states.push_back(rule());
  }
  for (size_t i = 0; i < whole.states.size(); ++i) {
    std::map<uint32_t, std::vector<CharRange>> by_target;
    for (const Automaton::Edge& edge : whole.states[i].edges) {
      by_target[edge.to].push_back(edge.chars);
    }
    for (auto& [to, ranges] : by_target) {
      add_chars(states[i], char_set(std::move(ranges)), states[to]);
    }
    if (whole.states[i].accepts) {
      add(states[i], {text("\"")});
    }
  }
  return states[0];
}

// As a JSON string has them: as they are, or escaped where they must be. Characters that have a number for an escape
// are left out where there are others.
void Rules::add_chars(Symbol rule, const CharSet& set, Symbol next) {
  const CharSet plain = intersection(set, complement(kEscaped));
  if (!plain.empty()) {
    add(rule, {chars(plain), next});
  }
  std::vector<CharRange> letters;  // of escapes like "\n"
  std::vector<std::string> numbers;
  for (const CharRange& range : intersection(set, kEscaped)) {
    for (uint32_t c = range.first; c <= range.last; ++c) {
      const std::string escape = escape_of(c);
      const auto letter = static_cast<uint8_t>(escape[1]);
      letter == 'u' ? numbers.push_back(escape) : letters.push_back({letter, letter});
    }
  }
  if (!letters.empty()) {
    add(rule, {text("\\"), chars(char_set(letters)), next});
  }
  if (plain.empty() && letters.empty()) {
    for (const std::string& escape : numbers) {
      add(rule, {text(escape), next});
    }
  }
}

std::vector<bool> Rules::productive() const {
  // How many symbols of an alternative are not known to match something, and who waits for a rule.
  struct Waiting {
    Symbol rule;
    size_t missing;
  };
  std::vector<Waiting> alternatives;
  std::vector<std::vector<size_t>> waits(rules_.size());
  std::vector<bool> good(rules_.size());
  std::vector<Symbol> todo;
  const auto found = [&](Symbol rule) {
    if (!good[static_cast<size_t>(rule)]) {
      good[static_cast<size_t>(rule)] = true;
      todo.push_back(rule);
    }
  };
  for (size_t i = 0; i < rules_.size(); ++i) {
    for (const Sequence& sequence : rules_[i]) {
      size_t missing = 0;
      for (const Symbol symbol : sequence) {
        if (symbol >= 0) {
          waits[static_cast<size_t>(symbol)].push_back(alternatives.size());
          ++missing;
        }
      }
      alternatives.push_back({static_cast<Symbol>(i), missing});
      if (missing == 0) {
        found(static_cast<Symbol>(i));
      }
    }
  }
  while (!todo.empty()) {
    const Symbol rule = todo.back();
    todo.pop_back();
    for (const size_t alternative : waits[static_cast<size_t>(rule)]) {
      if (--alternatives[alternative].missing == 0) {
        found(alternatives[alternative].rule);
      }
    }
  }
  return good;
}

std::string Rules::grammar(const std::vector<std::pair<Symbol, std::string>>& roots, const std::string& prefix) const {
  const std::vector<bool> good = productive();
  const auto is_good = [&](Symbol it) { return it < 0 || good[static_cast<size_t>(it)]; };
  std::vector<std::string> names(rules_.size());
  std::vector<Symbol> order;
  for (const auto& [root, name] : roots) {
    names[static_cast<size_t>(root)] = name;
    order.push_back(root);
  }
  std::string text;
  for (size_t i = 0; i < order.size(); ++i) {
    text += names[static_cast<size_t>(order[i])] + " ::=";
    bool first = true;
    for (const Sequence& sequence : rules_[static_cast<size_t>(order[i])]) {
      if (!std::all_of(sequence.begin(), sequence.end(), is_good)) {
        continue;
      }
      text += first ? "" : " |";
      text += sequence.empty() ? " \"\"" : "";  // a line must not end in what another could go on from
      first = false;
      for (const Symbol symbol : sequence) {
        if (symbol < 0) {
          const Symbol terminal = ~symbol;
          text += " " + terminals_[static_cast<size_t>(terminal)];
          continue;
        }
        std::string& name = names[static_cast<size_t>(symbol)];
        if (name.empty()) {
          name = prefix + std::to_string(order.size());
          order.push_back(symbol);
        }
        text += " " + name;
      }
    }
    text += "\n";
  }
  return text;
}

Rules::Symbol Rules::shared(Shared which, Symbol (Rules::*make)(Symbol)) {
  if (const auto found = shared_.find(which); found != shared_.end()) {
    return found->second;
  }
  const Symbol made = shared_[which] = rule();  // known before it is made, since values hold values
  return (this->*make)(made);
}

Rules::Symbol Rules::space() {
  return shared(Shared::kSpace, &Rules::make_space);
}
Rules::Symbol Rules::value() {
  return shared(Shared::kValue, &Rules::make_value);
}
Rules::Symbol Rules::object() {
  return shared(Shared::kObject, &Rules::make_object);
}
Rules::Symbol Rules::array() {
  return shared(Shared::kArray, &Rules::make_array);
}
Rules::Symbol Rules::string() {
  return shared(Shared::kString, &Rules::make_string);
}
Rules::Symbol Rules::character() {
  return shared(Shared::kCharacter, &Rules::make_character);
}
Rules::Symbol Rules::number() {
  return shared(Shared::kNumber, &Rules::make_number);
}
Rules::Symbol Rules::integer() {
  return shared(Shared::kInteger, &Rules::make_integer);
}

// Not more than pretty printing needs: a model could go on with spaces for ever.
Rules::Symbol Rules::make_space(Symbol rule) {
  add(rule, {});
  add(rule, {text(" ")});
  add(rule, {notation(R"("\n"{1,2} [ \t]{0,20})")});
  return rule;
}

Rules::Symbol Rules::make_value(Symbol rule) {
  for (const Symbol symbol : {object(), array(), string(), number(), text("true"), text("false"), text("null")}) {
    add(rule, {symbol});
  }
  return rule;
}

Rules::Symbol Rules::make_object(Symbol rule) {
  const Symbol member = this->rule({{string(), text(":"), space(), value()}});
  const Symbol more = this->rule();
  add(more, {text(","), space(), member, more});
  add(more, {});
  add(rule, {text("{"), space(), text("}")});
  add(rule, {text("{"), space(), member, more, space(), text("}")});
  return rule;
}

Rules::Symbol Rules::make_array(Symbol rule) {
  const Symbol more = this->rule();
  add(more, {text(","), space(), value(), more});
  add(more, {});
  add(rule, {text("["), space(), text("]")});
  add(rule, {text("["), space(), value(), more, space(), text("]")});
  return rule;
}

Rules::Symbol Rules::make_string(Symbol rule) {
  Sequence sequence = {text("\"")};
  for (const Symbol symbol : repeated(character(), 0, std::nullopt)) {
    sequence.push_back(symbol);
  }
  sequence.push_back(text("\""));
  add(rule, std::move(sequence));
  return rule;
}

// Two escapes that make one character count as one; halves of one are not allowed.
Rules::Symbol Rules::make_character(Symbol rule) {
  add(rule, {notation(R"([^"\\\x00-\x1F\x7F])")});
  add(rule, {notation(R"("\\" ["\\/bfnrt])")});
  add(rule, {notation(R"("\\u" ([0-9A-CEFa-cef] [0-9A-Fa-f] | [Dd] [0-7]) [0-9A-Fa-f]{2})")});
  add(rule, {notation(R"("\\u" [Dd] [89ABab] [0-9A-Fa-f]{2} "\\u" [Dd] [C-Fc-f] [0-9A-Fa-f]{2})")});
  return rule;
}

Rules::Symbol Rules::make_number(Symbol rule) {
  add(rule, {integer(), notation(R"(("." [0-9]{1,16})? ([eE] [-+]? [1-9] [0-9]?)?)")});
  return rule;
}

Rules::Symbol Rules::make_integer(Symbol rule) {
  add(rule, {notation(R"("-"? ([0] | [1-9] [0-9]{0,15}))")});
  return rule;
}

}  // namespace hypura::schema
