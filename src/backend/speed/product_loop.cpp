#include "backend/speed/product_loop.h"

#include <algorithm>
#include <numeric>

#include "support/elapsed.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

Result<std::unique_ptr<ProductLoop>> ProductLoop::create(const std::string& type, const ComputeTest& test) {
  const auto weights_type = weight_type(type);
  if (!weights_type) {
    return fail(ErrorCode::kUsage, "'{}' is not a weight type", type);
  }
  auto graph = InnerGraph::create();
  if (!graph) {
    return propagate(graph.error());
  }
  (*graph)->set_threads(static_cast<int>(test.threads));
  (*graph)->set_threadpool(test.pool);
  const uint64_t group = group_bytes(*weights_type, WeightLayout::kAsInFiles, kRowLength);
  const uint64_t bytes = std::clamp(test.weight_bytes, kFewestWeights, kMostWeights) / group * group;
  auto memory = MemoryRegion::allocate(bytes);
  if (!memory) {
    return propagate(memory.error(), "memory to measure computing with");
  }
  std::unique_ptr<ProductLoop> loop(new ProductLoop(std::move(*graph), std::move(*memory)));
  loop->bytes_ = bytes;
  loop->column_.assign(kRowLength, 0.5F);
  loop->result_.assign(kRowLength, 0.0F);
  repeat(make_weights(*weights_type), loop->memory_.span().first(bytes));
  loop->bench_ =
      std::make_unique<ComputeBench>(*loop->graph_, matrices_in(*weights_type, WeightLayout::kAsInFiles, bytes));
  loop->bench_->multiply_all(*weights_type, WeightLayout::kAsInFiles, loop->memory_.span().first(bytes), loop->column_,
                             loop->result_);
  return loop;
}

Result<double> ProductLoop::rate(double seconds) {
  Times times;
  ProcessorTime taken;
  if (Status status = bench_->time(seconds, true, times, taken); !status) {
    return propagate(status.error());
  }
  graph_->rest();
  return per_second(static_cast<double>(bytes_) * static_cast<double>(times.size()),
                    std::accumulate(times.begin(), times.end(), 0.0));
}

}  // namespace hypura
