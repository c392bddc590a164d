// Runs one answer on one model and writes it to one exchange, in whichever API's form.
#pragma once

#include <memory>
#include <optional>

#include "hypura/serving.h"
#include "server/api.h"
#include "server/exchange.h"
#include "server/model_host.h"

namespace hypura {

// How an API writes an answer: one object for one request. Its functions are called one after the other, on the thread
// that the answer is made on or one of the server's, and must not block. Either the functions of a stream or whole()
// are called; refusal() when there is nothing else to send.
class AnswerFormat {
 public:
  virtual ~AnswerFormat() = default;

  // The model is loaded: called first, unless loading failed.
  virtual void on_lease(const ModelLease& /*lease*/) {}

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

  // Not streamed: `answer` is all pieces in one.
  virtual HttpResponse whole(AnswerPiece answer, const AnswerEnd& end) = 0;

  // Nothing was sent yet, streamed or not. http_status() tells the status.
  virtual HttpResponse refusal(const Error& error) = 0;
};

struct AnswerJob {
  const ServedModel* model = nullptr;  // one of the host's
  std::optional<KeepAlive> keep;
  AnswerRequest request;  // its context_tokens are lowered to what the model was opened with
  bool stream = false;
  std::unique_ptr<AnswerFormat> format;
};

// Leases the model, submits the request and sends what comes. When the client goes, the answer is cancelled: while the
// model is loading, while it is queued and while it runs. Returns at once. The exchange must have no other on_gone and
// on_quiet.
//
// A stream's head goes out with its first piece, so that what fails before has a status of its own. When that takes
// long (the prompt of a model larger than memory may take minutes) it goes out by itself: clients give up on a server
// that sends no head. What fails from then on is told in the stream.
void run_answer(const ApiContext& context, std::shared_ptr<Exchange> exchange, AnswerJob job);

// 400 for what the request got wrong, 503 for what may work later, else 500.
int http_status(ErrorCode code);

// Lets go of a lease in the order that leaves closing the model to the host: not to this thread, which may be the
// model's own.
void release(ModelLease lease);

}  // namespace hypura
