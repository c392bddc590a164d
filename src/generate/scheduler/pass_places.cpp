// Which of the scheduler's jobs have a sequence, and which wait for one.
#include <algorithm>
#include <utility>

#include "generate/scheduler/pass_run.h"
#include "llama/tokenizer/common_beginning.h"

namespace hypura {

namespace {

// Cells that a job finds free for its answer when it gets a sequence. With fewer it would soon be parked again.
constexpr uint32_t kCellsForAnswer = 256;

}  // namespace

// The oldest first. Who waits for cells is not overtaken by younger ones, which might take them for ever; who waits for
// a beginning is.
void PassScheduler::place_waiting() {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const Placing placing = placing_of(**it);
    if (placing == Placing::kWaitsForCells) {
      return;
    }
    if (placing == Placing::kWaitsForBeginning) {
      (*it)->waited = true;
      ++it;
      continue;
    }
    std::unique_ptr<Run> run = std::move(*it);
    it = waiting_.erase(it);
    place(std::move(run));
  }
}

PassScheduler::Placing PassScheduler::placing_of(const Run& run) const {
  const SequenceChoice choice = cache_.choose(run.tokens, run.most_reused());
  const uint32_t saved = run.waited ? 1 : worth_waiting(model_.limits());
  if (evaluated_by_others(run) >= choice.reused + saved) {
    return Placing::kWaitsForBeginning;
  }
  if (running() == 0) {
    return Placing::kNow;
  }
  const auto size = static_cast<uint32_t>(run.tokens.size());
  const uint32_t left = run.job.source == nullptr ? 0 : run.job.source->left();
  uint64_t wanted =
      size - choice.reused + std::min({left, kCellsForAnswer, run.job.limit - std::min(run.job.limit, size)});
  for (uint32_t id = 0; id < runs_.size(); ++id) {
    wanted += pending(id);
  }
  return cells_are_short_ || wanted > cache_.room(choice) ? Placing::kWaitsForCells : Placing::kNow;
}

// Tokens at the beginning of the job's that another one will have evaluated: the most that one of those has whose
// prompt is in work.
uint32_t PassScheduler::evaluated_by_others(const Run& run) const {
  if (!cache_.can_share()) {
    return 0;
  }
  uint32_t most = 0;
  for (uint32_t id = 0; id < runs_.size(); ++id) {
    if (pending(id) > 1) {
      most = std::max(most, common_beginning(runs_[id]->tokens, run.tokens));
    }
  }
  return std::min({most, run.most_reused(), static_cast<uint32_t>(run.tokens.size()) - 1});
}

void PassScheduler::place(std::unique_ptr<Run> run) {
  const KvPlace place = cache_.acquire(run->tokens, run->most_reused());
  if (drafting_ != nullptr && place.donor != place.sequence && place.reused > 0) {
    drafting_->note_copied(place.donor, place.sequence, place.reused);
  }
  if (!run->began) {
    run->began = Clock::now();
    run->cached = place.reused;
  }
  runs_[place.sequence] = std::move(run);
}

// Where nobody else runs, one entry at a time: who comes meanwhile, or goes, waits for no more.
void PassScheduler::fetch_some() {
  const std::vector<Rider> riders = this->riders();
  const bool others = std::ranges::any_of(riders, [](const Rider& it) { return it.pending > 0; });
  const auto until = Clock::now() + std::chrono::duration<double>(others ? last_pass_seconds_ : 0);
  for (uint32_t id = 0; id < runs_.size(); ++id) {
    while (runs_[id] != nullptr && cache_.is_fetching(id)) {
      const uint32_t fetched = cache_.fetch_next(id);
      runs_[id]->cached += runs_[id]->parked ? 0 : fetched;
      if (Clock::now() >= until) {
        return;
      }
    }
  }
}

uint32_t PassScheduler::youngest() const {
  uint32_t youngest = 0;
  for (uint32_t id = 0; id < runs_.size(); ++id) {
    const auto order = [&](uint32_t of) { return runs_[of] == nullptr ? 0 : runs_[of]->order; };
    youngest = order(id) > order(youngest) ? id : youngest;
  }
  return youngest;
}

// What the job's sequence holds stays until its cells are needed. What is gone by then is evaluated again, as a prompt
// is.
void PassScheduler::park(uint32_t id) {
  std::unique_ptr<Run> run = std::move(runs_[id]);
  cache_.release(id);
  run->parked = true;
  run->embedding.clear();
  ++counts_.parked;
  const auto older = [&](const std::unique_ptr<Run>& it) { return it->order < run->order; };
  waiting_.insert(std::find_if_not(waiting_.begin(), waiting_.end(), older), std::move(run));
}

// Sees to it that so many cells are free. True when the youngest job had to be parked for that: there may be others to
// make room for then.
bool PassScheduler::park_for(uint32_t cells) {
  if (cache_.make_room(cells) || running() < 2) {
    return false;
  }
  park(youngest());
  return true;
}

// llama.cpp found no cells for a pass, though by the books there were: whatever it left of it is taken back, and all
// that can be spared is freed, so that the next pass finds some. False when there is nothing to spare.
bool PassScheduler::find_no_slot() {
  for (uint32_t id = 0; id < runs_.size(); ++id) {
    if (runs_[id] != nullptr) {
      cache_.cut(id, held(id));
    }
  }
  const uint32_t used = cache_.used_cells();
  cache_.make_room(cache_.cells());
  if (cache_.used_cells() == used && running() < 2) {
    return false;
  }
  cells_are_short_ = running() > 1;
  if (cache_.used_cells() == used) {
    park(youngest());
    cache_.make_room(cache_.cells());
  }
  return true;
}

}  // namespace hypura
