// Runs one answer on one model and writes it to one exchange, in whichever API's form.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hypura/generator.h"
#include "server/api.h"
#include "server/exchange.h"
#include "server/model_host.h"

namespace hypura {

// One of the answers to a request, when it has ended.
struct AnswerChoice {
  AnswerPiece answer;  // empty where the pieces were sent as they came
  AnswerEnd end;
};

// How an API writes an answer: one object for one request. Its functions are called one after the other, on the thread
// that the answer is made on or one of the server's, and must not block. Either the functions of a stream or whole()
// are called; refusal() when there is nothing else to send.
class AnswerFormat {
 public:
  virtual ~AnswerFormat() = default;

  // The model is loaded: called first, unless loading failed.
  virtual void on_lease(const ModelLease& /*lease*/) {}
  // The prompt has so many tokens: called once for each choice, before its first piece.
  virtual void on_prompt(uint32_t /*tokens*/) {}

  // Of a stream: its head, with what goes before the first piece as the body. Called when the first piece is there, or
  // the end, or when both are long in coming.
  virtual HttpResponse on_begin() = 0;
  // The text of a piece; may be empty.
  virtual std::string on_piece(AnswerPiece piece) = 0;
  // The stream has begun and nothing was said for long: text that means nothing, so that the client does not take the
  // connection for dead. Empty where the form has no such thing.
  virtual std::string on_quiet() { return {}; }
  // The last text.
  virtual std::string on_end(const AnswerEnd& end) = 0;
  // The last text, when the answer fails after on_begin.
  virtual std::string on_error(const Error& error) = 0;

  // Not streamed: `answer` is all pieces in one. JSON, with status 200: where it is long in coming, the head has gone
  // out already, and spaces after it.
  virtual HttpResponse whole(AnswerPiece answer, const AnswerEnd& end) = 0;

  // Nothing was sent yet, streamed or not. http_status() tells the status.
  virtual HttpResponse refusal(const Error& error) = 0;

  // Of requests that have several choices, counted from 0; by default there is one, which the functions above are for.
  virtual std::string on_choice_piece(size_t /*choice*/, AnswerPiece piece) { return on_piece(std::move(piece)); }
  virtual std::string on_choice_end(size_t /*choice*/, const AnswerEnd& /*end*/) { return {}; }
  // After the end of each choice. In the order of the choices.
  virtual std::string on_all_ended(const std::vector<AnswerChoice>& choices) { return on_end(choices.front().end); }
  virtual HttpResponse all(std::vector<AnswerChoice> choices) {
    return whole(std::move(choices.front().answer), choices.front().end);
  }
};

// The format of an API whose requests may want several choices.
class ChoicesFormat : public AnswerFormat {
 public:
  std::string on_piece(AnswerPiece piece) final { return on_choice_piece(0, std::move(piece)); }
  std::string on_end(const AnswerEnd& end) final { return on_choice_end(0, end) + on_all_ended({{{}, end}}); }
  HttpResponse whole(AnswerPiece answer, const AnswerEnd& end) final {
    std::vector<AnswerChoice> one;
    one.push_back({std::move(answer), end});
    return all(std::move(one));
  }

  std::string on_choice_piece(size_t choice, AnswerPiece piece) override = 0;
  std::string on_choice_end(size_t choice, const AnswerEnd& end) override = 0;
  std::string on_all_ended(const std::vector<AnswerChoice>& choices) override = 0;
  HttpResponse all(std::vector<AnswerChoice> choices) override = 0;
};

struct AnswerJob {
  ModelPtr model;
  std::optional<KeepAlive> keep;
  AnswerRequest request;            // its context_tokens are lowered to what the model was opened with
  std::vector<AnswerRequest> more;  // of further choices
  bool stream = false;
  std::unique_ptr<AnswerFormat> format;
};

// Leases the model, submits the request and sends what comes. When the client goes, the answer is cancelled: while the
// model is loading, while it is queued and while it runs. Returns at once. The exchange must have no other on_gone and
// on_quiet.
//
// The head goes out with the first piece of a stream, or with the whole answer, so that what fails before has a status
// of its own. When that takes long (the prompt of a model larger than memory may take minutes) it goes out by itself:
// clients give up on a server that sends no head. What fails from then on is told in the body, with status 200.
//
// Of many choices a few are asked of the model at a time. When one of them fails, so does the whole.
void run_answer(const ApiContext& context, std::shared_ptr<Exchange> exchange, AnswerJob job);

// 400 for what the request got wrong, 503 for what may work later, else 500.
int http_status(ErrorCode code);

// Lets go of a lease in the order that leaves closing the model to the host: not to this thread, which may be the
// model's own.
void release(ModelLease lease);

}  // namespace hypura
