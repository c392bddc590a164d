// The prompt of a request as tokens that fit the context: as it is, cut, or refused. What is far too long is never
// tokenised as a whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "chat/chat_format.h"
#include "hypura/generator.h"
#include "llama/tokenizer/text_bound.h"
#include "llama/vocabulary.h"

namespace hypura {

struct FittedPrompt {
  std::vector<int32_t> tokens;
  uint32_t cut_from = 0;   // as AnswerEnd
  AnswerBeginning answer;  // of messages
};

// The tokens of the request's context and prompt or messages, at most `limit`: cut if `request.truncate`, else
// kContextFull with an Overflow. Fails with kUsage when the template refuses the messages or nothing is left to read.
// Any thread.
Result<FittedPrompt> fit_prompt(const ChatFormat& format, Vocabulary vocab, const TextBound& bound,
                                const AnswerRequest& request, uint32_t limit);

// The tokens of a text as it stands, control tokens not recognised, for an embedding. As fit_prompt.
Result<FittedPrompt> fit_text(Vocabulary vocab, const TextBound& bound, std::string_view text, bool truncate,
                              uint32_t limit);
Result<FittedPrompt> fit_tokens(const std::vector<int32_t>& tokens, bool truncate, uint32_t limit);

// Leaves out the oldest of `messages`, never the system's nor the last, until `excess` tokens are gone by what `sizes`
// says of each; the answers of tools go with the message that called them. False when there was nothing to leave out.
bool drop_oldest(std::vector<ChatMessage>& messages, std::vector<size_t>& sizes, size_t excess);

}  // namespace hypura
