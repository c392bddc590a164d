#include "backend/inner_graph.h"

#include <exception>

#include "ggml-cpu.h"
#include "support/fail.h"
#include "tiers/store_stats.h"

namespace hypura {

namespace {

constexpr size_t kMaxNodes = 256;

// The CPU backend may be a library loaded at run time: its own functions are reached through its registry entry.
template <class Function>
Function cpu_function(ggml_backend_t backend, const char* name) {
  ggml_backend_reg_t reg = ggml_backend_dev_backend_reg(ggml_backend_get_device(backend));
  return reinterpret_cast<Function>(ggml_backend_reg_get_proc_address(reg, name));
}

}  // namespace

Result<std::unique_ptr<InnerGraph>> InnerGraph::create() {
  std::unique_ptr<InnerGraph> inner(new InnerGraph);
  inner->backend_ = ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr);
  if (inner->backend_ == nullptr) {
    return fail(ErrorCode::kInternal, "ggml has no CPU backend; were its libraries found?");
  }
  const ggml_init_params params = {ggml_graph_overhead_custom(kMaxNodes, false) + ggml_tensor_overhead(), nullptr,
                                   true};
  inner->context_ = ggml_init(params);
  inner->graph_ = ggml_new_graph_custom(inner->context_, kMaxNodes, false);
  return inner;
}

InnerGraph::~InnerGraph() {
  ggml_free(context_);
  ggml_backend_free(backend_);
}

void InnerGraph::set_threads(int threads) {
  const auto set = cpu_function<ggml_backend_set_n_threads_t>(backend_, "ggml_backend_set_n_threads");
  threads_ = threads;
  if (set != nullptr) {
    set(backend_, threads);
  }
}

void InnerGraph::set_threadpool(ggml_threadpool* pool) {
  const auto set =
      cpu_function<decltype(&ggml_backend_cpu_set_threadpool)>(backend_, "ggml_backend_cpu_set_threadpool");
  if (set != nullptr) {
    set(backend_, pool);
    pool_ = pool;
  }
}

// The CPU backend pauses a pool that it is no longer to use; the next graph computed with that pool ends the pause.
void InnerGraph::rest() {
  if (ggml_threadpool* pool = pool_; pool != nullptr) {
    set_threadpool(nullptr);
    set_threadpool(pool);
  }
}

ggml_tensor* InnerGraph::view(const ggml_tensor& original) {
  if (views_used_ == views_.size()) {
    views_.emplace_back();
  }
  ggml_tensor* copy = &views_[views_used_++];
  *copy = original;
  return copy;
}

ggml_tensor* InnerGraph::contiguous(ggml_type type, int64_t ne0, int64_t ne1, int64_t ne2, void* data) {
  ggml_tensor* tensor = view(ggml_tensor{});
  tensor->type = type;
  tensor->ne[0] = ne0;
  tensor->ne[1] = ne1;
  tensor->ne[2] = ne2;
  tensor->ne[3] = 1;
  tensor->nb[0] = ggml_type_size(type);
  tensor->nb[1] = ggml_row_size(type, ne0);
  tensor->nb[2] = tensor->nb[1] * static_cast<size_t>(ne1);
  tensor->nb[3] = tensor->nb[2] * static_cast<size_t>(ne2);
  tensor->data = data;
  return tensor;
}

ggml_tensor* InnerGraph::rows(ggml_type type, int64_t ne0, int64_t rows, void* data) {
  return contiguous(type, ne0, 1, rows, data);
}

ggml_tensor* InnerGraph::matrix(int64_t ne0, int64_t ne1, void* data) {
  return contiguous(GGML_TYPE_F32, ne0, ne1, 1, data);
}

ggml_tensor* InnerGraph::ids(int64_t used, int64_t tokens, int32_t* data) {
  return contiguous(GGML_TYPE_I32, used, tokens, 1, data);
}

bool InnerGraph::is_full() const {
  return static_cast<size_t>(ggml_graph_n_nodes(graph_)) + kMaxNodes / 4 > kMaxNodes;
}

void InnerGraph::add(ggml_tensor* node) {
  ggml_graph_add_node(graph_, node);
}

void InnerGraph::multiply(ggml_tensor* weight, ggml_tensor* input, ggml_tensor* product) {
  product->op = GGML_OP_MUL_MAT;
  product->flags = GGML_TENSOR_FLAG_COMPUTE;
  product->src[0] = weight;
  product->src[1] = input;
  product->src[2] = nullptr;
  add(product);
}

ggml_status InnerGraph::run() {
  const auto start = std::chrono::steady_clock::now();
  ggml_status status = GGML_STATUS_SUCCESS;
  try {
    status = ggml_graph_n_nodes(graph_) == 0 ? status : ggml_backend_graph_compute(backend_, graph_);
  } catch (...) {
    discard();
    replace_backend();
    throw;
  }
  add_seconds(seconds_, start);
  discard();
  return status;
}

// A backend of ggml's that was refused memory for its work still points to what it had before, and has freed it. It is
// lost, since freeing it would free that again.
void InnerGraph::replace_backend() {
  ggml_backend_t made = ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr);
  if (made == nullptr) {
    std::terminate();
  }
  backend_ = made;
  if (threads_ > 0) {
    set_threads(threads_);
  }
  if (pool_ != nullptr) {
    set_threadpool(pool_);
  }
}

void InnerGraph::discard() {
  ggml_graph_clear(graph_);
  views_used_ = 0;
}

}  // namespace hypura
