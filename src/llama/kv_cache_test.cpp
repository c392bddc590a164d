#include "llama/kv_cache.h"

#include <gtest/gtest.h>

#include <numeric>
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

// Evaluates the rest of the prompt.
KvPlace answer(KvCache& cache, CountingMemory& memory, const std::vector<int32_t>& prompt, bool release = true) {
  const KvPlace place = cache.acquire(prompt, UINT32_MAX);
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
