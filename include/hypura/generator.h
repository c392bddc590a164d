// The generator: an open model that answers requests, one or many at once. Every pass over the weights carries the
// tokens of all running answers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hypura/chat.h"
#include "hypura/engine.h"
#include "hypura/result.h"

namespace hypura {

// What to answer, and how. Text is never parsed as control tokens, except in a raw `prompt`.
struct AnswerRequest {
  // Either messages, which the model's chat template turns into a prompt, or a raw prompt.
  std::vector<ChatMessage> messages;
  std::optional<std::string> prompt;
  std::vector<int32_t> context;  // token ids that go before the prompt

  std::vector<ToolDefinition> tools;
  ToolChoice tool_choice = ToolChoice::kAuto;
  bool parallel_tool_calls = true;         // false: one call at most
  std::optional<std::string> json_schema;  // the answer is JSON of this schema; "{}": any object
  std::optional<bool> think;               // none: the model's default
  // How much to think, where it thinks: "minimal", "low", "medium", "high", "xhigh" or "max"; empty: the model's
  // default. A level that the model's chat template does not know becomes the nearest one that it knows; where it knows
  // none, each level means to think.
  std::string effort;
  std::optional<int32_t>
      thinking_budget;          // tokens for thinking, for templates that pass it on; else it becomes an effort
  std::string template_values;  // variables for the chat template: the text of a JSON object; empty: none

  SamplingOptions sampling;
  int32_t max_tokens = -1;        // -1: until the model ends or the context is full; with `shift` ten contexts at most
  std::vector<std::string> stop;  // ends the answer; never part of it
  bool logprobs = false;
  int32_t top_logprobs = 0;  // 0 to 20

  uint32_t context_tokens = 0;  // of this answer, at most what the engine was opened with; 0: that
  bool truncate = true;  // cut a prompt that is too long: oldest messages first, then its middle; false: refuse it
  bool shift = true;     // a full context drops half of what follows the first `keep` tokens, 4 at least, and goes on
  uint32_t keep = 4;
};

struct TokenLogprob {
  std::string text;  // bytes, perhaps not whole characters
  float logprob = 0;
  std::vector<std::pair<std::string, float>> top;  // most likely first
};

// A piece of an answer: whole UTF-8 characters; tool calls whole.
struct AnswerPiece {
  std::string content;
  std::string thinking;
  std::vector<ToolCall> tool_calls;
  std::vector<TokenLogprob> logprobs;  // of the tokens sampled since the last piece

  bool empty() const { return content.empty() && thinking.empty() && tool_calls.empty() && logprobs.empty(); }

  // Appends the piece that follows.
  void append(AnswerPiece next) {
    content += next.content;
    thinking += next.thinking;
    std::move(next.tool_calls.begin(), next.tool_calls.end(), std::back_inserter(tool_calls));
    std::move(next.logprobs.begin(), next.logprobs.end(), std::back_inserter(logprobs));
  }
};

// How an answer ended. Times in seconds.
struct AnswerEnd {
  StopReason stop = StopReason::kEndOfText;
  std::string stop_string;            // with kStopString: which of the request's; else empty
  std::optional<Error> error;         // with kError
  uint32_t prompt_tokens = 0;         // cached and evaluated
  uint32_t cut_from = 0;              // tokens of the prompt before it was cut, perhaps estimated; 0: not cut
  uint32_t cached_prompt_tokens = 0;  // of those, already in the KV cache
  uint32_t answer_tokens = 0;         // sampled, an end-of-text token included
  // Of those, thinking. A piece covers all tokens sampled since the previous piece; there may be several: parts of a
  // character, of a possible stop string, of a mark like <think>. They count when the piece has thinking only. Tokens
  // of no piece do not count: an end-of-text token, usually those of a stop string.
  uint32_t thinking_tokens = 0;
  double queued_seconds = 0;
  double prompt_seconds = 0;  // evaluating
  double answer_seconds = 0;
  std::vector<int32_t> tokens;  // prompt and answer
};

// Receives one answer on the generator's thread; it must not block. on_end is called exactly once, last.
class AnswerSink {
 public:
  virtual ~AnswerSink() = default;
  // The number of tokens in the prompt. Called once, first, by submit() on its own thread; the answer may still be
  // refused.
  virtual void on_prompt(uint32_t /*tokens*/) {}
  virtual void on_piece(AnswerPiece piece) = 0;
  virtual void on_end(AnswerEnd end) = 0;
};

// An answer and how it ended.
struct WholeAnswer {
  AnswerPiece said;  // all pieces together
  AnswerEnd end;
};

struct EmbedRequest {
  std::string text;
  bool truncate = true;
  std::vector<int32_t> tokens = {};  // used as they are, instead of the text
};

struct Embedding {
  std::vector<float> values;  // not normalised
  uint32_t tokens = 0;
  uint32_t cut_from = 0;  // tokens of the text before it was cut; 0: not cut
};

// What a model's file says of it.
struct ModelCard {
  std::string name;  // the file's, without .gguf and the number of a split
  std::string architecture;
  std::string parameter_size;  // "83.7M"
  std::string quantization;    // "Q4_0"
  uint64_t parameters = 0;
  uint64_t bytes = 0;    // of its files
  int64_t modified = 0;  // seconds since 1970, of the first file
  uint32_t trained_context = 0;
  uint32_t embedding_length = 0;
  std::string chat_template;  // empty: there is none
  std::string metadata;       // the GGUF's key-value pairs as the text of a JSON object
  bool tools = false;         // its template supports them
  bool thinking = false;
  bool embeddings = false;
};

// The card of a model that is not open, from its headers: no weights are read. `path` may be any part of a split
// model. Any thread. Fails with kIo or kBadModel as Generator::open does.
Result<ModelCard> read_model_card(const std::filesystem::path& path);

// The same of a model whose conversations are written by `text` in place of its own template: Jinja, or a template of
// Ollama's. Any thread; takes some milliseconds. Fails with kUsage, and the reason, when it cannot be used.
Result<ModelCard> card_with_template(ModelCard card, const std::string& text);

// Checks whether a model can be loaded and run, without reading its weights. It takes as long as reading its
// vocabulary. Any thread. Fails with kIo, kBadModel or kUsage as Generator::open does.
Status check_model(const std::filesystem::path& path);

// Counters since the model was opened, and the current state.
struct GeneratorStats {
  EngineStats engine;
  uint64_t passes = 0;
  uint64_t batched_tokens = 0;  // tokens of all passes
  uint64_t answers = 0;         // ended, for any reason
  uint64_t cancelled = 0;       // of those
  uint64_t prompt_tokens = 0;   // of all answers' prompts
  uint64_t cached_tokens = 0;   // of those, not evaluated again
  uint64_t parked = 0;          // times that an answer made room for an older one, and went on later
  uint32_t running = 0;         // waiting ones included
  uint32_t waiting = 0;         // of those, for cells, or for another to evaluate the beginning of their prompts
  uint32_t queued = 0;
  uint32_t parallel = 0;        // answers that can run at once
  uint32_t context_used = 0;    // cells of the KV cache
  uint32_t context_size = 0;    // of so many, which all answers share
  uint64_t context_shared = 0;  // tokens that need no cell, since another sequence holds them
};

// A layer's experts: which are in memory, and which were used recently. Empty for a layer without experts.
struct LiveLayer {
  int32_t layer = 0;
  std::string resident;        // for each expert '0': on disk, '1': in RAM, '2': in VRAM
  std::vector<uint16_t> used;  // uses by the latest 64 tokens; empty where no experts are streamed
};

class Generator {
 public:
  using AnswerId = uint64_t;

  struct Options {
    EngineOptions engine;   // `context` is that of one answer
    uint32_t parallel = 4;  // answers at once; fewer where the budget does not hold their context
    uint32_t queue = 512;   // answers that may wait besides
  };

  // Opens the model and starts the thread that runs its passes. Fails as Engine::open does.
  static Result<std::unique_ptr<Generator>> open(const Options& options);

  // Ends all answers (kCancelled).
  virtual ~Generator() = default;

  // Queues an answer. Fails at once with kBusy when the queue is full; with kContextFull when the prompt
  // is too long and must not be cut, with "prompt is too long: the prompt (9123 tokens) exceeds the available context
  // size (8192 tokens)" and Error::overflow; with kUsage for what the model cannot do. Keeps `sink` until its
  // on_end has returned. Any thread, also a sink's.
  virtual Result<AnswerId> submit(AnswerRequest request, std::shared_ptr<AnswerSink> sink) = 0;

  // Ends an answer between two passes, with kCancelled. Does nothing when it has ended. Any thread.
  virtual void cancel(AnswerId id) = 0;

  // Submits a request and waits for the end of its answer. `on_piece` receives each piece on the generator's thread; it
  // returns false to cancel (kCancelled). Fails as submit() does, and with the error that ended the answer (kError).
  // Any thread but a sink's.
  Result<WholeAnswer> generate(AnswerRequest request, std::function<bool(const AnswerPiece&)> on_piece = {});

  // Waits for the embedding. Fails with kContextFull when the text is too long and must not be cut, with kUsage when
  // the model has no embeddings. Any thread.
  virtual Result<Embedding> embed(const EmbedRequest& request) = 0;

  // The prompt as the model would get it. Any thread.
  virtual Result<std::string> render(const AnswerRequest& request) const = 0;
  // Tokens of a raw prompt, with BOS as the tokenizer's rule says and control tokens parsed; and the reverse.
  virtual std::vector<int32_t> tokenize(const std::string& text) const = 0;
  virtual std::string detokenize(const std::vector<int32_t>& tokens) const = 0;

  virtual const ModelCard& card() const = 0;
  virtual const Plan& plan() const = 0;
  virtual GeneratorStats stats() const = 0;         // any thread
  virtual std::vector<LiveLayer> live() const = 0;  // any thread
  virtual uint32_t context_size() const = 0;        // of one answer

  // As those of Engine. Any thread.
  virtual MemoryState memory() const = 0;
  virtual Status set_memory(uint64_t bytes, std::string_view why) = 0;

  // As Engine::close(): call it when no answer is running. Any thread, one at a time.
  virtual Status close() = 0;

  // Whether a GPU had no memory left for a pass, since other programs took it, or a worker was lost that had whole
  // layers. Answers fail with kBudget, or kIo, from then on; opened again, the model is planned for what is there then.
  // Any thread; never blocks.
  virtual bool must_reopen() const { return false; }
};

}  // namespace hypura
