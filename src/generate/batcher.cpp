#include "generate/batcher.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "llama/llama_guard.h"
#include "support/fail.h"
#include "tokenizer/common_beginning.h"

namespace hypura {

namespace {

double seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

AnswerEnd summary(const Run& run, StopReason stop, std::optional<Error> error) {
  const Clock::time_point now = Clock::now();
  AnswerEnd end;
  end.stop = stop;
  end.error = std::move(error);
  end.prompt_tokens = static_cast<uint32_t>(run.job.prompt.size());
  end.cut_from = run.job.cut_from;
  end.cached_prompt_tokens = run.cached;
  end.answer_tokens = run.sampled;
  end.queued_seconds = seconds(run.job.submitted, run.admitted);
  end.prompt_seconds = seconds(run.admitted, run.answering.value_or(now));
  end.answer_seconds = run.answering ? seconds(*run.answering, now) : 0;
  end.tokens = run.all;
  run.job.source->tell(end);
  return end;
}

AnswerStep next_step(AnswerSource& source, BatchModel& model, size_t row) {
  auto step = model.check(row).and_then([&] {
    return guarded(ErrorCode::kBadModel, "the answer cannot go on",
                   [&]() -> Result<AnswerStep> { return source.step(model.logits(row)); });
  });
  if (step) {
    return std::move(*step);
  }
  AnswerStep failed;
  failed.stop = StopReason::kError;
  failed.error = std::move(step.error());
  return failed;
}

bool are_numbers(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

Error closed() {
  return {ErrorCode::kCancelled, "the model is being closed"};
}

}  // namespace

Batcher::Batcher(BatchModel& model, uint32_t queue, Drafting* drafting)
    : model_(model), drafting_(drafting), queue_limit_(queue), sequences_(model.sequences()) {
  stats_.parallel = model.sequences();
  thread_ = std::thread([this] { work(); });
}

Batcher::~Batcher() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

Status Batcher::room_locked() const {
  if (closing_) {
    return propagate(closed());
  }
  if (uint64_t{queue_.size()} + stats_.running >= uint64_t{queue_limit_} + stats_.parallel) {
    return fail(ErrorCode::kBusy, "server busy, please try again.  maximum pending requests exceeded");
  }
  return {};
}

Status Batcher::room() const {
  const std::lock_guard lock(mutex_);
  return room_locked();
}

Result<uint64_t> Batcher::enqueue(Job job) {
  job.submitted = Clock::now();
  const std::lock_guard lock(mutex_);
  if (Status status = room_locked(); !status) {
    return propagate(status.error());
  }
  job.id = ++last_id_;
  queue_.push_back(std::move(job));
  stats_.queued = static_cast<uint32_t>(queue_.size());
  wake_.notify_one();
  return last_id_;
}

Result<uint64_t> Batcher::submit(Job job) {
  return enqueue(std::move(job));
}

void Batcher::cancel(uint64_t id) {
  const std::lock_guard lock(mutex_);
  cancelled_.push_back(id);
  wake_.notify_one();
}

Result<Embedding> Batcher::embed(Job job) {
  std::future<Result<Embedding>> done = job.embed->done.get_future();
  if (auto id = enqueue(std::move(job)); !id) {
    return propagate(id.error());
  }
  return done.get();
}

GeneratorStats Batcher::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

uint32_t Batcher::idle() const {
  return static_cast<uint32_t>(
      std::count_if(sequences_.begin(), sequences_.end(), [](const Sequence& it) { return it.run == nullptr; }));
}

void Batcher::work() {
  std::vector<Job> cancelled;
  std::vector<Job> admitted;
  while (next_jobs(cancelled, admitted)) {
    for (Job& job : cancelled) {
      end_unstarted(std::move(job));
    }
    for (Job& job : admitted) {
      admit(std::move(job));
    }
    cancelled.clear();
    admitted.clear();
    pass();
    embed_pass();
    if (idle() == sequences_.size()) {
      model_.pause();
    }
  }
  for (Sequence& sequence : sequences_) {
    if (sequence.run != nullptr) {
      end(sequence, StopReason::kCancelled, std::nullopt);
    }
  }
  std::deque<Job> rest;
  {
    const std::lock_guard lock(mutex_);
    rest.swap(queue_);
    stats_.queued = 0;
  }
  for (Job& job : rest) {
    end_unstarted(std::move(job));
  }
}

// Sleeps until there is something to do. False when all is to end. Takes queued jobs that were cancelled, and as many
// others as there are idle sequences.
bool Batcher::next_jobs(std::vector<Job>& cancelled, std::vector<Job>& admitted) {
  std::vector<uint64_t> ids;
  {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return closing_ || !queue_.empty() || !cancelled_.empty() || idle() < sequences_.size(); });
    if (closing_) {
      return false;
    }
    ids.swap(cancelled_);
    const auto wanted = [&](const Job& job) { return std::find(ids.begin(), ids.end(), job.id) == ids.end(); };
    const auto gone = std::stable_partition(queue_.begin(), queue_.end(), wanted);
    std::move(gone, queue_.end(), std::back_inserter(cancelled));
    queue_.erase(gone, queue_.end());
  }
  end_cancelled(ids);
  const std::lock_guard lock(mutex_);
  for (uint32_t room = idle(); room > 0 && !queue_.empty(); --room) {
    admitted.push_back(std::move(queue_.front()));
    queue_.pop_front();
    ++stats_.running;
  }
  stats_.queued = static_cast<uint32_t>(queue_.size());
  return true;
}

void Batcher::end_cancelled(const std::vector<uint64_t>& ids) {
  for (Sequence& sequence : sequences_) {
    if (sequence.run != nullptr && std::find(ids.begin(), ids.end(), sequence.run->job.id) != ids.end()) {
      end(sequence, StopReason::kCancelled, std::nullopt);
    }
  }
}

// Gives the job the sequence that has most of its prompt already.
void Batcher::admit(Job job) {
  std::vector<SequenceView> views;
  for (const Sequence& it : sequences_) {
    views.push_back({it.held, it.run == nullptr, it.last_used});
  }
  const SequenceChoice choice = choose_sequence(views, job.prompt, model_.can_cut());
  // An embedding wants to see the tokens that it is made of.
  const uint32_t most = job.embed != nullptr ? std::min(choice.reused, job.embed->first) : choice.reused;
  Sequence& sequence = sequences_[choice.sequence];
  uint32_t reused = 0;
  if (choice.donor == choice.sequence) {
    reused = sequence.held.size() == most ? most : model_.cut(choice.sequence, most);
  } else {
    model_.cut(choice.sequence, 0);
    reused = model_.copy(choice.donor, choice.sequence, most);
  }
  sequence.held.assign(job.prompt.begin(), job.prompt.begin() + reused);
  sequence.last_used = passes_;
  sequence.run = std::make_unique<Run>(std::move(job));
  sequence.run->cached = reused;
}

void Batcher::pass() {
  std::vector<Rider> riders;
  for (const Sequence& it : sequences_) {
    const bool answer = it.run != nullptr && it.run->job.source != nullptr;
    riders.push_back({answer ? it.pending() : 0, answer && it.run->answering && it.pending() == 1});
  }
  const std::vector<uint32_t> shares = share_pass(riders, model_.limits(), passes_);
  DraftedPass drafted = draft(riders, shares);
  const std::vector<PassToken> tokens = pass_tokens(shares);
  if (tokens.empty()) {
    return;
  }
  uint32_t prompt_tokens = 0;
  for (size_t id = 0; id < shares.size(); ++id) {
    prompt_tokens += riders[id].answering ? 0 : shares[id];
  }
  const Clock::time_point start = Clock::now();
  const Status status = model_.walk(tokens, prompt_tokens);
  drafted.pass_seconds = seconds(start, Clock::now());
  count_pass(tokens.size());
  hold(shares, status);
  for (size_t row = 0; status && row < tokens.size(); ++row) {
    if (tokens[row].output) {
      const uint32_t id = tokens[row].sequence;
      drafted.right += verify(id, row);
      row += drafts_[id].tokens.size();
    }
  }
  if (status && drafting_ != nullptr && drafted.answers > 0) {
    model_.note_drafted(drafted.drafted, drafted.right);
    drafting_->note_pass(drafted);
  }
}

// Guesses at what follows each answer's token, as many as there is room for in the pass. Gives the pass as it is then.
DraftedPass Batcher::draft(const std::vector<Rider>& riders, const std::vector<uint32_t>& shares) {
  drafts_.assign(sequences_.size(), {});
  DraftedPass pass;
  pass.tokens = std::accumulate(shares.begin(), shares.end(), 0U);
  for (size_t id = 0; id < riders.size(); ++id) {
    pass.answers += riders[id].answering ? shares[id] : 0;
  }
  const PassLimits limits = model_.limits();
  const auto rows = static_cast<uint32_t>(sequences_.size());  // every sequence may want one of its own
  uint32_t room = std::min(limits.tokens - pass.tokens, std::max(limits.outputs, rows) - rows);
  for (uint32_t id = 0; drafting_ != nullptr && id < sequences_.size(); ++id) {
    if (!riders[id].answering || shares[id] == 0) {
      continue;
    }
    const Run& run = *sequences_[id].run;
    const uint32_t most = std::min(room, run.job.limit - static_cast<uint32_t>(run.tokens.size()));
    drafts_[id] = drafting_->draft(id, run.tokens, most, pass.tokens, pass.answers);
    const auto count = static_cast<uint32_t>(drafts_[id].tokens.size());
    room -= count;
    pass.drafted += count;
    pass.draft_seconds += drafts_[id].seconds;
  }
  return pass;
}

// The sequences hold what was evaluated of them, drafts not yet counted; or nothing, when the walk failed.
void Batcher::hold(const std::vector<uint32_t>& shares, const Status& status) {
  for (uint32_t id = 0; id < sequences_.size(); ++id) {
    Sequence& it = sequences_[id];
    if (shares[id] > 0 && !status) {
      give_up(id, status.error());
    } else if (shares[id] > 0) {
      const auto begin = it.run->tokens.begin() + static_cast<std::ptrdiff_t>(it.held.size());
      it.held.insert(it.held.end(), begin, begin + shares[id]);
      it.last_used = passes_;
    }
  }
}

// Takes the token that follows the sequence's own, whose logits are at `row`, and those after it for as long as the
// draft had said so: their logits follow. Gives how many that were; the rest of the draft is forgotten.
uint32_t Batcher::verify(uint32_t id, size_t row) {
  Sequence& it = sequences_[id];
  const std::vector<int32_t>& draft = drafts_[id].tokens;
  uint32_t right = 0;
  for (;;) {
    take(it, row + right);
    const bool goes_on = it.run != nullptr && it.pending() == 1 && right < draft.size();
    if (!goes_on || it.run->tokens.back() != draft[right]) {
      break;
    }
    it.held.push_back(draft[right++]);
  }
  if (right < draft.size()) {
    it.held.resize(model_.cut(id, static_cast<uint32_t>(it.held.size())));
  }
  if (drafting_ != nullptr) {
    drafting_->note_verified(drafts_[id], right);
  }
  return right;
}

// The next tokens of each sequence. Those whose logits are wanted come last: it is where recorded routing looks for the
// tokens that the last layer computes.
std::vector<PassToken> Batcher::pass_tokens(const std::vector<uint32_t>& shares) const {
  std::vector<PassToken> tokens;
  std::vector<PassToken> last;
  for (uint32_t id = 0; id < sequences_.size(); ++id) {
    const Sequence& it = sequences_[id];
    const auto from = static_cast<uint32_t>(it.held.size());
    for (uint32_t position = from; position < from + shares[id]; ++position) {
      const bool output = position + 1 == it.run->tokens.size();
      (output ? last : tokens).push_back({it.run->tokens[position], position, id, output});
    }
    for (uint32_t i = 0; i < drafts_[id].tokens.size(); ++i) {
      last.push_back({drafts_[id].tokens[i], from + shares[id] + i, id, true});
    }
  }
  tokens.insert(tokens.end(), last.begin(), last.end());
  return tokens;
}

// A walk failed: what the context holds of its sequences is not known.
void Batcher::give_up(uint32_t id, const Error& error) {
  model_.cut(id, 0);
  sequences_[id].held.clear();
  end(sequences_[id], StopReason::kError, error);
}

// The answer's next token, after all its tokens so far, by the logits at `row`.
void Batcher::take(Sequence& sequence, size_t row) {
  Run& run = *sequence.run;
  if (!run.answering) {
    run.answering = Clock::now();
  }
  AnswerStep step = next_step(*run.job.source, model_, row);
  run.sampled += step.token ? 1 : 0;
  if (step.token && !step.ends_text) {
    run.all.push_back(*step.token);
  }
  if (!step.stop && !add_token(sequence, *step.token)) {
    step.stop = StopReason::kContextFull;
  }
  if (step.stop && *step.stop != StopReason::kError) {
    step.piece.append(run.job.source->finish());
  }
  if (!step.piece.empty()) {
    run.job.sink->on_piece(std::move(step.piece));
  }
  if (step.stop) {
    end(sequence, *step.stop, std::move(step.error));
  }
}

// Makes the token pending. False when the context is full and must not be shifted.
bool Batcher::add_token(Sequence& sequence, int32_t token) {
  Run& run = *sequence.run;
  if (run.tokens.size() >= run.job.limit) {
    if (!run.job.shift) {
      return false;
    }
    // What stays is evaluated anew at its new place, as a prompt is: exact for every kind of memory, and a share of the
    // passes that filled the context which does not count.
    run.tokens = drop_half(run.tokens, run.job.keep);
    const auto id = static_cast<uint32_t>(&sequence - sequences_.data());
    sequence.held.resize(model_.cut(id, common_beginning(sequence.held, run.tokens)));
  }
  run.tokens.push_back(token);
  return true;
}

// One part of each embedding under way. Their walks are their own: they give embeddings instead of logits.
void Batcher::embed_pass() {
  for (uint32_t id = 0; id < sequences_.size(); ++id) {
    Sequence& it = sequences_[id];
    if (it.run == nullptr || it.run->job.embed == nullptr) {
      continue;
    }
    if (const Status status = embed_part(it, id); !status) {
      give_up(id, status.error());
    } else if (it.held.size() == it.run->job.embed->end) {
      end(it, StopReason::kEndOfText, std::nullopt);
    }
  }
}

Status Batcher::embed_part(Sequence& sequence, uint32_t id) {
  Run& run = *sequence.run;
  EmbedWork& work = *run.job.embed;
  const auto from = static_cast<uint32_t>(sequence.held.size());
  const bool counts = from >= work.first;
  const uint32_t count =
      counts ? std::min(model_.embed_limit(), work.end - from) : std::min(model_.limits().tokens, work.first - from);
  std::vector<PassToken> tokens;
  for (uint32_t position = from; position < from + count; ++position) {
    tokens.push_back({run.tokens[position], position, id, false});
  }
  Status status = counts ? model_.embed(tokens, work.sum) : model_.walk(tokens, count);
  count_pass(tokens.size());
  sequence.held.insert(sequence.held.end(), run.tokens.begin() + from, run.tokens.begin() + from + count);
  sequence.last_used = passes_;
  return status;
}

// The sequence is idle from then on, and keeps what it holds.
void Batcher::end(Sequence& sequence, StopReason stop, std::optional<Error> error) {
  const std::unique_ptr<Run> run = std::move(sequence.run);
  Job& job = run->job;
  if (job.embed == nullptr) {
    AnswerEnd end = summary(*run, stop, std::move(error));
    count(end);
    job.sink->on_end(std::move(end));
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    --stats_.running;
  }
  if (stop != StopReason::kEndOfText) {
    job.embed->done.set_value(propagate(error.value_or(closed())));
    return;
  }
  Embedding embedding{std::move(job.embed->sum), static_cast<uint32_t>(job.prompt.size()), job.cut_from};
  for (float& value : embedding.values) {
    value /= static_cast<float>(job.embed->end - job.embed->first);
  }
  if (!are_numbers(embedding.values)) {
    job.embed->done.set_value(fail(ErrorCode::kBadModel,
                                   "the model's output is not a number, so that there is no embedding: its weights are "
                                   "damaged, or its numbers grow too large"));
    return;
  }
  job.embed->done.set_value(std::move(embedding));
}

// A job that never had a sequence.
void Batcher::end_unstarted(Job job) {
  if (job.embed != nullptr) {
    job.embed->done.set_value(propagate(closed()));
    return;
  }
  AnswerEnd end;
  end.stop = StopReason::kCancelled;
  end.queued_seconds = seconds(job.submitted, Clock::now());
  {
    const std::lock_guard lock(mutex_);
    ++stats_.answers;
    ++stats_.cancelled;
  }
  job.sink->on_end(std::move(end));
}

void Batcher::count(const AnswerEnd& end) {
  const std::lock_guard lock(mutex_);
  --stats_.running;
  ++stats_.answers;
  stats_.cancelled += end.stop == StopReason::kCancelled ? 1 : 0;
  stats_.prompt_tokens += end.prompt_tokens;
  stats_.cached_tokens += end.cached_prompt_tokens;
}

void Batcher::count_pass(size_t tokens) {
  ++passes_;
  uint64_t used = tokens;
  for (const Sequence& it : sequences_) {
    used += it.held.size();
  }
  const std::lock_guard lock(mutex_);
  stats_.passes = passes_;
  stats_.batched_tokens += tokens;
  stats_.context_used = static_cast<uint32_t>(used);
}

}  // namespace hypura
