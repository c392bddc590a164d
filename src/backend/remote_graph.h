// A graph of ggml's as a worker is sent it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ggml-impl.h"
#include "ggml.h"
#include "hypura/result.h"
#include "remote/layers_session.h"
#include "support/memory/memory_region.h"

namespace hypura {

// What a buffer of a worker's device is: memory of the worker's, or addresses alone, of weights.
struct RemoteBuffer {
  RemoteMemory memory;  // buffer 0: there is none
  MemoryRegion addresses;

  void* base() const { return memory.buffer != 0 ? reinterpret_cast<void*>(memory.base) : addresses.data(); }
};

// Whether workers compute it, in graphs of whole layers.
bool workers_compute(ggml_op op);

struct DescribedGraph {
  RemoteGraph graph;
  RemoteBytes output;       // where its last node lies
  size_t output_bytes = 0;  // 0: it is not contiguous, and is got where it is asked for
};

// All tensors of `graph` lie in buffers whose context is a RemoteBuffer. Fails with kInternal where one does not, or is
// larger than the protocol can say.
Result<DescribedGraph> describe_graph(const ggml_cgraph& graph);

// Whether both are the same to a worker, byte by byte.
bool same_graph(const RemoteGraph& a, const RemoteGraph& b);

}  // namespace hypura
