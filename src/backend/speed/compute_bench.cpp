#include "backend/speed/compute_bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ctime>
#include <limits>
#include <random>
#include <tuple>

#include "backend/loading/own_layouts.h"
#include "backend/repacked_layout.h"
#include "support/fail.h"

namespace hypura {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kPatternRows = 4;  // quantised; the rest are copies, because some types take long to make
constexpr float kNotComputed = std::numeric_limits<float>::quiet_NaN();

// Of all processors, for this process.
double process_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::optional<ggml_type> find_type(const std::string& name) {
  for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
    const auto type = static_cast<ggml_type>(i);
    if (ggml_blck_size(type) > 0 && name == ggml_type_name(type)) {
      return type;
    }
  }
  return std::nullopt;
}

bool has_kernels(ggml_type type) {
  switch (type) {
    case GGML_TYPE_F32:
    case GGML_TYPE_F16:
    case GGML_TYPE_BF16:
      return true;
    case GGML_TYPE_Q8_1:  // what columns are turned into, never weights
    case GGML_TYPE_Q8_K:
      return false;
    default:
      return ggml_is_quantized(type);
  }
}

std::tuple<float&, float&> first_and_last(ggml_tensor* node) {
  auto* values = static_cast<float*>(node->data);
  return {values[0], values[ggml_nelements(node) - 1]};
}

tl::unexpected<Error> failure() {
  return fail(ErrorCode::kInternal, "ggml could not compute while its speed was measured; is there enough memory?");
}

}  // namespace

std::optional<ggml_type> weight_type(const std::string& name) {
  const auto found = find_type(name);
  return found && has_kernels(*found) ? found : std::nullopt;
}

namespace {

ggml_backend_buffer_type_t own_layout(ggml_type type, int64_t length) {
  return own_layout_of(type, length, length);
}

// AMX's kernels take tiles of 16 rows by twos.
int64_t rows_of_group(WeightLayout layout) {
  return layout == WeightLayout::kOwn ? 4 * kRowGroup : kRowGroup;
}

}  // namespace

bool has_own_layout(ggml_type type, int64_t size) {
  ggml_backend_buffer_type_t own = own_layout(type, size);
  return own != nullptr && !is_repacked_layout(own);
}

uint64_t group_bytes(ggml_type type, WeightLayout layout, int64_t length) {
  const ggml_tensor group = matrix_of(type, length, rows_of_group(layout));
  return layout == WeightLayout::kOwn ? ggml_backend_buft_get_alloc_size(own_layout(type, length), &group)
                                      : ggml_nbytes(&group);
}

int64_t rows_in(ggml_type type, WeightLayout layout, uint64_t bytes) {
  return static_cast<int64_t>(bytes / group_bytes(type, layout, kRowLength)) * rows_of_group(layout);
}

int matrices_in(ggml_type type, WeightLayout layout, uint64_t bytes) {
  return static_cast<int>((rows_in(type, layout, bytes) + kRowLength - 1) / kRowLength);
}

std::vector<std::byte> make_weights(ggml_type type, float deviation) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> floats(static_cast<size_t>(kPatternRows * kRowLength));
  std::generate(floats.begin(), floats.end(), [&] { return normal(random); });
  const std::vector<float> importance(static_cast<size_t>(kRowLength), 1.0F);
  std::vector<std::byte> weights(ggml_row_size(type, kRowLength) * kPatternRows);
  ggml_quantize_chunk(type, floats.data(), weights.data(), 0, kPatternRows, kRowLength, importance.data());
  return weights;
}

std::vector<std::byte> rows_as(WeightLayout layout, ggml_type type, std::span<const std::byte> weights,
                               int64_t length) {
  const int64_t rows = rows_of_group(layout);
  std::vector<std::byte> plain(ggml_row_size(type, length) * static_cast<size_t>(rows));
  repeat(weights, plain);
  if (layout == WeightLayout::kOwn) {
    return laid_out_rows(own_layout(type, length), type, length, rows, plain.data());
  }
  std::vector<std::byte> repacked(plain.size());
  repack_rows(type, length, rows, plain.data(), repacked.data());
  return repacked;
}

void repeat(std::span<const std::byte> pattern, std::span<std::byte> memory) {
  for (size_t at = 0; at < memory.size(); at += pattern.size()) {
    std::memcpy(memory.data() + at, pattern.data(), std::min(pattern.size(), memory.size() - at));
  }
}

double median(Times& times) {
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

ComputeBench::ComputeBench(InnerGraph& graph, int nodes)
    : graph_(graph),
      context_(ggml_init({static_cast<size_t>(4 * nodes + 4) * ggml_tensor_overhead(), nullptr, true})) {}

ggml_tensor* ComputeBench::tensor(ggml_type type, int64_t row_length, int64_t rows, void* data, int64_t matrices) {
  ggml_tensor* made = ggml_new_tensor_3d(context_.get(), type, row_length, rows, matrices);
  made->data = data;
  return made;
}

ggml_tensor* ComputeBench::weights(ggml_type type, WeightLayout layout, int64_t row_length, int64_t rows, void* data) {
  ggml_tensor* made = tensor(type, row_length, rows, data);
  if (layout == WeightLayout::kRepacked) {
    use_repacked_kernels(*made);
  } else if (layout == WeightLayout::kOwn) {
    use_kernels_of(own_layout(type, row_length), *made);
  }
  return made;
}

void ComputeBench::multiply(ggml_tensor* weights, ggml_tensor* columns, void* result) {
  add(ggml_mul_mat(context_.get(), weights, columns), result);
}

void ComputeBench::multiply_chosen(ggml_tensor* weights, ggml_tensor* columns, ggml_tensor* ids, void* result) {
  add(ggml_mul_mat_id(context_.get(), weights, columns, ids), result);
}

void ComputeBench::sum(ggml_tensor* a, ggml_tensor* b, void* result) {
  add(ggml_add(context_.get(), a, b), result);
}

void ComputeBench::attend(ggml_tensor* queries, ggml_tensor* keys, ggml_tensor* values, ggml_tensor* mask,
                          void* result) {
  const float scale = 1 / std::sqrt(static_cast<float>(queries->ne[0]));
  add(ggml_flash_attn_ext(context_.get(), queries, keys, values, mask, scale, 0, 0), result);
}

void ComputeBench::repack(ggml_tensor* from, ggml_tensor* to) {
  ggml_tensor* node = tensor(GGML_TYPE_F32, 1, 1, nullptr);
  *node = repack_node(from, to);
  nodes_.push_back(node);
}

void ComputeBench::multiply_all(ggml_type type, WeightLayout layout, std::span<std::byte> memory,
                                std::vector<float>& column, std::vector<float>& result) {
  const int64_t all_rows = rows_in(type, layout, memory.size());
  ggml_tensor* x = tensor(GGML_TYPE_F32, kRowLength, 1, column.data());
  for (int64_t row = 0; row < all_rows; row += kRowLength) {
    const int64_t rows = std::min(kRowLength, all_rows - row);
    const auto groups = static_cast<uint64_t>(row / rows_of_group(layout));
    std::byte* at = memory.data() + groups * group_bytes(type, layout, kRowLength);
    multiply(weights(type, layout, kRowLength, rows, at), x, result.data());
  }
}

Status ComputeBench::time(double seconds, bool warm, Times& times, ProcessorTime& taken) {
  for (ggml_tensor* node : results_) {
    first_and_last(node) = std::tuple(kNotComputed, kNotComputed);
  }
  if (warm && !run()) {
    return failure();
  }
  const double used_before = process_seconds();
  const auto start = Clock::now();
  auto begin = start;
  do {
    if (!run()) {
      return failure();
    }
    const auto end = Clock::now();
    times.push_back(std::chrono::duration<double>(end - begin).count());
    begin = end;
  } while (std::chrono::duration<double>(begin - start).count() < seconds);
  taken.wall += std::chrono::duration<double>(begin - start).count();
  taken.used += process_seconds() - used_before;
  for (ggml_tensor* node : results_) {
    const auto [first, last] = first_and_last(node);
    if (std::isnan(first) || std::isnan(last)) {
      return failure();  // nodes that ggml leaves out are fast
    }
  }
  return {};
}

void ComputeBench::add(ggml_tensor* node, void* result) {
  node->data = result;
  node->flags |= GGML_TENSOR_FLAG_COMPUTE;  // as ggml_build_forward_expand does; others are left out
  nodes_.push_back(node);
  results_.push_back(node);
}

bool ComputeBench::run() {
  for (ggml_tensor* node : nodes_) {
    graph_.add(node);
  }
  return graph_.run() == GGML_STATUS_SUCCESS;
}

}  // namespace hypura
