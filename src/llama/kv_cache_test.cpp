#include "llama/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

namespace hypura {
namespace {

std::vector<int32_t> run_of(int32_t from, int32_t to) {
  std::vector<int32_t> tokens(static_cast<size_t>(to - from));
  std::iota(tokens.begin(), tokens.end(), from);
  return tokens;
}

// Counts the tokens of its sequences.
class CountingMemory final : public KvMemory {
 public:
  explicit CountingMemory(uint32_t sequences, bool can_cut = true) : can_cut_(can_cut), held(sequences) {}

  uint32_t sequences() const override { return static_cast<uint32_t>(held.size()); }
  bool can_cut() const override { return can_cut_; }
  uint32_t cut(uint32_t sequence, uint32_t count) override {
    ++cuts;
    return held[sequence] = count < lost || !can_cut_ ? 0 : count;
  }
  uint32_t copy(uint32_t from, uint32_t to, uint32_t count) override {
    EXPECT_EQ(held[to], 0U);
    EXPECT_GE(held[from], count);
    return held[to] = count < lost ? 0 : count;
  }

 private:
  bool can_cut_;

 public:
  std::vector<uint32_t> held;
  uint32_t lost = 0;  // tokens at the beginning of every sequence that are not there any more
  int cuts = 0;
};

uint32_t fetch_all(KvCache& cache, uint32_t sequence) {
  uint32_t fetched = 0;
  while (cache.is_fetching(sequence)) {
    fetched += cache.fetch_next(sequence);
  }
  return fetched;
}

// Evaluates the rest of the prompt.
KvPlace answer(KvCache& cache, CountingMemory& memory, const std::vector<int32_t>& prompt, bool release = true) {
  KvPlace place = cache.acquire(prompt, UINT32_MAX);
  place.reused += fetch_all(cache, place.sequence);
  cache.append(place.sequence, std::span(prompt).subspan(place.reused));
  memory.held[place.sequence] = static_cast<uint32_t>(prompt.size());
  if (release) {
    cache.release(place.sequence);
  }
  return place;
}

TEST(KvCache, AConversationGoesOnWhereItIs) {
  CountingMemory memory(2);
  KvCache cache(memory);
  EXPECT_EQ(answer(cache, memory, run_of(0, 100)).reused, 0U);
  const int cuts = memory.cuts;
  const KvPlace next = cache.acquire(run_of(0, 150), UINT32_MAX);
  EXPECT_EQ(next.sequence, 0U);
  EXPECT_EQ(next.donor, 0U);
  EXPECT_EQ(next.reused, 100U);
  EXPECT_EQ(memory.cuts, cuts) << "nothing is to be forgotten";
  EXPECT_EQ(cache.idle(), 1U);
  EXPECT_EQ(cache.used_cells(), 100U);
}

TEST(KvCache, ABeginningIsCopiedFromWhoeverHasIt) {
  CountingMemory memory(2);
  KvCache cache(memory);
  answer(cache, memory, run_of(0, 100), false);
  std::vector<int32_t> prompt = run_of(0, 30);
  prompt.push_back(7000);
  const KvPlace place = cache.acquire(prompt, UINT32_MAX);
  EXPECT_EQ(place.sequence, 1U);
  EXPECT_EQ(place.donor, 0U);
  EXPECT_EQ(place.reused, 30U);
  EXPECT_EQ(memory.held, (std::vector<uint32_t>{100, 30}));
  EXPECT_EQ(cache.tokens(1).size(), 30U);
  EXPECT_EQ(cache.tokens(1)[29], 29);
}

TEST(KvCache, NoMoreIsKeptThanIsWanted) {
  CountingMemory memory(1);
  KvCache cache(memory);
  answer(cache, memory, run_of(0, 100));
  EXPECT_EQ(cache.acquire(run_of(0, 100), 20).reused, 20U);
  EXPECT_EQ(memory.held[0], 20U);
}

TEST(KvCache, TheOneUnusedForLongestIsGivenUp) {
  CountingMemory memory(3);
  KvCache cache(memory);
  for (int32_t i = 0; i < 3; ++i) {
    answer(cache, memory, run_of(1000 * i, 1000 * i + 50));
  }
  answer(cache, memory, run_of(0, 60));
  EXPECT_EQ(cache.acquire(run_of(5000, 5010), UINT32_MAX).sequence, 1U);
  EXPECT_TRUE(cache.tokens(1).empty());
}

TEST(KvCache, WhatIsNotThereAnyMoreIsNotReused) {
  CountingMemory memory(2);
  KvCache cache(memory);
  answer(cache, memory, run_of(0, 100));
  memory.lost = 50;
  EXPECT_EQ(cache.acquire(run_of(0, 40), UINT32_MAX).reused, 0U);
  cache.release(0);
  answer(cache, memory, run_of(0, 100), false);
  EXPECT_EQ(cache.acquire(run_of(0, 40), UINT32_MAX).reused, 0U) << "nor copied";
  EXPECT_EQ(cache.cut(0, 60), 60U);
  EXPECT_EQ(cache.cut(0, 40), 0U);
  EXPECT_TRUE(cache.tokens(0).empty());
}

TEST(KvCache, AStateThatCannotBeCutIsGoneOnWithOrForgotten) {
  CountingMemory memory(1, false);
  KvCache cache(memory);
  answer(cache, memory, run_of(0, 100));
  EXPECT_EQ(answer(cache, memory, run_of(0, 120)).reused, 100U);
  EXPECT_EQ(answer(cache, memory, run_of(0, 110)).reused, 0U);
}

TEST(KvCache, WhatAPassLeftBeyondItsTokensIsCutAway) {
  CountingMemory memory(1);
  KvCache cache(memory);
  answer(cache, memory, run_of(0, 10));
  memory.held[0] = 14;
  EXPECT_EQ(cache.cut(0, 10), 10U);
  EXPECT_EQ(memory.held[0], 10U);
  EXPECT_EQ(cache.tokens(0).size(), 10U);
}

TEST(KvCache, CellsAreTakenBackFromTheEndsOfIdleSequences) {
  CountingMemory memory(4);
  KvCache cache(memory, 1000);
  answer(cache, memory, run_of(0, 500));
  std::vector<int32_t> side = run_of(0, 300);
  side.resize(340, 7000);
  EXPECT_EQ(answer(cache, memory, side).reused, 300U);
  EXPECT_EQ(answer(cache, memory, run_of(5000, 5200), false).sequence, 2U);
  EXPECT_EQ(cache.free_cells(), 1000U - 500 - 40 - 200);
  EXPECT_EQ(cache.shared_tokens(), 300U);
  std::vector<uint32_t> told;
  cache.on_forgotten([&](uint32_t sequence, uint32_t left) { told.insert(told.end(), {sequence, left}); });
  EXPECT_TRUE(cache.make_room(260));
  EXPECT_TRUE(told.empty()) << "there is enough";
  EXPECT_TRUE(cache.make_room(290));
  EXPECT_EQ(told, (std::vector<uint32_t>{1, 0})) << "the small one, whose beginning the other one has";
  EXPECT_TRUE(cache.make_room(400));
  EXPECT_EQ(memory.held[0], 400U) << "its end alone";
  EXPECT_EQ(cache.room(cache.choose(run_of(0, 350), UINT32_MAX)), 1000U - 200 - 349);
  EXPECT_FALSE(cache.make_room(801)) << "what is in use stays";
  EXPECT_EQ(memory.held, (std::vector<uint32_t>{0, 0, 200, 0}));
  EXPECT_EQ(cache.free_cells(), 800U);
}

// Has blocks of ten tokens of one text, and notes what it is told.
class ListingKeeper final : public KvKeeper {
 public:
  ListingKeeper(CountingMemory& memory, std::vector<int32_t> text) : memory_(memory), text_(std::move(text)) {}

  std::unique_ptr<KvFetch> fetch(std::span<const int32_t> text, uint32_t held) override {
    const auto same = static_cast<uint32_t>(std::ranges::mismatch(text, text_).in1 - text.begin());
    return same / 10 * 10 > held ? std::make_unique<Fetch>(*this, held / 10 * 10, same / 10 * 10) : nullptr;
  }
  void losing(uint32_t sequence, std::span<const int32_t> tokens, uint32_t left) override {
    EXPECT_EQ(memory_.held[sequence], tokens.size()) << "they are still there";
    lost.emplace_back(sequence, left);
  }
  Kept keep(uint32_t sequence, std::span<const int32_t> tokens, uint32_t& done, bool /*wait*/) override {
    kept.push_back(sequence);
    done = kept.size() % 2 == 1 ? done + 10 : static_cast<uint32_t>(tokens.size());
    return kept.size() % 2 == 1 ? Kept::kOne : Kept::kAll;
  }
  uint32_t stride() const override { return wanted_after; }
  void note_busy(bool is) override { busy = is; }

  std::vector<std::pair<uint32_t, uint32_t>> lost;
  std::vector<uint32_t> kept;
  bool busy = false;
  uint32_t wanted_after = UINT32_MAX;
  uint32_t fails_at = UINT32_MAX;  // the block that begins there

 private:
  class Fetch final : public KvFetch {
   public:
    Fetch(ListingKeeper& keeper, uint32_t from, uint32_t end) : keeper_(keeper), from_(from), end_(end) {}
    uint32_t from() const override { return from_; }
    uint32_t next() const override { return from_ < end_ ? 10 : 0; }
    bool load(uint32_t sequence) override {
      uint32_t& held = keeper_.memory_.held[sequence];
      EXPECT_EQ(held, from_);
      const bool works = from_ != keeper_.fails_at;
      held = from_ += works ? 10 : 3;
      return works;
    }

   private:
    ListingKeeper& keeper_;
    uint32_t from_;
    uint32_t end_;
  };

  CountingMemory& memory_;
  std::vector<int32_t> text_;
};

TEST(KvCache, WhatFollowsIsFetchedFromTheKeeper) {
  CountingMemory memory(2);
  ListingKeeper keeper(memory, run_of(0, 100));
  KvCache cache(memory, 1000, &keeper);
  const KvPlace place = cache.acquire(run_of(0, 55), UINT32_MAX);
  EXPECT_EQ(place.reused, 0U);
  EXPECT_EQ(cache.fetch_next(place.sequence), 10U) << "entry by entry";
  EXPECT_EQ(fetch_all(cache, place.sequence), 40U);
  EXPECT_TRUE(std::ranges::equal(cache.tokens(place.sequence), run_of(0, 50)));
  EXPECT_EQ(memory.held[place.sequence], 50U);
  cache.release(place.sequence);
  const KvPlace next = cache.acquire(run_of(0, 81), UINT32_MAX);
  EXPECT_EQ(next.sequence, place.sequence);
  EXPECT_EQ(next.reused, 50U);
  EXPECT_EQ(fetch_all(cache, next.sequence), 30U);
  cache.release(next.sequence);
  const KvPlace none = cache.acquire(run_of(0, 81), 0);
  EXPECT_EQ(none.reused + fetch_all(cache, none.sequence), 0U) << "no more than is wanted";
}

TEST(KvCache, WhoIsDroppedWhileItIsFetchedKeepsWhatIsThere) {
  CountingMemory memory(1);
  ListingKeeper keeper(memory, run_of(0, 100));
  KvCache cache(memory, 1000, &keeper);
  cache.acquire(run_of(0, 100), UINT32_MAX);
  EXPECT_EQ(cache.fetch_next(0), 10U);
  cache.release(0);
  EXPECT_FALSE(cache.is_fetching(0));
  EXPECT_EQ(memory.held[0], 10U);
  EXPECT_EQ(cache.acquire(run_of(0, 100), UINT32_MAX).reused, 10U);
  EXPECT_EQ(fetch_all(cache, 0), 80U);
}

TEST(KvCache, WhatFollowsOnWhatIsGoneIsNotFetched) {
  CountingMemory memory(1);
  ListingKeeper keeper(memory, run_of(0, 100));
  KvCache cache(memory, 1000, &keeper);
  cache.acquire(run_of(0, 100), UINT32_MAX);
  EXPECT_EQ(cache.fetch_next(0), 10U);
  EXPECT_EQ(cache.cut(0, 10), 10U);
  EXPECT_TRUE(cache.is_fetching(0)) << "nothing is gone";
  EXPECT_EQ(cache.cut(0, 5), 5U);
  EXPECT_FALSE(cache.is_fetching(0));
}

TEST(KvCache, APartOfABlockIsFetchedAgain) {
  CountingMemory memory(1);
  ListingKeeper keeper(memory, run_of(0, 100));
  KvCache cache(memory, 1000, &keeper);
  answer(cache, memory, run_of(0, 8));
  const KvPlace place = cache.acquire(run_of(0, 41), UINT32_MAX);
  EXPECT_EQ(place.reused, 0U) << "a block begins where the sequence held more";
  EXPECT_EQ(fetch_all(cache, 0), 40U);
  EXPECT_EQ(memory.held[0], 40U);
}

TEST(KvCache, WhatCannotBeFetchedIsLeftToBeComputed) {
  CountingMemory memory(1);
  ListingKeeper keeper(memory, run_of(0, 100));
  keeper.fails_at = 20;
  KvCache cache(memory, 1000, &keeper);
  cache.acquire(run_of(0, 100), UINT32_MAX);
  EXPECT_EQ(fetch_all(cache, 0), 20U);
  EXPECT_EQ(memory.held[0], 20U) << "what was left of the block is gone";
}

TEST(KvCache, WhatAnIdleSequenceLosesIsOffered) {
  CountingMemory memory(1);
  ListingKeeper keeper(memory, {});
  KvCache cache(memory, 1000, &keeper);
  answer(cache, memory, run_of(0, 50));
  EXPECT_TRUE(keeper.lost.empty());
  answer(cache, memory, run_of(0, 60));
  EXPECT_TRUE(keeper.lost.empty()) << "it went on";
  answer(cache, memory, run_of(5000, 5010), false);
  EXPECT_EQ(keeper.lost, (std::vector<std::pair<uint32_t, uint32_t>>{{0, 0}}));
  cache.cut(0, 5);
  EXPECT_EQ(keeper.lost.size(), 1U) << "what a running one drops nobody asked to keep";
}

TEST(KvCache, IdleSequencesAreKeptTheLatestFirst) {
  CountingMemory memory(2);
  ListingKeeper keeper(memory, {});
  KvCache cache(memory, 1000, &keeper);
  answer(cache, memory, run_of(0, 50));
  answer(cache, memory, run_of(5000, 5050));
  EXPECT_EQ(cache.keep_some(false), KvKeeper::Kept::kOne);
  EXPECT_EQ(cache.keep_some(false), KvKeeper::Kept::kOne) << "the first is all kept, and one entry of the other";
  EXPECT_EQ(cache.keep_some(false), KvKeeper::Kept::kAll);
  EXPECT_EQ(keeper.kept, (std::vector<uint32_t>{1, 1, 0, 0}));
  EXPECT_EQ(cache.keep_some(false), KvKeeper::Kept::kAll);
  EXPECT_EQ(keeper.kept.size(), 4U) << "nobody is asked again";
}

TEST(KvCache, ARunningSequenceIsKeptNowAndThenWhereThatIsWanted) {
  CountingMemory memory(1);
  ListingKeeper keeper(memory, {});
  keeper.wanted_after = 30;
  KvCache cache(memory, 1000, &keeper);
  cache.acquire(run_of(0, 100), UINT32_MAX);
  cache.append(0, run_of(0, 29));
  EXPECT_TRUE(keeper.kept.empty());
  cache.append(0, run_of(29, 30));
  EXPECT_EQ(keeper.kept.size(), 1U);
}

TEST(KvCache, TheKeeperKnowsWhetherPassesRun) {
  CountingMemory memory(2);
  ListingKeeper keeper(memory, {});
  KvCache cache(memory, 1000, &keeper);
  answer(cache, memory, run_of(0, 10), false);
  answer(cache, memory, run_of(5000, 5010));
  EXPECT_TRUE(keeper.busy);
  cache.release(0);
  EXPECT_FALSE(keeper.busy);
}

TEST(KvCache, LeavesNothingBehind) {
  CountingMemory memory(2);
  {
    KvCache cache(memory);
    answer(cache, memory, run_of(0, 10));
    answer(cache, memory, run_of(50, 60));
  }
  EXPECT_EQ(memory.held, (std::vector<uint32_t>{0, 0}));
}

}  // namespace
}  // namespace hypura
