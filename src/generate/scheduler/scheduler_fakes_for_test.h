// For tests of the scheduler: a model whose next token depends on all tokens of its sequence and on nothing else,
// answers that take what it says, and what drives a scheduler step by step.
#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "generate/scheduler/job.h"
#include "generate/scheduler/pass_model.h"
#include "generate/scheduler/pass_scheduler.h"
#include "llama/kv_cache.h"
#include "support/fail.h"

namespace hypura {

// Tokens have cells, of which there are `cells`: a pass that finds too few of them fails, as llama.cpp's does, and
// leaves nothing.
class FakeModel : public PassModel, public KvMemory {
 public:
  explicit FakeModel(uint32_t sequences, PassLimits limits = {16, 16}, uint32_t cells = UINT32_MAX)
      : limits_(limits), cells_(cells), held_(sequences), cells_of_(sequences) {}

  uint32_t sequences() const override { return static_cast<uint32_t>(held_.size()); }
  PassLimits limits() const override { return limits_; }
  bool can_cut() const override { return true; }

  Status pass(std::span<const PassToken> tokens, uint32_t prompt_tokens) override {
    std::this_thread::sleep_for(takes_);
    if (used_cells() + tokens.size() > cells_ || std::exchange(no_slot_, false)) {
      ++unplaced_;
      return fail(ErrorCode::kContextFull, "no cells");
    }
    passes_.emplace_back(tokens.begin(), tokens.end());
    prompt_tokens_.push_back(prompt_tokens);
    rows_.assign(tokens.size(), 0);
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::vector<int32_t>& held = held_[tokens[i].sequence];
      in_order_ = in_order_ && tokens[i].position == held.size();
      hold(tokens[i]);
      rows_[i] = static_cast<float>(next(held));
    }
    if (std::exchange(fails_, false)) {
      return fail(ErrorCode::kIo, "the disk is gone");
    }
    return {};
  }

  void note_drafted(uint32_t drafted, uint32_t accepted) override {
    drafted_ += drafted;
    accepted_ += accepted;
  }

  const float* logits(size_t index) override { return &rows_[index]; }

  uint32_t cut(uint32_t sequence, uint32_t count) override {
    const uint32_t left = count < lost_ ? 0 : count;
    in_order_ = in_order_ && left <= held_[sequence].size();
    held_[sequence].resize(left);
    cells_of_[sequence].resize(left);
    return left;
  }

  uint32_t copy(uint32_t from, uint32_t to, uint32_t count) override {
    in_order_ = in_order_ && held_[to].empty() && held_[from].size() >= count;
    held_[to].assign(held_[from].begin(), held_[from].begin() + count);
    cells_of_[to].assign(cells_of_[from].begin(), cells_of_[from].begin() + count);
    return count;
  }

  // The embedding of a token is its number.
  Status embed(std::span<const PassToken> tokens, std::vector<float>& sum) override {
    sum.resize(1);
    for (const PassToken& it : tokens) {
      in_order_ = in_order_ && it.position == held_[it.sequence].size();
      hold(it);
      sum[0] += static_cast<float>(it.token);
    }
    return {};
  }
  uint32_t embed_limit() const override { return 3; }

  static int32_t next(const std::vector<int32_t>& tokens) {
    uint32_t hash = 17;
    for (const int32_t token : tokens) {
      hash = hash * 31 + static_cast<uint32_t>(token);
    }
    return static_cast<int32_t>(hash % 1000);
  }

  // For tests: that each pass takes so long, whatever its tokens.
  void take(std::chrono::microseconds time) { takes_ = time; }
  // The next pass leaves its tokens in the memory, and fails.
  void fail_next() { fails_ = true; }
  // The sequence holds these too.
  void restore(uint32_t sequence, std::span<const int32_t> tokens) {
    for (const int32_t token : tokens) {
      hold({token, static_cast<uint32_t>(held_[sequence].size()), sequence, false});
    }
  }
  // A sequence cannot be cut to fewer tokens: what is before them is not there any more.
  void lose(uint32_t tokens) { lost_ = tokens; }

  // The next pass finds no cells, though there are.
  void find_no_slot() { no_slot_ = true; }

  // Passes that found no cells.
  uint32_t unplaced() const { return unplaced_; }
  uint32_t used_cells() const {
    std::set<uint64_t> used;
    for (const auto& cells : cells_of_) {
      used.insert(cells.begin(), cells.end());
    }
    return static_cast<uint32_t>(used.size());
  }
  // Tokens of prompts that were evaluated.
  uint32_t evaluated() const { return std::accumulate(prompt_tokens_.begin(), prompt_tokens_.end(), 0U); }

  const std::vector<std::vector<PassToken>>& passes() const { return passes_; }
  const std::vector<uint32_t>& prompt_tokens() const { return prompt_tokens_; }
  // Whether every token came at the end of its sequence.
  bool in_order() const { return in_order_; }
  uint32_t drafted() const { return drafted_; }
  uint32_t accepted() const { return accepted_; }

 private:
  void hold(const PassToken& it) {
    held_[it.sequence].push_back(it.token);
    cells_of_[it.sequence].push_back(++last_cell_);
  }

  PassLimits limits_;
  uint32_t cells_;
  std::vector<std::vector<int32_t>> held_;
  std::vector<std::vector<uint64_t>> cells_of_;  // a number for each cell that was ever filled
  uint64_t last_cell_ = 0;
  bool no_slot_ = false;
  uint32_t unplaced_ = 0;
  std::vector<float> rows_;
  std::chrono::microseconds takes_{0};
  bool fails_ = false;
  uint32_t lost_ = 0;
  bool in_order_ = true;
  uint32_t drafted_ = 0;
  uint32_t accepted_ = 0;
  std::vector<std::vector<PassToken>> passes_;
  std::vector<uint32_t> prompt_tokens_;
};

// Says the tokens that the model wants, so many.
class FakeSource : public AnswerSource {
 public:
  explicit FakeSource(uint32_t tokens) : left_(tokens) {}

  AnswerStep step(const float* logits) override {
    AnswerStep step;
    step.token = static_cast<int32_t>(logits[0]);
    step.piece.content = std::to_string(*step.token) + " ";
    if (--left_ == 0) {
      step.stop = StopReason::kLength;
    }
    return step;
  }

  uint32_t left() const override { return left_; }

  AnswerPiece finish() override {
    AnswerPiece piece;
    piece.content = ".";
    return piece;
  }

 private:
  uint32_t left_;
};

inline Job fake_job(std::vector<int32_t> prompt, uint32_t tokens, std::shared_ptr<AnswerSink> sink) {
  Job job;
  job.prompt = std::move(prompt);
  job.limit = 1000;
  job.source = std::make_unique<FakeSource>(tokens);
  job.sink = std::move(sink);
  return job;
}

inline Job fake_embedding(const std::vector<int32_t>& tokens, uint32_t first, uint32_t end) {
  Job job;
  job.prompt = tokens;
  job.limit = 1000;
  job.embed = {first, end};
  return job;
}

// What an answer says that runs alone.
inline std::string said_alone(std::vector<int32_t> tokens, uint32_t count) {
  std::string text;
  for (uint32_t i = 0; i < count; ++i) {
    const int32_t next = FakeModel::next(tokens);
    text += std::to_string(next) + " ";
    tokens.push_back(next);
  }
  return text + ".";
}

// A scheduler over a fake model, driven on the test's thread.
class DrivenScheduler {
 public:
  explicit DrivenScheduler(FakeModel& model, Drafting* drafting = nullptr, uint32_t parallel = UINT32_MAX,
                           uint32_t cells = UINT32_MAX, KvKeeper* keeper = nullptr)
      : cache_(model, cells, keeper), scheduler_(model, cache_, drafting, parallel) {}

  // Admits the job as soon as there is a place. Gives its number.
  uint64_t start(Job job) {
    while (scheduler_.free_places() == 0) {
      pass();
    }
    job.id = ++last_;
    if (job.source != nullptr) {
      job.sink = sinks_[last_] = std::make_shared<TextSink>();
    }
    scheduler_.admit(std::move(job));
    return last_;
  }
  uint64_t start(std::vector<int32_t> prompt, uint32_t tokens) {
    return start(fake_job(std::move(prompt), tokens, nullptr));
  }

  void pass() {
    scheduler_.pass();
    note_ended();
  }
  void cancel(uint64_t id) {
    scheduler_.cancel(id);
    note_ended();
  }
  void run() {
    while (!scheduler_.idle()) {
      pass();
    }
  }
  // To the end of all, which that answer is one of.
  const AnswerEnd& run(uint64_t id) {
    run();
    return end(id);
  }

  bool ended(uint64_t id) const { return ends_.contains(id); }
  const AnswerEnd& end(uint64_t id) const { return std::get<AnswerEnd>(ends_.at(id)); }
  const Result<Embedding>& embedding(uint64_t id) const { return std::get<Result<Embedding>>(ends_.at(id)); }
  const std::string& text(uint64_t id) const { return sinks_.at(id)->text; }
  PassScheduler& scheduler() { return scheduler_; }
  const KvCache& cache() const { return cache_; }

 private:
  struct TextSink : AnswerSink {
    void on_piece(AnswerPiece piece) override { text += piece.content; }
    void on_end(AnswerEnd) override {}
    std::string text;
  };

  void note_ended() {
    for (JobEnd& it : scheduler_.take_ended()) {
      ends_.emplace(it.id, std::move(it.outcome));
    }
  }

  KvCache cache_;
  PassScheduler scheduler_;
  uint64_t last_ = 0;
  std::map<uint64_t, std::shared_ptr<TextSink>> sinks_;
  std::map<uint64_t, std::variant<AnswerEnd, Result<Embedding>>> ends_;
};

}  // namespace hypura
