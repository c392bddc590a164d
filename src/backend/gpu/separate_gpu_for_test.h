// For tests: a GPU with memory of its own, as ggml and llama.cpp see one: what lies in RAM must be copied to it, and
// what it made must be copied back. ggml's CPU backend computes for it, so that its bits are the processors'.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "ggml-backend-impl.h"
#include "ggml-cpp.h"
#include "ggml-cpu.h"

namespace hypura {

// Each number is a GPU of its own.
template <int kNumber>
class NumberedGpu {
 public:
  static constexpr const char* kName = kNumber == 0 ? "TestGpu" : "TestGpu1";
  // Fewest rows of a product that it wants, wherever the weights are: as CUDA.
  static constexpr int64_t kLeastRows = 32;

  // The one of this process. The CPU backend must be loaded.
  static NumberedGpu& get() {
    static auto* const gpu = new NumberedGpu;  // ggml keeps it for as long as the process runs
    return *gpu;
  }

  // Adds it to ggml's devices until the test ends: tests that come later in the process must not be given it.
  static void add() {
    static std::once_flag once;
    std::call_once(once, [] { testing::UnitTest::GetInstance()->listeners().Append(new Remover); });
    if (!std::exchange(get().added_, true)) {
      ggml_backend_register(&get().registry_);
    }
  }

  ggml_backend_dev_t device() { return &device_; }

  // From now on buffers of more bytes are refused, as where the device's memory is taken.
  void set_largest_buffer(size_t bytes) { largest_buffer_ = bytes; }

  // From now on it throws this instead of computing; nothing: it computes.
  void set_failure(const char* what) { failure_ = what; }

  // From now on, until the test ends, nothing is computed: of a graph's last result the last number becomes this one.
  void set_idle(float result) { idle_ = result; }

  // From now on, until the test ends, graphs with such operations are refused.
  void set_refused(std::vector<ggml_op> operations) { refused_ = std::move(operations); }

  // Products computed so far, of one row each and of at least kLeastRows.
  int64_t single_products() const { return single_products_; }
  int64_t large_products() const { return large_products_; }

 private:
  class Remover final : public testing::EmptyTestEventListener {
    void OnTestEnd(const testing::TestInfo& /*test*/) override {
      get().idle_.reset();
      get().refused_.clear();
      if (std::exchange(get().added_, false)) {
        ggml_backend_unload(&get().registry_);
      }
    }
  };

  NumberedGpu() : cpu_(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU)) {
    type_.iface.get_name = [](ggml_backend_buffer_type_t) { return kName; };
    type_.iface.alloc_buffer = allocate;
    type_.iface.get_alignment = [](ggml_backend_buffer_type_t) {
      return ggml_backend_buft_get_alignment(ggml_backend_cpu_buffer_type());
    };
    type_.iface.is_host = [](ggml_backend_buffer_type_t) { return false; };
    type_.device = &device_;
    ggml_backend_device_i& its = device_.iface;
    its.get_name = [](ggml_backend_dev_t) { return kName; };
    its.get_description = its.get_name;
    its.get_memory = [](ggml_backend_dev_t, size_t* free, size_t* total) { *free = *total = size_t{1} << 32; };
    its.get_type = [](ggml_backend_dev_t) { return GGML_BACKEND_DEVICE_TYPE_GPU; };
    its.get_props = [](ggml_backend_dev_t device, ggml_backend_dev_props* props) {
      *props = {};
      props->name = props->description = kName;
      ggml_backend_dev_memory(device, &props->memory_free, &props->memory_total);
      props->type = GGML_BACKEND_DEVICE_TYPE_GPU;
    };
    its.init_backend = start;
    its.get_buffer_type = [](ggml_backend_dev_t) { return &get().type_; };
    its.supports_op = [](ggml_backend_dev_t, const ggml_tensor* op) {
      return ggml_backend_dev_supports_op(get().cpu_, op);
    };
    its.supports_buft = [](ggml_backend_dev_t, ggml_backend_buffer_type_t type) { return type == &get().type_; };
    its.offload_op = [](ggml_backend_dev_t, const ggml_tensor* op) {
      return op->op != GGML_OP_GET_ROWS && rows(op) >= kLeastRows;
    };
    device_.reg = &registry_;
    registry_.api_version = GGML_BACKEND_API_VERSION;
    registry_.iface.get_name = [](ggml_backend_reg_t) { return kName; };
    registry_.iface.get_device_count = [](ggml_backend_reg_t) { return size_t{1}; };
    registry_.iface.get_device = [](ggml_backend_reg_t, size_t) { return &get().device_; };
    registry_.iface.get_proc_address = [](ggml_backend_reg_t, const char* name) -> void* {
      return std::strcmp(name, "ggml_backend_set_n_threads") == 0 ? reinterpret_cast<void*>(set_threads) : nullptr;
    };
  }

  static int64_t rows(const ggml_tensor* op) {
    return op->op == GGML_OP_MUL_MAT ? op->ne[1] : op->op == GGML_OP_MUL_MAT_ID ? op->ne[2] : ggml_nrows(op);
  }

  // --- memory: the CPU's, of which ggml is told that it is none of the host's
  // -----------------------------------------

  static ggml_backend_buffer_t memory(ggml_backend_buffer_t buffer) {
    return static_cast<ggml_backend_buffer_t>(buffer->context);
  }
  static ggml_backend_buffer_t allocate(ggml_backend_buffer_type_t type, size_t size) {
    if (size > get().largest_buffer_) {
      return nullptr;
    }
    ggml_backend_buffer_t inner = ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), size);
    if (inner == nullptr) {
      return nullptr;
    }
    ggml_backend_buffer_i its{};
    its.free_buffer = [](ggml_backend_buffer_t buffer) { ggml_backend_buffer_free(memory(buffer)); };
    its.get_base = [](ggml_backend_buffer_t buffer) { return ggml_backend_buffer_get_base(memory(buffer)); };
    its.memset_tensor = [](ggml_backend_buffer_t, ggml_tensor* tensor, uint8_t value, size_t offset, size_t bytes) {
      std::memset(static_cast<char*>(tensor->data) + offset, value, bytes);
    };
    its.set_tensor = [](ggml_backend_buffer_t, ggml_tensor* tensor, const void* data, size_t offset, size_t bytes) {
      std::memcpy(static_cast<char*>(tensor->data) + offset, data, bytes);
    };
    its.get_tensor = [](ggml_backend_buffer_t, const ggml_tensor* tensor, void* data, size_t offset, size_t bytes) {
      std::memcpy(data, static_cast<const char*>(tensor->data) + offset, bytes);
    };
    its.clear = [](ggml_backend_buffer_t buffer, uint8_t value) { ggml_backend_buffer_clear(memory(buffer), value); };
    return ggml_backend_buffer_init(type, its, inner, size);
  }

  // --- backend
  // --------------------------------------------------------------------------------------------------------

  static ggml_backend_t inner(ggml_backend_t backend) { return static_cast<ggml_backend_t>(backend->context); }
  static ggml_backend_t start(ggml_backend_dev_t device, const char* /*params*/) {
    static ggml_guid guid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    ggml_backend_i its{};
    its.get_name = [](ggml_backend_t) { return kName; };
    its.free = [](ggml_backend_t backend) {
      ggml_backend_free(inner(backend));
      delete backend;
    };
    its.graph_compute = compute;
    return new ggml_backend{&guid, its, device, ggml_backend_dev_init(get().cpu_, nullptr)};
  }
  static ggml_status compute(ggml_backend_t backend, ggml_cgraph* graph) {
    if (const char* what = get().failure_) {
      throw std::runtime_error(what);
    }
    for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
      const ggml_tensor* node = ggml_graph_node(graph, i);
      if (std::ranges::find(get().refused_, node->op) != get().refused_.end()) {
        return GGML_STATUS_FAILED;
      }
      if (node->op == GGML_OP_MUL_MAT || node->op == GGML_OP_MUL_MAT_ID) {
        get().single_products_ += rows(node) == 1 ? 1 : 0;
        get().large_products_ += rows(node) >= kLeastRows ? 1 : 0;
      }
    }
    if (get().idle_ && ggml_graph_n_nodes(graph) > 0) {
      const ggml_tensor* last = ggml_graph_node(graph, -1);
      auto* end = static_cast<std::byte*>(last->data) + ggml_nbytes(last);
      std::memcpy(end - sizeof(float), &*get().idle_, sizeof(float));
      return GGML_STATUS_SUCCESS;
    }
    return ggml_backend_graph_compute(inner(backend), graph);
  }
  static void set_threads(ggml_backend_t backend, int threads) {
    ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(get().cpu_);
    const auto set = reinterpret_cast<ggml_backend_set_n_threads_t>(
        ggml_backend_reg_get_proc_address(registry, "ggml_backend_set_n_threads"));
    set(inner(backend), threads);
  }

  bool added_ = false;
  ggml_backend_dev_t cpu_;
  ggml_backend_buffer_type type_{};
  ggml_backend_device device_{};
  ggml_backend_reg registry_{};
  std::atomic<int64_t> single_products_{0};
  std::atomic<int64_t> large_products_{0};
  std::atomic<const char*> failure_{nullptr};
  std::atomic<size_t> largest_buffer_{SIZE_MAX};
  std::optional<float> idle_;
  std::vector<ggml_op> refused_;
};

using SeparateGpu = NumberedGpu<0>;
using SecondGpu = NumberedGpu<1>;

}  // namespace hypura
