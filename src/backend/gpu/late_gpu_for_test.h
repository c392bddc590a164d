// For tests: a GPU with memory of its own that copies and computes whenever it likes, as ggml allows it to: what was
// begun on a backend runs at once, or not before something waits for it. Which of the two is drawn, alike in each run.
// So bytes that are given away too early, or used without waiting for them, show. ggml's CPU backend computes for it.
//
// Another has no memory but the machine's, copies nothing by itself and has no events, as Metal is used.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ggml-backend-impl.h"
#include "ggml-cpp.h"
#include "ggml-cpu.h"

namespace hypura {

class LateGpu {
 public:
  // The one with memory of its own, and the one without. The CPU backend must be loaded. They live for as long as
  // the process runs.
  static LateGpu& get() {
    static auto* const gpu = new LateGpu("LateGpu", false);
    return *gpu;
  }
  static LateGpu& in_ram() {
    static auto* const gpu = new LateGpu("InRamGpu", true);
    return *gpu;
  }

  // Adds it to ggml's devices, and takes it away again: tests that come later in the process must not be given it. Not
  // while it is used.
  void add() {
    if (!added_) {
      ggml_backend_register(&registry_);
      added_ = true;
    }
  }
  void remove() {
    if (added_) {
      ggml_backend_unload(&registry_);
      added_ = false;
    }
  }

  ggml_backend_dev_t device() { return &device_; }

  // The fewest and the most rows of a product with experts since the last call.
  std::pair<int64_t, int64_t> take_rows() { return std::exchange(rows_, kNoRows); }

  // Whether a product had a token with one expert twice, since the last call: kernels of GPUs need not bear it.
  bool take_repeats() { return repeats_.exchange(false); }

  // From now on nothing runs before something waits for it; or what is drawn, as before.
  void set_idle(bool idle) { idle_ = idle; }

  // What it was given and has not run.
  int64_t pending() const { return pending_; }

  // From now on who waits for it waits so long at least.
  void set_wait(std::chrono::microseconds wait) { wait_ = wait; }

 private:
  // What a backend was given and has not run.
  struct Stream {
    Stream(ggml_backend_t backend, const std::atomic<bool>& is_idle, std::atomic<int64_t>& all_pending)
        : cpu(backend), idle(is_idle), pending(all_pending) {}

    ggml_backend_ptr cpu;
    const std::atomic<bool>& idle;
    std::atomic<int64_t>& pending;
    std::deque<std::function<void()>> work;
    uint64_t begun = 0;
    uint64_t done = 0;
    std::minstd_rand random;

    void begin(std::function<void()> it) {
      work.push_back(std::move(it));
      ++begun;
      ++pending;
      if (!idle && random() % 2 == 0) {
        run_until(begun);
      }
    }
    void run_until(uint64_t number) {
      while (done < number) {
        const std::function<void()> next = std::move(work.front());
        work.pop_front();
        ++done;
        --pending;
        next();
      }
    }
  };
  struct Mark {
    Stream* stream = nullptr;
    uint64_t number = 0;
    void wait() const {
      if (stream != nullptr) {
        stream->run_until(number);
      }
    }
  };

  static LateGpu& of(ggml_backend_dev_t device) { return *static_cast<LateGpu*>(device->context); }
  static LateGpu& of(ggml_backend_t backend) { return of(backend->device); }
  static LateGpu& of(ggml_backend_reg_t registry) { return *static_cast<LateGpu*>(registry->context); }

  LateGpu(const char* name, bool in_ram)
      : cpu_(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU)), name_(name), in_ram_(in_ram) {
    set_up_memory();
    device_.context = this;
    registry_.context = this;
    ggml_backend_device_i& its = device_.iface;
    its.get_name = [](ggml_backend_dev_t device) { return of(device).name_; };
    its.get_description = its.get_name;
    its.get_memory = [](ggml_backend_dev_t, size_t* free, size_t* total) { *free = *total = size_t{1} << 32; };
    its.get_type = [](ggml_backend_dev_t) { return GGML_BACKEND_DEVICE_TYPE_GPU; };
    its.get_props = [](ggml_backend_dev_t device, ggml_backend_dev_props* props) {
      *props = {};
      props->name = props->description = of(device).name_;
      ggml_backend_dev_memory(device, &props->memory_free, &props->memory_total);
      props->type = GGML_BACKEND_DEVICE_TYPE_GPU;
      props->caps.async = props->caps.events = !of(device).in_ram_;
      props->caps.buffer_from_host_ptr = of(device).in_ram_;
    };
    its.init_backend = start;
    its.get_buffer_type = [](ggml_backend_dev_t device) { return &of(device).type_; };
    its.supports_op = [](ggml_backend_dev_t device, const ggml_tensor* op) {
      return ggml_backend_dev_supports_op(of(device).cpu_, op);
    };
    its.supports_buft = [](ggml_backend_dev_t device, ggml_backend_buffer_type_t type) {
      return type == &of(device).type_;
    };
    device_.reg = &registry_;
    registry_.api_version = GGML_BACKEND_API_VERSION;
    registry_.iface.get_name = [](ggml_backend_reg_t registry) { return of(registry).name_; };
    registry_.iface.get_device_count = [](ggml_backend_reg_t) { return size_t{1}; };
    registry_.iface.get_device = [](ggml_backend_reg_t registry, size_t) { return &of(registry).device_; };
    registry_.iface.get_proc_address = [](ggml_backend_reg_t, const char* function) -> void* {
      return std::strcmp(function, "ggml_backend_set_n_threads") == 0 ? reinterpret_cast<void*>(set_threads) : nullptr;
    };
    if (in_ram) {
      its.buffer_from_host_ptr = [](ggml_backend_dev_t device, void* data, size_t size, size_t) {
        return wrapped(&of(device).type_, ggml_backend_cpu_buffer_from_ptr(data, size));
      };
      return;
    }
    its.event_new = [](ggml_backend_dev_t device) { return new ggml_backend_event{device, new Mark}; };
    its.event_free = [](ggml_backend_dev_t, ggml_backend_event_t event) {
      delete &mark(event);
      delete event;
    };
    its.event_synchronize = [](ggml_backend_dev_t, ggml_backend_event_t event) { mark(event).wait(); };
  }

  // --- memory: the CPU's, of which ggml is told that it is none of the host's ---

  static ggml_backend_buffer_t memory(ggml_backend_buffer_t buffer) {
    return static_cast<ggml_backend_buffer_t>(buffer->context);
  }
  void set_up_memory() {
    type_.iface.get_name = [](ggml_backend_buffer_type_t type) { return of(type->device).name_; };
    type_.iface.alloc_buffer = allocate;
    type_.iface.get_alignment = [](ggml_backend_buffer_type_t) {
      return ggml_backend_buft_get_alignment(ggml_backend_cpu_buffer_type());
    };
    type_.iface.is_host = [](ggml_backend_buffer_type_t) { return false; };
    type_.device = &device_;
  }
  static ggml_backend_buffer_t allocate(ggml_backend_buffer_type_t type, size_t size) {
    return wrapped(type, ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), size));
  }
  static ggml_backend_buffer_t wrapped(ggml_backend_buffer_type_t type, ggml_backend_buffer_t inner) {
    ggml_backend_buffer_i its{};
    its.free_buffer = [](ggml_backend_buffer_t buffer) { ggml_backend_buffer_free(memory(buffer)); };
    its.get_base = [](ggml_backend_buffer_t buffer) { return ggml_backend_buffer_get_base(memory(buffer)); };
    its.set_tensor = [](ggml_backend_buffer_t, ggml_tensor* tensor, const void* data, size_t offset, size_t bytes) {
      std::memcpy(static_cast<char*>(tensor->data) + offset, data, bytes);
    };
    its.get_tensor = [](ggml_backend_buffer_t, const ggml_tensor* tensor, void* data, size_t offset, size_t bytes) {
      std::memcpy(data, static_cast<const char*>(tensor->data) + offset, bytes);
    };
    its.clear = [](ggml_backend_buffer_t buffer, uint8_t value) { ggml_backend_buffer_clear(memory(buffer), value); };
    return inner == nullptr ? nullptr : ggml_backend_buffer_init(type, its, inner, ggml_backend_buffer_get_size(inner));
  }

  // --- backend ---

  static Stream& stream(ggml_backend_t backend) { return *static_cast<Stream*>(backend->context); }
  static Mark& mark(ggml_backend_event_t event) { return *static_cast<Mark*>(event->context); }

  static ggml_backend_t start(ggml_backend_dev_t device, const char* /*params*/) {
    static ggml_guid guid = {2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};
    ggml_backend_i its{};
    its.get_name = [](ggml_backend_t backend) { return of(backend).name_; };
    its.free = [](ggml_backend_t backend) {
      finish(backend);
      delete &stream(backend);
      delete backend;
    };
    its.synchronize = finish;
    its.graph_compute = compute;
    if (!of(device).in_ram_) {
      add_copies(its);
    }
    return new ggml_backend{
        &guid, its, device,
        new Stream(ggml_backend_dev_init(of(device).cpu_, nullptr), of(device).idle_, of(device).pending_)};
  }
  static void add_copies(ggml_backend_i& its) {
    its.set_tensor_async = [](ggml_backend_t backend, ggml_tensor* tensor, const void* data, size_t offset,
                              size_t bytes) {
      char* to = static_cast<char*>(tensor->data) + offset;
      stream(backend).begin([=] { std::memcpy(to, data, bytes); });
    };
    its.get_tensor_async = [](ggml_backend_t backend, const ggml_tensor* tensor, void* data, size_t offset,
                              size_t bytes) {
      const char* from = static_cast<const char*>(tensor->data) + offset;
      stream(backend).begin([=] { std::memcpy(data, from, bytes); });
    };
    its.cpy_tensor_async = [](ggml_backend_t from, ggml_backend_t to, const ggml_tensor* source, ggml_tensor* tensor) {
      const void* data = source->data;
      void* place = tensor->data;
      const size_t bytes = ggml_nbytes(source);
      if (from == to) {
        stream(to).begin([=] { std::memcpy(place, data, bytes); });
      }
      return from == to;
    };
    its.event_record = [](ggml_backend_t backend, ggml_backend_event_t event) {
      mark(event) = {&stream(backend), stream(backend).begun};
    };
    its.event_wait = [](ggml_backend_t backend, ggml_backend_event_t event) {
      const Mark awaited = mark(event);
      stream(backend).begin([=] { awaited.wait(); });
    };
  }
  static void finish(ggml_backend_t backend) {
    stream(backend).run_until(stream(backend).begun);
    if (const auto wait = of(backend).wait_.load(); wait.count() > 0) {
      std::this_thread::sleep_for(wait);
    }
  }

  // The graph as it is now, whatever becomes of it: its nodes and all that they use, copied.
  struct Snapshot {
    std::deque<ggml_tensor> tensors;
    std::unordered_map<const ggml_tensor*, ggml_tensor*> copies;
    ggml_context_ptr context;
    ggml_cgraph* graph = nullptr;

    ggml_tensor* copy_of(ggml_tensor* original) {
      if (original == nullptr) {
        return nullptr;
      }
      ggml_tensor*& copy = copies[original];
      if (copy == nullptr) {
        copy = &tensors.emplace_back(*original);
      }
      return copy;
    }
  };
  static ggml_status compute(ggml_backend_t backend, ggml_cgraph* graph) {
    const auto snapshot = std::make_shared<Snapshot>();
    const auto nodes = static_cast<size_t>(ggml_graph_n_nodes(graph));
    snapshot->context.reset(
        ggml_init({ggml_graph_overhead_custom(nodes, false) + ggml_tensor_overhead(), nullptr, true}));
    snapshot->graph = ggml_new_graph_custom(snapshot->context.get(), nodes, false);
    for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
      ggml_tensor* node = snapshot->copy_of(ggml_graph_node(graph, i));
      if (node->op == GGML_OP_MUL_MAT_ID) {
        auto& [fewest, most] = of(backend).rows_;
        fewest = std::min(fewest, node->src[2]->ne[1]);
        most = std::max(most, node->src[2]->ne[1]);
      }
      for (ggml_tensor*& source : node->src) {
        source = snapshot->copy_of(source);
      }
      ggml_graph_add_node(snapshot->graph, node);
    }
    Stream* its = &stream(backend);
    LateGpu* gpu = &of(backend);
    its->begin([its, gpu, snapshot] {
      ggml_backend_graph_compute(its->cpu.get(), snapshot->graph);
      for (int i = 0; i < ggml_graph_n_nodes(snapshot->graph); ++i) {
        gpu->note_repeats(*ggml_graph_node(snapshot->graph, i));
      }
    });
    return GGML_STATUS_SUCCESS;
  }
  void note_repeats(const ggml_tensor& node) {
    const ggml_tensor* ids = node.op == GGML_OP_MUL_MAT_ID ? node.src[2] : nullptr;
    for (int64_t token = 0; ids != nullptr && token < ids->ne[1]; ++token) {
      const auto* chosen = reinterpret_cast<const int32_t*>(static_cast<const std::byte*>(ids->data) +
                                                            static_cast<size_t>(token) * ids->nb[1]);
      std::vector<int32_t> sorted(chosen, chosen + ids->ne[0]);
      std::ranges::sort(sorted);
      if (std::ranges::adjacent_find(sorted) != sorted.end()) {
        repeats_ = true;
      }
    }
  }
  static void set_threads(ggml_backend_t backend, int threads) {
    ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(of(backend).cpu_);
    const auto set = reinterpret_cast<ggml_backend_set_n_threads_t>(
        ggml_backend_reg_get_proc_address(registry, "ggml_backend_set_n_threads"));
    set(stream(backend).cpu.get(), threads);
  }

  ggml_backend_dev_t cpu_;
  const char* name_;
  bool in_ram_;
  bool added_ = false;
  static constexpr std::pair<int64_t, int64_t> kNoRows = {INT64_MAX, 0};
  std::pair<int64_t, int64_t> rows_ = kNoRows;
  std::atomic<bool> repeats_{false};
  std::atomic<bool> idle_{false};
  std::atomic<int64_t> pending_{0};
  std::atomic<std::chrono::microseconds> wait_{std::chrono::microseconds(0)};
  ggml_backend_buffer_type type_{};
  ggml_backend_device device_{};
  ggml_backend_reg registry_{};
};

}  // namespace hypura
