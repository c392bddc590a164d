// For tests: what a fake worker computes rows by: the graph that it was sent, with the weights of a model's file, by
// ggml's CPU backend.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backend/inner_graph.h"
#include "ggml.h"
#include "model/model.h"
#include "remote/fake_worker_for_test.h"

namespace hypura {

// One for each worker's thread. ggml's backends must be loaded before the first call.
class GgmlWorker {
 public:
  explicit GgmlWorker(const std::filesystem::path& model) : model_(std::make_shared<const Model>(*open_model(model))) {}

  void operator()(const FakeWorker::Work& work, std::span<float> out) {
    if (inner_ == nullptr) {
      inner_ = InnerGraph::create().value();
      inner_->set_threads(1);
    }
    const ggml_init_params params = {(work.tensors.size() + 1) * ggml_tensor_overhead(), nullptr, true};
    ggml_context* context = ggml_init(params);
    std::vector<int32_t> ids;
    std::vector<float> rows;
    for (const AskedPair& pair : work.pairs) {
      ids.push_back(pair.expert);
      const auto row = work.rows.subspan(size_t{pair.token} * work.width, work.width);
      rows.insert(rows.end(), row.begin(), row.end());
    }
    const auto count = static_cast<int64_t>(ids.size());
    // Rows of experts are one for each of several matrices; those of a dense layer are computed together.
    const bool dense = std::ranges::none_of(work.tensors, [](const RpcTensor& it) { return it.name == kIdsName; });
    const std::array<int64_t, 2> shape = {dense ? count : 1, dense ? 1 : count};
    std::vector<std::vector<float>> results;
    std::map<uint64_t, ggml_tensor*> made;
    for (const RpcTensor& it : work.tensors) {
      const std::string name(it.name);
      ggml_tensor*& tensor = made[uint64_t{it.id}];
      if (it.op == GGML_OP_VIEW) {
        ggml_tensor* base = made.at(uint64_t{it.view_src});
        tensor = ggml_view_3d(context, base, it.ne[0], 1, count, base->nb[1], base->nb[2], it.view_offs);
      } else if (name == kIdsName) {
        tensor = ggml_new_tensor_2d(context, GGML_TYPE_I32, 1, count);
        tensor->data = ids.data();
      } else if (name == kAskName) {
        tensor = ggml_new_tensor_3d(context, GGML_TYPE_F32, it.ne[0], shape[0], shape[1]);
        tensor->data = rows.data();
      } else if (it.op == GGML_OP_NONE) {
        tensor = ggml_new_tensor_4d(context, static_cast<ggml_type>(it.type), it.ne[0], it.ne[1], it.ne[2], it.ne[3]);
        tensor->data = weight(name);
      } else {
        tensor = ggml_new_tensor_3d(context, GGML_TYPE_F32, it.ne[0], shape[0], shape[1]);
        results.emplace_back(static_cast<size_t>(it.ne[0]) * static_cast<size_t>(count));
        tensor->data = results.back().data();
        tensor->op = static_cast<ggml_op>(it.op);
        tensor->flags = it.flags;
        for (size_t i = 0; i < kRpcParams; ++i) {
          tensor->op_params[i] = it.op_params[i];
        }
        for (size_t i = 0; i < kRpcSources; ++i) {
          const uint64_t source = it.src[i];  // not by reference: messages align nothing
          tensor->src[i] = source == 0 ? nullptr : made.at(source);
        }
        inner_->add(tensor);
      }
    }
    EXPECT_EQ(inner_->run(), GGML_STATUS_SUCCESS);
    ASSERT_EQ(results.back().size(), out.size());
    std::memcpy(out.data(), results.back().data(), out.size_bytes());
    ggml_free(context);
  }

 private:
  void* weight(const std::string& name) {
    std::vector<char>& bytes = weights_[name];
    const TensorInfo* info = model_->find(name);
    if (bytes.empty() && info != nullptr) {
      bytes.resize(info->extent.length);
      std::ifstream file(model_->files[info->extent.file].path, std::ios::binary);
      file.seekg(static_cast<std::streamoff>(info->extent.offset));
      file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    }
    EXPECT_FALSE(bytes.empty()) << name;
    return bytes.data();
  }

  std::shared_ptr<const Model> model_;
  std::shared_ptr<InnerGraph> inner_;
  std::map<std::string, std::vector<char>> weights_;
};

}  // namespace hypura
