// Nodes over memory of ours that are computed again and again, to see how long they take: what the measurements of
// computing (compute_speed.h, product_loop.h) are made of. Throughout, one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/inner_graph.h"
#include "ggml-cpp.h"
#include "ggml.h"
#include "hypura/result.h"
#include "support/units.h"

namespace hypura {

// Of the matrices that one column is multiplied by; as many rows at most.
inline constexpr int64_t kRowLength = 4096;

// Of the weights that are measured, of any type: so many bytes make fewer matrices than a graph holds.
inline constexpr uint64_t kMostWeights = 512 * kMiB;
inline constexpr uint64_t kFewestWeights = 512 * kKiB;

// The type that ggml calls `name`, when weights can have it: ggml can make it from floats and multiply by it.
std::optional<ggml_type> weight_type(const std::string& name);

// How weights lie in memory: as in files, repacked (repacked_layout.h), or as the loader lays out matrices that stay,
// where that is neither (own_layouts.h).
enum class WeightLayout { kAsInFiles, kRepacked, kOwn };

// Of a group of rows of that length: of as many (a multiple of kRowGroup) as can be repeated.
uint64_t group_bytes(ggml_type type, WeightLayout layout, int64_t length);

// The rows that multiply_all() makes of so many bytes: whole groups.
int64_t rows_in(ggml_type type, WeightLayout layout, uint64_t bytes);

// How many matrices it makes of them.
int matrices_in(ggml_type type, WeightLayout layout, uint64_t bytes);

// Random rows of `type`, to be repeated, with numbers of that standard deviation. Blocks follow each other in a row and
// from row to row, so they are the same for any length of row.
std::vector<std::byte> make_weights(ggml_type type, float deviation = 0.05F);

// Rows of `length` made of `weights` in that layout, to be repeated into matrices of that length; `type` must have it.
std::vector<std::byte> rows_as(WeightLayout layout, ggml_type type, std::span<const std::byte> weights, int64_t length);

// Whether the loader lays out such matrices, square ones, in a way that is neither as in files nor repacked.
bool has_own_layout(ggml_type type, int64_t size);

// Fills `memory` with copies of `pattern`, the last one cut.
void repeat(std::span<const std::byte> pattern, std::span<std::byte> memory);

// Seconds of each run.
using Times = std::vector<double>;

// While ggml's threads computed: they spin where they wait, so that each has a processor of its own unless other
// programs take one.
struct ProcessorTime {
  double wall = 0;  // seconds
  double used = 0;  // seconds of processors, of this process

  // The share of `threads` processors that they had.
  double share(uint32_t threads) const { return wall > 0 ? used / (wall * threads) : 1; }
};

// Not the mean: a neighbour that takes a core for a moment makes ggml's spinning threads wait many times that long.
double median(Times& times);

class ComputeBench {
 public:
  // Of at most `nodes` nodes. `graph` must outlive it.
  ComputeBench(InnerGraph& graph, int nodes);

  // A contiguous tensor over `data`, which must outlive the last time().
  ggml_tensor* tensor(ggml_type type, int64_t row_length, int64_t rows, void* data, int64_t matrices = 1);
  // The same of weights that lie there like that.
  ggml_tensor* weights(ggml_type type, WeightLayout layout, int64_t row_length, int64_t rows, void* data);

  // Append nodes whose results, in f32, go to `result`.
  void multiply(ggml_tensor* weights, ggml_tensor* columns, void* result);
  // The same by `ids`, which chooses a matrix of `weights` for each of the columns [length, 1, columns].
  void multiply_chosen(ggml_tensor* weights, ggml_tensor* columns, ggml_tensor* ids, void* result);
  void sum(ggml_tensor* a, ggml_tensor* b, void* result);
  // Queries [width, new tokens, heads] over keys and values [width, tokens, key heads]. `mask` as ggml has it, f16
  // [tokens, new tokens]; nullptr: all attend to all.
  void attend(ggml_tensor* queries, ggml_tensor* keys, ggml_tensor* values, ggml_tensor* mask, void* result);

  // Appends the repacking of a matrix that has such a layout into `to`, which lies elsewhere.
  void repack(ggml_tensor* from, ggml_tensor* to);

  // Append the products of one column with matrices of `type` that fill `memory`, as decoding has them.
  void multiply_all(ggml_type type, WeightLayout layout, std::span<std::byte> memory, std::vector<float>& column,
                    std::vector<float>& result);

  // Computes all nodes for about `seconds`, at least once, and adds what each time took, and to `taken` what they took
  // in all; the first is left out if `warm`. Fails with kInternal when ggml does not compute.
  Status time(double seconds, bool warm, Times& times, ProcessorTime& taken);

 private:
  void add(ggml_tensor* node, void* result);
  bool run();

  InnerGraph& graph_;
  ggml_context_ptr context_;
  std::vector<ggml_tensor*> nodes_;
  std::vector<ggml_tensor*> results_;  // of these, those that have one
};

}  // namespace hypura
