// Small graphs of patched nodes, computed by ggml's CPU backend.
//
// A node whose weights lie in a slot is not computed as it stands: a view of it, a copy of the ggml_tensor that points
// to the slot, is. llama.cpp reuses its graphs, so the original nodes are never changed.
//
// Not thread-safe: the owner serialises, save seconds().
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "ggml-backend.h"
#include "ggml.h"
#include "hypura/result.h"

struct ggml_threadpool;

namespace hypura {

class InnerGraph {
 public:
  // Fails with kInternal when ggml has no CPU backend.
  static Result<std::unique_ptr<InnerGraph>> create();

  ~InnerGraph();
  InnerGraph(const InnerGraph&) = delete;
  InnerGraph& operator=(const InnerGraph&) = delete;

  void set_threads(int threads);
  // Shares llama.cpp's thread pool: with one of its own each, every graph would wake a pool again (5 times slower in
  // all). The pool must outlive the last run().
  void set_threadpool(ggml_threadpool* pool);

  // The pool's threads sleep until something is next computed. Else they look for work in a loop all the time that
  // computing waits for a read, which the disk pays for where the same processors drive it: docs/lab/experiments.md,
  // "Threads that wait".
  void rest();

  // A copy of `original`, valid until the next run() returns; the caller points it to other sources and data.
  ggml_tensor* view(const ggml_tensor& original);

  // A contiguous tensor of [ne0, 1, rows] over `data`, valid until the next run() returns.
  ggml_tensor* rows(ggml_type type, int64_t ne0, int64_t rows, void* data);

  // A contiguous f32 matrix of [ne0, ne1] over `data`, valid until the next run() returns.
  ggml_tensor* matrix(int64_t ne0, int64_t ne1, void* data);

  // A contiguous i32 tensor of [used, tokens] over `data`, valid until the next run() returns.
  ggml_tensor* ids(int64_t used, int64_t tokens, int32_t* data);

  // Whether it must be run before a product is added.
  bool is_full() const;

  // Appends a node. Its sources must be computed, or come before it.
  void add(ggml_tensor* node);

  // Appends `product` = `weight` x `input`: matrices, of which the latter two are contiguous and f32.
  void multiply(ggml_tensor* weight, ggml_tensor* input, ggml_tensor* product);

  // Computes what was added, and starts over. Where ggml throws, as it does when memory is refused, so does this; it
  // may be used again then.
  ggml_status run();

  // Starts over without computing.
  void discard();

  // Spent in run() so far. Any thread.
  double seconds() const { return seconds_.load(std::memory_order_relaxed); }

 private:
  InnerGraph() = default;
  void replace_backend();
  ggml_tensor* contiguous(ggml_type type, int64_t ne0, int64_t ne1, int64_t ne2, void* data);

  ggml_backend_t backend_ = nullptr;
  ggml_threadpool* pool_ = nullptr;
  int threads_ = 0;                  // 0: ggml's number
  ggml_context* context_ = nullptr;  // holds only the graph's own arrays
  ggml_cgraph* graph_ = nullptr;
  std::deque<ggml_tensor> views_;
  size_t views_used_ = 0;
  std::atomic<double> seconds_{0};
};

}  // namespace hypura
