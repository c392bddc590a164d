// One request, asked and heard out.
#include <condition_variable>
#include <mutex>
#include <optional>

#include "hypura/generator.h"
#include "support/fail.h"

namespace hypura {

namespace {

// Gathers an answer, and wakes who waits for its end or is to cancel it.
class GatheringSink final : public AnswerSink {
 public:
  explicit GatheringSink(std::function<bool(const AnswerPiece&)> on_piece) : on_piece_(std::move(on_piece)) {}

  void on_piece(AnswerPiece piece) override {
    if (enough_) {
      return;
    }
    const bool more = !on_piece_ || on_piece_(piece);
    const std::lock_guard lock(mutex_);
    answer_.said.append(std::move(piece));
    enough_ = !more;
    changed_.notify_all();
  }

  void on_end(AnswerEnd end) override {
    const std::lock_guard lock(mutex_);
    answer_.end = std::move(end);
    ended_ = true;
    changed_.notify_all();
  }

  // Waits for the end, or until no more is wanted; false then.
  bool wait_for_end_or_enough() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ended_ || enough_; });
    return ended_;
  }

  WholeAnswer wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ended_; });
    return std::move(answer_);
  }

 private:
  const std::function<bool(const AnswerPiece&)> on_piece_;
  std::mutex mutex_;  // guards what follows; `enough_` is written on the generator's thread alone
  std::condition_variable changed_;
  WholeAnswer answer_;
  bool enough_ = false;
  bool ended_ = false;
};

}  // namespace

Result<WholeAnswer> Generator::generate(AnswerRequest request, std::function<bool(const AnswerPiece&)> on_piece) {
  const auto sink = std::make_shared<GatheringSink>(std::move(on_piece));
  const auto id = submit(std::move(request), sink);
  if (!id) {
    return propagate(id.error());
  }
  if (!sink->wait_for_end_or_enough()) {
    cancel(*id);
  }
  WholeAnswer answer = sink->wait();
  if (answer.end.error) {
    return propagate(*answer.end.error);
  }
  return answer;
}

}  // namespace hypura
