// Slots on a device over slots in RAM over a disk: what is counted, what goes up and down, what is there when decoding
// begins, and what happens when the device fails. Over the CPU, and over a GPU where ggml has one.
#include <chrono>
#include <functional>
#include <numeric>
#include <thread>

#include "backend/gpu/gpu_fixture_for_test.h"

namespace hypura {
namespace {

class GpuTiersTest : public GpuFixture {
 protected:
  // So many tokens, one after the other.
  void decode(uint32_t tokens, uint32_t first_seed = 1) {
    for (uint32_t seed = first_seed; seed < first_seed + tokens; ++seed) {
      ASSERT_NO_FATAL_FAILURE(expect_same(1, seed, Phase::kDecode));
    }
  }

  // Experts of a layer that are on the device, in RAM, in either.
  struct Held {
    size_t above = 0;
    size_t below = 0;
    size_t either = 0;
  };
  Held held(size_t layer) const {
    const ExpertsOfLayer experts = weights_->experts(0)[layer];
    Held held;
    for (size_t i = 0; i < experts.resident.size(); ++i) {
      held.above += experts.on_gpu[i] ? 1 : 0;
      held.below += experts.resident[i] ? 1 : 0;
      held.either += experts.on_gpu[i] || experts.resident[i] ? 1 : 0;
    }
    return held;
  }

  template <class Condition>
  static bool comes_true(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition() && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return condition();
  }
};

// What was missed in VRAM is looked up in RAM, and nothing else; what is uploaded is what was missed.
TEST_P(GpuTiersTest, CountsAddUp) {
  ASSERT_NO_FATAL_FAILURE(open_even(8, 60));
  ASSERT_NO_FATAL_FAILURE(decode(20));
  const uint64_t missed = stats().decode_lookups - stats().decode_hits;
  EXPECT_EQ(stats().decode_lookups, uint64_t{20} * kLayers * kUsed);
  EXPECT_GT(stats().decode_hits, 0U);
  EXPECT_GT(missed, 0U);
  EXPECT_EQ(stats().uploaded_bytes, missed * expert_bytes());
  EXPECT_EQ(weights_->stats().decode_lookups, missed);
  EXPECT_GT(weights_->stats().decode_hits, 0U);
  EXPECT_LT(weights_->stats().decode_hits, missed);
  EXPECT_EQ(stats().downloaded_bytes, weights_->stats().lowered * expert_bytes());
  ASSERT_NO_FATAL_FAILURE(expect_same(16, 1, Phase::kDecode));  // whole layers
  const uint64_t all_missed = stats().decode_lookups - stats().decode_hits;
  EXPECT_EQ(stats().decode_lookups, uint64_t{20} * kLayers * kUsed + kLayers * 32);
  EXPECT_EQ(stats().uploaded_bytes, all_missed * expert_bytes());
  EXPECT_EQ(weights_->stats().decode_lookups, all_missed);
}

// The bits of what came down and went up again are looked at by decode().
TEST_P(GpuTiersTest, BothTiersTogetherHoldEachExpertOnce) {
  ASSERT_NO_FATAL_FAILURE(open_even(8, 6 * 8 + 8));  // RAM keeps about 8 of each layer, beside 28 to read into
  ASSERT_NO_FATAL_FAILURE(decode(60));
  EXPECT_GT(weights_->stats().lowered, 0U);
  EXPECT_EQ(stats().downloaded_bytes, weights_->stats().lowered * expert_bytes());
  for (size_t layer = 0; layer < kLayers; ++layer) {
    const Held it = held(layer);
    EXPECT_EQ(it.above, 8U);
    EXPECT_GT(it.below, 2U);
    EXPECT_GE(it.either + 1, it.above + it.below - kUsed) << "but for what the last token brought";
  }
}

TEST_P(GpuTiersTest, WhereRamHoldsEveryExpertNothingComesDown) {
  ASSERT_NO_FATAL_FAILURE(open_even(6, 192));
  ASSERT_NO_FATAL_FAILURE(decode(30));
  EXPECT_EQ(stats().downloaded_bytes, 0U);
  EXPECT_EQ(weights_->stats().lowered, 0U);
}

// Prompts, decoding and company in all orders, over RAM from one slot to all.
TEST_P(GpuTiersTest, BitsStayTheSameWhateverGoesUpAndDown) {
  for (const uint32_t below : {1U, 2U, 7U, 30U, 80U}) {
    for (const uint32_t slots : {4U, 6U, 20U}) {
      SCOPED_TRACE(testing::Message() << slots << " slots, " << below << " below");
      ASSERT_NO_FATAL_FAILURE(open_even(slots, below));
      uint32_t seed = 0;
      for (const int64_t tokens : {16, 1, 1, 60, 60, 1, 2, 16, 1}) {
        ASSERT_NO_FATAL_FAILURE(expect_same(tokens, ++seed % 4));
      }
      ASSERT_NO_FATAL_FAILURE(expect_same(30, 3, Phase::kDecode));
      ASSERT_NO_FATAL_FAILURE(decode(2));
    }
  }
}

TEST_P(GpuTiersTest, DecodingBeginsWithWhatThePromptChose) {
  for (const uint32_t slots : {4U, 12U}) {
    ASSERT_NO_FATAL_FAILURE(open_even(slots, 40));
    ASSERT_NO_FATAL_FAILURE(expect_same(16, 7, Phase::kPrefill));
    std::vector<uint32_t> uses(32);
    for (const uint16_t expert : streamed_->chosen(0)) {
      ++uses[expert];
    }
    // The first layer's place is taken by the third: its slots have got theirs.
    const ExpertsOfLayer first = weights_->experts(0)[0];
    uint32_t held_uses = 0;
    for (size_t expert = 0; expert < uses.size(); ++expert) {
      held_uses += first.on_gpu[expert] ? uses[expert] : 0;
    }
    std::ranges::sort(uses, std::greater());
    EXPECT_GE(held_uses * 10, 9 * std::accumulate(uses.begin(), uses.begin() + slots, 0U)) << slots << " slots";

    const uint64_t uploaded = stats().uploaded_bytes;
    ASSERT_NO_FATAL_FAILURE(decode(1));
    EXPECT_EQ(stats().seeded, uint64_t{kLayers} * slots) << "they were empty";
    const uint64_t missed = stats().decode_lookups - stats().decode_hits;
    EXPECT_EQ(stats().uploaded_bytes - uploaded, missed * expert_bytes()) << "nothing was uploaded for the seeds";
  }
}

// RAM had kept what the slots then got.
TEST_P(GpuTiersTest, BehindAPromptBothTiersTogetherHoldEachExpertOnce) {
  ASSERT_NO_FATAL_FAILURE(open_even(8, 6 * 12 + 30));
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    ASSERT_NO_FATAL_FAILURE(expect_same(60, seed, Phase::kPrefill));
  }
  // The first layer's place is taken by the third: its slots have got theirs.
  const Held it = held(0);
  EXPECT_EQ(it.above, 8U);
  EXPECT_GT(it.below, 8U);
  EXPECT_EQ(it.either, it.above + it.below);
  EXPECT_GT(weights_->stats().lowered, 0U);
  EXPECT_EQ(stats().downloaded_bytes, weights_->stats().lowered * expert_bytes());
  ASSERT_NO_FATAL_FAILURE(decode(6));
}

TEST_P(GpuTiersTest, WhatDecodingChoseIsRecorded) {
  ASSERT_NO_FATAL_FAILURE(open_even(8, 40));
  weights_->record_routing(100);
  ASSERT_NO_FATAL_FAILURE(decode(3));
  const RoutingTrace trace = weights_->routing();
  ASSERT_EQ(trace.tokens(), 3U);
  EXPECT_EQ(trace.decode_tokens(), 3U);
  EXPECT_EQ(trace.layers, 6U);
  uint64_t hits = 0;
  for (const RoutingPass& pass : trace.passes) {
    hits += pass.hits;
  }
  EXPECT_EQ(hits, stats().decode_hits + weights_->stats().decode_hits);
  for (size_t layer = 0; layer < kLayers; ++layer) {
    const auto recorded = std::span(trace.chosen).subspan((2 * trace.layers + layer) * trace.used, trace.used);
    EXPECT_EQ(std::vector<uint16_t>(recorded.begin(), recorded.end()), plain_->chosen(layer)) << "layer " << layer;
  }
}

TEST_P(GpuTiersTest, WhereEverythingIsToBeRecordedWholeLayersAreLookedAtToo) {
  for (const uint32_t slots : {0U, 32U}) {
    ASSERT_NO_FATAL_FAILURE(open_even(slots, 40));
    weights_->record_routing(100, true);
    ASSERT_NO_FATAL_FAILURE(expect_same(60, 4));
    ASSERT_NO_FATAL_FAILURE(decode(1));
    const RoutingTrace trace = weights_->routing();
    EXPECT_EQ(trace.tokens(), 61U);
    EXPECT_EQ(trace.decode_tokens(), 1U);
  }
}

// Of earlier runs: the hottest experts come to the device, the next to RAM.
TEST_P(GpuTiersTest, BeginsWithWhatEarlierRunsUsedMost) {
  ASSERT_NO_FATAL_FAILURE(open({2, 3, 32, 0, 2, 2}, 24));
  RoutingTrace trace;
  trace.layers = 6;
  trace.experts = 32;
  trace.used = 4;
  for (uint16_t token = 0; token < 8; ++token) {  // 5 most, then 7, then 9, then others
    trace.passes.push_back({1, true, 0});
    for (uint32_t layer = 0; layer < 6; ++layer) {
      const uint16_t third = token < 6 ? 9 : 10;
      const uint16_t second = token < 7 ? 7 : 11;
      trace.chosen.insert(trace.chosen.end(), {5, second, third, static_cast<uint16_t>(12 + token)});
    }
  }
  weights_->recall(trace);
  weights_->warm_up();
  // RAM keeps 12: two of each layer, the whole one's in its place of one that has nothing on the device.
  ASSERT_TRUE(comes_true([&] { return stats().warmed == 2 + 3 + 2 + 2; }));
  ASSERT_TRUE(comes_true([&] { return weights_->stats().warmed == 12; }));
  const std::vector<ExpertsOfLayer> experts = weights_->experts(0);
  for (const size_t layer : {0U, 1U, 4U, 5U}) {
    EXPECT_TRUE(experts[layer].on_gpu[5] && experts[layer].on_gpu[7]) << "layer " << layer;
    EXPECT_FALSE(experts[layer].resident[5]) << "layer " << layer << ": RAM holds what the device does not";
  }
  EXPECT_TRUE(experts[1].on_gpu[9]);
  EXPECT_TRUE(experts[0].resident[9]);
  EXPECT_TRUE(experts[3].resident[5] && experts[3].resident[7]);
  EXPECT_EQ(held(2).above, 32U) << "a layer with a slot for each has each";
  EXPECT_EQ(held(2).below, 0U);
  const uint64_t uploaded = stats().uploaded_bytes;
  EXPECT_EQ(uploaded, (stats().warmed + 32) * expert_bytes());
  EXPECT_EQ(stats().decode_lookups + weights_->stats().decode_lookups, 0U);
  ASSERT_NO_FATAL_FAILURE(decode(2));
}

// --- whole graphs ---

struct Call {
  const ggml_cgraph* graph = nullptr;
  int nodes = 0;
  std::vector<const void*> weights;  // where the products with experts find them
};
std::vector<Call> calls;
ggml_status (*compute_really)(ggml_backend_t, ggml_cgraph*) = nullptr;

ggml_status count_call(ggml_backend_t backend, ggml_cgraph* graph) {
  Call call{graph, ggml_graph_n_nodes(graph), {}};
  for (int i = 0; i < call.nodes; ++i) {
    const ggml_tensor* node = ggml_graph_node(graph, i);
    if (node->op == GGML_OP_MUL_MAT_ID) {
      call.weights.push_back(node->src[0]->data);
      call.weights.push_back(node->src[0]);
      call.weights.push_back(node->src[2]);
    }
  }
  calls.push_back(call);
  return compute_really(backend, graph);
}

// A device that recorded a graph plays it again only where nothing of it has changed.
TEST_P(GpuTiersTest, AGraphWhoseExpertsAllHaveSlotsIsComputedInOneCallAlwaysTheSame) {
  ASSERT_NO_FATAL_FAILURE(open_even(32));
  ggml_backend_i& interface = device().stream()->iface;
  compute_really = std::exchange(interface.graph_compute, count_call);
  calls.clear();
  weights_->record_routing(100);
  streamed_->make_graph(1);
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    ASSERT_FALSE(streamed_->compute(backend_.get(), seed).empty());
  }
  ASSERT_EQ(calls.size(), 3U);
  for (const Call& call : calls) {
    EXPECT_EQ(call.graph, streamed_->graph());
    EXPECT_EQ(call.nodes, ggml_graph_n_nodes(streamed_->graph()));
    EXPECT_EQ(call.weights, calls[0].weights);
    EXPECT_EQ(call.weights.size(), static_cast<size_t>(3 * 3 * kLayers));
  }
  EXPECT_EQ(stats().choice_wait_seconds, 0.0);
  ASSERT_NO_FATAL_FAILURE(open({32, 8, 8, 0, 0, 0}));
  ggml_backend_i& other = device().stream()->iface;
  other.graph_compute = count_call;
  calls.clear();
  streamed_->make_graph(1);
  ASSERT_FALSE(streamed_->compute(backend_.get(), 1).empty());
  EXPECT_EQ(calls.size(), 3U) << "one cut for each layer whose experts do not all have slots";
  EXPECT_GT(stats().choice_wait_seconds, 0.0);
}

// --- failures ---

ggml_status refuse(ggml_backend_t /*backend*/, ggml_cgraph* /*graph*/) {
  return GGML_STATUS_FAILED;
}

ggml_status throw_up(ggml_backend_t /*backend*/, ggml_cgraph* /*graph*/) {
  throw std::runtime_error("the device is lost");
}

TEST_P(GpuTiersTest, AGraphThatFailsIsAnErrorAndTheNextMayBeWell) {
  for (const uint32_t slots : {0U, 6U, 32U}) {
    ASSERT_NO_FATAL_FAILURE(open_even(slots));
    ASSERT_NO_FATAL_FAILURE(decode(2));
    ggml_backend_i& interface = device().stream()->iface;
    const auto compute = std::exchange(interface.graph_compute, refuse);
    ASSERT_TRUE(streamed_->compute(backend_.get(), 1).empty());
    const Error error = weights_->take_error();
    EXPECT_EQ(error.code, ErrorCode::kInternal);
    EXPECT_NE(error.message.find(ggml_backend_dev_name(inner())), std::string::npos) << error.message;
    interface.graph_compute = compute;
    ASSERT_NO_FATAL_FAILURE(decode(2));
  }
}

TEST_P(GpuTiersTest, ADeviceThatIsLostStaysLost) {
  for (const uint32_t slots : {0U, 6U, 32U}) {
    ASSERT_NO_FATAL_FAILURE(open_even(slots));
    ASSERT_NO_FATAL_FAILURE(decode(2));
    ggml_backend_i& interface = device().stream()->iface;
    const auto compute = std::exchange(interface.graph_compute, throw_up);
    ASSERT_TRUE(streamed_->compute(backend_.get(), 1).empty());
    const Error error = weights_->take_error();
    EXPECT_EQ(error.code, ErrorCode::kInternal);
    EXPECT_NE(error.message.find("the device is lost"), std::string::npos) << error.message;
    interface.graph_compute = compute;
    ASSERT_TRUE(streamed_->compute(backend_.get(), 1).empty()) << "what it holds is not known";
    EXPECT_EQ(weights_->take_error().message, error.message);
  }
}

INSTANTIATE_TEST_SUITE_P(Over, GpuTiersTest, testing::Values(Inner::kCpu, Inner::kGpu, Inner::kLate), inner_name);

}  // namespace
}  // namespace hypura
