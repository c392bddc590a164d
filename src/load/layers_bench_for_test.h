// For tests and for fuzzing: a worker of a demo model that is asked for whole layers (layer_graph_for_test.h) as
// llama.cpp's RPC server asks its devices, without a socket.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "ggml.h"
#include "load/layer_graph_for_test.h"
#include "load/open_worker.h"
#include "remote/protocol.h"
#include "support/units.h"

namespace hypura {

// The worker, and the plain processor beside it.
class LayersBench {
 public:
  explicit LayersBench(uint64_t memory = 32 * kMiB, const std::string& model = "hypura-stories-draft.gguf") {
    WorkerRequest request;
    request.model = std::filesystem::path(HYPURA_SOURCE_DIR) / "models" / model;
    request.memory = memory;
    request.threads = 1;
    auto opened = open_worker(request);
    if (!opened) {
      std::abort();
    }
    worker_ = std::move(*opened);
    start_worker(*worker_);
    backend_ = ggml_backend_dev_init(worker_->device->devices().front(), nullptr);
    plain_.reset(ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr));
    auto* reg = ggml_backend_dev_backend_reg(ggml_backend_get_device(plain_.get()));
    const auto set = reinterpret_cast<ggml_backend_set_n_threads_t>(
        ggml_backend_reg_get_proc_address(reg, "ggml_backend_set_n_threads"));
    set(plain_.get(), 1);
    greeting_.reset(ggml_backend_alloc_buffer(backend_, 4 * kKiB));
  }

  OpenWorker& worker() { return *worker_; }
  ggml_backend_buffer_type_t type() { return ggml_backend_get_default_buffer_type(backend_); }

  WorkerHello hello() const {
    WorkerHello hello;
    hello.identity = worker_->facts.identity;
    hello.split = AskedSplit::kLayers;
    hello.threads = worker_->facts.threads;
    return hello;
  }

  // A new connection, whose buffers are those of before.
  bool greet(const WorkerHello& hello) {
    worker_->device->begin_connection();
    set(kHelloName, std::as_bytes(std::span(&hello, 1)));
    return worker_->device->accepted();
  }
  bool greet() { return greet(hello()); }

  void set(std::string_view name, std::span<const std::byte> bytes) {
    ggml_tensor tensor = raw(name, bytes.size());
    ggml_backend_tensor_set(&tensor, bytes.data(), 0, bytes.size());
  }
  template <class Content>
  Content get(std::string_view name) {
    Content content{};
    const ggml_tensor tensor = raw(name, sizeof(content));
    ggml_backend_tensor_get(&tensor, &content, 0, sizeof(content));
    return content;
  }

  // A graph whose memory is the worker's.
  LayerGraph there() {
    return LayerGraph(*worker_->model, type(), [](const TensorInfo&) { return nullptr; });
  }
  // One that plain ggml computes here.
  LayerGraph here() {
    return LayerGraph(*worker_->model, ggml_backend_cpu_buffer_type(),
                      [this](const TensorInfo& info) { return weight(info); });
  }

  LayersStatus compute_there(ggml_cgraph* graph) {
    ggml_backend_graph_compute(backend_, graph);
    return get<LayersStatus>(kLayersStatusName);
  }
  void compute_here(ggml_cgraph* graph) { ggml_backend_graph_compute(plain_.get(), graph); }

 private:
  ggml_tensor raw(std::string_view name, size_t bytes) {
    ggml_tensor tensor{};
    tensor.type = GGML_TYPE_I8;
    tensor.ne[0] = static_cast<int64_t>(bytes);
    tensor.ne[1] = tensor.ne[2] = tensor.ne[3] = 1;
    tensor.nb[0] = 1;
    tensor.nb[1] = tensor.nb[2] = tensor.nb[3] = bytes;
    tensor.buffer = greeting_.get();
    tensor.data = ggml_backend_buffer_get_base(greeting_.get());
    ggml_set_name(&tensor, std::string(name).c_str());
    return tensor;
  }

  void* weight(const TensorInfo& info) {
    std::vector<char>& bytes = weights_[info.name];
    if (bytes.empty()) {
      bytes.resize(info.extent.length);
      std::ifstream file(worker_->model->files[info.extent.file].path, std::ios::binary);
      file.seekg(static_cast<std::streamoff>(info.extent.offset));
      file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    }
    return bytes.data();
  }

  std::unique_ptr<OpenWorker> worker_;
  ggml_backend_t backend_ = nullptr;
  ggml_backend_ptr plain_;
  ggml_backend_buffer_ptr greeting_;
  std::map<std::string, std::vector<char>> weights_;
};

}  // namespace hypura
