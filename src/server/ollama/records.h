// Answers of /api/generate and /api/chat: one JSON object a line, or one for the whole.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "server/answering.h"
#include "server/json/json.h"

namespace hypura::ollama {

enum class RecordShape { kGenerate, kChat };  // "response":"…", or "message":{…}

// Writes one answer's records. `model` is the name as the request spells it; times count from construction.
class RecordFormat : public AnswerFormat {
 public:
  // `with_context`: the last record carries the tokens of the prompt and the answer.
  RecordFormat(std::string model, RecordShape shape, bool with_context);

  void on_lease(const ModelLease& lease) override;
  HttpResponse on_begin() override;
  std::string on_piece(AnswerPiece piece) override;
  // Before the next record: each line is JSON, which may begin with spaces.
  std::string on_quiet() override { return " "; }
  std::string on_end(const AnswerEnd& end) override;
  std::string on_error(const Error& error) override;
  HttpResponse whole(AnswerPiece answer, const AnswerEnd& end) override;
  HttpResponse refusal(const Error& error) override;

 private:
  Json record(AnswerPiece piece, bool done);
  Json last(AnswerPiece piece, const AnswerEnd& end);
  Json tool_calls(std::vector<ToolCall> calls);

  const std::string model_;
  const RecordShape shape_;
  const bool with_context_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double load_seconds_ = 0;
  size_t calls_ = 0;  // tool calls so far
};

// The one record of a request that only loads or unloads the model.
Json load_record(const std::string& model, RecordShape shape, std::string_view done_reason, double load_seconds = 0);

// [{"token","logprob","bytes","top_logprobs"}]
Json logprobs_json(const std::vector<TokenLogprob>& logprobs);

}  // namespace hypura::ollama
