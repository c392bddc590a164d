#include "backend/remote_layers.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "backend/remote_graph.h"
#include "support/elapsed.h"
#include "support/fail.h"
#include "support/log.h"
#include "support/memory/memory_region.h"
#include "support/units.h"
#include "tiers/store_stats.h"

namespace hypura {

namespace {

constexpr std::chrono::milliseconds kPatience{10'000};
constexpr std::chrono::milliseconds kPatienceWithNew{300'000};  // a graph, before it is known how long one takes
constexpr std::chrono::milliseconds kMostPatience{600'000};
constexpr double kTimesExpected = 20;

constexpr size_t kAlignment = 64;

constexpr std::string_view kSharedWeights = "rope_";

ggml_guid_t layers_guid() {
  static ggml_guid guid = {0x68, 0x79, 0x70, 0x75, 0x72, 0x61, 0x2d, 0x6c,
                           0x61, 0x79, 0x65, 0x72, 0x73, 0x2d, 0x30, 0x31};
  return &guid;
}

}  // namespace

// ggml's tables of functions, for RemoteLayers.
struct RemoteLayersInterface {
  static RemoteLayers& of(ggml_backend_buffer_type_t type) { return *static_cast<RemoteLayers*>(type->context); }
  static RemoteLayers& of(ggml_backend_dev_t device) { return *static_cast<RemoteLayers*>(device->context); }
  static RemoteLayers& of(ggml_backend_buffer_t buffer) { return of(buffer->buft); }
  static RemoteBuffer& memory(ggml_backend_buffer_t buffer) { return *static_cast<RemoteBuffer*>(buffer->context); }

  // --- buffers -----------------------------------------------------------------------------------------------------

  static void free_buffer(ggml_backend_buffer_t buffer) {
    const std::unique_ptr<RemoteBuffer> its(&memory(buffer));
    RemoteLayers& layers = of(buffer);
    if (its->memory.buffer != 0 && !layers.lost()) {
      if (const Status released = layers.session_.release(its->memory); !released) {
        layers.lose(released.error().message);
      }
    }
  }
  static void* base(ggml_backend_buffer_t buffer) { return memory(buffer).base(); }

  // What is the same in all layers (the rotation's factors) llama.cpp's loader reads for each device that has layers:
  // it cannot be told to leave out one of them. These few bytes are memory, and read by nobody.
  static ggml_status place(ggml_backend_buffer_t buffer, ggml_tensor* tensor) {
    RemoteBuffer& its = memory(buffer);
    if (its.memory.buffer != 0 || !std::string_view(tensor->name).starts_with(kSharedWeights)) {
      return GGML_STATUS_SUCCESS;
    }
    const auto offset = static_cast<uint64_t>(static_cast<std::byte*>(tensor->data) - its.addresses.data());
    return its.addresses.make_memory(offset, ggml_nbytes(tensor)) ? GGML_STATUS_SUCCESS : GGML_STATUS_ALLOC_FAILED;
  }

  static void set(ggml_backend_buffer_t buffer, ggml_tensor* tensor, const void* data, size_t offset, size_t size) {
    const RemoteBuffer& its = memory(buffer);
    RemoteLayers& layers = of(buffer);
    if (its.memory.buffer == 0 || layers.lost()) {  // a weight; or the next graph says that it is lost
      return;
    }
    layers.got_.clear();
    const RemoteBytes to = {its.memory.buffer, reinterpret_cast<uint64_t>(tensor->data) + offset};
    if (const Status sent = layers.session_.set(to, {static_cast<const std::byte*>(data), size}); !sent) {
      layers.lose(sent.error().message);
    }
  }
  static void fill(ggml_backend_buffer_t buffer, ggml_tensor* tensor, uint8_t value, size_t offset, size_t size) {
    const std::vector<uint8_t> bytes(size, value);
    set(buffer, tensor, bytes.data(), offset, size);
  }
  static void get(ggml_backend_buffer_t buffer, const ggml_tensor* tensor, void* data, size_t offset, size_t size) {
    of(buffer).get(*tensor, data, offset, size);
  }
  static void clear(ggml_backend_buffer_t buffer, uint8_t value) {
    const RemoteBuffer& its = memory(buffer);
    RemoteLayers& layers = of(buffer);
    layers.got_.clear();
    if (its.memory.buffer != 0 && !layers.lost()) {
      if (const Status cleared = layers.session_.clear(its.memory, value); !cleared) {
        layers.lose(cleared.error().message);
      }
    }
  }

  static const char* type_name(ggml_backend_buffer_type_t type) { return of(type).device_name_.c_str(); }
  static ggml_backend_buffer_t allocate(ggml_backend_buffer_type_t type, size_t size) {
    return of(type).allocate(size);
  }
  static size_t alignment(ggml_backend_buffer_type_t /*type*/) { return kAlignment; }
  // So that llama.cpp's loader reads into them, of a file that gives it nothing, where it would fill a staging buffer.
  static bool is_host(ggml_backend_buffer_type_t type) { return of(type).loading_; }

  static ggml_backend_buffer_i buffer_functions() {
    ggml_backend_buffer_i ours{};
    ours.free_buffer = free_buffer;
    ours.get_base = base;
    ours.init_tensor = place;
    ours.memset_tensor = fill;
    ours.set_tensor = set;
    ours.get_tensor = get;
    ours.clear = clear;
    return ours;
  }

  // --- backend -----------------------------------------------------------------------------------------------------

  static const char* backend_name(ggml_backend_t backend) { return device_name(backend->device); }
  static void free_backend(ggml_backend_t backend) { delete backend; }
  static ggml_status compute(ggml_backend_t backend, ggml_cgraph* graph) { return of(backend->device).compute(*graph); }
  static ggml_backend_t make_backend(ggml_backend_dev_t device, const char* /*params*/) {
    auto* backend = new ggml_backend{};
    backend->guid = layers_guid();
    backend->device = device;
    backend->iface.get_name = backend_name;
    backend->iface.free = free_backend;
    backend->iface.graph_compute = compute;
    return backend;
  }

  // --- device ------------------------------------------------------------------------------------------------------

  static const char* device_name(ggml_backend_dev_t device) { return of(device).device_name_.c_str(); }
  static const char* description(ggml_backend_dev_t /*device*/) { return "layers computed by a worker"; }
  static void free_memory(ggml_backend_dev_t device, size_t* free, size_t* total) {
    *free = *total = of(device).verdict().peer_memory;
  }
  static enum ggml_backend_dev_type type(ggml_backend_dev_t /*device*/) { return GGML_BACKEND_DEVICE_TYPE_GPU; }
  static void props(ggml_backend_dev_t device, ggml_backend_dev_props* props) {
    *props = {};
    props->name = device_name(device);
    props->description = description(device);
    props->type = type(device);
    free_memory(device, &props->memory_free, &props->memory_total);
  }
  static ggml_backend_buffer_type_t buffer_type(ggml_backend_dev_t device) { return &of(device).type_; }
  static bool supports_op(ggml_backend_dev_t /*device*/, const ggml_tensor* op) { return workers_compute(op->op); }
  static bool supports_type(ggml_backend_dev_t device, ggml_backend_buffer_type_t type) {
    return type == &of(device).type_;
  }

  static const char* registry_name(ggml_backend_reg_t /*registry*/) { return "Hypura workers"; }
  static size_t device_count(ggml_backend_reg_t /*registry*/) { return 1; }
  static ggml_backend_dev_t get_device(ggml_backend_reg_t registry, size_t /*index*/) {
    return static_cast<RemoteLayers*>(registry->context)->device();
  }
  static void* proc_address(ggml_backend_reg_t /*registry*/, const char* /*name*/) { return nullptr; }

  static void fill_in(RemoteLayers& layers) {
    ggml_backend_device_i& ours = layers.device_.iface;
    ours.get_name = device_name;
    ours.get_description = description;
    ours.get_memory = free_memory;
    ours.get_type = type;
    ours.get_props = props;
    ours.init_backend = make_backend;
    ours.get_buffer_type = buffer_type;
    ours.supports_op = supports_op;
    ours.supports_buft = supports_type;
    layers.device_.reg = &layers.registry_;
    layers.device_.context = &layers;
    layers.registry_.api_version = GGML_BACKEND_API_VERSION;
    layers.registry_.iface = {registry_name, device_count, get_device, proc_address};
    layers.registry_.context = &layers;
    layers.type_.iface.get_name = type_name;
    layers.type_.iface.alloc_buffer = allocate;
    layers.type_.iface.get_alignment = alignment;
    layers.type_.iface.is_host = is_host;
    layers.type_.device = &layers.device_;
    layers.type_.context = &layers;
  }
};

RemoteLayers::RemoteLayers(LayersSession session, const std::string& name, uint64_t fingerprint,
                           std::optional<std::chrono::milliseconds> patience)
    : session_(std::move(session)), fingerprint_(fingerprint), patience_(patience), device_name_("Worker " + name) {
  stats_.name = name;
  RemoteLayersInterface::fill_in(*this);
  count_bytes();
}

RemoteLayers::~RemoteLayers() = default;

Result<std::unique_ptr<RemoteLayers>> RemoteLayers::connect(const WorkerAddress& address, const WorkerHello& hello,
                                                            std::optional<std::chrono::milliseconds> patience) {
  auto session = LayersSession::open(address, hello, patience.value_or(kPatience));
  if (!session) {
    return propagate(session.error());
  }
  return std::unique_ptr<RemoteLayers>(
      new RemoteLayers(std::move(*session), to_string(address), hello.identity.fingerprint, patience));
}

Status RemoteLayers::keep(uint32_t first, uint32_t count) {
  std::vector<uint16_t> layers;
  for (uint32_t i = 0; i < count; ++i) {
    layers.push_back(static_cast<uint16_t>(first + i));
  }
  Status told = lost() ? Status(propagate(*lost())) : session_.keep(layers);
  if (!told && !lost()) {
    lose(told.error().message);
  }
  has_layers_ = true;
  stats_.joined = told.has_value();
  count_bytes();
  return told;
}

ggml_backend_buffer_t RemoteLayers::allocate(size_t size) {
  auto buffer = std::make_unique<RemoteBuffer>();
  if (loading_) {
    auto addresses = MemoryRegion::reserve(size);
    if (!addresses) {
      return nullptr;
    }
    buffer->addresses = std::move(*addresses);
  } else {
    const auto memory = lost() ? Result<RemoteMemory>(propagate(*lost())) : session_.allocate(size);
    if (!memory) {
      logger().warn("worker {} gives no {} for keys, values or computing: {}", name(), format_bytes(size),
                    memory.error().message);
      if (memory.error().code != ErrorCode::kBudget) {
        lose(memory.error().message);
      }
      return nullptr;
    }
    buffer->memory = *memory;
  }
  return ggml_backend_buffer_init(&type_, RemoteLayersInterface::buffer_functions(), buffer.release(), size);
}

ggml_status RemoteLayers::compute(const ggml_cgraph& graph) {
  if (ggml_graph_n_nodes(const_cast<ggml_cgraph*>(&graph)) == 0) {
    return GGML_STATUS_SUCCESS;
  }
  const auto start = Clock::now();
  const Status computed = lost() ? Status(propagate(*lost())) : compute_or_fail(graph);
  add_seconds(stats_.wait_seconds, start);
  count_bytes();
  return computed ? GGML_STATUS_SUCCESS : GGML_STATUS_FAILED;
}

// The place of a graph among those that the worker has; `known`: it has this one.
Result<RemoteLayers::Kept*> RemoteLayers::kept_for(const ggml_cgraph& graph, bool& known) {
  const auto places = std::span(kept_).first(std::min<size_t>(kept_.size(), verdict().layers));
  auto it = std::ranges::find_if(places, [&](const Kept& kept) { return kept.uid == graph.uid && graph.uid != 0; });
  known = it != places.end();
  if (!known) {
    auto described = describe_graph(graph);
    if (!described) {
      return propagate(described.error());
    }
    it = std::ranges::find_if(places, [&](const Kept& kept) { return same_graph(kept.graph, described->graph); });
    known = it != places.end();
    if (!known) {
      it = std::ranges::min_element(places, {}, &Kept::used);
      it->graph = std::move(described->graph);
    }
    it->uid = graph.uid;
    it->output = described->output;
    it->output_bytes = described->output_bytes;
  }
  it->used = ++graphs_;
  return &*it;
}

RemoteLayers::Clock::time_point RemoteLayers::deadline(int64_t rows) const {
  const std::chrono::duration<double> expected(kTimesExpected * row_seconds_ * static_cast<double>(rows));
  const auto least = patience_.value_or(row_seconds_ > 0 ? kPatience : kPatienceWithNew);
  return Clock::now() + std::clamp(std::chrono::duration_cast<std::chrono::milliseconds>(expected), least,
                                   std::max(kMostPatience, least));
}

Status RemoteLayers::compute_or_fail(const ggml_cgraph& graph) {
  bool known = false;
  const auto kept = kept_for(graph, known);
  if (!kept) {
    lose(kept.error().message, true);
    return propagate(kept.error());
  }
  Kept& its = **kept;
  got_.resize(its.output_bytes);
  got_from_ = its.output;
  const int64_t rows = ggml_nrows(graph.nodes[0]);
  const auto start = Clock::now();
  const auto status = session_.compute(static_cast<uint32_t>(&its - kept_.data()), known ? nullptr : &its.graph,
                                       its.output, got_, deadline(rows));
  ++stats_.asks;
  if (!status || status->status != ReplyStatus::kDone) {
    const bool refused = status && status->status == ReplyStatus::kRefused;
    const std::string why = status ? session_.reason() : status.error().message;
    lose(why.empty() ? "it does not say why" : why, refused);
    return propagate(*lost());
  }
  stats_.rows += static_cast<uint64_t>(rows);
  stats_.read_bytes += status->read_bytes;
  row_seconds_ = std::max(row_seconds_, seconds_since(start) / static_cast<double>(rows));
  return {};
}

void RemoteLayers::get(const ggml_tensor& tensor, void* data, size_t offset, size_t size) {
  const auto& its = *static_cast<const RemoteBuffer*>(tensor.buffer->context);
  const uint64_t address = reinterpret_cast<uint64_t>(tensor.data) + offset;
  if (its.memory.buffer == got_from_.buffer && its.memory.buffer != 0 && address >= got_from_.address &&
      address + size <= got_from_.address + got_.size()) {
    std::memcpy(data, got_.data() + (address - got_from_.address), size);
    return;
  }
  Status got = lost() ? Status(propagate(*lost())) : Status();
  if (got) {
    const auto start = Clock::now();
    got = session_.get({its.memory.buffer, address}, {static_cast<std::byte*>(data), size});
    add_seconds(stats_.wait_seconds, start);
    ++stats_.asks;
    count_bytes();
    if (!got) {
      lose(got.error().message);
    }
  }
  if (!got) {
    throw std::runtime_error(lost()->message);
  }
}

void RemoteLayers::count_bytes() {
  stats_.sent_bytes += session_.sent_bytes() - std::exchange(sent_, session_.sent_bytes());
  stats_.received_bytes += session_.received_bytes() - std::exchange(received_, session_.received_bytes());
}

std::optional<Error> RemoteLayers::lost() const {
  const std::lock_guard lock(mutex_);
  return lost_;
}

void RemoteLayers::lose(const std::string& why, bool refuses) {
  const std::string sentence =
      refuses ? fmt::format("worker {} refuses to compute layers of this model: {}", name(), why)
              : fmt::format("worker {} is lost, with the keys and values of its layers: {}", name(), why);
  logger().warn("{}", sentence);
  got_.clear();
  stats_.joined = false;
  ++stats_.losses;
  refuses_ = refuses;
  const std::lock_guard lock(mutex_);
  lost_ = Error{ErrorCode::kIo, sentence};
}

}  // namespace hypura
