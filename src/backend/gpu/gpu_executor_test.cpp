// A device over one of ggml's gives the bits of that device itself, whatever has slots on it: over the CPU, which does
// one thing after the other, and over a GPU where ggml has one, whose copies go on meanwhile.
#include <string_view>
#include <thread>

#include "backend/gpu/gpu_fixture_for_test.h"

namespace hypura {
namespace {

class GpuExecutorTest : public GpuFixture {};

TEST_P(GpuExecutorTest, BitsAreTheInnerDevicesWhateverHasSlots) {
  for (const uint32_t below : {1U, 40U, 192U}) {
    for (const uint32_t slots : {0U, 3U, 4U, 9U, 24U, 32U}) {
      SCOPED_TRACE(testing::Message() << slots << " slots, " << below << " below");
      ASSERT_NO_FATAL_FAILURE(open_even(slots, below));
      uint32_t seed = 0;
      for (const int64_t tokens : {1, 1, 2, 7, 15, 16, 60, 1, 3, 1}) {
        ASSERT_NO_FATAL_FAILURE(expect_same(tokens, ++seed));
      }
    }
  }
}

TEST_P(GpuExecutorTest, LayersMayHaveDifferentNumbersOfSlots) {
  ASSERT_NO_FATAL_FAILURE(open({32, 0, 6, 0, 0, 0}));
  for (const int64_t tokens : {1, 3, 40, 1}) {
    ASSERT_NO_FATAL_FAILURE(expect_same(tokens, static_cast<uint32_t>(tokens)));
  }
}

TEST_P(GpuExecutorTest, WhatIsInSlotsIsNotBroughtAgain) {
  ASSERT_NO_FATAL_FAILURE(open_even(8));
  ASSERT_NO_FATAL_FAILURE(expect_same(1, 5));
  const uint64_t once = stats().uploaded_bytes.load();
  EXPECT_EQ(once, static_cast<uint64_t>(kLayers * kUsed) * layout_.expert_layers[0].expert_bytes());
  ASSERT_NO_FATAL_FAILURE(expect_same(1, 5));
  EXPECT_EQ(stats().uploaded_bytes.load(), once);
  EXPECT_EQ(stats().decode_lookups, static_cast<uint64_t>(2 * kLayers * kUsed));
  EXPECT_EQ(stats().decode_hits, static_cast<uint64_t>(kLayers * kUsed));
  EXPECT_EQ(stats().staged_layers, 0U);
}

TEST_P(GpuExecutorTest, LayersThatAreAllInSlotsAreBroughtOnceAndNotLookedAt) {
  ASSERT_NO_FATAL_FAILURE(open_even(32));
  ASSERT_NO_FATAL_FAILURE(expect_same(1, 1));
  const uint64_t all = static_cast<uint64_t>(kLayers) * 32 * layout_.expert_layers[0].expert_bytes();
  EXPECT_EQ(stats().uploaded_bytes.load(), all);
  ASSERT_NO_FATAL_FAILURE(expect_same(60, 2));
  EXPECT_EQ(stats().uploaded_bytes.load(), all);
  EXPECT_EQ(stats().decode_lookups, 0U);
  EXPECT_EQ(stats().staged_layers, 0U);
}

TEST_P(GpuExecutorTest, PromptsBringWholeLayersAndCopyWhatIsInSlots) {
  ASSERT_NO_FATAL_FAILURE(open_even(8));
  ASSERT_NO_FATAL_FAILURE(expect_same(1, 1));
  const uint64_t before = stats().uploaded_bytes.load();
  ASSERT_NO_FATAL_FAILURE(expect_same(16, 2, Phase::kDecode));  // of a prompt the slots would learn
  EXPECT_EQ(stats().staged_layers, static_cast<uint64_t>(kLayers));
  EXPECT_EQ(stats().uploaded_bytes.load() - before,
            static_cast<uint64_t>(kLayers * (32 - kUsed)) * layout_.expert_layers[0].expert_bytes());
  EXPECT_EQ(stats().decode_hits, static_cast<uint64_t>(kLayers * kUsed));
  EXPECT_EQ(stats().decode_lookups, static_cast<uint64_t>(kLayers * (kUsed + 32)));
  ASSERT_NO_FATAL_FAILURE(expect_same(1, 1));  // the slots are as they were
  EXPECT_EQ(stats().decode_hits, static_cast<uint64_t>(2 * kLayers * kUsed));
}

// More than there are slots, though fewer than call for a whole layer unseen.
TEST_P(GpuExecutorTest, TokensThatChooseTooManyBringWholeLayersToo) {
  ASSERT_NO_FATAL_FAILURE(open_even(4));
  ASSERT_NO_FATAL_FAILURE(expect_same(7, 3));
  EXPECT_EQ(stats().staged_layers, static_cast<uint64_t>(kLayers));
}

// Without room for whole layers. Products of many rows are rounded by how many there are in all: CUDA's from nine rows
// on, Vulkan's from two.
TEST_P(GpuExecutorTest, WavesGiveTheSameBits) {
  const bool cuda = std::string_view(ggml_backend_dev_name(inner())).starts_with("CUDA");
  for (const uint32_t slots : {1U, 3U, 4U, 9U, 32U}) {
    SCOPED_TRACE(testing::Message() << slots << " slots");
    ASSERT_NO_FATAL_FAILURE(open_even(slots, 40, false));
    uint32_t seed = 0;
    for (const int64_t tokens : {1, 1, 2, 7, 15, 16, 60, 1, 3, 1}) {
      if (GetParam() != Inner::kGpu || tokens <= (cuda ? 8 : 1) || slots == 32) {
        ASSERT_NO_FATAL_FAILURE(expect_same(tokens, ++seed));
      }
    }
    EXPECT_EQ(stats().staged_layers, 0U);
  }
}

// Each expert comes once, however many waves there are.
TEST_P(GpuExecutorTest, WavesBringNothingTwice) {
  ASSERT_NO_FATAL_FAILURE(open_even(6, 40, false));
  streamed_->make_graph(60);
  ASSERT_FALSE(streamed_->compute(backend_.get(), 4).empty());
  const uint64_t lookups = stats().decode_lookups;
  EXPECT_GT(lookups, static_cast<uint64_t>(kLayers) * 24);
  EXPECT_LE(lookups, static_cast<uint64_t>(kLayers) * 32);
  EXPECT_EQ(stats().uploaded_bytes.load(), lookups * layout_.expert_layers[0].expert_bytes());
  ASSERT_FALSE(streamed_->compute(backend_.get(), 4).empty());
  EXPECT_EQ(stats().decode_hits, static_cast<uint64_t>(kLayers) * 6) << "what is there comes first";
}

TEST_P(GpuExecutorTest, ALayerNeedsSlotsOrRoomToPassThrough) {
  ASSERT_NO_FATAL_FAILURE(open_even(1, 40, false));
  auto weights = StreamedWeights::create(model_, *reader_, layout_, ggml_backend_dev_name(inner()));
  ASSERT_TRUE(weights);
  Placement placement;
  placement.ubatch = 1;
  placement.gpu = {.layer_slots = {1, 1, 0, 1, 1, 1}, .stages = false};
  placement.experts.slots = 4;
  placement.experts.spare_slots = 2;
  const Status status = (*weights)->allocate_caches(placement, ReadAhead::kNone, false, budget_);
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("layer 2 has no slots"), std::string::npos) << status.error().message;
}

TEST_P(GpuExecutorTest, AFailedReadFailsOnePassAndLeavesTheGraphAsItWas) {
  for (const uint32_t slots : {0U, 6U, 7U, 32U}) {  // with 7: in waves
    for (const int64_t tokens : {1, 30}) {
      for (const int good : {0, 2, 6}) {
        SCOPED_TRACE(testing::Message() << slots << " slots, " << tokens << " tokens, " << good << " good reads");
        ASSERT_NO_FATAL_FAILURE(open_even(slots, 40, slots != 7));
        ASSERT_NO_FATAL_FAILURE(expect_one_pass_fails(tokens, good));
      }
    }
  }
}

TEST_P(GpuExecutorTest, BackendsOfSeveralContextsShareTheSlots) {
  ASSERT_NO_FATAL_FAILURE(open_even(6));
  constexpr int kThreads = 3;
  std::vector<std::thread> threads;
  std::vector<std::vector<float>> outputs(kThreads);
  plain_->make_graph(2);
  // The experts' tensors are shared, as those of a model are.
  std::vector<std::unique_ptr<ExpertNetwork>> networks;
  for (int i = 0; i < kThreads; ++i) {
    networks.push_back(std::make_unique<ExpertNetwork>(layout_, buffer_type(), weights_->stream_buffer_type()));
    networks.back()->make_graph(2);
  }
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const ggml_backend_ptr own = start(weights_->gpu_device());
      for (uint32_t pass = 0; pass < 8; ++pass) {
        outputs[static_cast<size_t>(i)] =
            networks[static_cast<size_t>(i)]->compute(own.get(), static_cast<uint32_t>(i) + 10 * pass);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (uint32_t i = 0; i < kThreads; ++i) {
    EXPECT_EQ(outputs[i], plain_->compute(plain_backend_.get(), i + 70));
  }
}

TEST_P(GpuExecutorTest, TheDeviceAnswersAsTheInnerOneButForWhatIsStreamed) {
  ASSERT_NO_FATAL_FAILURE(open_even(6));
  ggml_backend_dev_t gpu = weights_->gpu_device();
  EXPECT_EQ(ggml_backend_dev_type(gpu), GGML_BACKEND_DEVICE_TYPE_GPU);
  EXPECT_EQ(ggml_backend_dev_buffer_type(gpu), ggml_backend_dev_buffer_type(inner()));
  EXPECT_TRUE(ggml_backend_dev_supports_buft(gpu, buffer_type()));
  EXPECT_TRUE(ggml_backend_dev_supports_buft(gpu, weights_->stream_buffer_type()));
  EXPECT_FALSE(ggml_backend_dev_supports_buft(inner(), weights_->stream_buffer_type()));
  ggml_backend_dev_t cpu_streaming = ggml_backend_dev_by_name("Hypura");
  EXPECT_FALSE(ggml_backend_dev_supports_buft(cpu_streaming, weights_->stream_buffer_type()));
  for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
    EXPECT_NE(ggml_backend_dev_get(i), gpu) << "it is one model's own";
  }

  const ggml_context_ptr context = describe_tensors(16);
  ggml_tensor* matrix = streamed_->matrix();
  ggml_tensor* rows = ggml_new_tensor_3d(context.get(), GGML_TYPE_F32, matrix->ne[0], 1, 1);
  ggml_tensor* ids = ggml_new_tensor_2d(context.get(), GGML_TYPE_I32, kUsed, 1);
  EXPECT_TRUE(ggml_backend_dev_supports_op(gpu, matrix));
  EXPECT_TRUE(ggml_backend_dev_supports_op(gpu, ggml_mul_mat_id(context.get(), matrix, rows, ids)));
  EXPECT_FALSE(ggml_backend_dev_supports_op(gpu, ggml_scale(context.get(), matrix, 2)));
  EXPECT_TRUE(ggml_backend_dev_supports_op(gpu, ggml_scale(context.get(), rows, 2)));
}

// As that of a model's last layers of which only the output is left for it.
TEST_P(GpuExecutorTest, AGpuMayHaveNoExpertsOfItsOwn) {
  auto reader = Reader::open({model_.files.front().path}, {});
  ASSERT_TRUE(reader);
  const std::string name = ggml_backend_dev_name(inner());
  for (const bool stages : {true, false}) {
    Budget budget(kGiB, kGiB);
    Placement placement;
    placement.ubatch = 64;
    placement.gpu = {.layer_slots = std::vector<uint32_t>(6, kUsed), .stages = stages};
    placement.experts.slots = 40;
    placement.experts.spare_slots = 20;
    auto weights = StreamedWeights::create_over(model_, **reader, layout_, {{name, 0, 6}, {name, 6, 7}});
    ASSERT_TRUE(weights) << weights.error().message;
    EXPECT_EQ((*weights)->stream_buffers().size(), 1U) << "the second has none to fill";
    ASSERT_TRUE((*weights)->allocate_caches(placement, ReadAhead::kNone, false, budget));
    EXPECT_EQ((*weights)->gpu_stats().size(), 2U);
    ASSERT_EQ((*weights)->gpu_devices().size(), 2U);
    const ggml_backend_ptr second = start((*weights)->gpu_devices()[1]);
    plain_->make_graph(2);
    const std::vector<float> expected = plain_->compute(plain_backend_.get(), 3);
    EXPECT_EQ(plain_->compute(second.get(), 3), expected) << "what is not streamed passes through";
  }
}

INSTANTIATE_TEST_SUITE_P(Over, GpuExecutorTest, testing::Values(Inner::kCpu, Inner::kGpu), inner_name);

}  // namespace
}  // namespace hypura
