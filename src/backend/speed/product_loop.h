// The product that a token is mostly made of, timed again and again: what else goes on meanwhile shows in its rate.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/inner_graph.h"
#include "backend/speed/compute_bench.h"
#include "backend/speed/compute_speed.h"
#include "hypura/result.h"
#include "support/memory/memory_region.h"

namespace hypura {

class ProductLoop {
 public:
  // Weights of `type` as measure_compute() has them; `test` tells threads, pool and bytes. Fails as that does.
  static Result<std::unique_ptr<ProductLoop>> create(const std::string& type, const ComputeTest& test);

  // Multiplies for about `seconds`, at least once; bytes of weights a second, all runs together: a median would hide
  // what reads take now and then. The pool's threads sleep afterwards. Fails with kInternal as measure_compute().
  Result<double> rate(double seconds);

 private:
  ProductLoop(std::unique_ptr<InnerGraph> graph, MemoryRegion memory)
      : graph_(std::move(graph)), memory_(std::move(memory)) {}

  std::unique_ptr<InnerGraph> graph_;
  MemoryRegion memory_;
  uint64_t bytes_ = 0;
  std::vector<float> column_;
  std::vector<float> result_;
  std::unique_ptr<ComputeBench> bench_;
};

}  // namespace hypura
