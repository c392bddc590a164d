#include "backend/gpu/speed/device_bench.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "backend/gpu/device_memory.h"
#include "backend/speed/compute_bench.h"
#include "ggml-alloc.h"
#include "ggml-cpu.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

// Some backends have rows of quantised weights end on larger blocks than the type has, and read as far.
constexpr uint64_t kSlack = kMiB;
// A value that no arithmetic of a device makes: its infinities and what it makes of them have other bits.
constexpr uint8_t kUntouched = 0xFF;

template <class Function>
Function own_function(ggml_backend_dev_t device, const char* name) {
  return reinterpret_cast<Function>(ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), name));
}

void use_threads(ggml_backend_dev_t device, ggml_backend_t stream, const DeviceBench::Sizes& sizes) {
  const auto set_threads = own_function<ggml_backend_set_n_threads_t>(device, "ggml_backend_set_n_threads");
  const auto set_pool =
      own_function<decltype(&ggml_backend_cpu_set_threadpool)>(device, "ggml_backend_cpu_set_threadpool");
  if (set_threads != nullptr) {
    set_threads(stream, static_cast<int>(sizes.threads));
  }
  if (set_pool != nullptr && sizes.pool != nullptr) {
    set_pool(stream, sizes.pool);
  }
}

}  // namespace

Result<std::unique_ptr<DeviceBench>> DeviceBench::create(ggml_backend_dev_t device, const Sizes& sizes) {
  std::unique_ptr<DeviceBench> bench(new DeviceBench(device, sizes.clock ? sizes.clock : steady_run_clock()));
  bench->stream_.reset(ggml_backend_dev_init(device, nullptr));
  if (bench->stream_ == nullptr) {
    return fail(ErrorCode::kInternal, "ggml could not start {} to measure it", bench->name());
  }
  use_threads(device, bench->stream_.get(), sizes);
  if (Status status = bench->allocate(sizes); !status) {
    return propagate(status.error());
  }
  return bench;
}

Status DeviceBench::allocate(const Sizes& sizes) {
  auto buffer = allocate_on(ggml_backend_dev_buffer_type(device_), sizes.weights + kSlack,
                            fmt::format("memory to measure {} with", name()));
  if (!buffer) {
    return propagate(buffer.error());
  }
  buffer_ = std::move(*buffer);
  context_ = describe_tensors(1);
  weights_ = ggml_new_tensor_1d(context_.get(), GGML_TYPE_I8, static_cast<int64_t>(sizes.weights));
  if (Status status = place_in(buffer_.get(), {&weights_, 1}); !status) {
    return status;
  }
  auto host = allocate_pinned(device_, sizes.host);
  if (!host) {
    return propagate(host.error());
  }
  host_buffer_ = std::move(*host);
  host_ = {static_cast<std::byte*>(ggml_backend_buffer_get_base(host_buffer_.get())), sizes.host};
  std::memset(host_.data(), 0, host_.size());
  return {};
}

void DeviceBench::fill(std::span<const std::byte> pattern) {
  const std::span<std::byte> whole = host_.first(round_down(host_.size(), pattern.size()));
  repeat(pattern, host_);
  for (uint64_t at = 0; at < weight_bytes(); at += whole.size()) {
    const uint64_t bytes = std::min<uint64_t>(whole.size(), weight_bytes() - at);
    ggml_backend_tensor_set_async(stream(), weights_, whole.data(), at, bytes);
  }
  ggml_backend_synchronize(stream());
}

BenchGraph::BenchGraph(DeviceBench& bench, int nodes) : bench_(bench) {
  const size_t most = 4 * static_cast<size_t>(nodes) + 8;  // with their weights, views and inputs
  context_.reset(ggml_init({most * ggml_tensor_overhead() + ggml_graph_overhead_custom(most, false), nullptr, true}));
  graph_ = ggml_new_graph_custom(context_.get(), most, false);
}

ggml_tensor* BenchGraph::weights(ggml_type type, uint64_t offset, int64_t ne0, int64_t ne1, int64_t ne2) {
  ggml_tensor* tensor = ggml_new_tensor_3d(context_.get(), type, ne0, ne1, ne2);
  ggml_tensor* all = bench_.weights();
  ggml_backend_tensor_alloc(all->buffer, tensor, static_cast<std::byte*>(all->data) + offset);
  return tensor;
}

ggml_tensor* BenchGraph::input(ggml_tensor* tensor, std::vector<std::byte> data) {
  ggml_set_input(tensor);
  ggml_set_output(tensor);  // keeps its place: it is there for every run
  inputs_.push_back({tensor, std::move(data)});
  return tensor;
}

ggml_tensor* BenchGraph::constant(ggml_type type, float value, int64_t ne0, int64_t ne1, int64_t ne2) {
  ggml_tensor* tensor = ggml_new_tensor_3d(context_.get(), type, ne0, ne1, ne2);
  std::vector<std::byte> data(ggml_nbytes(tensor));
  if (type == GGML_TYPE_F16) {
    const ggml_fp16_t half = ggml_fp32_to_fp16(value);
    repeat(std::as_bytes(std::span(&half, 1)), data);
  } else {
    repeat(std::as_bytes(std::span(&value, 1)), data);
  }
  return input(tensor, std::move(data));
}

ggml_tensor* BenchGraph::numbers(std::vector<int32_t> values, int64_t ne0, int64_t ne1) {
  const auto bytes = std::as_bytes(std::span(values));
  return input(ggml_new_tensor_2d(context_.get(), GGML_TYPE_I32, ne0, ne1), {bytes.begin(), bytes.end()});
}

Status BenchGraph::finish(ggml_tensor* last) {
  last_ = last;
  ggml_set_output(last);
  ggml_build_forward_expand(graph_, last);
  memory_.reset(ggml_gallocr_new(ggml_backend_get_default_buffer_type(bench_.stream())));
  if (!ggml_gallocr_alloc_graph(memory_.get(), graph_)) {
    return fail(ErrorCode::kBudget, "{} has no memory left to measure its speed with", bench_.name());
  }
  ggml_backend_buffer_clear(last->buffer, kUntouched);
  for (const Input& it : inputs_) {
    ggml_backend_tensor_set(it.tensor, it.data.data(), 0, it.data.size());
  }
  return {};
}

bool BenchGraph::supported() const {
  for (int i = 0; i < ggml_graph_n_nodes(graph_); ++i) {
    if (!ggml_backend_dev_supports_op(bench_.device(), ggml_graph_node(graph_, i))) {
      return false;
    }
  }
  return true;
}

Result<double> BenchGraph::time(double seconds) {
  return time(seconds, [&] {
    const bool begun = ggml_backend_graph_compute_async(bench_.stream(), graph_) == GGML_STATUS_SUCCESS;
    ggml_backend_synchronize(bench_.stream());
    return begun;
  });
}

Result<double> BenchGraph::time(double seconds, const std::function<bool()>& run) {
  bool computes = true;
  const double taken = seconds_of_run(bench_.clock(), seconds, [&] { computes = computes && run(); });
  if (!computes) {
    return fail(ErrorCode::kInternal, "{} could not compute while its speed was measured", bench_.name());
  }
  if (!is_computed()) {
    return fail(ErrorCode::kInternal, "{} left out what it was to compute while its speed was measured", bench_.name());
  }
  return taken;
}

bool BenchGraph::is_computed() const {
  std::array<uint8_t, sizeof(float)> value{};
  ggml_backend_tensor_get(last_, value.data(), ggml_nbytes(last_) - value.size(), value.size());
  return std::ranges::any_of(value, [](uint8_t byte) { return byte != kUntouched; });
}

}  // namespace hypura
