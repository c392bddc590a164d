#include "generate/scheduler/pass_scheduler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "generate/scheduler/pass_run.h"
#include "llama/llama_guard.h"
#include "llama/tokenizer/common_beginning.h"
#include "support/fail.h"

namespace hypura {

namespace {

double seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

AnswerStep next_step(AnswerSource& source, PassModel& model, size_t row) {
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

Result<Embedding> mean(std::vector<float> sum, const Job& job) {
  Embedding embedding{std::move(sum), static_cast<uint32_t>(job.prompt.size()), job.cut_from};
  for (float& value : embedding.values) {
    value /= static_cast<float>(job.embed->end - job.embed->first);
  }
  if (!are_numbers(embedding.values)) {
    return fail(ErrorCode::kBadModel,
                "the model's output is not finite, so there is no embedding: its weights are damaged, or its "
                "values overflow");
  }
  return embedding;
}

}  // namespace

PassScheduler::PassScheduler(PassModel& model, KvCache& cache, Drafting* drafting, uint32_t parallel)
    : parallel_(std::min(parallel, cache.sequences())),
      runs_(cache.sequences()),
      model_(model),
      cache_(cache),
      drafting_(drafting) {
  if (drafting_ != nullptr) {
    cache_.on_forgotten([this](uint32_t id, uint32_t left) { drafting_->note_forgotten(id, left); });
  }
}

PassScheduler::~PassScheduler() {
  cache_.on_forgotten({});
}

uint32_t PassScheduler::pending(uint32_t id) const {
  return runs_[id] == nullptr ? 0 : static_cast<uint32_t>(runs_[id]->tokens.size()) - held(id);
}

uint32_t PassScheduler::running() const {
  return static_cast<uint32_t>(
      std::count_if(runs_.begin(), runs_.end(), [](const auto& run) { return run != nullptr; }));
}

void PassScheduler::admit(Job job) {
  waiting_.push_back(std::make_unique<Run>(std::move(job), ++last_order_));
}

void PassScheduler::cancel(uint64_t id) {
  for (uint32_t i = 0; i < runs_.size(); ++i) {
    if (runs_[i] != nullptr && runs_[i]->job.id == id) {
      end(i, StopReason::kCancelled, std::nullopt);
    }
  }
  const auto it = std::find_if(waiting_.begin(), waiting_.end(), [&](const auto& run) { return run->job.id == id; });
  if (it != waiting_.end()) {
    std::unique_ptr<Run> run = std::move(*it);
    waiting_.erase(it);
    tell_end(std::move(run), StopReason::kCancelled, std::nullopt);
  }
}

void PassScheduler::cancel_all() {
  for (uint32_t i = 0; i < runs_.size(); ++i) {
    if (runs_[i] != nullptr) {
      end(i, StopReason::kCancelled, std::nullopt);
    }
  }
  for (std::unique_ptr<Run>& run : std::exchange(waiting_, {})) {
    tell_end(std::move(run), StopReason::kCancelled, std::nullopt);
  }
}

void PassScheduler::pass() {
  place_waiting();
  fetch_some();
  answer_pass();
  embed_pass();
}

std::vector<Rider> PassScheduler::riders() const {
  std::vector<Rider> riders;
  for (uint32_t id = 0; id < runs_.size(); ++id) {
    const bool answer = runs_[id] != nullptr && runs_[id]->job.source != nullptr && !cache_.is_fetching(id);
    riders.push_back({answer ? pending(id) : 0, answer && runs_[id]->answering && pending(id) == 1});
  }
  return riders;
}

// The tokens of each sequence in the next pass, for which there are cells, and `riders` as they are then.
std::vector<uint32_t> PassScheduler::share_cells(std::vector<Rider>& riders) {
  for (;;) {
    riders = this->riders();
    std::vector<uint32_t> shares = share_pass(riders, model_.limits(), counts_.passes);
    if (!park_for(std::accumulate(shares.begin(), shares.end(), 0U))) {
      return shares;
    }
  }
}

void PassScheduler::answer_pass() {
  std::vector<Rider> riders;
  const std::vector<uint32_t> shares = share_cells(riders);
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
  const Status status = model_.pass(tokens, prompt_tokens);
  drafted.pass_seconds = last_pass_seconds_ = seconds(start, Clock::now());
  count_pass(tokens.size());
  if (!hold(shares, status)) {
    return;
  }
  for (size_t row = 0; row < tokens.size(); ++row) {
    if (tokens[row].output) {
      const uint32_t id = tokens[row].sequence;
      drafted.accepted += verify(id, row);
      row += drafts_[id].tokens.size();
    }
  }
  if (drafting_ != nullptr && drafted.answers > 0) {
    model_.note_drafted(drafted.drafted, drafted.accepted);
    drafting_->note_pass(drafted);
  }
}

// Drafts what follows each answer's token, as far as the pass has capacity. Gives the pass as it is then.
DraftedPass PassScheduler::draft(const std::vector<Rider>& riders, const std::vector<uint32_t>& shares) {
  drafts_.assign(runs_.size(), {});
  DraftedPass pass;
  pass.tokens = std::accumulate(shares.begin(), shares.end(), 0U);
  for (size_t id = 0; id < riders.size(); ++id) {
    pass.answers += riders[id].answering ? shares[id] : 0;
  }
  if (drafting_ == nullptr || pass.answers == 0) {
    return pass;
  }
  cache_.make_room(pass.tokens + pass.answers * kMostDrafted);  // as far as there is
  const PassLimits limits = model_.limits();
  uint32_t capacity =
      std::min({limits.tokens - pass.tokens, std::max(limits.outputs, parallel_) - parallel_,  // each wants one row
                cache_.free_cells() - std::min(cache_.free_cells(), pass.tokens)});
  for (uint32_t id = 0; id < runs_.size(); ++id) {
    if (!riders[id].answering || shares[id] == 0) {
      continue;
    }
    const Run& run = *runs_[id];
    const uint32_t wanted = std::max(run.job.source->left(), 1U) - 1;  // the pass gives one without drafts
    const uint32_t most = std::min({capacity, run.job.limit - static_cast<uint32_t>(run.tokens.size()), wanted});
    drafts_[id] = drafting_->draft(id, run.tokens, most, pass.tokens, pass.answers);
    const auto count = static_cast<uint32_t>(drafts_[id].tokens.size());
    capacity -= count;
    pass.drafted += count;
    pass.draft_seconds += drafts_[id].seconds;
  }
  return pass;
}

// The next tokens of each sequence. Those whose logits are wanted come last: it is where recorded routing looks for the
// tokens that the last layer computes.
std::vector<PassToken> PassScheduler::pass_tokens(const std::vector<uint32_t>& shares) const {
  std::vector<PassToken> tokens;
  std::vector<PassToken> last;
  for (uint32_t id = 0; id < runs_.size(); ++id) {
    const uint32_t from = held(id);
    for (uint32_t position = from; position < from + shares[id]; ++position) {
      const std::vector<int32_t>& all = runs_[id]->tokens;
      const bool output = position + 1 == all.size();
      (output ? last : tokens).push_back({all[position], position, id, output});
    }
    for (uint32_t i = 0; i < drafts_[id].tokens.size(); ++i) {
      last.push_back({drafts_[id].tokens[i], from + shares[id] + i, id, true});
    }
  }
  tokens.insert(tokens.end(), last.begin(), last.end());
  return tokens;
}

// The sequences hold what was evaluated of them, drafts not yet counted. False when that is nothing: the pass failed,
// and its answers with it, or is to be made again with less in it.
bool PassScheduler::hold(const std::vector<uint32_t>& shares, const Status& status) {
  if (!status && status.error().code == ErrorCode::kContextFull && find_no_slot()) {
    return false;
  }
  for (uint32_t id = 0; id < runs_.size(); ++id) {
    if (shares[id] > 0 && !status) {
      fail_sequence(id, status.error());
    } else if (shares[id] > 0) {
      cache_.append(id, std::span(runs_[id]->tokens).subspan(held(id), shares[id]));
    }
  }
  return status.has_value();
}

// A pass failed: what it left of its tokens is not known, and what was there before is kept where it can be.
void PassScheduler::fail_sequence(uint32_t id, const Error& error) {
  cache_.cut(id, held(id));
  end(id, StopReason::kError, error);
}

// Takes the token that follows the sequence's own, whose logits are at `row`, and those after it for as long as the
// draft had said so: their logits follow. Gives how many that were; the rest of the draft is forgotten.
uint32_t PassScheduler::verify(uint32_t id, size_t row) {
  const std::vector<int32_t>& draft = drafts_[id].tokens;
  uint32_t accepted = 0;
  for (;;) {
    take(id, row + accepted);
    const bool goes_on = pending(id) == 1 && accepted < draft.size();
    if (!goes_on || runs_[id]->tokens.back() != draft[accepted]) {
      break;
    }
    cache_.append(id, {&draft[accepted++], 1});
  }
  if (accepted < draft.size()) {
    cache_.cut(id, held(id));
  }
  if (drafting_ != nullptr) {
    drafting_->note_verified(drafts_[id], accepted);
  }
  return accepted;
}

// The answer's next token, after all its tokens so far, by the logits at `row`.
void PassScheduler::take(uint32_t id, size_t row) {
  Run& run = *runs_[id];
  if (!run.answering) {
    run.answering = Clock::now();
  }
  AnswerStep step = next_step(*run.job.source, model_, row);
  run.sampled += step.token ? 1 : 0;
  if (step.token && !step.ends_text) {
    run.all.push_back(*step.token);
  }
  if (!step.stop && !add_token(id, *step.token)) {
    step.stop = StopReason::kContextFull;
  }
  if (step.stop && *step.stop != StopReason::kError) {
    step.piece.append(run.job.source->finish());
  }
  if (!step.piece.empty()) {
    run.job.sink->on_piece(std::move(step.piece));
  }
  if (step.stop) {
    end(id, *step.stop, std::move(step.error));
  }
}

// Makes the token pending. False when the context is full and must not be shifted.
bool PassScheduler::add_token(uint32_t id, int32_t token) {
  Run& run = *runs_[id];
  if (run.tokens.size() >= run.job.limit) {
    if (!run.job.shift) {
      return false;
    }
    // What stays is evaluated anew at its new place, as a prompt is: exact for every kind of memory, and a share of the
    // passes that filled the context which does not count.
    run.tokens = drop_half(run.tokens, run.job.keep);
    cache_.cut(id, common_beginning(cache_.tokens(id), run.tokens));
  }
  run.tokens.push_back(token);
  return true;
}

// One part of each embedding under way. Their passes are their own: they give embeddings instead of logits.
void PassScheduler::embed_pass() {
  for (uint32_t id = 0; id < runs_.size(); ++id) {
    const auto embeds = [&] { return runs_[id] != nullptr && runs_[id]->job.embed && !cache_.is_fetching(id); };
    while (embeds() && park_for(std::min(model_.limits().tokens, runs_[id]->job.embed->end - held(id)))) {
    }
    if (!embeds()) {
      continue;
    }
    if (const Status status = embed_part(id); !status) {
      if (status.error().code != ErrorCode::kContextFull || !find_no_slot()) {
        fail_sequence(id, status.error());
      }
    } else if (held(id) == runs_[id]->job.embed->end) {
      end(id, StopReason::kEndOfText, std::nullopt);
    }
  }
}

Status PassScheduler::embed_part(uint32_t id) {
  Run& run = *runs_[id];
  const EmbedRange range = *run.job.embed;
  const uint32_t from = held(id);
  const bool counts = from >= range.first;
  const uint32_t count =
      counts ? std::min(model_.embed_limit(), range.end - from) : std::min(model_.limits().tokens, range.first - from);
  std::vector<PassToken> tokens;
  for (uint32_t position = from; position < from + count; ++position) {
    tokens.push_back({run.tokens[position], position, id, false});
  }
  Status status = counts ? model_.embed(tokens, run.embedding) : model_.pass(tokens, count);
  count_pass(tokens.size());
  if (status) {
    cache_.append(id, std::span(run.tokens).subspan(from, count));
  }
  return status;
}

// The sequence is idle from then on, and keeps what it holds.
void PassScheduler::end(uint32_t id, StopReason stop, std::optional<Error> error) {
  std::unique_ptr<Run> run = std::move(runs_[id]);
  cache_.release(id);
  cells_are_short_ = false;
  tell_end(std::move(run), stop, std::move(error));
}

void PassScheduler::tell_end(std::unique_ptr<Run> run, StopReason stop, std::optional<Error> error) {
  Job& job = run->job;
  if (job.embed) {
    ended_.push_back({job.id, nullptr,
                      stop == StopReason::kEndOfText ? mean(std::move(run->embedding), job)
                                                     : Result<Embedding>(propagate(error.value_or(closing_error())))});
    return;
  }
  const Clock::time_point now = Clock::now();
  AnswerEnd end;
  end.stop = stop;
  end.error = std::move(error);
  end.prompt_tokens = static_cast<uint32_t>(job.prompt.size());
  end.cut_from = job.cut_from;
  end.cached_prompt_tokens = run->cached;
  end.answer_tokens = run->sampled;
  const Clock::time_point began = run->began.value_or(now);
  end.queued_seconds = seconds(job.submitted, began);
  end.prompt_seconds = seconds(began, run->answering.value_or(now));
  end.answer_seconds = run->answering ? seconds(*run->answering, now) : 0;
  end.tokens = std::move(run->all);
  job.source->tell(end);
  ended_.push_back({job.id, std::move(job.sink), std::move(end)});
}

void PassScheduler::count_pass(size_t tokens) {
  ++counts_.passes;
  counts_.tokens += tokens;
}

}  // namespace hypura
