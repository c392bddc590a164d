// A model opened for a worker: its experts alone, in slots of this machine's memory, or the feed-forward parts of a
// model without any; and the devices through which others have them computed (docs/design/workers.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "backend/streamed_weights.h"
#include "backend/worker/rpc_server.h"
#include "backend/worker/worker_device.h"
#include "backend/worker/worker_weights.h"
#include "llama/llama_runtime.h"
#include "model/model.h"
#include "remote/protocol.h"
#include "storage/reader.h"
#include "support/memory/budget.h"

namespace hypura {

struct WorkerRequest {
  std::filesystem::path model;
  std::optional<uint64_t> memory;  // bytes for all of it; none: what the machine allows
  uint32_t threads = 0;            // compute threads; 0: one for each usable core
  bool repacked = true;            // a repacked copy is read where there is one
};

// In the order in which they must be destroyed last to first.
struct OpenWorker {
  std::unique_ptr<const Model> model;
  std::unique_ptr<Budget> budget;
  std::vector<Reservation> reserved;
  std::unique_ptr<Reader> reader;
  ThreadpoolPtr threadpool;
  std::unique_ptr<StreamedWeights> weights;
  std::unique_ptr<WorkerWeights> names;
  std::unique_ptr<WorkerDevice> device;

  WorkerVerdict facts;  // what it tells who asks
  uint32_t all = 0;     // experts or feed-forward parts, of all layers
  std::string remark;   // as BudgetChoice::remark
};

// Opens the model that `request` names. Fails as open_model and Reader::open, with kUsage where the model has neither
// experts nor feed-forward parts that can be streamed, with kBudget where the memory does not hold two of them.
Result<std::unique_ptr<OpenWorker>> open_worker(const WorkerRequest& request);

// Makes the threads that compute, and begins to read what earlier runs of the model used most.
void start_worker(OpenWorker& worker);

// Serves one client after the other, until the listener is shut down. Whatever a client sends costs a line in the log,
// and its connection, but not the process, unless it meets a fault of a kernel or of the server before our devices are
// asked. `listener.connected`, `disconnected`, `greeted` and `whole_layers` are set here.
void serve_worker(OpenWorker& worker, RpcListener listener);

}  // namespace hypura
