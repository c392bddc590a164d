#include "backend/compute_speed.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <tuple>

#include "backend/inner_graph.h"
#include "ggml-cpp.h"
#include "ggml.h"
#include "support/memory_region.h"
#include "support/units.h"

namespace hypura {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kRowLength = 4096;   // of the matrices that one column is multiplied by
constexpr int64_t kMatrixRows = 4096;  // at most
constexpr int64_t kColumns = 512;
constexpr int64_t kPatternRows = 4;            // quantised; the rest are copies, because some types take long to make
constexpr uint64_t kMostWeights = 512 * kMiB;  // of any type, so many bytes make fewer matrices than a graph holds
constexpr int kSmallNodes = 200;
constexpr int64_t kSmallLength = 2048;  // floats: a row of a model of some billion parameters

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

// Random rows of `type`, to be repeated. Blocks follow each other in a row and from row to row, so they are the same
// for any length of row.
std::vector<std::byte> make_weights(ggml_type type) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 0.05F);
  std::vector<float> floats(static_cast<size_t>(kPatternRows * kRowLength));
  std::generate(floats.begin(), floats.end(), [&] { return normal(random); });
  const std::vector<float> importance(static_cast<size_t>(kRowLength), 1.0F);
  std::vector<std::byte> weights(ggml_row_size(type, kRowLength) * kPatternRows);
  ggml_quantize_chunk(type, floats.data(), weights.data(), 0, kPatternRows, kRowLength, importance.data());
  return weights;
}

void repeat(std::span<const std::byte> pattern, std::span<std::byte> memory) {
  for (size_t at = 0; at < memory.size(); at += pattern.size()) {
    std::memcpy(memory.data() + at, pattern.data(), std::min(pattern.size(), memory.size() - at));
  }
}

// Seconds of each run.
using Times = std::vector<double>;

// Not the mean: a neighbour that takes a core for a moment makes ggml's spinning threads wait many times that long.
double median(Times& times) {
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

// Nodes over memory of ours, to be computed again and again.
class Bench {
 public:
  Bench(InnerGraph& graph, int nodes)
      : graph_(graph),
        context_(ggml_init({static_cast<size_t>(2 * nodes + 2) * ggml_tensor_overhead(), nullptr, true})) {}

  ggml_tensor* tensor(ggml_type type, int64_t row_length, int64_t rows, void* data) {
    ggml_tensor* made = ggml_new_tensor_2d(context_.get(), type, row_length, rows);
    made->data = data;
    return made;
  }
  void multiply(ggml_tensor* weights, ggml_tensor* columns, void* result) {
    add(ggml_mul_mat(context_.get(), weights, columns), result);
  }
  void sum(ggml_tensor* a, ggml_tensor* b, void* result) { add(ggml_add(context_.get(), a, b), result); }

  // Computes all nodes for about `seconds`, at least once, and adds what each time took; the first is left out if
  // `warm`.
  Status time(double seconds, bool warm, Times& times) {
    for (ggml_tensor* node : nodes_) {
      first_and_last(node) = std::tuple(kNotComputed, kNotComputed);
    }
    if (warm && !run()) {
      return failure();
    }
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
    for (ggml_tensor* node : nodes_) {
      const auto [first, last] = first_and_last(node);
      if (std::isnan(first) || std::isnan(last)) {
        return failure();  // nodes that ggml leaves out are fast
      }
    }
    return {};
  }

 private:
  static constexpr float kNotComputed = std::numeric_limits<float>::quiet_NaN();

  void add(ggml_tensor* node, void* result) {
    node->data = result;
    node->flags |= GGML_TENSOR_FLAG_COMPUTE;  // as ggml_build_forward_expand does; others are left out
    nodes_.push_back(node);
  }
  static std::tuple<float&, float&> first_and_last(ggml_tensor* node) {
    auto* values = static_cast<float*>(node->data);
    return {values[0], values[ggml_nelements(node) - 1]};
  }
  bool run() {
    for (ggml_tensor* node : nodes_) {
      graph_.add(node);
    }
    return graph_.run() == GGML_STATUS_SUCCESS;
  }
  static tl::unexpected<Error> failure() {
    return fail(ErrorCode::kInternal, "ggml could not compute while its speed was measured; is there enough memory?");
  }

  InnerGraph& graph_;
  ggml_context_ptr context_;
  std::vector<ggml_tensor*> nodes_;
};

// What is measured of one type.
struct Trial {
  ggml_type type = GGML_TYPE_COUNT;
  std::vector<std::byte> weights;
  Times matvec;
  Times matmul;
};

// One column through matrices that fill `memory`, as decoding does.
Status time_matvec(InnerGraph& graph, std::span<std::byte> memory, double seconds, Trial& trial) {
  const uint64_t row_bytes = ggml_row_size(trial.type, kRowLength);
  const auto all_rows = static_cast<int64_t>(memory.size() / row_bytes);
  repeat(trial.weights, memory);
  std::vector<float> column(kRowLength, 0.5F);
  std::vector<float> result(kMatrixRows);
  Bench bench(graph, static_cast<int>((all_rows + kMatrixRows - 1) / kMatrixRows));
  ggml_tensor* x = bench.tensor(GGML_TYPE_F32, kRowLength, 1, column.data());
  for (int64_t row = 0; row < all_rows; row += kMatrixRows) {
    const int64_t rows = std::min(kMatrixRows, all_rows - row);
    bench.multiply(bench.tensor(trial.type, kRowLength, rows, memory.data() + static_cast<uint64_t>(row) * row_bytes),
                   x, result.data());
  }
  return bench.time(seconds, true, trial.matvec);
}

// 512 columns through one matrix of size x size, as a prompt's pass does. The memory holds weights of the type.
Status time_matmul(InnerGraph& graph, std::span<std::byte> memory, int64_t size, double seconds, Trial& trial) {
  std::vector<float> columns(static_cast<size_t>(size * kColumns), 0.5F);
  std::vector<float> result(static_cast<size_t>(size * kColumns));
  Bench bench(graph, 1);
  bench.multiply(bench.tensor(trial.type, size, size, memory.data()),
                 bench.tensor(GGML_TYPE_F32, size, kColumns, columns.data()), result.data());
  // Not warmed up: on a slow machine one product already takes as long as it may.
  return bench.time(seconds, false, trial.matmul);
}

// A row added to another, many times: work that is done at once, so that what is left is the cost of a node.
Status time_operation(InnerGraph& graph, double seconds, Times& times) {
  std::vector<float> a(kSmallLength, 0.0F);
  std::vector<float> b(kSmallLength, 1.0F);
  std::vector<float> result(kSmallLength);
  Bench bench(graph, kSmallNodes);
  ggml_tensor* left = bench.tensor(GGML_TYPE_F32, kSmallLength, 1, a.data());
  ggml_tensor* right = bench.tensor(GGML_TYPE_F32, kSmallLength, 1, b.data());
  for (int i = 0; i < kSmallNodes; ++i) {
    bench.sum(left, right, result.data());
  }
  return bench.time(seconds, true, times);
}

Result<std::vector<Trial>> make_trials(std::span<const std::string> types) {
  std::vector<Trial> trials;
  for (const std::string& name : types) {
    const auto type = find_type(name);
    if (!type || !has_kernels(*type)) {
      return fail(ErrorCode::kUsage, "'{}' is not a type that weights can have", name);
    }
    trials.push_back({*type, make_weights(*type), {}, {}});
  }
  return trials;
}

KernelSpeed speed_of(Trial& trial, uint64_t matvec_bytes, int64_t size) {
  const uint64_t row_bytes = ggml_row_size(trial.type, kRowLength);
  const auto bytes = static_cast<double>(round_down(matvec_bytes, row_bytes));
  const double operations = 2.0 * static_cast<double>(size * size * kColumns);
  return {ggml_type_name(trial.type), bytes / median(trial.matvec), operations / median(trial.matmul)};
}

}  // namespace

std::vector<std::string> usual_types() {
  return {"f32", "f16", "q4_0", "q8_0", "q4_K", "q6_K"};
}

bool is_weight_type(const std::string& type) {
  const auto found = find_type(type);
  return found && has_kernels(*found);
}

Result<ComputeSpeed> measure_compute(std::span<const std::string> types, const ComputeTest& test) {
  auto graph = InnerGraph::create();
  if (!graph) {
    return propagate(graph.error());
  }
  (*graph)->set_threads(static_cast<int>(test.threads));
  (*graph)->set_threadpool(test.pool);
  auto trials = make_trials(types);
  if (!trials) {
    return propagate(trials.error());
  }
  const uint64_t matmul_bytes = static_cast<uint64_t>(test.matmul_size * test.matmul_size) * sizeof(float);
  const uint64_t matvec_bytes = std::clamp<uint64_t>(test.weight_bytes, kRowLength * sizeof(float), kMostWeights);
  auto memory = MemoryRegion::allocate(std::max(matvec_bytes, matmul_bytes));
  if (!memory) {
    return propagate(memory.error(), "memory to measure computing with");
  }
  Times operation;
  double done = 0;
  // Twice over all, so that a neighbour who is busy for a moment does not spoil one type.
  for (int round = 0; round < 2; ++round) {
    Status status = time_operation(**graph, test.seconds / 2, operation);
    for (Trial& trial : *trials) {
      status = status.and_then(
          [&] { return time_matvec(**graph, memory->span().first(matvec_bytes), test.seconds / 2, trial); });
      repeat(trial.weights, memory->span().first(matmul_bytes));
      status = status.and_then(
          [&] { return time_matmul(**graph, memory->span(), test.matmul_size, test.seconds / 2, trial); });
      if (!status) {
        return propagate(status.error());
      }
      if (test.progress) {
        test.progress(++done / (2 * static_cast<double>(trials->size())));
      }
    }
    if (!status) {
      return propagate(status.error());
    }
  }
  ComputeSpeed speed;
  speed.operation_seconds = median(operation) / kSmallNodes;
  for (Trial& trial : *trials) {
    speed.kernels.push_back(speed_of(trial, matvec_bytes, test.matmul_size));
  }
  return speed;
}

}  // namespace hypura
