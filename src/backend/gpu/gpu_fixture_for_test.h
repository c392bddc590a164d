// A small network with experts, computed by a device over one of ggml's and by that device itself, for the tests of
// this folder.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <random>
#include <utility>

#include "backend/gpu/devices/gpu_backends.h"
#include "backend/gpu/devices/gpu_list.h"
#include "backend/gpu/gpu_device.h"
#include "backend/gpu/gpu_executor.h"
#include "backend/gpu/late_gpu_for_test.h"
#include "storage/reader.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

// A reader some of whose reads fail.
class FailingReader final : public Reader {
 public:
  explicit FailingReader(std::unique_ptr<Reader> reader) : reader_(std::move(reader)) {}

  // How many groups from now on are read well; those after them fail.
  std::optional<int> good;

  ReadGroup submit(std::span<const ReadRequest> requests, Priority priority) override {
    const ReadGroup group = reader_->submit(requests, priority);
    if (good && (*good)-- <= 0) {
      bad_.push_back(group);
    }
    return group;
  }
  bool finished(ReadGroup group) override { return reader_->finished(group); }
  Status wait(ReadGroup group) override {
    Status status = reader_->wait(group);
    return std::erase(bad_, group) > 0 ? Status(fail(ErrorCode::kIo, "a bad block")) : std::move(status);
  }
  void poll() override { reader_->poll(); }
  void promote(ReadGroup group) override { reader_->promote(group); }
  void cancel(ReadGroup group) override { reader_->cancel(group); }
  void register_memory(std::span<std::byte> memory) override { reader_->register_memory(memory); }
  void forget_memory(std::span<std::byte> memory) override { reader_->forget_memory(memory); }
  ReaderStats stats() const override { return reader_->stats(); }
  std::string description() const override { return reader_->description(); }
  std::string notice() const override { return reader_->notice(); }

 private:
  std::unique_ptr<Reader> reader_;
  std::vector<ReadGroup> bad_;
};

inline std::vector<float> random_numbers(int64_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> numbers(-1, 1);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& it : out) {
    it = numbers(generator);
  }
  return out;
}

// With one thread: several would only wait for each other here.
inline ggml_backend_ptr start(ggml_backend_dev_t device) {
  ggml_backend_ptr backend(ggml_backend_dev_init(device, nullptr));
  const auto set = reinterpret_cast<ggml_backend_set_n_threads_t>(
      ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), "ggml_backend_set_n_threads"));
  if (set != nullptr) {
    set(backend.get(), 1);
  }
  return backend;
}

inline constexpr int64_t kUsed = 4;
inline constexpr int64_t kLayers = 3;  // of the model's six

// The expert blocks of the demo model's first layers, one after the other, each with a router of random numbers.
class ExpertNetwork {
 public:
  // In buffers of `type`, but for the experts' matrices.
  ExpertNetwork(const StreamLayout& layout, ggml_backend_buffer_type_t type, ggml_backend_buffer_type_t experts)
      : type_(type) {
    weights_ = describe_tensors(64);
    for (size_t i = 0; i < kLayers; ++i) {
      matrices_.push_back(
          describe_matrices(weights_.get(), layout.expert_layers[i], layout.expert_layers[i].experts, ""));
      for (size_t part = 0; part < matrices_[i].size(); ++part) {
        ggml_set_name(matrices_[i][part], layout.expert_layers[i].parts[part].tensor->name.c_str());
      }
    }
    experts_.reset(ggml_backend_alloc_ctx_tensors_from_buft(weights_.get(), experts));
    others_ = describe_tensors(64);
    for (size_t i = 0; i < kLayers; ++i) {
      routers_.push_back(ggml_new_tensor_2d(others_.get(), GGML_TYPE_F32, width(), count()));
      ggml_format_name(routers_.back(), "blk.%d.ffn_gate_inp.weight", layout.expert_layers[i].layer);
    }
    other_buffer_.reset(ggml_backend_alloc_ctx_tensors_from_buft(others_.get(), type));
    for (size_t i = 0; i < kLayers; ++i) {
      const std::vector<float> router = random_numbers(width() * count(), static_cast<uint32_t>(100 + i));
      ggml_backend_tensor_set(routers_[i], router.data(), 0, ggml_nbytes(routers_[i]));
    }
  }

  void read_experts(const Model& model, const StreamLayout& layout) {
    for (size_t i = 0; i < kLayers; ++i) {
      for (size_t part = 0; part < matrices_[i].size(); ++part) {
        const Extent& extent = layout.expert_layers[i].parts[part].tensor->extent;
        std::ifstream file(model.files[extent.file].path, std::ios::binary);
        std::vector<char> bytes(extent.length);
        file.seekg(static_cast<std::streamoff>(extent.offset));
        file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        ASSERT_TRUE(file);
        ggml_backend_tensor_set(matrices_[i][part], bytes.data(), 0, bytes.size());
      }
    }
  }

  // From the next make_graph() on every layer's router sees the input, not what the layers before make of it: then
  // rounding in one layer chooses no other expert in the next.
  void route_by_input() { routes_by_input_ = true; }

  void make_graph(int64_t tokens) {
    graph_context_.reset(ggml_init({ggml_tensor_overhead() * 512 + ggml_graph_overhead(), nullptr, true}));
    ggml_context* context = graph_context_.get();
    input_ = ggml_new_tensor_2d(context, GGML_TYPE_F32, width(), tokens);
    ggml_set_input(input_);
    output_ = input_;
    chosen_.clear();
    for (size_t i = 0; i < kLayers; ++i) {
      output_ = add_layer(context, i, output_, tokens);
    }
    ggml_set_output(output_);
    graph_ = ggml_new_graph(context);
    ggml_build_forward_expand(graph_, output_);
    places_.reset(ggml_gallocr_new(type_));
    ASSERT_TRUE(ggml_gallocr_alloc_graph(places_.get(), graph_));
    sources_ = all_sources();
  }

  // Gives nothing when it fails.
  std::vector<float> compute(ggml_backend_t backend, uint32_t seed) {
    return compute([&] { return ggml_backend_graph_compute(backend, graph_); }, seed);
  }
  // The same by what computes graph().
  std::vector<float> compute(const std::function<ggml_status()>& run, uint32_t seed) {
    const std::vector<float> input = random_numbers(ggml_nelements(input_), seed);
    ggml_backend_tensor_set(input_, input.data(), 0, ggml_nbytes(input_));
    const ggml_status status = run();
    EXPECT_EQ(all_sources(), sources_) << "the graph was not put back";
    std::vector<float> output;
    if (status == GGML_STATUS_SUCCESS) {
      output.resize(static_cast<size_t>(ggml_nelements(output_)));
      ggml_backend_tensor_get(output_, output.data(), 0, ggml_nbytes(output_));
    }
    return output;
  }

  // Which experts each token chose in the graph that was computed last: [token][used].
  std::vector<uint16_t> chosen(size_t layer) const {
    const ggml_tensor* ids = chosen_[layer];
    std::vector<int32_t> fetched(ggml_nbytes(ids) / sizeof(int32_t));
    ggml_backend_tensor_get(ids, fetched.data(), 0, ggml_nbytes(ids));
    std::vector<uint16_t> out;
    for (int64_t token = 0; token < ids->ne[1]; ++token) {
      for (int64_t k = 0; k < kUsed; ++k) {
        out.push_back(static_cast<uint16_t>(
            fetched[static_cast<size_t>(token) * ids->nb[1] / sizeof(int32_t) + static_cast<size_t>(k)]));
      }
    }
    return out;
  }

  ggml_tensor* matrix() const { return matrices_[0][0]; }
  ggml_cgraph* graph() const { return graph_; }

 private:
  int64_t width() const { return gate(0)->ne[0]; }
  int64_t count() const { return gate(0)->ne[2]; }
  ggml_tensor* named(size_t layer, const char* name) const {
    return *std::ranges::find_if(matrices_[layer],
                                 [&](const ggml_tensor* it) { return std::strstr(it->name, name) != nullptr; });
  }
  ggml_tensor* gate(size_t layer) const { return named(layer, "ffn_gate_exps"); }

  ggml_tensor* add_layer(ggml_context* context, size_t i, ggml_tensor* x, int64_t tokens) {
    ggml_tensor* normed = ggml_rms_norm(context, x, 1e-5F);
    ggml_tensor* seen = routes_by_input_ ? ggml_rms_norm(context, input_, 1e-5F) : normed;
    ggml_tensor* scores = ggml_mul_mat(context, routers_[i], seen);
    ggml_tensor* sorted = ggml_argsort(context, scores, GGML_SORT_ORDER_DESC);
    ggml_set_output(sorted);                                                               // for chosen()
    ggml_tensor* chosen = ggml_view_2d(context, sorted, kUsed, tokens, sorted->nb[1], 0);  // as llama.cpp's
    chosen_.push_back(chosen);
    ggml_tensor* rows = ggml_reshape_3d(context, normed, width(), 1, tokens);
    ggml_tensor* up = ggml_mul_mat_id(context, named(i, "ffn_up_exps"), rows, chosen);
    ggml_tensor* gated = ggml_mul_mat_id(context, gate(i), rows, chosen);
    ggml_tensor* down =
        ggml_mul_mat_id(context, named(i, "ffn_down_exps"), ggml_swiglu_split(context, gated, up), chosen);
    ggml_tensor* sum = x;
    for (int64_t k = 0; k < kUsed; ++k) {
      sum = ggml_add(context, sum,
                     ggml_view_2d(context, down, width(), tokens, down->nb[2], static_cast<size_t>(k) * down->nb[1]));
    }
    return sum;
  }

  std::vector<const ggml_tensor*> all_sources() const {
    std::vector<const ggml_tensor*> sources;
    for (int i = 0; i < ggml_graph_n_nodes(graph_); ++i) {
      const ggml_tensor* node = ggml_graph_node(graph_, i);
      sources.insert(sources.end(), std::begin(node->src), std::end(node->src));
    }
    return sources;
  }

  ggml_backend_buffer_type_t type_;
  ggml_context_ptr weights_;
  ggml_context_ptr others_;
  ggml_backend_buffer_ptr experts_;
  ggml_backend_buffer_ptr other_buffer_;
  std::vector<std::vector<ggml_tensor*>> matrices_;
  std::vector<ggml_tensor*> routers_;
  ggml_context_ptr graph_context_;
  ggml_gallocr_ptr places_;
  ggml_tensor* input_ = nullptr;
  ggml_tensor* output_ = nullptr;
  std::vector<ggml_tensor*> chosen_;  // by layer
  bool routes_by_input_ = false;
  ggml_cgraph* graph_ = nullptr;
  std::vector<const ggml_tensor*> sources_;
};

// What computes: the processor, which does one thing after the other; a GPU, where ggml has one; one that does what was
// begun at any time that it may; the same, computing in the machine's memory.
enum class Inner : uint8_t { kCpu, kGpu, kLate, kInRam };

inline std::string inner_name(const testing::TestParamInfo<Inner>& it) {
  constexpr const char* kNames[] = {"Cpu", "Gpu", "Late", "InRam"};
  return kNames[static_cast<size_t>(it.param)];
}

class GpuFixture : public testing::TestWithParam<Inner> {
 protected:
  static void SetUpTestSuite() {
    ggml_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
    ggml_backend_load_all_from_path(HYPURA_LLAMA_LIB_DIR);
    if (named_gpu() != nullptr) {
      load_gpu_backends();
    }
  }

  static void TearDownTestSuite() {
    LateGpu::get().remove();
    LateGpu::in_ram().remove();
  }

  void SetUp() override {
    if (LateGpu* gpu = late()) {
      gpu->add();
    }
    if (inner() == nullptr) {
      ASSERT_TRUE(GetParam() != Inner::kGpu || named_gpu() == nullptr) << "there is no device " << named_gpu();
      GTEST_SKIP() << "ggml has no such device here";
    }
    auto model = open_model(std::filesystem::path(HYPURA_SOURCE_DIR) / "models" / "hypura-stories-moe.gguf");
    ASSERT_TRUE(model);
    model_ = std::move(*model);
    layout_ = lay_out(model_, true, false);
    plain_backend_ = start(inner());
    plain_ = std::make_unique<ExpertNetwork>(layout_, buffer_type(), buffer_type());
    ASSERT_NO_FATAL_FAILURE(plain_->read_experts(model_, layout_));
  }

  void TearDown() override {
    streamed_.reset();
    backend_.reset();
    weights_.reset();
    EXPECT_FALSE(late() != nullptr && late()->take_repeats()) << "a token was given one expert twice";
  }

  static LateGpu* late() {
    return GetParam() == Inner::kLate ? &LateGpu::get() : GetParam() == Inner::kInRam ? &LateGpu::in_ram() : nullptr;
  }

  static const char* named_gpu() { return std::getenv("HYPURA_TEST_GPU"); }

  // The first that computes, where none is named: another test's is only a name.
  static ggml_backend_dev_t inner() {
    if (LateGpu* gpu = late()) {
      return gpu->device();
    }
    if (GetParam() == Inner::kGpu && named_gpu() != nullptr) {
      return gpu_by_name(named_gpu());
    }
    const auto type = GetParam() == Inner::kCpu ? GGML_BACKEND_DEVICE_TYPE_CPU : GGML_BACKEND_DEVICE_TYPE_GPU;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
      ggml_backend_dev_t device = ggml_backend_dev_get(i);
      if (ggml_backend_dev_type(device) == type && device->iface.init_backend != nullptr &&
          device != LateGpu::get().device() && device != LateGpu::in_ram().device()) {
        return device;
      }
    }
    return nullptr;
  }
  static ggml_backend_buffer_type_t buffer_type() { return ggml_backend_dev_buffer_type(inner()); }

  // With so many slots for each layer on the device, and `below` in RAM.
  void open(const std::vector<uint32_t>& slots, uint32_t below = 40, bool stages = true,
            ReadAhead read_ahead = ReadAhead::kNone, bool mixed = false) {
    TearDown();
    auto reader = Reader::open({model_.files.front().path}, {});
    ASSERT_TRUE(reader);
    reader_ = std::make_unique<FailingReader>(std::move(*reader));
    auto weights = StreamedWeights::create(model_, *reader_, layout_, ggml_backend_dev_name(inner()));
    ASSERT_TRUE(weights) << weights.error().message;
    weights_ = std::move(*weights);
    streamed_ = std::make_unique<ExpertNetwork>(layout_, buffer_type(), weights_->stream_buffer_type());
    ASSERT_TRUE(weights_->finish_loading({}));
    Placement placement;
    placement.ubatch = 64;
    placement.gpu = {.layer_slots = slots, .stages = stages, .borrows = borrows_, .mixed = mixed};
    if (GetParam() != Inner::kInRam) {
      placement.experts.slots = below;
      placement.experts.spare_slots = below == 6 * 32 ? 0 : std::max(1U, below / 2);
    }
    ASSERT_TRUE(weights_->allocate_caches(placement, read_ahead, false, budget_));
    weights_->set_threads(1);
    backend_ = start(weights_->gpu_device());
    weights_->begin_pass(Phase::kDecode);
  }
  void open_even(uint32_t slots, uint32_t below = 40, bool stages = true) {
    open(std::vector<uint32_t>(6, slots), below, stages);
  }
  void open_mixed(uint32_t slots, uint32_t below = 40, bool stages = true) {
    open(std::vector<uint32_t>(6, slots), below, stages, ReadAhead::kNone, true);
  }

  // After `good` reads one fails, and with it a pass of `tokens`, which says so; the passes after it are as ever.
  void expect_one_pass_fails(int64_t tokens, int good) {
    streamed_->make_graph(tokens);
    reader_->good = good;
    ASSERT_TRUE(streamed_->compute(backend_.get(), 8).empty());
    const Error error = weights_->take_error();
    EXPECT_EQ(error.code, ErrorCode::kIo);
    EXPECT_NE(error.message.find("expert"), std::string::npos) << error.message;
    reader_->good.reset();
    ASSERT_NO_FATAL_FAILURE(expect_same(tokens, 8));
    ASSERT_NO_FATAL_FAILURE(expect_same(1, 9));
  }

  // As the engine: a pass of many tokens is one of a prompt.
  void expect_same(int64_t tokens, uint32_t seed, std::optional<Phase> phase = {}) {
    weights_->begin_pass(phase.value_or(tokens > 8 ? Phase::kPrefill : Phase::kDecode));
    streamed_->make_graph(tokens);
    const std::vector<float> actual = streamed_->compute(backend_.get(), seed);
    ASSERT_FALSE(actual.empty()) << weights_->take_error().message;
    ASSERT_EQ(actual, expected(tokens, seed)) << tokens << " tokens";
  }

  // What the inner device says: computed once in a test, however many devices are opened over it.
  const std::vector<float>& expected(int64_t tokens, uint32_t seed) {
    std::vector<float>& output = expected_[{tokens, seed}];
    if (output.empty()) {
      plain_->make_graph(tokens);
      output = plain_->compute(plain_backend_.get(), seed);
    }
    return output;
  }

  GpuDevice& device() { return *static_cast<GpuDevice*>(weights_->gpu_device()->context); }
  const GpuStats& stats() { return weights_->gpu()->stats(); }
  uint64_t expert_bytes() const { return layout_.expert_layers[0].expert_bytes(); }

  bool borrows_ = false;  // layers borrow slots
  Budget budget_{kGiB, kGiB};
  Model model_;
  StreamLayout layout_;
  ggml_backend_ptr plain_backend_;
  std::unique_ptr<ExpertNetwork> plain_;
  std::map<std::pair<int64_t, uint32_t>, std::vector<float>> expected_;
  std::unique_ptr<FailingReader> reader_;
  std::unique_ptr<StreamedWeights> weights_;
  std::unique_ptr<ExpertNetwork> streamed_;
  ggml_backend_ptr backend_;
};

}  // namespace hypura
