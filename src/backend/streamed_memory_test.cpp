// The memory of streamed experts made less and more in the midst of a layer's work.
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "backend/gpu/gpu_fixture_for_test.h"
#include "backend/stream_device.h"

namespace hypura {
namespace {

// A reader that tells when it is waited for, and when memory is forgotten. What it reads is there when it was waited
// for, so that missing experts are computed one by one.
class WatchedReader final : public Reader {
 public:
  explicit WatchedReader(std::unique_ptr<Reader> reader) : reader_(std::move(reader)) {}

  std::function<void()> on_wait = [] {};
  uint64_t waits = 0;
  uint64_t forgotten_bytes = 0;

  ReadGroup submit(std::span<const ReadRequest> requests, Priority priority) override {
    return reader_->submit(requests, priority);
  }
  bool finished(ReadGroup /*group*/) override { return false; }
  Status wait(ReadGroup group) override {
    ++waits;
    on_wait();
    return reader_->wait(group);
  }
  void poll() override { reader_->poll(); }
  void promote(ReadGroup group) override { reader_->promote(group); }
  void cancel(ReadGroup group) override { reader_->cancel(group); }
  void register_memory(std::span<std::byte> memory) override { reader_->register_memory(memory); }
  void forget_memory(std::span<std::byte> memory) override {
    forgotten_bytes += memory.size();
    reader_->forget_memory(memory);
  }
  ReaderStats stats() const override { return reader_->stats(); }
  std::string description() const override { return reader_->description(); }
  std::string notice() const override { return reader_->notice(); }

 private:
  std::unique_ptr<Reader> reader_;
};

class StreamedMemoryTest : public testing::Test {
 protected:
  static constexpr uint32_t kSlots = 120;
  static constexpr uint32_t kFewer = 40;
  static constexpr int64_t kTokens = 30;

  static ExpertPlacement slots(uint32_t count) {
    ExpertPlacement experts;
    experts.streamed = true;
    experts.slots = count;
    experts.spare_slots = 24;
    experts.layer_slots.assign(6, (count - experts.spare_slots) / 6);
    return experts;
  }

  void SetUp() override {
    ggml_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
    ggml_backend_load_all_from_path(HYPURA_LLAMA_LIB_DIR);
    auto model = open_model(std::filesystem::path(HYPURA_SOURCE_DIR) / "models" / "hypura-stories-moe.gguf");
    ASSERT_TRUE(model);
    model_ = std::move(*model);
    auto reader = Reader::open({model_.files.front().path}, {});
    ASSERT_TRUE(reader);
    reader_ = std::make_unique<WatchedReader>(std::move(*reader));
    const StreamLayout layout = lay_out(model_, true, false);
    auto weights = StreamedWeights::create(model_, *reader_, layout);
    ASSERT_TRUE(weights) << weights.error().message;
    weights_ = std::move(*weights);
    network_ = std::make_unique<ExpertNetwork>(layout, ggml_backend_cpu_buffer_type(), weights_->stream_buffer_type());
    ASSERT_TRUE(weights_->finish_loading({}));
    Placement placement;
    placement.ubatch = 64;
    placement.experts = slots(kSlots);
    const Status status = weights_->allocate_caches(placement, ReadAhead::kAuto, false, budget_);
    ASSERT_TRUE(status) << status.error().message;
    weights_->set_threads(1);
    streamed_.reset(ggml_backend_dev_init(weights_->stream_buffer_type()->device, nullptr));
    cpu_ = start(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU));
    ggml_backend_t backends[] = {streamed_.get(), cpu_.get()};
    ggml_backend_buffer_type_t types[] = {ggml_backend_cpu_buffer_type(), ggml_backend_cpu_buffer_type()};
    scheduler_.reset(ggml_backend_sched_new(backends, types, 2, 1024, false, false));
    network_->make_graph(kTokens);
  }

  std::vector<float> compute() {
    weights_->begin_pass(Phase::kPrefill);
    return network_->compute([this] { return ggml_backend_sched_graph_compute(scheduler_.get(), network_->graph()); },
                             7);
  }

  // While the pass waits for a read, the `nth` of the first layer, another thread begins to want another size.
  std::vector<float> compute_and_resize(uint64_t nth, uint32_t count) {
    std::thread resizing;
    const uint64_t first = reader_->waits + nth;
    reader_->on_wait = [&] {
      if (reader_->waits == first) {
        resizing = std::thread([this, count] { EXPECT_TRUE(weights_->resize(slots(count), {})); });
        while (!weights_->resizing()) {
          std::this_thread::yield();
        }
        layers_when_asked_ = weights_->stats().prefill_lookups;
      } else if (layers_when_asked_ > 0 && layers_when_made_ == 0 && !weights_->resizing()) {
        layers_when_made_ = weights_->stats().prefill_lookups;
      }
    };
    layers_when_asked_ = layers_when_made_ = 0;
    std::vector<float> output = compute();
    EXPECT_TRUE(resizing.joinable()) << "so many reads were not waited for";
    if (resizing.joinable()) {
      resizing.join();
    }
    reader_->on_wait = [] {};
    return output;
  }

  Budget budget_{kGiB};
  Model model_;
  std::unique_ptr<WatchedReader> reader_;
  std::unique_ptr<StreamedWeights> weights_;
  std::unique_ptr<ExpertNetwork> network_;
  ggml_backend_ptr streamed_;
  ggml_backend_ptr cpu_;
  ggml_backend_sched_ptr scheduler_;
  uint64_t layers_when_asked_ = 0;  // by the experts that they asked for; 0: not asked
  uint64_t layers_when_made_ = 0;   // at the first wait after it was made
};

TEST_F(StreamedMemoryTest, ALayersWorkGoesOnInFewerSlotsAndInMore) {
  const std::vector<float> expected = compute();
  ASSERT_FALSE(expected.empty()) << weights_->take_error().message;
  const uint64_t all = weights_->cache_bytes();
  for (const uint64_t nth : {1, 4}) {
    const uint64_t forgotten = reader_->forgotten_bytes;
    ASSERT_EQ(compute_and_resize(nth, kFewer), expected) << "from wait " << nth << " on";
    EXPECT_EQ(layers_when_made_, layers_when_asked_) << "not in the layer in which it was asked for";
    EXPECT_GT(reader_->forgotten_bytes, forgotten);
    EXPECT_EQ(weights_->cache_bytes(), all * kFewer / kSlots);
    ASSERT_EQ(compute_and_resize(nth, kSlots), expected) << "more again, from wait " << nth << " on";
    EXPECT_EQ(layers_when_made_, layers_when_asked_);
    EXPECT_EQ(weights_->cache_bytes(), all);
  }
}

}  // namespace
}  // namespace hypura
