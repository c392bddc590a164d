#include "backend/gpu/gpu_device.h"

#include <cstring>

#include "backend/gpu/devices/gpu_list.h"
#include "backend/stream_device.h"
#include "backend/streamed_weights.h"
#include "ggml-cpu.h"
#include "support/fail.h"

namespace hypura {

namespace {

ggml_guid_t gpu_guid() {
  static ggml_guid guid = {0x68, 0x79, 0x70, 0x75, 0x72, 0x61, 0x2d, 0x67,
                           0x70, 0x75, 0x2d, 0x30, 0x30, 0x30, 0x30, 0x31};
  return &guid;
}

template <class Function>
Function function_of(ggml_backend_dev_t device, const char* name) {
  return reinterpret_cast<Function>(ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), name));
}

constexpr const char* kSetThreads = "ggml_backend_set_n_threads";

}  // namespace

// ggml's tables of functions, for GpuDevice.
struct GpuInterface {
  static GpuDevice& of(ggml_backend_dev_t device) { return *static_cast<GpuDevice*>(device->context); }
  static GpuDevice& of(ggml_backend_t backend) { return *static_cast<GpuDevice*>(backend->context); }
  // The backend that really computes, of one of ours or any other.
  static ggml_backend_t unwrapped(ggml_backend_t backend) {
    const bool ours = backend != nullptr && ggml_guid_matches(backend->guid, gpu_guid());
    return ours ? of(backend).stream() : backend;
  }

  // --- backend -----------------------------------------------------------------------------------------------------

  static const char* backend_name(ggml_backend_t backend) { return of(backend).name_.c_str(); }
  static void free_backend(ggml_backend_t backend) { delete backend; }

  static void set_async(ggml_backend_t backend, ggml_tensor* tensor, const void* data, size_t offset, size_t size) {
    const std::lock_guard lock(of(backend).calls_);
    ggml_backend_tensor_set_async(of(backend).stream(), tensor, data, offset, size);
  }
  static void get_async(ggml_backend_t backend, const ggml_tensor* tensor, void* data, size_t offset, size_t size) {
    const std::lock_guard lock(of(backend).calls_);
    ggml_backend_tensor_get_async(of(backend).stream(), tensor, data, offset, size);
  }
  static bool copy_async(ggml_backend_t from, ggml_backend_t to, const ggml_tensor* source, ggml_tensor* tensor) {
    const std::lock_guard lock(of(to).calls_);
    ggml_backend_t inner = of(to).stream();
    return inner->iface.cpy_tensor_async(unwrapped(from), inner, source, tensor);
  }
  static void synchronize(ggml_backend_t backend) {
    const std::lock_guard lock(of(backend).calls_);
    ggml_backend_synchronize(of(backend).stream());
  }
  static void record_event(ggml_backend_t backend, ggml_backend_event_t event) {
    const std::lock_guard lock(of(backend).calls_);
    ggml_backend_event_record(event, of(backend).stream());
  }
  static void wait_for_event(ggml_backend_t backend, ggml_backend_event_t event) {
    const std::lock_guard lock(of(backend).calls_);
    ggml_backend_event_wait(of(backend).stream(), event);
  }
  static void optimize(ggml_backend_t backend, ggml_cgraph* graph, ggml_backend_graph_optimize_params* params) {
    const std::lock_guard lock(of(backend).calls_);
    ggml_backend_t inner = of(backend).stream();
    inner->iface.graph_optimize(inner, graph, params);
  }
  static ggml_status compute(ggml_backend_t backend, ggml_cgraph* graph) {
    const std::lock_guard lock(of(backend).calls_);
    return of(backend).weights_.compute(graph, of(backend).number_);
  }

  // What the inner backend lacks, ours must lack: ggml then does without.
  static ggml_backend_t make_backend(ggml_backend_dev_t device, const char* /*params*/) {
    const ggml_backend_i& inner = of(device).stream()->iface;
    auto* backend = new ggml_backend{};
    backend->guid = gpu_guid();
    backend->device = device;
    backend->context = device->context;
    ggml_backend_i& ours = backend->iface;
    ours.get_name = backend_name;
    ours.free = free_backend;
    ours.graph_compute = compute;
    ours.synchronize = inner.synchronize != nullptr ? synchronize : nullptr;
    ours.set_tensor_async = inner.set_tensor_async != nullptr ? set_async : nullptr;
    ours.get_tensor_async = inner.get_tensor_async != nullptr ? get_async : nullptr;
    ours.cpy_tensor_async = inner.cpy_tensor_async != nullptr ? copy_async : nullptr;
    ours.event_record = inner.event_record != nullptr ? record_event : nullptr;
    ours.event_wait = inner.event_wait != nullptr ? wait_for_event : nullptr;
    ours.graph_optimize = inner.graph_optimize != nullptr ? optimize : nullptr;
    return backend;
  }

  // --- device ------------------------------------------------------------------------------------------------------

  static const char* device_name(ggml_backend_dev_t device) { return of(device).name_.c_str(); }
  static const char* description(ggml_backend_dev_t device) { return ggml_backend_dev_description(of(device).inner_); }
  static void memory(ggml_backend_dev_t device, size_t* free, size_t* total) {
    ggml_backend_dev_memory(of(device).inner_, free, total);
  }
  static enum ggml_backend_dev_type type(ggml_backend_dev_t /*device*/) { return GGML_BACKEND_DEVICE_TYPE_GPU; }
  static void props(ggml_backend_dev_t device, ggml_backend_dev_props* props) {
    ggml_backend_dev_get_props(of(device).inner_, props);
    props->name = device_name(device);
    props->type = GGML_BACKEND_DEVICE_TYPE_GPU;
    props->caps.buffer_from_host_ptr = false;
  }
  static ggml_backend_buffer_type_t buffer_type(ggml_backend_dev_t device) {
    return ggml_backend_dev_buffer_type(of(device).inner_);
  }
  static ggml_backend_buffer_type_t host_buffer_type(ggml_backend_dev_t device) {
    return ggml_backend_dev_host_buffer_type(of(device).inner_);
  }
  static bool supports_op(ggml_backend_dev_t device, const ggml_tensor* op) {
    const StreamedWeights* weights = op->src[0] != nullptr ? stream_owner(op->src[0]) : nullptr;
    // Dense matrices of the processors' layers are copied to the first GPU.
    const bool possible =
        weights == nullptr || op->op == GGML_OP_MUL_MAT_ID || (of(device).number_ == 0 && weights->offloads(op));
    return possible && ggml_backend_dev_supports_op(of(device).inner_, op);
  }
  static bool supports_buffer_type(ggml_backend_dev_t device, ggml_backend_buffer_type_t type) {
    return type->device == device || ggml_backend_dev_supports_buft(of(device).inner_, type);
  }
  static bool offload_op(ggml_backend_dev_t device, const ggml_tensor* op) {
    return ggml_backend_dev_offload_op(of(device).inner_, op);
  }
  static ggml_backend_event_t new_event(ggml_backend_dev_t device) { return ggml_backend_event_new(of(device).inner_); }
  // Events are the inner device's own and go there by themselves.
  static void free_event(ggml_backend_dev_t /*device*/, ggml_backend_event_t event) { ggml_backend_event_free(event); }
  static void synchronize_event(ggml_backend_dev_t /*device*/, ggml_backend_event_t event) {
    ggml_backend_event_synchronize(event);
  }

  static void fill_in(GpuDevice& gpu) {
    ggml_backend_device_i& ours = gpu.device_.iface;
    const ggml_backend_device_i& inner = gpu.inner_->iface;
    ours.get_name = device_name;
    ours.get_description = description;
    ours.get_memory = memory;
    ours.get_type = type;
    ours.get_props = props;
    ours.init_backend = make_backend;
    ours.get_buffer_type = buffer_type;
    ours.get_host_buffer_type = inner.get_host_buffer_type != nullptr ? host_buffer_type : nullptr;
    ours.supports_op = supports_op;
    ours.supports_buft = supports_buffer_type;
    ours.offload_op = inner.offload_op != nullptr ? offload_op : nullptr;
    ours.event_new = inner.event_new != nullptr ? new_event : nullptr;
    ours.event_free = inner.event_new != nullptr ? free_event : nullptr;
    ours.event_synchronize = inner.event_new != nullptr ? synchronize_event : nullptr;
    gpu.device_.reg = &gpu.registry_;
    gpu.device_.context = &gpu;
    gpu.registry_.api_version = GGML_BACKEND_API_VERSION;
    gpu.registry_.iface.get_name = registry_name;
    gpu.registry_.iface.get_device_count = device_count;
    gpu.registry_.iface.get_device = get_device;
    gpu.registry_.iface.get_proc_address = proc_address;
    gpu.registry_.context = &gpu;
  }

  // --- registry entry ----------------------------------------------------------------------------------------------

  static const char* registry_name(ggml_backend_reg_t /*registry*/) { return "Hypura GPU"; }
  static size_t device_count(ggml_backend_reg_t /*registry*/) { return 1; }
  static ggml_backend_dev_t get_device(ggml_backend_reg_t registry, size_t /*index*/) {
    return static_cast<GpuDevice*>(registry->context)->device();
  }
  static void set_threads(ggml_backend_t backend, int threads) {
    const std::lock_guard lock(of(backend).calls_);
    function_of<ggml_backend_set_n_threads_t>(of(backend).inner_, kSetThreads)(of(backend).stream(), threads);
  }
  static void* proc_address(ggml_backend_reg_t registry, const char* name) {
    ggml_backend_dev_t inner = static_cast<GpuDevice*>(registry->context)->inner_;
    const bool has_threads = std::strcmp(name, kSetThreads) == 0 && function_of<void*>(inner, name) != nullptr;
    return has_threads ? reinterpret_cast<void*>(set_threads) : nullptr;
  }
};

GpuDevice::GpuDevice(ggml_backend_dev_t inner, StreamedWeights& weights, const Place& place)
    : inner_(inner),
      in_ram_(hypura::computes_in_ram(inner)),
      weights_(weights),
      name_(std::string("Hypura_") + ggml_backend_dev_name(inner)),
      calls_(place.calls),
      number_(place.number) {
  GpuInterface::fill_in(*this);
}

Result<std::unique_ptr<GpuDevice>> GpuDevice::create(ggml_backend_dev_t inner, StreamedWeights& weights,
                                                     const Place& place) {
  std::unique_ptr<GpuDevice> gpu(new GpuDevice(inner, weights, place));
  ggml_backend_dev_props props{};
  ggml_backend_dev_get_props(inner, &props);
  gpu->stream_.reset(ggml_backend_dev_init(inner, nullptr));
  const bool overlaps = props.caps.async && props.caps.events && !gpu->in_ram_;
  if (overlaps) {
    gpu->copies_.reset(ggml_backend_dev_init(inner, nullptr));
  }
  if (gpu->stream_ == nullptr || (overlaps && gpu->copies_ == nullptr)) {
    return fail(ErrorCode::kInternal, "ggml could not start {}", props.name);
  }
  return gpu;
}

void GpuDevice::set_threadpool(ggml_threadpool* pool) {
  const auto set = function_of<decltype(&ggml_backend_cpu_set_threadpool)>(inner_, "ggml_backend_cpu_set_threadpool");
  if (set != nullptr) {
    set(stream(), pool);
  }
}

}  // namespace hypura
