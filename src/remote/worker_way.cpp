// How a session measures the way to its worker.
#include <algorithm>
#include <vector>

#include "remote/worker_session.h"
#include "support/elapsed.h"
#include "support/fail.h"

namespace hypura {

namespace {

constexpr size_t kFewestTrips = 4;
constexpr size_t kMostTrips = 24;
constexpr double kTripSeconds = 0.08;   // for more than the fewest
constexpr double kProbeSeconds = 0.04;  // for more than one message each way
constexpr uint64_t kFirstProbe = 32 << 10;
constexpr uint64_t kProbe = 256 << 10;
constexpr size_t kMostProbes = 3;
constexpr double kLeastSeconds = 1e-6;  // that a message is taken to need

}  // namespace

// From sending what stands in requests_ to the last byte of its answer.
Result<double> WorkerSession::time_answer(size_t bytes, Clock::time_point deadline, const InterruptPipe* interrupt) {
  reply_.resize(bytes);
  const auto start = Clock::now();
  Status status = send();
  if (status) {
    status = answer(reply_, deadline, interrupt);
  }
  return status ? Result<double>(seconds_since(start)) : propagate(status.error());
}

Status WorkerSession::measure_round_trip(Clock::time_point deadline, const InterruptPipe* interrupt) {
  const auto start = Clock::now();
  std::vector<double> trips;
  while (trips.size() < kFewestTrips || (trips.size() < kMostTrips && seconds_since(start) < kTripSeconds)) {
    requests_.clear();
    requests_.add(RpcCommand::kBufferGetBase, RpcBufferGetBase{buffer_});
    const auto trip = time_answer(sizeof(RpcBufferGetBaseAnswer), deadline, interrupt);
    if (!trip) {
      return propagate(trip.error());
    }
    trips.push_back(*trip);
  }
  std::ranges::sort(trips);
  way_.round_trip = trips[trips.size() / 2];
  way_.slow_round_trip = trips[trips.size() * 9 / 10];
  return {};
}

// The best of a few messages, the first of them short: a new connection does not send all at once yet. What is sent is
// an ask for nothing, what is read the memory of replies; of whole layers, which have neither, bytes without a name.
Status WorkerSession::measure_bandwidth(bool sending, uint64_t most, Clock::time_point deadline,
                                        const InterruptPipe* interrupt) {
  const auto start = Clock::now();
  const bool parts = split_ == AskedSplit::kParts;
  double& best = sending ? way_.send_bytes_per_second : way_.receive_bytes_per_second;
  for (size_t i = 0; i < kMostProbes && (i == 0 || seconds_since(start) < kProbeSeconds); ++i) {
    const uint64_t bytes = std::min(i == 0 ? kFirstProbe : kProbe, most);
    requests_.clear();
    if (sending) {
      std::ranges::fill(requests_.add_set_tensor(raw(parts ? kAskName : "", ask_address_, bytes), bytes), std::byte{0});
      requests_.add(RpcCommand::kBufferGetBase, RpcBufferGetBase{buffer_});
    } else {
      requests_.add(RpcCommand::kGetTensor,
                    RpcGetTensor{raw(parts ? kReplyName : "", reply_address_, bytes), 0, bytes});
    }
    const auto took = time_answer(sending ? sizeof(RpcBufferGetBaseAnswer) : bytes, deadline, interrupt);
    if (!took) {
      return propagate(took.error());
    }
    best = std::max(best, static_cast<double>(bytes) / std::max(*took - way_.round_trip, kLeastSeconds));
  }
  return {};
}

}  // namespace hypura
