#include "backend/stream_device.h"

#include <cstring>
#include <mutex>

#include "backend/streamed_weights.h"
#include "storage/reader.h"
#include "support/memory/memory_region.h"

namespace hypura {

namespace {

ggml_backend_device stream_device;
ggml_backend_reg stream_registry;

StreamedWeights* owner(ggml_backend_buffer_type_t type) {
  return static_cast<StreamedWeights*>(type->context);
}

// --- buffers -------------------------------------------------------------------------------------------------------

struct BufferMemory {
  MemoryRegion region;
};

// llama.cpp takes types of the same name for the same: each GPU's has another.
const char* stream_type_name(ggml_backend_buffer_type_t type) {
  return type->device == &stream_device ? "Hypura_stream" : ggml_backend_dev_name(type->device);
}
const char* resident_type_name(ggml_backend_buffer_type_t /*type*/) {
  return "Hypura_resident";
}

void free_buffer(ggml_backend_buffer_t buffer) {
  delete static_cast<BufferMemory*>(buffer->context);
}
void* buffer_base(ggml_backend_buffer_t buffer) {
  return static_cast<BufferMemory*>(buffer->context)->region.data();
}

ggml_status init_stream_tensor(ggml_backend_buffer_t buffer, ggml_tensor* tensor) {
  owner(buffer->buft)->place_stream(tensor);
  return GGML_STATUS_SUCCESS;
}
ggml_status init_resident_tensor(ggml_backend_buffer_t buffer, ggml_tensor* tensor) {
  owner(buffer->buft)->place_resident(tensor);
  return GGML_STATUS_SUCCESS;
}

// llama.cpp's loader sets tensors from a file that it was told to skip: the data is not real (see virtual_file.h).
void ignore_set(ggml_backend_buffer_t /*buffer*/, ggml_tensor* /*tensor*/, const void* /*data*/, size_t /*offset*/,
                size_t /*size*/) {}
void ignore_memset(ggml_backend_buffer_t /*buffer*/, ggml_tensor* /*tensor*/, uint8_t /*value*/, size_t /*offset*/,
                   size_t /*size*/) {}
void ignore_clear(ggml_backend_buffer_t /*buffer*/, uint8_t /*value*/) {}

void get_stream_tensor(ggml_backend_buffer_t buffer, const ggml_tensor* tensor, void* data, size_t offset,
                       size_t size) {
  owner(buffer->buft)->read_tensor(tensor, data, offset, size);
}
void get_resident_tensor(ggml_backend_buffer_t /*buffer*/, const ggml_tensor* tensor, void* data, size_t offset,
                         size_t size) {
  std::memcpy(data, static_cast<const std::byte*>(tensor->data) + offset, size);
}

ggml_backend_buffer_t make_buffer(ggml_backend_buffer_type_t type, size_t size, Result<MemoryRegion> region,
                                  decltype(&init_stream_tensor) init, decltype(&get_stream_tensor) get) {
  if (!region) {
    return nullptr;
  }
  ggml_backend_buffer_i interface {};
  interface.free_buffer = free_buffer;
  interface.get_base = buffer_base;
  interface.init_tensor = init;
  interface.memset_tensor = ignore_memset;
  interface.set_tensor = ignore_set;
  interface.get_tensor = get;
  interface.clear = ignore_clear;
  return ggml_backend_buffer_init(type, interface, new BufferMemory{std::move(*region)}, size);
}

ggml_backend_buffer_t alloc_stream_buffer(ggml_backend_buffer_type_t type, size_t size) {
  return make_buffer(type, size, MemoryRegion::reserve(size), init_stream_tensor, get_stream_tensor);
}
ggml_backend_buffer_t alloc_resident_buffer(ggml_backend_buffer_type_t type, size_t size) {
  return make_buffer(type, size, MemoryRegion::allocate(size), init_resident_tensor, get_resident_tensor);
}

size_t buffer_alignment(ggml_backend_buffer_type_t /*type*/) {
  return kDirectAlignment;
}

// Enough to begin as far into a block as on disk, and for the rest of the last block.
size_t resident_alloc_size(ggml_backend_buffer_type_t /*type*/, const ggml_tensor* tensor) {
  return ggml_nbytes(tensor) + 2 * kDirectAlignment;
}

bool resident_is_host(ggml_backend_buffer_type_t /*type*/) {
  return true;
}
bool stream_is_host(ggml_backend_buffer_type_t type) {
  return owner(type)->loading();
}

bool is_stream_type(ggml_backend_buffer_type_t type) {
  return type->iface.get_name == stream_type_name;
}

// --- which operations are ours
// ----------------------------------------------------------------------------------------

// Whether `tensor` is computed from a streamed matrix product by row operations alone; depth bounds the search.
const ggml_tensor* streamed_origin(const ggml_tensor* tensor, int depth) {
  if (tensor == nullptr || depth == 0) {
    return nullptr;
  }
  if (is_streamed_matmul(tensor)) {
    return tensor;
  }
  if (tensor->op == GGML_OP_VIEW) {
    return streamed_origin(tensor->view_src, depth - 1);
  }
  if (!is_row_op(tensor)) {
    return nullptr;
  }
  const ggml_tensor* first = streamed_origin(tensor->src[0], depth - 1);
  const bool pair = tensor->op == GGML_OP_MUL;  // only between two of ours: `mul` by anything else is llama.cpp's own
  return pair && streamed_origin(tensor->src[1], depth - 1) == nullptr ? nullptr : first;
}

constexpr int kOriginDepth = 8;

bool supports_op(ggml_backend_dev_t /*dev*/, const ggml_tensor* op) {
  if (op->op == GGML_OP_NONE) {
    return stream_owner(op) != nullptr;
  }
  if (is_streamed_lookup(op)) {
    return op->src[0]->buffer->buft->device == &stream_device;
  }
  const ggml_tensor* origin = op->op == GGML_OP_VIEW ? nullptr : streamed_origin(op, kOriginDepth);
  const bool ours = origin != nullptr && origin->src[0]->buffer->buft->device == &stream_device;  // and not a GPU's
  return ours && !stream_owner(origin->src[0])->offloads(origin);
}

bool supports_buffer_type(ggml_backend_dev_t /*dev*/, ggml_backend_buffer_type_t type) {
  return is_stream_type(type) ? type->device == &stream_device : ggml_backend_buft_is_host(type);
}

// --- backend
// -----------------------------------------------------------------------------------------------------------

const char* backend_name(ggml_backend_t /*backend*/) {
  return "Hypura";
}
void free_backend(ggml_backend_t backend) {
  delete backend;
}

ggml_status graph_compute(ggml_backend_t /*backend*/, ggml_cgraph* graph) {
  for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
    const ggml_tensor* node = ggml_graph_node(graph, i);
    const ggml_tensor* origin = is_streamed_lookup(node) ? node : streamed_origin(node, kOriginDepth);
    if (origin != nullptr) {
      return stream_owner(origin->src[0])->compute(graph);
    }
  }
  return GGML_STATUS_SUCCESS;  // views only
}

ggml_guid_t backend_guid() {
  static ggml_guid guid = {0x68, 0x79, 0x70, 0x75, 0x72, 0x61, 0x2d, 0x73,
                           0x74, 0x72, 0x65, 0x61, 0x6d, 0x2d, 0x30, 0x31};
  return &guid;
}

ggml_backend_t init_backend(ggml_backend_dev_t dev, const char* /*params*/) {
  auto* backend = new ggml_backend{};
  backend->guid = backend_guid();
  backend->iface.get_name = backend_name;
  backend->iface.free = free_backend;
  backend->iface.graph_compute = graph_compute;
  backend->device = dev;
  return backend;
}

// --- device and registry
// -----------------------------------------------------------------------------------------------

const char* device_name(ggml_backend_dev_t /*dev*/) {
  return "Hypura";
}
const char* device_description(ggml_backend_dev_t /*dev*/) {
  return "weights streamed from disk";
}
void device_memory(ggml_backend_dev_t /*dev*/, size_t* free, size_t* total) {
  *free = *total = 0;
}
enum ggml_backend_dev_type device_type(ggml_backend_dev_t /*dev*/) {
  return GGML_BACKEND_DEVICE_TYPE_ACCEL;
}

void device_props(ggml_backend_dev_t dev, ggml_backend_dev_props* props) {
  *props = {};
  props->name = device_name(dev);
  props->description = device_description(dev);
  props->type = device_type(dev);
}

// The CPU's, so that nothing is put into a stream buffer by default.
ggml_backend_buffer_type_t default_buffer_type(ggml_backend_dev_t /*dev*/) {
  return ggml_backend_cpu_buffer_type();
}

const char* registry_name(ggml_backend_reg_t /*reg*/) {
  return "Hypura";
}
size_t device_count(ggml_backend_reg_t /*reg*/) {
  return 1;
}
ggml_backend_dev_t get_device(ggml_backend_reg_t /*reg*/, size_t /*index*/) {
  return &stream_device;
}
void* no_proc_address(ggml_backend_reg_t /*reg*/, const char* /*name*/) {
  return nullptr;
}

}  // namespace

void register_stream_device() {
  static std::once_flag once;
  std::call_once(once, [] {
    stream_device.iface.get_name = device_name;
    stream_device.iface.get_description = device_description;
    stream_device.iface.get_memory = device_memory;
    stream_device.iface.get_type = device_type;
    stream_device.iface.get_props = device_props;
    stream_device.iface.init_backend = init_backend;
    stream_device.iface.get_buffer_type = default_buffer_type;
    stream_device.iface.supports_op = supports_op;
    stream_device.iface.supports_buft = supports_buffer_type;
    stream_device.reg = &stream_registry;
    stream_registry.api_version = GGML_BACKEND_API_VERSION;
    stream_registry.iface.get_name = registry_name;
    stream_registry.iface.get_device_count = device_count;
    stream_registry.iface.get_device = get_device;
    stream_registry.iface.get_proc_address = no_proc_address;
    ggml_backend_register(&stream_registry);
  });
}

bool is_stream_device(ggml_backend_dev_t dev) {
  return dev == &stream_device;
}

ggml_backend_buffer_type make_stream_buffer_type(StreamedWeights* weights, ggml_backend_dev_t dev) {
  ggml_backend_buffer_type type{};
  type.iface.get_name = stream_type_name;
  type.iface.alloc_buffer = alloc_stream_buffer;
  type.iface.get_alignment = buffer_alignment;
  type.iface.is_host = stream_is_host;
  type.device = dev == nullptr ? &stream_device : dev;
  type.context = weights;
  return type;
}

ggml_backend_buffer_type make_resident_buffer_type(StreamedWeights* weights) {
  ggml_backend_buffer_type type{};
  type.iface.get_name = resident_type_name;
  type.iface.alloc_buffer = alloc_resident_buffer;
  type.iface.get_alignment = buffer_alignment;
  type.iface.get_alloc_size = resident_alloc_size;
  type.iface.is_host = resident_is_host;
  type.device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  type.context = weights;
  return type;
}

StreamedWeights* stream_owner(const ggml_tensor* tensor) {
  ggml_backend_buffer_t buffer = tensor->view_src != nullptr ? tensor->view_src->buffer : tensor->buffer;
  return buffer != nullptr && is_stream_type(buffer->buft) ? owner(buffer->buft) : nullptr;
}

bool is_row_op(const ggml_tensor* op) {
  switch (op->op) {
    case GGML_OP_GLU:
    case GGML_OP_UNARY:
    case GGML_OP_CLAMP:
    case GGML_OP_SCALE:
    case GGML_OP_SQR:
    case GGML_OP_ADD_ID:
    case GGML_OP_MUL:
      return true;
    default:
      return false;
  }
}

namespace {

// What the first source of `op` is; nullptr when it is not streamed, or is a part of something.
const StreamedTensor* streamed_weight(const ggml_tensor* op) {
  const StreamedWeights* weights = op->src[0]->view_src == nullptr ? stream_owner(op->src[0]) : nullptr;
  return weights == nullptr ? nullptr : weights->find(op->src[0]);
}

}  // namespace

// By a table that is no matrix of ours llama.cpp multiplies itself, with a copy: none of its models is known to.
bool is_streamed_matmul(const ggml_tensor* op) {
  const bool product = op->op == GGML_OP_MUL_MAT || op->op == GGML_OP_MUL_MAT_ID;
  const StreamedTensor* weight = product ? streamed_weight(op) : nullptr;
  return weight != nullptr && (weight->expert || weight->items > 0);
}

bool is_streamed_lookup(const ggml_tensor* op) {
  const StreamedTensor* weight = op->op == GGML_OP_GET_ROWS ? streamed_weight(op) : nullptr;
  return weight != nullptr && weight->table >= 0;
}

}  // namespace hypura
