// For tests: workers of a model, in this process, that compute by ggml.
#pragma once

#include <algorithm>
#include <deque>
#include <filesystem>
#include <string>
#include <vector>

#include "backend/cpu_kernels.h"
#include "backend/ggml_worker_for_test.h"
#include "history/model_fingerprint.h"
#include "llama/llama_runtime.h"
#include "model/model.h"
#include "remote/fake_worker_for_test.h"

namespace hypura {

class FakeWorkers {
 public:
  explicit FakeWorkers(const std::filesystem::path& model) : path_(model) {
    static_cast<void>(init_llama());
    const Model it = *open_model(model);
    manner_.identity = worker_identity(model_fingerprint(it), false, ggml_build(), cpu_kernels());
    manner_.experts = std::max(static_cast<uint32_t>(it.experts), 1U);  // 1: feed-forward parts
    manner_.layers = static_cast<uint32_t>(it.layers);
  }

  FakeWorker::Manner& manner() { return manner_; }
  FakeWorker& add() { return workers_.emplace_back(manner_, GgmlWorker(path_)); }
  FakeWorker& at(size_t number) { return workers_[number]; }

  std::vector<std::string> addresses() const {
    std::vector<std::string> all;
    for (const FakeWorker& it : workers_) {
      all.push_back(to_string(it.address()));
    }
    return all;
  }

 private:
  std::filesystem::path path_;
  FakeWorker::Manner manner_;
  std::deque<FakeWorker> workers_;
};

}  // namespace hypura
