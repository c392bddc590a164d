// What a model says, taken apart: thinking, content, calls of tools.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "hypura/generator.h"
#include "output/answer_rest.h"

struct common_chat_msg;
struct common_chat_parser_params;

namespace hypura {

// Takes the text of one answer in pieces. Thinking and content are given as they grow, a call when it is complete; in
// long answers some tokens later, where the parser has much to read for each. From where brackets are nested deeper
// than kDeepestAnswer, all text is content. Not thread-safe.
class AnswerParser {
 public:
  explicit AnswerParser(const common_chat_parser_params& params);
  ~AnswerParser();

  // The answer is either calls, which the parser knows, or content alone, which `content` takes apart. Until it is told
  // which, only what both say alike is given. Before the first add().
  void or_content(const common_chat_parser_params& content);

  // No call after the first `most` is given: the answer is over() when another begins. llama.cpp's grammars and parsers
  // take several where only one may be made. Before the first add().
  void limit_calls(size_t most) { most_calls_ = most; }
  bool over() const { return over_; }

  // Text behind calls is not given: the answer is over() when it comes. llama.cpp's grammar for Ling 3 lets an answer
  // go on that is to be calls, and its parser takes a second call, where only one may be made, for such text. Before
  // the first add().
  void end_with_calls() { ends_with_calls_ = true; }

  // What the template's marks say of text that the parser leaves. Before the first add().
  void know_marks(AnswerRest marks) { marks_ = std::move(marks); }

  AnswerPiece add(std::string_view text);

  static constexpr size_t kDeepestAnswer = 4000;

  // The rest, when no more text will come. What was said in no form that the model's template knows is content.
  AnswerPiece finish();

 private:
  // What was taken out of the middle of thoughts or content.
  struct Cut {
    size_t at = 0;  // in what is left of it
    std::string text;
  };

  // What is new in `message`. The last call may be incomplete unless `whole`.
  AnswerPiece news(const common_chat_msg& message, bool whole);
  bool parse(const common_chat_parser_params& params, bool partial, common_chat_msg& message) const;
  bool parse(bool partial, common_chat_msg& message) const;
  bool parse_so_far(common_chat_msg& message);
  void count_brackets(std::string_view text);
  size_t wanted() const;
  void shorten();
  bool restore(common_chat_msg& message, const Cut& thinking, const Cut& content) const;
  void read_with_less_space();

  std::unique_ptr<common_chat_parser_params> params_;
  std::unique_ptr<common_chat_parser_params> content_params_;
  std::unique_ptr<common_chat_msg> last_;  // what the text was when it last had a form
  std::string text_;
  std::string read_;  // what the parser is given of it
  Cut cut_thinking_;  // what that lacks
  Cut cut_content_;
  size_t next_cut_ = 0;  // bytes of read_
  size_t waiting_ = 0;   // bytes that were not parsed yet
  AnswerRest marks_;
  std::string content_;   // given so far
  std::string thinking_;  // given so far
  size_t calls_ = 0;      // taken so far; those that are no JSON object were not given
  size_t most_calls_ = SIZE_MAX;
  bool called_ = false;  // one was given
  bool said_ = false;    // something was given: else all text is content in the end
  bool ends_with_calls_ = false;
  bool calling_ = false;  // a call has begun
  bool over_ = false;
  size_t nesting_ = 0;  // of brackets, also of those within quotes
  size_t deepest_ = 0;
};

}  // namespace hypura
