// The answer to one request of one connection: checks the order of calls and hands each on as a step.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "server/exchange.h"

namespace hypura {

// What is done to a connection for the answer under way.
struct ExchangeStep {
  enum class Kind {
    kRespond,  // all of `response`
    kStart,    // its head and first piece
    kPiece,
    kFinish,
    kReleased,  // nobody holds the exchange any more; it may be without an answer
    kCall       // no bytes: run `call`
  };
  Kind kind = Kind::kPiece;
  HttpResponse response;
  std::string piece;
  std::function<void()> call;
};

// Where the steps go: to the I/O thread, in order. `turn` is the request's number on its connection; steps of a turn
// that is over are dropped. Any thread.
class AnswerPort {
 public:
  virtual ~AnswerPort() = default;
  virtual void post(uint64_t turn, ExchangeStep step) = 0;
};

// A request with what its answer took: read by the connection when the exchange has gone already.
struct AnswerRecord {
  HttpRequest request;
  std::atomic<uint32_t> prompt_tokens{0};
  std::atomic<uint32_t> answer_tokens{0};
  std::atomic<uint32_t> cut_from{0};
  std::atomic<uint32_t> cut_to{0};
};

class HttpExchange : public Exchange {
 public:
  HttpExchange(std::shared_ptr<AnswerPort> port, uint64_t turn, std::shared_ptr<AnswerRecord> record)
      : port_(std::move(port)), turn_(turn), record_(std::move(record)) {}
  ~HttpExchange() override;
  HttpExchange(const HttpExchange&) = delete;
  HttpExchange& operator=(const HttpExchange&) = delete;

  const HttpRequest& request() const override { return record_->request; }
  void respond(HttpResponse response) override;
  void start(HttpResponse response) override;
  void write(std::string piece) override;
  void finish() override;
  void on_gone(std::function<void()> callback) override;
  void on_quiet(std::function<void()> callback) override;
  void count_tokens(uint32_t prompt, uint32_t answer) override;
  void note_cut(uint32_t from, uint32_t to) override;

  // Nobody reads what would be written.
  bool is_gone();

  // Calls on_quiet's callback when nothing was written for `time`, and it was not called either. On the I/O thread.
  void check_quiet(std::chrono::steady_clock::time_point now, std::chrono::milliseconds time);

  // The client has gone, or is to be treated so: on_gone's callback is called. What is written from then on is dropped,
  // unless the client still listens. False when there was no callback. On the I/O thread.
  bool gone(bool still_listens);

 private:
  enum class State { kOpen, kStreaming, kDone };

  // Takes the step if the answer is in state `before`; it is in `after` then.
  void step(State before, State after, ExchangeStep step);

  const std::shared_ptr<AnswerPort> port_;
  const uint64_t turn_;
  const std::shared_ptr<AnswerRecord> record_;

  // Held while a step is posted, so that steps of several threads come in the order of the states.
  std::mutex mutex_;
  State state_ = State::kOpen;
  bool gone_ = false;
  bool deaf_ = false;                     // nobody reads what is written
  std::function<void()> callback_;        // on_gone's
  std::function<void()> quiet_callback_;  // on_quiet's
  std::chrono::steady_clock::time_point quiet_since_;
};

}  // namespace hypura
