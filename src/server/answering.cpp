#include "server/answering.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "server/metrics.h"

namespace hypura {

namespace {

constexpr const char* kBusyText = "server busy, please try again.  maximum pending requests exceeded";

// What JSON may begin with, and its readers pass over.
constexpr const char* kJsonSpace = " ";

// Why an answer that has ended is none.
std::optional<Error> error_of(const AnswerEnd& end) {
  if (end.stop == StopReason::kCancelled) {
    return Error{ErrorCode::kCancelled, "the answer was cancelled, because the server is closing its model"};
  }
  if (end.stop == StopReason::kError) {
    return end.error.value_or(Error{ErrorCode::kInternal, "the answer failed"});
  }
  return std::nullopt;
}

// So many choices of one request are asked of the model at a time, and no more of its queue is taken.
constexpr size_t kChoicesAtOnce = 8;

// Lives as long as the model or the host holds it.
class AnswerRun : public std::enable_shared_from_this<AnswerRun> {
 public:
  AnswerRun(const ApiContext& context, std::shared_ptr<Exchange> exchange, AnswerJob job)
      : context_(context), exchange_(std::move(exchange)), job_(std::move(job)) {
    requests_.push_back(std::move(job_.request));
    std::move(job_.more.begin(), job_.more.end(), std::back_inserter(requests_));
    choices_.resize(requests_.size());
    asked_.resize(requests_.size());
  }

  void run() {
    exchange_->on_gone([weak = weak_from_this()] {
      if (const auto self = weak.lock()) {
        self->cancel();
      }
    });
    context_.host.lease(job_.model, job_.keep, [self = shared_from_this()](Result<ModelLease> lease) {
      if (lease) {
        self->submit(std::move(*lease));
      } else {
        self->refuse(lease.error());
      }
    });
  }

 private:
  // What has been asked of the model for a choice.
  struct Asked {
    std::optional<Generator::AnswerId> id;  // while it runs and the id is known
    bool ended = false;
  };

  // Hears one choice out.
  class ChoiceSink : public AnswerSink {
   public:
    ChoiceSink(std::shared_ptr<AnswerRun> run, size_t choice) : run_(std::move(run)), choice_(choice) {}
    void on_prompt(uint32_t tokens) override { run_->on_prompt(tokens); }
    void on_piece(AnswerPiece piece) override { run_->on_piece(choice_, std::move(piece)); }
    void on_end(AnswerEnd end) override { run_->on_end(choice_, std::move(end)); }

   private:
    const std::shared_ptr<AnswerRun> run_;
    const size_t choice_;
  };

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
      submit_some(*lease.generator);
      let_go_when_abandoned();
      watch_quiet();
    }
    release(std::move(lease));
  }

  void submit_some(Generator& generator) {
    while (const std::optional<size_t> choice = next_choice()) {
      submit_one(generator, *choice);
    }
  }

  // The client has gone, nothing runs, and nothing more will be asked for.
  void let_go_when_abandoned() {
    ModelLease lease;
    {
      const std::lock_guard lock(mutex_);
      if (gone_ && running_ == 0) {
        ended_ = true;
        lease = std::exchange(lease_, {});
      }
    }
    release(std::move(lease));
  }

  // The next choice to be asked for; it counts as running.
  std::optional<size_t> next_choice() {
    const std::lock_guard lock(mutex_);
    if (failed_ || gone_ || next_ == requests_.size() || running_ == kChoicesAtOnce) {
      return std::nullopt;
    }
    ++running_;
    return next_++;
  }

  void submit_one(Generator& generator, size_t choice) {
    AnswerRequest request = std::move(requests_[choice]);
    request.context_tokens = std::min(request.context_tokens, generator.context_size());
    const Result<Generator::AnswerId> id =
        generator.submit(std::move(request),
                         context_.metrics.watch(exchange_, std::make_shared<ChoiceSink>(shared_from_this(), choice)));
    if (!id) {
      AnswerEnd end;
      end.stop = StopReason::kError;
      end.error = id.error();
      on_end(choice, std::move(end));
      return;
    }
    bool unwanted = false;
    {
      const std::lock_guard lock(mutex_);
      if (!asked_[choice].ended) {
        asked_[choice].id = *id;
        unwanted = gone_ || failed_;
      }
    }
    if (unwanted) {
      generator.cancel(*id);
    }
  }

  // Not before something was submitted: what is refused has its own status.
  void watch_quiet() {
    bool failed = false;
    {
      const std::lock_guard lock(mutex_);
      failed = failed_;
    }
    if (!failed) {
      exchange_->on_quiet([weak = weak_from_this()] {
        if (const auto self = weak.lock()) {
          self->say_something();
        }
      });
    }
  }

  void on_prompt(uint32_t tokens) {
    const std::lock_guard lock(mutex_);
    job_.format->on_prompt(tokens);
  }

  void on_piece(size_t choice, AnswerPiece piece) {
    const std::lock_guard lock(mutex_);
    if (failed_) {
      return;
    }
    if (job_.stream) {
      send([&] { return job_.format->on_choice_piece(choice, std::move(piece)); });
    } else {
      choices_[choice].answer.append(std::move(piece));
    }
  }

  // The lease goes before the answer does: a client that asked for the model to be unloaded finds it unloading.
  void on_end(size_t choice, AnswerEnd end) {
    const std::optional<Error> error = error_of(end);
    ModelLease lease;
    bool fails = false;
    bool ended = false;
    bool tells = false;
    {
      const std::lock_guard lock(mutex_);
      --running_;
      asked_[choice] = {std::nullopt, true};
      fails = error && !failed_;
      failed_ = failed_ || fails;
      ended = ended_ = running_ == 0 && (failed_ || gone_ || next_ == requests_.size());
      tells = ended && !failed_;
      lease = ended ? std::exchange(lease_, {}) : lease_;
      if (job_.stream && !failed_) {
        std::string text = job_.format->on_choice_end(choice, end);
        if (!text.empty()) {
          send([&text] { return std::move(text); });
        }
      }
      choices_[choice].end = std::move(end);
    }
    if (fails) {
      cancel_all(lease);
    } else if (!ended) {
      submit_some(*lease.generator);
      let_go_when_abandoned();
    }
    release(std::move(lease));
    if (fails) {
      tell_failure(*error);
    } else if (tells) {
      tell_all();
    }
  }

  void tell_failure(const Error& error) {
    std::unique_lock lock(mutex_);
    if (!started_) {
      lock.unlock();
      refuse(error);
      return;
    }
    send([&] { return job_.stream ? job_.format->on_error(error) : refusal(error).body; });
    lock.unlock();
    exchange_->finish();
  }

  void tell_all() {
    if (!job_.stream && !started_) {
      exchange_->respond(job_.format->all(std::move(choices_)));
      return;
    }
    send(
        [&] { return job_.stream ? job_.format->on_all_ended(choices_) : job_.format->all(std::move(choices_)).body; });
    exchange_->finish();
  }

  // The client has gone. What has no id yet is cancelled when it gets one.
  void cancel() {
    ModelLease lease;
    {
      const std::lock_guard lock(mutex_);
      gone_ = true;
      if (!ended_) {
        lease = lease_;
      }
    }
    cancel_all(lease);
    release(std::move(lease));
  }

  void cancel_all(const ModelLease& lease) {
    std::vector<Asked> asked;
    {
      const std::lock_guard lock(mutex_);
      asked = asked_;
    }
    for (const Asked& it : asked) {
      if (it.id && lease.generator) {
        lease.generator->cancel(*it.id);
      }
    }
  }

  // Nothing was written for long.
  void say_something() {
    const std::lock_guard lock(mutex_);
    if (!ended_ && !failed_) {
      const bool started = started_;
      send([&] { return !job_.stream ? std::string(kJsonSpace) : started ? job_.format->on_quiet() : std::string(); });
    }
  }

  // Sends the text that `make` gives, after the head. With the mutex held, or once the answer has ended.
  void send(const std::function<std::string()>& make) {
    if (!started_) {
      started_ = true;
      HttpResponse head = job_.stream ? job_.format->on_begin() : HttpResponse();
      head.body += make();
      exchange_->start(std::move(head));
    } else if (std::string text = make(); !text.empty()) {
      exchange_->write(std::move(text));
    }
  }

  HttpResponse refusal(const Error& error) {
    return job_.format->refusal(error.code == ErrorCode::kBusy ? Error{error.code, kBusyText, std::nullopt} : error);
  }

  void refuse(const Error& error) { exchange_->respond(refusal(error)); }

  const ApiContext context_;  // a copy: the server may be gone before its last exchange
  const std::shared_ptr<Exchange> exchange_;
  AnswerJob job_;
  std::vector<AnswerRequest> requests_;  // each moved from by the thread that submits it

  // Guards what follows, and, until ended_, the format and the order of what is written: pieces come on the answer's
  // thread, and on_quiet on one of the server's. Once ended_ all of it is the last choice's alone.
  std::mutex mutex_;
  std::vector<AnswerChoice> choices_;
  std::vector<Asked> asked_;
  size_t next_ = 0;       // choice that is not asked for yet
  size_t running_ = 0;    // asked for and not ended
  bool started_ = false;  // the head is written
  bool gone_ = false;
  bool failed_ = false;  // one of the choices did
  bool ended_ = false;   // all have, or will not be asked for
  ModelLease lease_;     // empty before it is given and after the end
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
  lease.generator.reset();
  lease.kept.reset();
}

}  // namespace hypura
