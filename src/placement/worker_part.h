// A worker in a placement problem: a machine that computes experts beside this one, or feed-forward parts of a dense
// model in its place, from its own copy of the model.
// Plain numbers; plan/worker_speeds.h fills them in.
//
// Sizes in bytes, times in seconds.
#pragma once

#include <cstdint>
#include <string>

namespace hypura {

// The way to it, and what is sent there for a layer.
struct WorkerTraffic {
  double round_trip = 0;             // to where it is and back
  double send_bytes_per_second = 1;  // to it
  double receive_bytes_per_second = 1;
  double ask_bytes = 0;    // sent for each layer that it is asked for,
  double token_bytes = 0;  // and for each token of it
  double reply_bytes = 0;  // received for each such layer,
  double row_bytes = 0;    // and for each expert of a token
};

struct WorkerPart {
  std::string name;
  double layer_experts = 0;  // experts of each layer that its memory holds
  uint64_t room = 0;         // bytes of its memory for feed-forward parts
  // Of its reads of an expert's matrices, or of dense ones; `disk_latency` is what the first takes besides.
  double disk_bytes_per_second = 1;
  double disk_latency = 0;
  double slower = 1;           // it computes an expert, or a part, in so many times what this machine takes
  uint32_t most_tokens = 512;  // of a pass that it is asked in
  WorkerTraffic way;
};

}  // namespace hypura
