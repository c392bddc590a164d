// llama.cpp's RPC server over devices of ours, on a socket of ours.
//
// The server is ggml-rpc.cpp as it stands, built from the pinned source. What it uses of sockets (ggml-rpc/transport.h)
// is made here, in place of llama.cpp's own: the listener is inherited, so that it lives on when this process does not;
// a peer that is gone or says nothing is noticed; what is longer than any message of ours is not read; a reply is sent
// in one piece.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "ggml-backend.h"

namespace hypura {

struct RpcListener {
  // What is longer is not read, and ends the connection: content of any request, and of a block's graph. So does a
  // graph that is deeper than kMostGraphDepth (rpc_graph.h), and a request for an answer that is longer.
  static constexpr uint64_t kMostMessage = 33ULL << 20;
  static constexpr uint64_t kMostGraph = 64ULL << 10;

  int fd = -1;  // that listens; borrowed
  // From accepting a connection until greeted(), and without a byte within a message.
  std::chrono::milliseconds greeting{10'000};
  std::chrono::milliseconds stall{30'000};

  // Called on the server's thread. `peer`: its address, "127.0.0.1:40112".
  std::function<void(const std::string& peer)> connected;
  std::function<void(const std::string& why)> disconnected;
  std::function<bool()> greeted;       // whether the peer may be silent between messages
  std::function<bool()> whole_layers;  // whether its graphs may be of kMostGraphBytes (remote/protocol.h)
};

// Serves one client after the other, until the listener is shut down (shutdown(2)). What a client sends can throw: an
// assertion of ggml's, where these do (LlamaGuard), and an exception of a device; its connection is closed then, and it
// may be called again. One at a time in a process.
void serve_rpc(const RpcListener& listener, std::span<ggml_backend_dev_t> devices);

}  // namespace hypura
