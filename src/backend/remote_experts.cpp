#include "backend/remote_experts.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "backend/worker_block.h"
#include "support/elapsed.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

namespace {

// Until something was measured: bytes that an expert's matrices are read with in a second, from disk and by kernels.
constexpr double kAssumedDisk = 1e9;
constexpr double kAssumedKernels = 1e10;

double largest_expert(const StreamLayout& layout) {
  uint64_t most = 1;
  for (const ExpertLayer& layer : layout.expert_layers) {
    most = std::max(most, layer.expert_bytes());
  }
  return static_cast<double>(most);
}

}  // namespace

RemoteExperts::RemoteExperts(const StreamLayout& layout, size_t workers, const AskingManner& manner)
    : layout_(layout),
      manner_(manner),
      share_(static_cast<uint32_t>(layout.expert_layers.size()), layout.experts, workers, assumed_speed(0, 0)) {}

MachineSpeed RemoteExperts::assumed_speed(double visit, double disk) const {
  const double bytes = largest_expert(layout_);
  return {manner_.alike ? 0 : visit, bytes / (disk > 0 && !manner_.alike ? disk : kAssumedDisk),
          bytes / kAssumedKernels};
}

void RemoteExperts::note_own(double seconds) {
  if (!manner_.alike) {
    share_.speed(MachineShare::kHere).note(share_.load(MachineShare::kHere), seconds);
  }
}

uint64_t RemoteExperts::bytes_for(const StreamLayout& layout) {
  const uint64_t books = layout.expert_layers.size() * (layout.experts / 8 + 128);
  return WorkerSession::bytes_for(worker_room(layout)) + books;
}

Result<std::unique_ptr<RemoteExperts>> RemoteExperts::create(const StreamLayout& layout,
                                                             std::span<const WorkerAddress> workers,
                                                             const WorkerHello& hello, const AskingManner& manner) {
  std::unique_ptr<RemoteExperts> made(new RemoteExperts(layout, workers.size(), manner));
  WorkerLinkOptions options;
  options.connect = std::max(options.connect, manner.patience);
  for (const WorkerAddress& address : workers) {
    auto link = WorkerLink::start(address, hello, worker_room(layout), options);
    if (!link) {
      return propagate(link.error());
    }
    made->stats_.emplace_back().name = (*link)->name();
    made->workers_.emplace_back().link = std::move(*link);
  }
  for (const Worker& it : made->workers_) {
    it.link->wait_until_tried();
  }
  made->any();
  return made;
}

bool RemoteExperts::any() {
  for (size_t i = 0; i < workers_.size(); ++i) {
    Worker& it = workers_[i];
    if (!it.link->take_new()) {
      continue;
    }
    it.introduced.assign(layout_.expert_layers.size(), 0);
    it.sent = it.received = 0;
    const WorkerSession& session = *it.link->session();
    share_.join(i, assumed_speed(session.round_trip_seconds(), session.verdict().disk_bytes_per_second));
    stats_[i].joined = true;
    count_bytes(i);
  }
  return share_.any_joined();
}

// Whoever is asked may be given all.
bool RemoteExperts::fits(const ExpertBlock& block) const {
  const int64_t pairs = block.used() * block.tokens();
  for (size_t i = 0; i < workers_.size(); ++i) {
    if (share_.joined(i) && pairs > workers_[i].link->session()->most_pairs()) {
      return false;
    }
  }
  return true;
}

bool RemoteExperts::ask(const ExpertBlock& block, Pairs pairs, std::span<const uint32_t> wanted,
                        const ExpertStore& store, std::vector<uint32_t>& own) {
  own.assign(wanted.begin(), wanted.end());
  for (Worker& it : workers_) {
    it.experts.clear();
  }
  if (!fits(block)) {
    share_.keep_here(block.layer, {});  // what this takes here teaches nothing
    return false;
  }
  introduce(block);
  wanted_.clear();
  for (const uint32_t expert : wanted) {
    wanted_.push_back({expert, static_cast<uint32_t>(pairs[expert].size()), store.resident(block.layer, expert)});
  }
  const std::span<const uint32_t> who = share_.divide(block.layer, wanted_);
  own.clear();
  for (size_t i = 0; i < wanted.size(); ++i) {
    (who[i] == MachineShare::kHere ? own : workers_[who[i] - 1].experts).push_back(wanted[i]);
  }
  bool asked = false;
  for (size_t i = 0; i < workers_.size(); ++i) {
    if (!workers_[i].experts.empty()) {
      asked = post(i, block, pairs) || asked;
    }
  }
  if (own.size() < wanted.size() && !asked) {
    own.assign(wanted.begin(), wanted.end());  // all that were to help were lost
    share_.keep_here(block.layer, wanted_);
  }
  return asked;
}

// Sends the layer's graph to those that do not have it, to all before any is waited for.
void RemoteExperts::introduce(const ExpertBlock& block) {
  const uint64_t shape = worker_shape(block) | 1;  // never 0
  std::vector<size_t> sent;
  for (size_t i = 0; i < workers_.size(); ++i) {
    Worker& it = workers_[i];
    if (!share_.joined(i) || it.introduced[block.layer] == shape) {
      continue;
    }
    it.introduced[block.layer] = shape;
    WorkerSession& session = *it.link->session();
    if (Status status = session.introduce(make_worker_block(block, layout_, session.most_pairs())); !status) {
      lose(i, status.error().message);
    } else {
      sent.push_back(i);
    }
  }
  for (const size_t i : sent) {
    learn_map(i, block);
  }
}

void RemoteExperts::learn_map(size_t worker, const ExpertBlock& block) {
  WorkerSession& session = *workers_[worker].link->session();
  const auto deadline = std::chrono::steady_clock::now() + manner_.patience;
  const auto reply = session.receive(deadline);
  count_bytes(worker);
  if (!reply) {
    lose(worker, reply.error().message);
  } else if (reply->head.status == ReplyStatus::kDone) {
    share_.set_map(worker, block.layer, reply->map);
  } else {
    logger().warn("worker {} does not compute layer {}: {}; it is not asked any more", workers_[worker].link->name(),
                  layout_.expert_layers[block.layer].layer, session.reason(deadline));
    share_.leave(worker);
    stats_[worker].joined = false;
  }
}

// False when the worker is lost; what it was to compute then stays in its list for collect().
bool RemoteExperts::post(size_t worker, const ExpertBlock& block, Pairs pairs) {
  Worker& it = workers_[worker];
  const ggml_tensor* input = block_input(block);
  const auto used = static_cast<uint32_t>(block.used());
  it.pairs.clear();
  row_of_.assign(static_cast<size_t>(block.tokens()), -1);
  std::vector<AskedPair> asked;
  std::vector<uint32_t> tokens;
  for (const uint32_t expert : it.experts) {
    for (const uint32_t pair : pairs[expert]) {
      const uint32_t token = pair / used;
      if (row_of_[token] < 0) {
        row_of_[token] = static_cast<int32_t>(tokens.size());
        tokens.push_back(token);
      }
      asked.push_back({static_cast<int32_t>(expert), static_cast<uint32_t>(row_of_[token])});
      it.pairs.push_back(pair);
    }
  }
  WorkerSession& session = *it.link->session();
  const AskSpace space = session.begin_ask(worker_rows(block, layout_), static_cast<uint32_t>(asked.size()),
                                           static_cast<uint32_t>(tokens.size()));
  std::memcpy(space.pairs.data(), asked.data(), asked.size() * sizeof(AskedPair));
  const size_t row = static_cast<size_t>(input->ne[0]) * sizeof(float);
  for (size_t i = 0; i < tokens.size(); ++i) {
    std::memcpy(space.rows.data() + i * row, static_cast<const std::byte*>(input->data) + tokens[i] * input->nb[2],
                row);
  }
  it.asked = std::chrono::steady_clock::now();
  const Status status = session.post();
  count_bytes(worker);
  if (!status) {
    lose(worker, status.error().message);
  }
  return status.has_value();
}

void RemoteExperts::collect(const ExpertBlock& block, Pairs pairs, std::vector<uint32_t>& lost) {
  lost.clear();
  for (size_t i = 0; i < workers_.size(); ++i) {
    const Worker& it = workers_[i];
    if (it.experts.empty() || take(i, block)) {
      continue;
    }
    lost.insert(lost.end(), it.experts.begin(), it.experts.end());
    for (const uint32_t expert : it.experts) {
      stats_[i].rows_here += pairs[expert].size();
    }
  }
  std::ranges::sort(lost);
}

// The rows of a worker. False when there are none.
bool RemoteExperts::take(size_t worker, const ExpertBlock& block) {
  Worker& it = workers_[worker];
  WorkerSession* session = it.link->session();
  if (session == nullptr) {
    return false;  // it was lost when it was asked
  }
  const auto start = std::chrono::steady_clock::now();
  const double expected =
      kPatience *
      share_.speed(static_cast<uint32_t>(worker + 1)).seconds(share_.load(static_cast<uint32_t>(worker + 1)));
  const auto patience = std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::max(std::chrono::duration<double>(expected), std::chrono::duration<double>(manner_.patience)));
  const bool waits = !session->has_something();
  const auto reply = session->receive(start + patience);
  add_seconds(stats_[worker].wait_seconds, start);
  count_bytes(worker);
  if (!reply || reply->head.status != ReplyStatus::kDone) {
    lose(worker, reply ? session->reason(start + patience) : reply.error().message);
    return false;
  }
  scatter(it, block, reply->rows);
  share_.set_map(worker, block.layer, reply->map);
  note(worker, reply->head, waits);
  return true;
}

void RemoteExperts::scatter(const Worker& worker, const ExpertBlock& block, std::span<const std::byte> rows) const {
  const ggml_tensor* node = block.nodes.back().node;
  const size_t row = static_cast<size_t>(node->ne[0]) * sizeof(float);
  for (size_t i = 0; i < worker.pairs.size(); ++i) {
    std::byte* to = static_cast<std::byte*>(node->data) + worker.pairs[i] / block.used() * node->nb[2] +
                    worker.pairs[i] % block.used() * node->nb[1];
    std::memcpy(to, rows.data() + i * row, row);
  }
}

// What a reply tells of the worker. How long asking takes shows only where the reply was `waited` for.
void RemoteExperts::note(size_t worker, const Reply& reply, bool waited) {
  Worker& it = workers_[worker];
  WorkerStats& stats = stats_[worker];
  ++stats.asks;
  stats.experts += it.experts.size();
  stats.hits += std::min<uint64_t>(reply.hits, it.experts.size());
  stats.rows += it.pairs.size();
  stats.read_bytes += reply.read_bytes;
  if (manner_.alike) {
    return;
  }
  const double computing = static_cast<double>(reply.nanoseconds) * 1e-9;
  const double elapsed = seconds_since(it.asked);
  MachineSpeed& speed = share_.speed(static_cast<uint32_t>(worker + 1));
  const auto misses = static_cast<uint32_t>(it.experts.size() - std::min<size_t>(reply.hits, it.experts.size()));
  speed.note({static_cast<uint32_t>(it.pairs.size()), misses}, std::min(computing, elapsed));
  if (waited) {
    speed.note_visit(std::max(elapsed - computing, 0.0));
  }
}

void RemoteExperts::lose(size_t worker, const std::string& why) {
  workers_[worker].link->lose(why);
  share_.leave(worker);
  stats_[worker].joined = false;
  ++stats_[worker].losses;
}

void RemoteExperts::count_bytes(size_t worker) {
  Worker& it = workers_[worker];
  const WorkerSession& session = *it.link->session();
  stats_[worker].sent_bytes += session.sent_bytes() - std::exchange(it.sent, session.sent_bytes());
  stats_[worker].received_bytes += session.received_bytes() - std::exchange(it.received, session.received_bytes());
}

}  // namespace hypura
