#include "backend/gpu/speed/product_speed.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <optional>
#include <random>

#include "backend/speed/compute_bench.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

// Weights that keep numbers about as large as they are through some products of a chain; after so many each row is
// brought back to the length that it had at first.
constexpr float kDeviation = 1.0F / 64;
constexpr int kBetweenNorms = 8;
constexpr float kEpsilon = 1e-5F;

constexpr uint64_t kMatrixBytes = 64 * kMiB;  // of a matrix that one token is multiplied by, at most
constexpr int64_t kExperts = 64;              // of a layer, where there is room
constexpr int64_t kUsed = 8;                  // of these, by a token
constexpr int64_t kSmall = 256;               // rows and row length of a small matrix: a block of any type
constexpr int kSmallProducts = 32;            // one after another
constexpr int64_t kTokens = 512;
constexpr int64_t kManyTokens = 2048;
constexpr double kLongRun = 0.1;   // seconds of 512 tokens, from which on 2048 are not tried
constexpr double kEnough = 0.002;  // seconds of a run beside which starting it counts for nothing
constexpr double kMostTimes = 64;

// Rows, or row length, in whole blocks of any type.
int64_t whole_blocks(int64_t count) {
  return std::max<int64_t>(kSmall, static_cast<int64_t>(round_up(static_cast<uint64_t>(count), kSmall)));
}

// Makes the products of one chain, on a graph of its own.
using Chain = std::function<ggml_tensor*(BenchGraph&, int count)>;

// Seconds of one product of a chain of `count`. 0 where the device has no kernel for it.
Result<double> seconds_of_one(DeviceBench& bench, const Chain& chain, int count, double seconds) {
  BenchGraph graph(bench, count);
  if (Status status = graph.finish(chain(graph, count)); !status) {
    return propagate(status.error());
  }
  if (!graph.supported()) {
    return 0;
  }
  return graph.time(seconds).map([&](double all) { return all / count; });
}

// The same of `count` products that may take long, or nothing against what starting a run and waiting for it takes:
// then over and over again.
Result<double> seconds_of_long(DeviceBench& bench, const Chain& chain, int count, double seconds) {
  auto one = seconds_of_one(bench, chain, count, 0);
  if (!one || *one == 0 || *one * count > std::max(seconds, kEnough)) {
    return one;
  }
  const double times = std::ceil(kEnough / (*one * count));
  return seconds_of_one(bench, chain, count * static_cast<int>(std::clamp(times, 1.0, kMostTimes)), seconds);
}

// What product `i` of a chain gave, for the next.
ggml_tensor* handed_on(BenchGraph& graph, ggml_tensor* x, int i) {
  return i % kBetweenNorms == kBetweenNorms - 1 ? ggml_rms_norm(graph.context(), x, kEpsilon) : x;
}

// `used` of `experts` for each token, none twice.
std::vector<int32_t> choices(int64_t experts, int64_t tokens) {
  std::mt19937 random(1);
  std::vector<int32_t> all(static_cast<size_t>(experts));
  std::iota(all.begin(), all.end(), 0);
  std::vector<int32_t> chosen;
  for (int64_t token = 0; token < tokens; ++token) {
    std::shuffle(all.begin(), all.end(), random);
    chosen.insert(chosen.end(), all.begin(), all.begin() + kUsed);
  }
  return chosen;
}

int64_t expert_model_width(int64_t size) {
  return whole_blocks(size / 2);
}

int64_t expert_width_of(int64_t size) {
  return whole_blocks(size * 3 / 16);
}

// Weights of one type in the bench's memory, in the shapes that are measured.
class TypeBench {
 public:
  TypeBench(DeviceBench& bench, ggml_type type, int64_t size, double seconds)
      : bench_(bench), type_(type), size_(size), seconds_(seconds) {}

  Result<GpuProductSpeed> matrix() const;
  Result<GpuProductSpeed> experts() const;

 private:
  uint64_t bytes(int64_t ne0, int64_t ne1, int64_t ne2 = 1) const {
    return ggml_row_size(type_, ne0) * static_cast<uint64_t>(ne1 * ne2);
  }
  // Fills in the figures of `many` tokens, each a chain of products of `operations` for a token.
  Status add_many(GpuProductSpeed& speed, double operations, const std::function<Chain(int64_t)>& many) const;

  // A model of half the width, and its experts: 2048 and 768 where the matrix is one of 4096.
  int64_t width() const { return expert_model_width(size_); }
  int64_t expert_width() const { return expert_width_of(size_); }
  int64_t wide_rows() const;
  int64_t expert_count() const;
  // Layers of so many experts, a matrix of each, that fit.
  uint64_t layers() const {
    return std::max<uint64_t>(1, bench_.weight_bytes() / bytes(width(), expert_width(), expert_count()));
  }
  Chain one_token() const;
  Chain tokens(int64_t size, int64_t count) const;
  Chain disjoint_experts() const;
  Chain chosen_experts(int64_t width, int64_t expert_width, int64_t experts, int64_t tokens) const;

  DeviceBench& bench_;
  ggml_type type_;
  int64_t size_;
  double seconds_;
};

// As many rows as a matrix may have, in whole blocks of any type.
int64_t TypeBench::wide_rows() const {
  const uint64_t most = std::min(kMatrixBytes, bench_.weight_bytes() / 2);
  return std::max<int64_t>(kSmall, static_cast<int64_t>(round_down(most / bytes(size_, 1), kSmall)));
}

int64_t TypeBench::expert_count() const {
  const uint64_t room = bench_.weight_bytes() / bytes(width(), expert_width());
  return std::clamp(static_cast<int64_t>(room), kUsed, kExperts);
}

// From size_ to as many and back, each by another matrix, over all of the memory.
Chain TypeBench::one_token() const {
  return [this](BenchGraph& graph, int count) {
    const int64_t rows = wide_rows();
    const uint64_t matrices = bench_.weight_bytes() / bytes(size_, rows);
    ggml_tensor* x = graph.constant(GGML_TYPE_F32, 0.5F, size_);
    for (int i = 0; i < count; ++i) {
      const bool up = i % 2 == 0;
      const uint64_t at = static_cast<uint64_t>(i) % matrices * bytes(size_, rows);
      x = handed_on(
          graph, ggml_mul_mat(graph.context(), graph.weights(type_, at, up ? size_ : rows, up ? rows : size_), x), i);
    }
    return x;
  };
}

Chain TypeBench::tokens(int64_t size, int64_t count) const {
  return [this, size, count](BenchGraph& graph, int products) {
    ggml_tensor* x = graph.constant(GGML_TYPE_F32, 0.5F, size, count);
    for (int i = 0; i < products; ++i) {
      x = handed_on(graph, ggml_mul_mat(graph.context(), graph.weights(type_, 0, size, size), x), i);
    }
    return x;
  };
}

// One token through all experts of the memory, those it uses at a time. Layers follow each other there, each matrix of
// one being as large as of another.
Chain TypeBench::disjoint_experts() const {
  return [this](BenchGraph& graph, int count) {
    const int64_t experts = expert_count();
    const int64_t groups = experts / kUsed;
    ggml_tensor* x = graph.constant(GGML_TYPE_F32, 0.5F, width(), 1, 1);
    for (int i = 0; i < count; ++i) {
      std::vector<int32_t> chosen(kUsed);
      std::iota(chosen.begin(), chosen.end(), static_cast<int32_t>(i % groups * kUsed));
      const bool up = i % 2 == 0;
      const uint64_t at = static_cast<uint64_t>(i / groups) % layers() * bytes(width(), expert_width(), experts);
      ggml_tensor* matrices =
          graph.weights(type_, at, up ? width() : expert_width(), up ? expert_width() : width(), experts);
      x = handed_on(graph, ggml_mul_mat_id(graph.context(), matrices, x, graph.numbers(std::move(chosen), kUsed, 1)),
                    i);
    }
    return x;
  };
}

Chain TypeBench::chosen_experts(int64_t width, int64_t expert_width, int64_t experts, int64_t tokens) const {
  return [this, width, expert_width, experts, tokens](BenchGraph& graph, int count) {
    ggml_tensor* ids = graph.numbers(choices(experts, tokens), kUsed, tokens);
    ggml_tensor* x = graph.constant(GGML_TYPE_F32, 0.5F, width, 1, tokens);
    for (int i = 0; i < count; ++i) {
      const bool up = i % 2 == 0;
      ggml_tensor* matrices = graph.weights(type_, 0, up ? width : expert_width, up ? expert_width : width, experts);
      x = handed_on(graph, ggml_mul_mat_id(graph.context(), matrices, x, ids), i);
    }
    return x;
  };
}

Status TypeBench::add_many(GpuProductSpeed& speed, double operations, const std::function<Chain(int64_t)>& many) const {
  const auto some = seconds_of_long(bench_, many(kTokens), 1, seconds_);
  if (!some) {
    return propagate(some.error(), fmt::format("{} tokens", kTokens));
  }
  if (*some == 0) {
    return {};
  }
  speed.matmul_flops = operations * kTokens / beyond(*some, speed.seconds);
  speed.large_matmul_flops = speed.matmul_flops;
  if (*some > kLongRun) {
    return {};
  }
  const auto more = seconds_of_long(bench_, many(kManyTokens), 1, seconds_);
  if (!more) {
    return propagate(more.error(), fmt::format("{} tokens", kManyTokens));
  }
  speed.large_matmul_flops = operations * kManyTokens / beyond(*more, speed.seconds);
  return {};
}

Result<GpuProductSpeed> TypeBench::matrix() const {
  GpuProductSpeed speed;
  const auto small = seconds_of_one(bench_, tokens(kSmall, 1), kSmallProducts, seconds_);
  if (!small || *small == 0) {
    return small.map([&](double) { return speed; });
  }
  const uint64_t wide = bytes(size_, wide_rows());
  const auto count = static_cast<int>(bench_.weight_bytes() / wide);
  const auto one = seconds_of_long(bench_, one_token(), count, seconds_);
  if (!one) {
    return propagate(one.error());
  }
  speed.seconds = *small;
  speed.matvec_bytes_per_second = static_cast<double>(wide) / beyond(*one, *small);
  const auto operations = static_cast<double>(2 * size_ * size_);
  const Status status = add_many(speed, operations, [&](int64_t many) { return tokens(size_, many); });
  return status.map([&] { return speed; });
}

Result<GpuProductSpeed> TypeBench::experts() const {
  GpuProductSpeed speed;
  const auto small = seconds_of_one(bench_, chosen_experts(kSmall, kSmall, kUsed, 1), kSmallProducts, seconds_);
  if (!small || *small == 0) {
    return small.map([&](double) { return speed; });
  }
  const int64_t experts = expert_count();
  const uint64_t used = bytes(width(), expert_width(), kUsed);
  const auto count = static_cast<int>(static_cast<int64_t>(layers()) * (experts / kUsed));
  const auto one = seconds_of_long(bench_, disjoint_experts(), count, seconds_);
  if (!one) {
    return propagate(one.error());
  }
  speed.seconds = *small;
  speed.matvec_bytes_per_second = static_cast<double>(used) / beyond(*one, *small);
  const auto operations = static_cast<double>(2 * kUsed * width() * expert_width());
  const Status status =
      add_many(speed, operations, [&](int64_t many) { return chosen_experts(width(), expert_width(), experts, many); });
  return status.map([&] { return speed; });
}

}  // namespace

uint64_t least_weight_bytes(int64_t size) {
  const auto floats = static_cast<uint64_t>(
      std::max({size * size, 2 * kSmall * size, kUsed * expert_model_width(size) * expert_width_of(size)}));
  return floats * sizeof(float);
}

Result<GpuKernelSpeed> measure_products(DeviceBench& bench, const std::string& type, int64_t size, double seconds) {
  const auto weights = weight_type(type);
  if (!weights) {
    return fail(ErrorCode::kUsage, "'{}' is not a weight type", type);
  }
  bench.fill(make_weights(*weights, kDeviation));
  const TypeBench types(bench, *weights, size, seconds);
  const auto matrix = types.matrix();
  if (!matrix) {
    return propagate(matrix.error(), "products with a matrix");
  }
  const auto experts = types.experts();
  if (!experts) {
    return propagate(experts.error(), "products with experts");
  }
  return GpuKernelSpeed{type, *matrix, *experts};
}

}  // namespace hypura
