#include "backend/remote_experts.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "backend/worker_block.h"
#include "placement/worker_cost.h"
#include "residency/warm_order.h"
#include "support/elapsed.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

namespace {

constexpr double kAssumedRowsOfExpert = 16;  // of a prompt, in the time that one row of a token takes

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
      share_(static_cast<uint32_t>(layout.expert_layers.size()), layout.experts, workers, manner.here,
             assumed_prompt_speed(manner.here, 0)) {}

// By what it says of itself and the way to it.
MachineSpeed RemoteExperts::assumed_speed(const WorkerSession& session) const {
  const WorkerVerdict& its = session.verdict();
  const MachineSpeed& here = manner_.here;
  if (manner_.alike) {
    return {0, here.miss(), here.row()};
  }
  const double miss = its.disk_bytes_per_second > 0 ? largest_expert(layout_) / its.disk_bytes_per_second : here.miss();
  return {session.way().round_trip + kAskingSeconds, miss, its.expert_seconds > 0 ? its.expert_seconds : here.row()};
}

PromptSpeed RemoteExperts::assumed_prompt_speed(const MachineSpeed& speed, double way) const {
  const WorkerRoom room = worker_room(layout_);
  const double bytes = sizeof(float) * (static_cast<double>(room.width) + room.result);
  return PromptSpeed(
      {speed.visit(), way > 0 && !manner_.alike ? bytes / way : 0, speed.miss(), speed.row() / kAssumedRowsOfExpert});
}

void RemoteExperts::note_own(double seconds, double waited) {
  const MachineLoad& load = share_.load(MachineShare::kHere);
  if (manner_.alike) {
    return;
  }
  if (work_ == SharedWork::kPrompt) {
    share_.prompt_speed(MachineShare::kHere).note(load, seconds, waited);
  } else {
    share_.speed(MachineShare::kHere).note(load, seconds);
  }
}

uint64_t RemoteExperts::bytes_for(const StreamLayout& layout) {
  const uint64_t hot = layout.experts * (2 * sizeof(LayerExpert) + sizeof(WarmExpert));
  const uint64_t books = layout.expert_layers.size() * (layout.experts / 8 + 128 + hot);
  return WorkerSession::bytes_for(worker_room(layout)) + books;
}

Result<std::unique_ptr<RemoteExperts>> RemoteExperts::create(const StreamLayout& layout,
                                                             std::span<const WorkerAddress> workers,
                                                             const WorkerHello& hello, const AskingManner& manner) {
  std::unique_ptr<RemoteExperts> made(new RemoteExperts(layout, workers.size(), manner));
  WorkerLinkOptions options;
  options.connect = std::max(options.connect, manner.patience);
  auto links = start_links(workers, hello, worker_room(layout), options, manner.left_out);
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

bool RemoteExperts::any() {
  for (size_t i = 0; i < workers_.size(); ++i) {
    Worker& it = workers_[i];
    if (it.link == nullptr || !it.link->take_new()) {
      continue;
    }
    it.introduced.assign(layout_.expert_layers.size(), 0);
    it.sent = it.received = 0;
    it.next.clear();
    const WorkerSession& session = *it.link->session();
    const MachineSpeed speed = assumed_speed(session);
    const WorkerWay& way = session.way();
    share_.join(i, speed,
                assumed_prompt_speed(speed, std::min(way.send_bytes_per_second, way.receive_bytes_per_second)));
    stats_[i].joined = true;
    count_bytes(i);
    warm(i);
  }
  return share_.any_joined();
}

std::vector<FoundWorker> RemoteExperts::found() {
  std::vector<FoundWorker> all;
  for (size_t i = 0; i < workers_.size(); ++i) {
    FoundWorker& it = all.emplace_back();
    it.name = stats_[i].name;
    if (const WorkerSession* session = share_.joined(i) ? workers_[i].link->session() : nullptr) {
      it.verdict = session->verdict();
      it.way = session->way();
    } else if (workers_[i].link != nullptr) {
      it.why = workers_[i].link->failure();
    }
  }
  return all;
}

void RemoteExperts::dismiss(size_t worker) {
  workers_[worker].link.reset();
  share_.leave(worker);
  stats_[worker].joined = false;
}

void RemoteExperts::keep_warm(std::vector<LayerExpert> hot, std::vector<uint32_t> here) {
  hot_ = std::move(hot);
  here_ = std::move(here);
  for (size_t i = 0; i < workers_.size(); ++i) {
    if (share_.joined(i)) {
      warm(i);
    }
  }
}

void RemoteExperts::warm(size_t worker) {
  std::vector<WarmExpert> wanted;
  for (const LayerExpert& it : warm_order(hot_, here_, worker, workers_.size())) {
    wanted.push_back({static_cast<uint16_t>(layout_.expert_layers[it.layer].layer), static_cast<uint16_t>(it.expert)});
  }
  if (wanted.empty()) {
    return;
  }
  const auto deadline = std::chrono::steady_clock::now() + manner_.patience;
  const Status status = workers_[worker].link->session()->warm(wanted, deadline);
  count_bytes(worker);
  if (!status) {
    lose(worker, status.error().message);
  }
}

// Each row may be wanted of any, and an expert by all tokens.
bool RemoteExperts::take_so_many(size_t tokens) const {
  for (size_t i = 0; i < workers_.size(); ++i) {
    if (share_.joined(i) && tokens > workers_[i].link->session()->most_pairs()) {
      return false;
    }
  }
  return true;
}

bool RemoteExperts::ask(const WantedBlock& wanted, const ExpertStore& store, std::vector<uint32_t>& own) {
  const ExpertBlock& block = wanted.block;
  own.assign(wanted.wanted.begin(), wanted.wanted.end());
  work_ = wanted.work;
  for (Worker& it : workers_) {
    it.share.clear();
  }
  if (!take_so_many(static_cast<size_t>(block.tokens()))) {
    share_.keep_here(block.layer, {});  // what this takes here teaches nothing
    return false;
  }
  introduce(block);
  wanted_.clear();
  for (const uint32_t expert : wanted.wanted) {
    wanted_.push_back(
        {expert, static_cast<uint32_t>(wanted.pairs[expert].size()), store.resident(block.layer, expert)});
  }
  const std::span<const uint32_t> who = share_.divide(block.layer, wanted_, work_);
  own.clear();
  for (size_t i = 0; i < wanted_.size(); ++i) {
    if (who[i] == MachineShare::kHere) {
      own.push_back(wanted_[i].expert);
    } else {
      workers_[who[i] - 1].share.add(wanted_[i].expert);
    }
  }
  if (own.size() == wanted_.size()) {
    return false;
  }
  share_next(wanted, store);
  bool asked = false;
  for (size_t i = 0; i < workers_.size(); ++i) {
    if (!workers_[i].share.experts().empty()) {
      asked = post(i, wanted) || asked;
    }
  }
  if (!asked) {
    own.assign(wanted.wanted.begin(), wanted.wanted.end());  // all that were to help were lost
    share_.keep_here(block.layer, wanted_);
  }
  return asked;
}

// What they were told before to read of this layer is asked for first.
void RemoteExperts::share_next(const WantedBlock& wanted, const ExpertStore& store) {
  for (Worker& it : workers_) {
    if (next_layer_ == wanted.block.layer) {
      it.share.move_to_front(it.next);
    }
  }
  share_ahead(wanted.block.layer + 1, wanted.next, static_cast<size_t>(wanted.block.used() * wanted.block.tokens()),
              store);
}

// Who reads what of a layer, as far as it is not in that one's memory. Each expert is taken to be chosen by as many. A
// worker is told of no more than its first ask will want: of the others it would cancel its reads.
void RemoteExperts::share_ahead(uint32_t layer, std::span<const ExpertPrediction> likely, size_t choices,
                                const ExpertStore& store) {
  next_layer_ = layer;
  own_next_.clear();
  for (Worker& it : workers_) {
    it.next.clear();
  }
  if (likely.empty()) {
    return;
  }
  const size_t each = std::max<size_t>(choices / likely.size(), 1);
  likely_.clear();
  for (const ExpertPrediction& it : likely) {
    likely_.push_back({it.expert, static_cast<uint32_t>(each), store.resident(layer, it.expert)});
  }
  std::ranges::sort(likely_, {}, &WantedExpert::expert);
  const std::span<const uint32_t> who = share_.divide_ahead(layer, likely_);
  if (who.empty()) {
    return;
  }
  for (const ExpertPrediction& it : likely) {
    const auto at = std::ranges::lower_bound(likely_, it.expert, {}, &WantedExpert::expert) - likely_.begin();
    const uint32_t machine = who[static_cast<size_t>(at)];
    if (machine == MachineShare::kHere) {
      own_next_.push_back(it);
      continue;
    }
    Worker& worker = workers_[machine - 1];
    const double rows = static_cast<double>((worker.next.size() + 1) * each);
    if (!share_.has(machine - 1, layer, it.expert) && rows <= kSureOfAsk * worker.link->session()->most_pairs()) {
      worker.next.push_back(it.expert);
    }
  }
}

std::span<const ExpertPrediction> RemoteExperts::own_of_first(std::span<const ExpertPrediction> likely, size_t choices,
                                                              const ExpertStore& store) {
  if (!any() || !take_so_many(choices / layout_.experts_used)) {
    return likely;
  }
  share_ahead(0, likely, choices, store);
  for (Worker& it : workers_) {
    it.next.clear();  // they were not told
  }
  return own_next_;
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

void RemoteExperts::add_ahead(std::span<const uint32_t> experts, uint32_t layer, WorkerSession& session) const {
  std::vector<WarmExpert> ahead;
  for (const uint32_t expert : experts) {
    ahead.push_back({static_cast<uint16_t>(layout_.expert_layers[layer].layer), static_cast<uint16_t>(expert)});
  }
  if (!ahead.empty()) {
    session.add_ahead(ahead);
  }
}

// All asks in one message, each preceded by what the one after it will want.
void RemoteExperts::write_asks(Worker& worker, const WantedBlock& wanted, WorkerSession& session) const {
  const ExpertBlock& block = wanted.block;
  AskedShare& share = worker.share;
  share.divide(wanted.pairs, session.most_pairs());
  const std::span<const uint32_t> tokens = share.find_tokens(block);
  const WorkerRows rows = worker_rows(block, layout_);
  for (size_t ask = 0; ask < share.asks(); ++ask) {
    if (ask + 1 < share.asks()) {
      add_ahead(share.experts_of(ask + 1), block.layer, session);
    } else {
      add_ahead(worker.next, block.layer + 1, session);
    }
    const AskShape shape = {share.pairs_of(ask), static_cast<uint32_t>(tokens.size()), work_ == SharedWork::kPrompt};
    if (ask > 0) {
      share.write_pairs(ask, wanted.pairs, block, session.add_ask_of_same_rows(rows, shape));
      continue;
    }
    const AskSpace space = session.add_ask(rows, shape);
    share.write_pairs(ask, wanted.pairs, block, space.pairs);
    const ggml_tensor* input = block_input(block);
    const size_t row = static_cast<size_t>(input->ne[0]) * sizeof(float);
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::memcpy(space.rows.data() + i * row, static_cast<const std::byte*>(input->data) + tokens[i] * input->nb[2],
                  row);
    }
  }
}

// False when the worker is lost; what it was to compute then stays in its share for collect().
bool RemoteExperts::post(size_t worker, const WantedBlock& wanted) {
  Worker& it = workers_[worker];
  WorkerSession& session = *it.link->session();
  write_asks(it, wanted, session);
  it.sum = {};
  it.asked = std::chrono::steady_clock::now();
  const Status status = session.post();
  count_bytes(worker);
  if (!status) {
    lose(worker, status.error().message);
  }
  return status.has_value();
}

void RemoteExperts::advance(const ExpertBlock& block) {
  for (size_t i = 0; i < workers_.size(); ++i) {
    const Worker& it = workers_[i];
    while (!it.share.is_replied() && it.link->session() != nullptr) {
      const auto arrived = it.link->session()->arrived();
      count_bytes(i);
      if (!arrived) {
        lose(i, arrived.error().message);
      } else if (!*arrived) {
        break;
      } else {
        take(i, block, std::chrono::steady_clock::now() + manner_.patience, false);
      }
    }
  }
}

void RemoteExperts::collect(const ExpertBlock& block, Pairs pairs, std::vector<uint32_t>& lost) {
  lost.clear();
  advance(block);
  for (size_t i = 0; i < workers_.size(); ++i) {
    const AskedShare& share = workers_[i].share;
    if (share.is_replied() || wait_for(i, block)) {
      continue;
    }
    const std::span<const uint32_t> missing = share.missing();
    lost.insert(lost.end(), missing.begin(), missing.end());
    for (const uint32_t expert : missing) {
      stats_[i].rows_here += pairs[expert].size();
    }
  }
  std::ranges::sort(lost);
}

// All rows of a worker that have not come. False when they do not.
bool RemoteExperts::wait_for(size_t worker, const ExpertBlock& block) {
  const Worker& it = workers_[worker];
  const std::chrono::duration<double> expected(kPatience *
                                               share_.expected_seconds(static_cast<uint32_t>(worker + 1), work_));
  const auto patience = std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::max<std::chrono::duration<double>>(expected, manner_.patience));
  while (!it.share.is_replied()) {
    const auto start = std::chrono::steady_clock::now();
    const bool good = take(worker, block, start + patience, true);
    add_seconds(stats_[worker].wait_seconds, start);
    if (!good) {
      return false;
    }
    advance(block);  // the others' rows must not wait for this one's
  }
  return true;
}

// The next reply of a worker, `waited` for or not. False when there is none: it is lost, or was when it was asked.
bool RemoteExperts::take(size_t worker, const ExpertBlock& block, std::chrono::steady_clock::time_point deadline,
                         bool waited) {
  Worker& it = workers_[worker];
  WorkerSession* session = it.link->session();
  if (session == nullptr) {
    return false;
  }
  const auto reply = session->receive(deadline);
  count_bytes(worker);
  if (!reply || reply->head.status != ReplyStatus::kDone) {
    lose(worker, reply ? session->reason(deadline) : reply.error().message);
    return false;
  }
  it.share.take(reply->rows, block);
  share_.set_map(worker, block.layer, reply->map);
  it.sum.hits += reply->head.hits;
  it.sum.read_bytes += reply->head.read_bytes;
  it.sum.nanoseconds += reply->head.nanoseconds;
  it.sum.wait_nanoseconds += reply->head.wait_nanoseconds;
  if (it.share.is_replied()) {
    note(worker, waited);
  }
  return true;
}

// What replies tell of the worker. How long asking takes shows only where they were `waited` for.
void RemoteExperts::note(size_t worker, bool waited) {
  const Worker& it = workers_[worker];
  WorkerStats& stats = stats_[worker];
  const size_t experts = it.share.experts().size();
  const size_t hits = std::min<size_t>(it.sum.hits, experts);
  ++stats.asks;
  stats.experts += experts;
  stats.hits += hits;
  stats.rows += it.share.rows();
  stats.read_bytes += it.sum.read_bytes;
  if (manner_.alike) {
    return;
  }
  const double elapsed = seconds_since(it.asked);
  const double computing = std::min(static_cast<double>(it.sum.nanoseconds) * 1e-9, elapsed);
  const MachineLoad load = {static_cast<uint32_t>(it.share.rows()), static_cast<uint32_t>(experts - hits)};
  const auto machine = static_cast<uint32_t>(worker + 1);
  if (work_ == SharedWork::kPrompt) {
    PromptSpeed& speed = share_.prompt_speed(machine);
    speed.note(load, computing, std::min(static_cast<double>(it.sum.wait_nanoseconds) * 1e-9, computing));
    if (waited) {
      speed.note_way(load, elapsed - computing);
    }
    return;
  }
  MachineSpeed& speed = share_.speed(machine);
  speed.note(load, computing);
  if (waited) {
    speed.note_visit(elapsed - computing);
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
