#include "backend/remote_ffn.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "backend/worker_block.h"
#include "placement/layer_share.h"
#include "placement/worker_cost.h"
#include "residency/spread_order.h"
#include "support/elapsed.h"
#include "support/fail.h"
#include "support/log.h"
#include "tiers/store_stats.h"

namespace hypura {

namespace {

constexpr double kUnmeasuredDisk = 1e9;  // bytes a second, of one that was not measured

double disk_or_assumed(double bytes_per_second) {
  return bytes_per_second > 0 ? bytes_per_second : kUnmeasuredDisk;
}

}  // namespace

RemoteFfn::RemoteFfn(const StreamLayout& layout, Here here)
    : layout_(layout), here_(std::move(here)), layers_(worker_layers(layout)), owners_(layers_.size(), kLayerIsHere) {}

uint64_t RemoteFfn::bytes_for(const StreamLayout& layout) {
  const WorkerRoom room = worker_room(layout);
  return room.layers == 0 ? 0 : WorkerSession::bytes_for(room);
}

Result<std::unique_ptr<RemoteFfn>> RemoteFfn::create(const StreamLayout& layout, std::span<const WorkerAddress> workers,
                                                     const WorkerHello& hello, Here here) {
  std::unique_ptr<RemoteFfn> made(new RemoteFfn(layout, std::move(here)));
  WorkerLinkOptions options;
  options.connect = std::max(options.connect, made->here_.manner.patience);
  auto links = start_links(workers, hello, worker_room(layout), options, made->here_.manner.left_out);
  if (!links) {
    return propagate(links.error());
  }
  for (size_t i = 0; i < workers.size(); ++i) {
    made->stats_.emplace_back().name = to_string(workers[i]);
    made->workers_.emplace_back().link = std::move((*links)[i]);
  }
  made->any();
  return made;
}

bool RemoteFfn::any() {
  for (size_t i = 0; i < workers_.size(); ++i) {
    Worker& it = workers_[i];
    if (it.link == nullptr || !it.link->take_new()) {
      continue;
    }
    it.refuses = false;
    it.introduced.assign(layers_.size(), 0);
    it.layers.clear();
    it.sent = it.received = 0;
    stats_[i].joined = true;
    is_divided_ = false;
    count_bytes(i);
  }
  while (!is_divided_) {  // one may be lost when it is told of its layers
    divide();
  }
  return std::ranges::any_of(owners_, [](uint32_t it) { return it != kLayerIsHere; });
}

std::vector<FoundWorker> RemoteFfn::found() {
  std::vector<FoundWorker> all;
  for (size_t i = 0; i < workers_.size(); ++i) {
    FoundWorker& it = all.emplace_back();
    it.name = stats_[i].name;
    if (helps(workers_[i])) {
      it.verdict = workers_[i].link->session()->verdict();
      it.way = workers_[i].link->session()->way();
    } else if (workers_[i].link != nullptr) {
      it.why = workers_[i].link->failure();
    }
  }
  return all;
}

void RemoteFfn::dismiss(size_t worker) {
  workers_[worker].link.reset();
  stats_[worker].joined = false;
  is_divided_ = false;
}

// For one row.
double RemoteFfn::ask_seconds(const WorkerSession& session) const {
  const WorkerLayer& layer = layers_.front();
  const WorkerWay& way = session.way();
  const auto sent = static_cast<double>(WorkerSession::kAskHeads + ask_bytes(session.most_pairs(), 1, layer.width));
  const auto received = static_cast<double>(kRpcAnswerHead + reply_bytes(1, 1, layer.result));
  return way.round_trip + kAskingSeconds + sent / way.send_bytes_per_second + received / way.receive_bytes_per_second;
}

double RemoteFfn::disk_of(size_t worker) const {
  return disk_or_assumed(here_.manner.alike ? 0 : workers_[worker].link->session()->verdict().disk_bytes_per_second);
}

void RemoteFfn::divide() {
  is_divided_ = true;
  const AskingManner& manner = here_.manner;
  const double part = manner.alike ? 0 : manner.here.row();
  std::vector<SharedLayer> layers;
  SharingHere here = {0, disk_or_assumed(manner.alike ? 0 : here_.bytes_per_second),
                      manner.alike ? 0 : manner.other_seconds};
  for (uint32_t item = 0; item < layout_.dense.size(); ++item) {
    here.other_reads += here_.pinned(item) ? 0 : layout_.dense[item].extent.length;
  }
  for (const WorkerLayer& it : layers_) {
    SharedLayer& layer = layers.emplace_back(SharedLayer{it.bytes, 0, part});
    for (const uint32_t item : it.items) {
      layer.read_here += here_.pinned(item) ? 0 : layout_.dense[item].extent.length;
    }
    here.other_reads -= layer.read_here;
  }
  std::vector<std::optional<SharingWorker>> sharing(workers_.size());
  for (size_t i = 0; i < workers_.size(); ++i) {
    if (!helps(workers_[i])) {
      continue;
    }
    const WorkerSession& session = *workers_[i].link->session();
    const WorkerVerdict& verdict = session.verdict();
    const double slower = part > 0 && verdict.expert_seconds > 0 ? verdict.expert_seconds / part : 1;
    sharing[i] = {verdict.slots * verdict.slot_bytes, disk_of(i), manner.alike ? 0 : ask_seconds(session), slower};
  }
  owners_ = share_layers(layers, here, sharing);
  for (size_t i = 0; i < workers_.size(); ++i) {
    if (helps(workers_[i])) {
      tell_layers(i);
    }
  }
}

// Which layers are its own, so that it keeps them and reads the next ahead; those first that it had better keep.
void RemoteFfn::tell_layers(size_t worker) {
  Worker& it = workers_[worker];
  std::vector<uint32_t> own;
  for (uint32_t layer = 0; layer < layers_.size(); ++layer) {
    if (owners_[layer] == worker + 1) {
      own.push_back(layer);
    }
  }
  if (own == it.layers || own.empty()) {
    return;
  }
  std::vector<WarmExpert> wanted;
  for (const uint32_t i : spread_order(static_cast<uint32_t>(own.size()))) {
    wanted.push_back({static_cast<uint16_t>(layers_[own[i]].layer), 0});
  }
  it.layers = std::move(own);
  const Status status = it.link->session()->warm(wanted, Clock::now() + here_.manner.patience);
  count_bytes(worker);
  if (!status) {
    lose(worker, status.error().message);
  }
}

bool RemoteFfn::wants(uint32_t layer, int64_t rows) const {
  const uint32_t owner = owners_[layer];
  return owner != kLayerIsHere && rows <= workers_[owner - 1].link->session()->most_pairs();
}

// A block begins with the first of its products.
void RemoteFfn::note_parsed(bool is_block) {
  if (!std::exchange(seen_block_, true) && !is_block) {
    logger().warn("the model's feed-forward parts are of a kind that workers do not compute: they are not asked");
  }
}

bool RemoteFfn::compute(const FfnBlock& block) {
  const size_t worker = owners_[block.layer] - 1;
  const auto asked = Clock::now();
  if (introduce(worker, block) && post(worker, block) && take(worker, block, asked)) {
    return true;
  }
  stats_[worker].rows_here += static_cast<uint64_t>(block.rows());
  return false;
}

RemoteFfn::Clock::time_point RemoteFfn::deadline(size_t worker, uint32_t layer) const {
  const double reading = static_cast<double>(layers_[layer].bytes) / disk_of(worker);
  const double expected = reading + workers_[worker].link->session()->way().round_trip;
  const std::chrono::duration<double> patience = std::max<std::chrono::duration<double>>(
      std::chrono::duration<double>(kPatience * expected), here_.manner.patience);
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(patience);
}

// Sends the layer's graph, unless the worker has it.
bool RemoteFfn::introduce(size_t worker, const FfnBlock& block) {
  Worker& it = workers_[worker];
  const uint64_t shape = ffn_shape(block) | 1;  // never 0
  if (it.introduced[block.layer] == shape) {
    return true;
  }
  WorkerSession& session = *it.link->session();
  const auto latest = deadline(worker, block.layer);
  const Status sent = session.introduce(make_ffn_worker_block(block, session.most_pairs()));
  const auto reply = sent ? session.receive(latest) : Result<WorkerReply>(propagate(sent.error()));
  count_bytes(worker);
  if (!reply) {
    lose(worker, reply.error().message);
    return false;
  }
  if (reply->head.status != ReplyStatus::kDone) {
    logger().warn("worker {} does not compute layer {}: {}; it is not asked any more", it.link->name(),
                  layers_[block.layer].layer, session.reason(latest));
    it.refuses = true;
    stats_[worker].joined = false;
    is_divided_ = false;
    return false;
  }
  it.introduced[block.layer] = shape;
  return true;
}

bool RemoteFfn::post(size_t worker, const FfnBlock& block) {
  WorkerSession& session = *workers_[worker].link->session();
  const auto rows = static_cast<uint32_t>(block.rows());
  const AskSpace space = session.add_ask(ffn_rows(block), {rows, rows, false});
  for (uint32_t i = 0; i < rows; ++i) {
    const AskedPair pair = {0, i};
    std::memcpy(space.pairs.data() + i * sizeof(pair), &pair, sizeof(pair));
  }
  std::memcpy(space.rows.data(), block.input->data, ggml_nbytes(block.input));
  const Status status = session.post();
  count_bytes(worker);
  if (!status) {
    lose(worker, status.error().message);
  }
  return status.has_value();
}

// The rows of a worker. False when there are none.
bool RemoteFfn::take(size_t worker, const FfnBlock& block, Clock::time_point asked) {
  WorkerSession& session = *workers_[worker].link->session();
  const auto latest = deadline(worker, block.layer);
  const auto reply = session.receive(latest);
  WorkerStats& stats = stats_[worker];
  add_seconds(stats.wait_seconds, asked);
  count_bytes(worker);
  if (!reply || reply->head.status != ReplyStatus::kDone) {
    lose(worker, reply ? session.reason(latest) : reply.error().message);
    return false;
  }
  std::memcpy(block.result()->data, reply->rows.data(), ggml_nbytes(block.result()));
  ++stats.asks;
  ++stats.experts;
  stats.hits += std::min(reply->head.hits, 1U);
  stats.rows += static_cast<uint64_t>(block.rows());
  stats.read_bytes += reply->head.read_bytes;
  return true;
}

void RemoteFfn::lose(size_t worker, const std::string& why) {
  workers_[worker].link->lose(why);
  stats_[worker].joined = false;
  ++stats_[worker].losses;
  is_divided_ = false;
}

void RemoteFfn::count_bytes(size_t worker) {
  Worker& it = workers_[worker];
  const WorkerSession& session = *it.link->session();
  stats_[worker].sent_bytes += session.sent_bytes() - std::exchange(it.sent, session.sent_bytes());
  stats_[worker].received_bytes += session.received_bytes() - std::exchange(it.received, session.received_bytes());
}

}  // namespace hypura
