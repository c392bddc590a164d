#include "backend/speed/compute_speed.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "backend/inner_graph.h"
#include "backend/repacked_layout.h"
#include "backend/speed/compute_bench.h"
#include "ggml.h"
#include "support/elapsed.h"
#include "support/fail.h"
#include "support/memory/memory_region.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr int64_t kColumns = 512;
constexpr int64_t kChosenColumns = 32;  // that chose an expert: 512 tokens, 8 of 128 experts each
// Attention as many models have it: four query heads to a head of keys.
constexpr int64_t kHeads = 32;
constexpr int64_t kKeyHeads = 8;
constexpr int64_t kHeadWidth = 128;
constexpr int64_t kAttended = kColumns;                                                // tokens
constexpr uint64_t kKeyBytes = sizeof(uint16_t) * kKeyHeads * kHeadWidth * kAttended;  // of one layer
constexpr uint64_t kAttentionBytes = 64 * kMiB;                                        // of all, at most
constexpr uint64_t kMostRepacked = 64;  // matrices: more than caches hold
constexpr int kSmallNodes = 200;
constexpr int64_t kSmallLength = 2048;  // floats: a row of a model of some billion parameters

// What is measured of one type in one layout.
struct Trial {
  ggml_type type = GGML_TYPE_COUNT;
  WeightLayout layout = WeightLayout::kAsInFiles;
  std::vector<std::byte> rows;         // of kRowLength, to be repeated
  std::vector<std::byte> matmul_rows;  // as long as those of the matrix that many columns are multiplied by
  Times matvec;
  Times matmul;
  Times repack;
  Times chosen;  // products of kChosenColumns
};

Status time_matvec(InnerGraph& graph, std::span<std::byte> memory, double seconds, Trial& trial, ProcessorTime& taken) {
  repeat(trial.rows, memory);
  std::vector<float> column(kRowLength, 0.5F);
  std::vector<float> result(kRowLength);
  ComputeBench bench(graph, matrices_in(trial.type, trial.layout, memory.size()));
  bench.multiply_all(trial.type, trial.layout, memory, column, result);
  return bench.time(seconds, true, trial.matvec, taken);
}

// 512 columns through one matrix of size x size, as a prompt's pass does.
Status time_matmul(InnerGraph& graph, std::span<std::byte> memory, int64_t size, double seconds, Trial& trial,
                   ProcessorTime& taken) {
  repeat(trial.matmul_rows, memory);
  std::vector<float> columns(static_cast<size_t>(size * kColumns), 0.5F);
  std::vector<float> result(static_cast<size_t>(size * kColumns));
  ComputeBench bench(graph, 1);
  bench.multiply(bench.weights(trial.type, trial.layout, size, size, memory.data()),
                 bench.tensor(GGML_TYPE_F32, size, kColumns, columns.data()), result.data());
  // Not warmed up: on a slow machine one product already takes as long as it may.
  return bench.time(seconds, false, trial.matmul, taken);
}

// The tokens of a prompt that chose an expert, by the products that streaming computes them with: those by a choice as
// the expert is on disk, repacked it is a matrix as any other.
Status time_chosen(InnerGraph& graph, std::span<std::byte> memory, int64_t size, double seconds, Trial& trial,
                   ProcessorTime& taken) {
  repeat(trial.matmul_rows, memory);
  std::vector<float> columns(static_cast<size_t>(size * kChosenColumns), 0.5F);
  std::vector<float> result(columns.size());
  std::vector<int32_t> choice(kChosenColumns, 0);
  ComputeBench bench(graph, 1);
  ggml_tensor* matrix = bench.weights(trial.type, trial.layout, size, size, memory.data());
  if (trial.layout == WeightLayout::kRepacked) {
    bench.multiply(matrix, bench.tensor(GGML_TYPE_F32, size, kChosenColumns, columns.data()), result.data());
  } else {
    bench.multiply_chosen(matrix, bench.tensor(GGML_TYPE_F32, size, 1, columns.data(), kChosenColumns),
                          bench.tensor(GGML_TYPE_I32, 1, kChosenColumns, choice.data()), result.data());
  }
  return bench.time(seconds, true, trial.chosen, taken);
}

uint64_t matrix_bytes(ggml_type type, int64_t size) {
  return ggml_row_size(type, size) * static_cast<uint64_t>(size);
}

// Matrices of size x size that are repacked: what `bytes` hold besides one more.
uint64_t repacked_matrices(ggml_type type, int64_t size, uint64_t bytes) {
  return std::min(bytes / matrix_bytes(type, size) - 1, kMostRepacked);
}

// Square matrices as they are in files, one after another into the same place, as a prompt's pass does.
Status time_repack(InnerGraph& graph, std::span<std::byte> memory, int64_t size, double seconds, Trial& trial,
                   ProcessorTime& taken) {
  const uint64_t each = matrix_bytes(trial.type, size);
  const uint64_t matrices = repacked_matrices(trial.type, size, memory.size());
  ComputeBench bench(graph, static_cast<int>(matrices));
  ggml_tensor* to = bench.tensor(trial.type, size, size, memory.data());
  for (uint64_t i = 1; i <= matrices; ++i) {
    bench.repack(bench.tensor(trial.type, size, size, memory.data() + i * each), to);
  }
  return bench.time(seconds, true, trial.repack, taken);
}

// A row added to another, many times: work that is done at once, so that what is left is the cost of a node.
Status time_operation(InnerGraph& graph, double seconds, Times& times, ProcessorTime& taken) {
  std::vector<float> a(kSmallLength, 0.0F);
  std::vector<float> b(kSmallLength, 1.0F);
  std::vector<float> result(kSmallLength);
  ComputeBench bench(graph, kSmallNodes);
  ggml_tensor* left = bench.tensor(GGML_TYPE_F32, kSmallLength, 1, a.data());
  ggml_tensor* right = bench.tensor(GGML_TYPE_F32, kSmallLength, 1, b.data());
  for (int i = 0; i < kSmallNodes; ++i) {
    bench.sum(left, right, result.data());
  }
  return bench.time(seconds, true, times, taken);
}

// One new token's queries over what a long conversation left in several layers, which together do not fit the caches.
Status time_attention(InnerGraph& graph, std::span<std::byte> memory, double seconds, Times& times,
                      ProcessorTime& taken) {
  std::vector<float> queries(static_cast<size_t>(kHeadWidth * kHeads), 0.01F);
  std::vector<float> result(queries.size());
  const std::vector<ggml_fp16_t> values(kRowLength, ggml_fp32_to_fp16(0.01F));
  repeat(std::as_bytes(std::span(values)), memory);
  const auto layers = static_cast<int>(memory.size() / (2 * kKeyBytes));
  ComputeBench bench(graph, layers);
  ggml_tensor* q = bench.tensor(GGML_TYPE_F32, kHeadWidth, 1, queries.data(), kHeads);
  for (int layer = 0; layer < layers; ++layer) {
    std::byte* keys = memory.data() + static_cast<uint64_t>(2 * layer) * kKeyBytes;
    bench.attend(q, bench.tensor(GGML_TYPE_F16, kHeadWidth, kAttended, keys, kKeyHeads),
                 bench.tensor(GGML_TYPE_F16, kHeadWidth, kAttended, keys + kKeyBytes, kKeyHeads), nullptr,
                 result.data());
  }
  return bench.time(seconds, true, times, taken);
}

// A prompt's tokens in one layer, each of which attends to those before it and itself.
Status time_prompt_attention(InnerGraph& graph, std::span<std::byte> memory, double seconds, Times& times,
                             ProcessorTime& taken) {
  std::vector<float> queries(static_cast<size_t>(kHeadWidth * kHeads * kColumns), 0.01F);
  std::vector<float> result(queries.size());
  const std::vector<ggml_fp16_t> values(kRowLength, ggml_fp32_to_fp16(0.01F));
  repeat(std::as_bytes(std::span(values)), memory);
  std::vector<ggml_fp16_t> hidden(static_cast<size_t>(kColumns * kColumns), ggml_fp32_to_fp16(-INFINITY));
  for (int64_t token = 0; token < kColumns; ++token) {
    std::fill_n(hidden.begin() + token * kColumns, token + 1, ggml_fp32_to_fp16(0));
  }
  ComputeBench bench(graph, 1);
  bench.attend(bench.tensor(GGML_TYPE_F32, kHeadWidth, kColumns, queries.data(), kHeads),
               bench.tensor(GGML_TYPE_F16, kHeadWidth, kColumns, memory.data(), kKeyHeads),
               bench.tensor(GGML_TYPE_F16, kHeadWidth, kColumns, memory.data() + kKeyBytes, kKeyHeads),
               bench.tensor(GGML_TYPE_F16, kColumns, kColumns, hidden.data()), result.data());
  return bench.time(seconds, true, times, taken);
}

Result<std::vector<Trial>> make_trials(std::span<const std::string> types, int64_t size) {
  std::vector<Trial> trials;
  for (const std::string& name : types) {
    const auto type = weight_type(name);
    if (!type) {
      return fail(ErrorCode::kUsage, "'{}' is not a weight type", name);
    }
    const std::vector<std::byte> weights = make_weights(*type);
    trials.push_back({*type, WeightLayout::kAsInFiles, weights, weights, {}, {}, {}, {}});
    const auto add = [&](WeightLayout layout) {
      trials.push_back({*type,
                        layout,
                        rows_as(layout, *type, weights, kRowLength),
                        rows_as(layout, *type, weights, size),
                        {},
                        {},
                        {},
                        {}});
    };
    if (has_repacked_layout(*type, kRowLength, kRowLength) && has_repacked_layout(*type, size, size)) {
      add(WeightLayout::kRepacked);
    }
    if (has_own_layout(*type, kRowLength) && has_own_layout(*type, size)) {
      add(WeightLayout::kOwn);
    }
  }
  return trials;
}

double repack_rate(Trial& trial, uint64_t bytes, int64_t size) {
  const uint64_t matrices = repacked_matrices(trial.type, size, bytes);
  return static_cast<double>(matrices * matrix_bytes(trial.type, size)) / median(trial.repack);
}

// A type's layouts follow each other.
std::vector<KernelSpeed> speeds_of(std::vector<Trial>& trials, uint64_t matvec_bytes, uint64_t memory, int64_t size) {
  std::vector<KernelSpeed> speeds;
  for (Trial& trial : trials) {
    // In bytes as in files, however they lie.
    const auto bytes = static_cast<double>(rows_in(trial.type, trial.layout, matvec_bytes)) *
                       static_cast<double>(ggml_row_size(trial.type, kRowLength));
    const double matvec = per_second(bytes, median(trial.matvec));
    const double matmul = per_second(2.0 * static_cast<double>(size * size * kColumns), median(trial.matmul));
    const auto chosen = [&] {
      return per_second(2.0 * static_cast<double>(size * size * kChosenColumns), median(trial.chosen));
    };
    if (trial.layout == WeightLayout::kAsInFiles) {
      speeds.push_back({ggml_type_name(trial.type), matvec, matmul});
      speeds.back().expert_matmul_flops = chosen();
    } else if (trial.layout == WeightLayout::kRepacked) {
      speeds.back().repacked_matvec_bytes_per_second = matvec;
      speeds.back().repacked_matmul_flops = matmul;
      speeds.back().repack_bytes_per_second = repack_rate(trial, memory, size);
      speeds.back().repacked_expert_matmul_flops = chosen();
    } else {
      speeds.back().resident_matvec_bytes_per_second = matvec;
      speeds.back().resident_matmul_flops = matmul;
    }
  }
  return speeds;
}

}  // namespace

std::vector<std::string> usual_types() {
  return {"f32", "f16", "q4_0", "q8_0", "q4_K", "q6_K"};
}

bool is_weight_type(const std::string& type) {
  return weight_type(type).has_value();
}

Result<ComputeSpeed> measure_compute(std::span<const std::string> types, const ComputeTest& test) {
  auto graph = InnerGraph::create();
  if (!graph) {
    return propagate(graph.error());
  }
  (*graph)->set_threads(static_cast<int>(test.threads));
  (*graph)->set_threadpool(test.pool);
  auto trials = make_trials(types, test.matmul_size);
  if (!trials) {
    return propagate(trials.error());
  }
  const uint64_t matmul_bytes = static_cast<uint64_t>(test.matmul_size * test.matmul_size) * sizeof(float);
  const uint64_t matvec_bytes = std::clamp(test.weight_bytes, kFewestWeights, kMostWeights);
  auto memory = MemoryRegion::allocate(std::max({matvec_bytes, matmul_bytes, 2 * kKeyBytes}));
  if (!memory) {
    return propagate(memory.error(), "memory to measure computing with");
  }
  const uint64_t attention_bytes = std::clamp<uint64_t>(test.weight_bytes, 2 * kKeyBytes, kAttentionBytes);
  Times operation;
  Times attention;
  Times prompt_attention;
  ProcessorTime taken;
  double done = 0;
  // Twice over all, so that a neighbour who is busy for a moment does not spoil one type.
  for (int round = 0; round < 2; ++round) {
    Status status = time_operation(**graph, test.seconds / 2, operation, taken).and_then([&] {
      return time_attention(**graph, memory->span().first(attention_bytes), test.seconds / 2, attention, taken);
    });
    status = status.and_then([&] {
      return time_prompt_attention(**graph, memory->span().first(2 * kKeyBytes), test.seconds / 2, prompt_attention,
                                   taken);
    });
    for (Trial& trial : *trials) {
      status = status.and_then(
          [&] { return time_matvec(**graph, memory->span().first(matvec_bytes), test.seconds / 2, trial, taken); });
      status = status.and_then([&] {
        return time_matmul(**graph, memory->span().first(matmul_bytes), test.matmul_size, test.seconds / 2, trial,
                           taken);
      });
      if (trial.layout != WeightLayout::kOwn) {
        status = status.and_then([&] {
          return time_chosen(**graph, memory->span().first(matmul_bytes), test.matmul_size, test.seconds / 2, trial,
                             taken);
        });
      }
      if (trial.layout == WeightLayout::kRepacked) {
        status = status.and_then(
            [&] { return time_repack(**graph, memory->span(), test.matmul_size, test.seconds / 2, trial, taken); });
      }
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
  speed.processor_share = taken.share(test.threads);
  speed.operation_seconds = median(operation) / kSmallNodes;
  const uint64_t layers = attention_bytes / (2 * kKeyBytes);
  speed.attention_per_second =
      per_second(static_cast<double>(layers * kHeads * kHeadWidth * kAttended), median(attention));
  speed.prompt_attention_per_second =
      per_second(static_cast<double>(kHeads * kHeadWidth * kColumns * (kColumns + 1)) / 2, median(prompt_attention));
  speed.kernels = speeds_of(*trials, matvec_bytes, memory->size(), test.matmul_size);
  return speed;
}

}  // namespace hypura
