#include "server/answering.h"

#include <algorithm>
#include <functional>
#include <mutex>
#include <string>
#include <utility>

#include "server/metrics.h"

namespace hypura {

namespace {

constexpr const char* kBusyText = "server busy, please try again.  maximum pending requests exceeded";

// Why an answer that has ended is none.
std::optional<Error> error_of(const AnswerEnd& end) {
  if (end.stop == AnswerStop::kCancelled) {
    return Error{ErrorCode::kCancelled, "the answer was cancelled, because the server is closing its model"};
  }
  if (end.stop == AnswerStop::kError) {
    return end.error.value_or(Error{ErrorCode::kInternal, "the answer failed"});
  }
  return std::nullopt;
}

// Lives as long as the model or the host holds it.
class AnswerRun : public AnswerSink, public std::enable_shared_from_this<AnswerRun> {
 public:
  AnswerRun(const ApiContext& context, std::shared_ptr<Exchange> exchange, AnswerJob job)
      : context_(context), exchange_(std::move(exchange)), job_(std::move(job)) {}

  void run() {
    exchange_->on_gone([weak = weak_from_this()] {
      if (const auto self = weak.lock()) {
        self->cancel();
      }
    });
    context_.host.lease(*job_.model, job_.keep, [self = shared_from_this()](Result<ModelLease> lease) {
      if (lease) {
        self->submit(std::move(*lease));
      } else {
        self->refuse(lease.error());
      }
    });
  }

  void on_piece(AnswerPiece piece) override {
    if (job_.stream) {
      const std::lock_guard lock(mutex_);
      send([&] { return job_.format->on_piece(std::move(piece)); });
      return;
    }
    whole_.append(std::move(piece));
  }

  // The lease goes before the answer does: a client that asked for the model to be unloaded finds it unloading.
  void on_end(AnswerEnd end) override {
    ModelLease lease;
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
      lease = std::exchange(lease_, {});
    }
    release(std::move(lease));
    const std::optional<Error> error = error_of(end);
    if (error && !started_) {
      refuse(*error);
    } else if (job_.stream) {
      send([&] { return error ? job_.format->on_error(*error) : job_.format->on_end(end); });
      exchange_->finish();
    } else {
      exchange_->respond(job_.format->whole(std::move(whole_), end));
    }
  }

 private:
  void submit(ModelLease lease) {
    bool gone = false;
    {
      const std::lock_guard lock(mutex_);
      gone = gone_;
      if (!gone) {
        lease_ = lease;
      }
    }
    if (!gone) {
      job_.format->on_lease(lease);
      job_.request.context_tokens = std::min(job_.request.context_tokens, lease.serving->context_size());
      submit_to(*lease.serving);
    }
    release(std::move(lease));
  }

  void submit_to(Serving& serving) {
    const Result<Serving::AnswerId> id =
        serving.submit(std::move(job_.request), context_.metrics.watch(exchange_, shared_from_this()));
    if (!id) {
      ModelLease unused;
      {
        const std::lock_guard lock(mutex_);
        unused = std::exchange(lease_, {});
      }
      release(std::move(unused));
      refuse(id.error());
      return;
    }
    if (job_.stream) {
      // Not before: what submit() refuses has its own status.
      exchange_->on_quiet([weak = weak_from_this()] {
        if (const auto self = weak.lock()) {
          self->say_something();
        }
      });
    }
    bool gone = false;
    {
      const std::lock_guard lock(mutex_);
      id_ = *id;
      gone = gone_ && !ended_;
    }
    if (gone) {
      serving.cancel(*id);
    }
  }

  // The client has gone. What has no id yet is cancelled by submit().
  void cancel() {
    ModelLease lease;
    {
      const std::lock_guard lock(mutex_);
      gone_ = true;
      if (ended_ || !id_) {
        return;
      }
      lease = lease_;
    }
    lease.serving->cancel(*id_);
    release(std::move(lease));
  }

  // Nothing was written for long.
  void say_something() {
    const std::lock_guard lock(mutex_);
    if (!ended_) {
      const bool started = started_;
      send([&] { return started ? job_.format->on_quiet() : std::string(); });
    }
  }

  // Sends the text that `make` gives, after the stream's head. With the mutex held, or once the answer has ended.
  void send(const std::function<std::string()>& make) {
    if (!started_) {
      started_ = true;
      HttpResponse head = job_.format->on_begin();
      head.body += make();
      exchange_->start(std::move(head));
    } else if (std::string text = make(); !text.empty()) {
      exchange_->write(std::move(text));
    }
  }

  void refuse(const Error& error) {
    exchange_->respond(job_.format->refusal(error.code == ErrorCode::kBusy ? Error{error.code, kBusyText} : error));
  }

  const ApiContext context_;  // a copy: the server may be gone before its last exchange
  const std::shared_ptr<Exchange> exchange_;
  AnswerJob job_;

  AnswerPiece whole_;  // of the thread that the answer is made on

  // Guards what follows, and, from submitting until ended_, a stream's format and the order of what is written: its
  // pieces come on the answer's thread, and on_quiet on one of the server's. Once ended_ both are the answer's alone.
  std::mutex mutex_;
  bool started_ = false;  // the stream's head is written
  bool gone_ = false;
  bool ended_ = false;
  ModelLease lease_;                     // empty before it is given and after the end
  std::optional<Serving::AnswerId> id_;  // set once
};

}  // namespace

void run_answer(const ApiContext& context, std::shared_ptr<Exchange> exchange, AnswerJob job) {
  std::make_shared<AnswerRun>(context, std::move(exchange), std::move(job))->run();
}

int http_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUsage:
    case ErrorCode::kContextFull:
      return 400;
    case ErrorCode::kBusy:
    case ErrorCode::kCancelled:
      return 503;
    case ErrorCode::kInternal:
    case ErrorCode::kBadModel:
    case ErrorCode::kBudget:
    case ErrorCode::kIo:
      return 500;
  }
  return 500;
}

void release(ModelLease lease) {
  lease.serving.reset();
  lease.kept.reset();
}

}  // namespace hypura
