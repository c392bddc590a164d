#include "backend/gpu/speed/transfer_speed.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>

#include "backend/gpu/devices/gpu_list.h"
#include "backend/graph_uses.h"
#include "support/fail.h"
#include "support/memory/memory_region.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr std::array kCopySizes = {64 * kKiB, 256 * kKiB, kMiB, 4 * kMiB, 16 * kMiB};
constexpr uint64_t kMostCopies = 64;  // that are waited for together
constexpr uint64_t kOwnCopy = kMiB;
constexpr uint64_t kOwnBytes = 16 * kMiB;

// A layer, as far as the cost of cutting it goes: small operations, and the choice of 8 experts.
constexpr int kCuts = 16;
constexpr int kNodesOfSegment = 24;
constexpr uint64_t kChoiceBytes = 8 * sizeof(int32_t);

constexpr int kOperations = 200;
constexpr int64_t kRow = 2048;  // floats: a row of a model of some billion parameters

// Attention as many models have it: four query heads to a head of keys.
constexpr int64_t kQueryHeads = 32;
constexpr int64_t kKeyValueHeads = 8;
constexpr int64_t kWidthOfHead = 128;
constexpr int64_t kContext = 4096;                                                                // tokens
constexpr uint64_t kKeyCacheBytes = sizeof(uint16_t) * kKeyValueHeads * kWidthOfHead * kContext;  // of one layer

// Copies `size` bytes from a place in the host's memory to one of the device's, or the other way round.
using Copy = std::function<void(std::byte* host, uint64_t offset)>;

// Bytes a second of copies of `size` bytes over all of `host`, so many begun before they are waited for.
double copy_rate(DeviceBench& bench, std::span<std::byte> host, uint64_t size, double seconds, const Copy& copy) {
  const uint64_t copies = std::clamp<uint64_t>(host.size() / size, 1, kMostCopies);
  const uint64_t places = std::min<uint64_t>(host.size(), bench.weight_bytes()) / size;
  uint64_t next = 0;
  const double taken = seconds_of_run(bench.clock(), seconds, [&] {
    for (uint64_t i = 0; i < copies; ++i, next = (next + 1) % places) {
      copy(host.data() + next * size, next * size);
    }
    ggml_backend_synchronize(bench.stream());
  });
  return static_cast<double>(copies * size) / taken;
}

double upload_rate(DeviceBench& bench, std::span<std::byte> host, uint64_t size, double seconds) {
  return copy_rate(bench, host, size, seconds, [&](std::byte* from, uint64_t offset) {
    ggml_backend_tensor_set_async(bench.stream(), bench.weights(), from, offset, size);
  });
}

double download_rate(DeviceBench& bench, std::span<std::byte> host, uint64_t size, double seconds) {
  return copy_rate(bench, host, size, seconds, [&](std::byte* to, uint64_t offset) {
    ggml_backend_tensor_get_async(bench.stream(), bench.weights(), to, offset, size);
  });
}

bool registers(ggml_backend_dev_t device, std::span<std::byte> memory) {
  ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(device);
  const auto add = reinterpret_cast<bool (*)(void*, size_t)>(
      ggml_backend_reg_get_proc_address(registry, "ggml_backend_register_host_buffer"));
  const auto remove = reinterpret_cast<void (*)(void*)>(
      ggml_backend_reg_get_proc_address(registry, "ggml_backend_unregister_host_buffer"));
  if (add == nullptr || remove == nullptr || !add(memory.data(), memory.size())) {
    return false;
  }
  remove(memory.data());
  return true;
}

// `count` small nodes: two kinds by turns, which no backend makes one of.
ggml_tensor* small_nodes(BenchGraph& graph, ggml_tensor* x, ggml_tensor* other, int count) {
  for (int i = 0; i < count; ++i) {
    x = i % 2 == 0 ? ggml_scale(graph.context(), x, 0.5F) : ggml_add(graph.context(), x, other);
  }
  return x;
}

// Computes `graph` in segments, and looks at what each gave before the next, as GpuExecutor does.
bool compute_cut(DeviceBench& bench, ggml_cgraph* graph, ggml_tensor* sent, std::span<std::byte> choice) {
  const int nodes = ggml_graph_n_nodes(graph);
  const bool in_ram = computes_in_ram(bench.device());
  for (int begin = 0; begin < nodes; begin += kNodesOfSegment) {
    const int end = std::min(begin + kNodesOfSegment, nodes);
    if (compute_part(bench.stream(), graph, begin, end) != GGML_STATUS_SUCCESS) {
      return false;
    }
    if (end < nodes) {
      ggml_tensor* last = ggml_graph_node(graph, end - 1);
      if (in_ram) {
        ggml_backend_synchronize(bench.stream());
        ggml_backend_tensor_get(last, choice.data(), 0, choice.size());
        ggml_backend_tensor_set(sent, choice.data(), 0, choice.size());
      } else {
        ggml_backend_tensor_get_async(bench.stream(), last, choice.data(), 0, choice.size());
        ggml_backend_synchronize(bench.stream());
        ggml_backend_tensor_set_async(bench.stream(), sent, choice.data(), 0, choice.size());
      }
    }
  }
  ggml_backend_synchronize(bench.stream());
  return true;
}

}  // namespace

std::vector<CopyPoint> measure_copies(DeviceBench& bench, double seconds) {
  std::vector<CopyPoint> points;
  for (const uint64_t size : kCopySizes) {
    if (size <= std::min<uint64_t>(bench.host().size(), bench.weight_bytes())) {
      points.push_back(
          {size, upload_rate(bench, bench.host(), size, seconds), download_rate(bench, bench.host(), size, seconds)});
    }
  }
  return points;
}

Result<OwnMemory> measure_own_memory(DeviceBench& bench, double seconds) {
  auto memory = MemoryRegion::allocate(kOwnBytes);
  if (!memory) {
    return propagate(memory.error(), "memory to copy from");
  }
  std::memset(memory->span().data(), 0, memory->span().size());
  const uint64_t size = std::min<uint64_t>(kOwnCopy, bench.weight_bytes());
  const double rate = upload_rate(bench, memory->span(), size, seconds);
  return OwnMemory{rate, registers(bench.device(), memory->span())};
}

Result<double> measure_operation(DeviceBench& bench, double seconds) {
  BenchGraph graph(bench, kOperations);
  ggml_tensor* x = graph.constant(GGML_TYPE_F32, 1, kRow);
  ggml_tensor* other = graph.constant(GGML_TYPE_F32, 1, kRow);
  if (Status status = graph.finish(small_nodes(graph, x, other, kOperations)); !status) {
    return propagate(status.error());
  }
  return graph.time(seconds).map([](double all) { return all / kOperations; });
}

Result<double> measure_cut(DeviceBench& bench, double seconds) {
  constexpr int kNodes = (kCuts + 1) * kNodesOfSegment;
  BenchGraph graph(bench, kNodes);
  ggml_tensor* x = graph.constant(GGML_TYPE_F32, 1, kRow);
  ggml_tensor* other = graph.constant(GGML_TYPE_F32, 1, kRow);
  if (Status status = graph.finish(small_nodes(graph, x, other, kNodes)); !status) {
    return propagate(status.error());
  }
  const std::span<std::byte> choice = bench.host().first(kChoiceBytes);
  // Whole before and after: a device may become faster meanwhile.
  const auto before = graph.time(seconds);
  if (!before) {
    return propagate(before.error());
  }
  const auto cut = graph.time(seconds, [&] { return compute_cut(bench, graph.graph(), bench.weights(), choice); });
  if (!cut) {
    return propagate(cut.error());
  }
  return graph.time(seconds).map([&](double after) {
    const double whole = (*before + after) / 2;
    // Never less than one more node: nothing is fetched, sent and started in less.
    return std::max((*cut - whole) / kCuts, whole / kNodes);
  });
}

Result<double> measure_attention(DeviceBench& bench, double operation, double seconds) {
  const std::vector<ggml_fp16_t> values(kWidthOfHead, ggml_fp32_to_fp16(0.01F));
  bench.fill(std::as_bytes(std::span(values)));
  const auto layers = static_cast<int>(bench.weight_bytes() / (2 * kKeyCacheBytes));
  if (layers == 0) {
    return 0;
  }
  BenchGraph graph(bench, 2 * layers);
  ggml_context* context = graph.context();
  ggml_tensor* mask = graph.constant(GGML_TYPE_F16, 0, kContext);
  ggml_tensor* x = graph.constant(GGML_TYPE_F32, 0.01F, kWidthOfHead, 1, kQueryHeads);
  for (int layer = 0; layer < layers; ++layer) {
    const uint64_t at = static_cast<uint64_t>(layer) * 2 * kKeyCacheBytes;
    ggml_tensor* keys = graph.weights(GGML_TYPE_F16, at, kWidthOfHead, kContext, kKeyValueHeads);
    ggml_tensor* cached = graph.weights(GGML_TYPE_F16, at + kKeyCacheBytes, kWidthOfHead, kContext, kKeyValueHeads);
    const float scale = 1 / std::sqrt(static_cast<float>(kWidthOfHead));
    ggml_tensor* y = ggml_flash_attn_ext(context, x, keys, cached, mask, scale, 0, 0);
    x = ggml_reshape_3d(context, y, kWidthOfHead, 1, kQueryHeads);
  }
  if (Status status = graph.finish(x); !status) {
    return propagate(status.error());
  }
  if (!graph.supported()) {
    return 0;
  }
  return graph.time(seconds).map([&](double all) {
    return static_cast<double>(kQueryHeads * kWidthOfHead * kContext) / beyond(all / layers, operation);
  });
}

}  // namespace hypura
