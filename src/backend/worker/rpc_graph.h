// What llama.cpp's RPC server does with a graph that it is sent, before a device is asked.
#pragma once

#include <cstddef>
#include <span>

namespace hypura {

// How often the function that makes a graph's tensors may call itself. Of a graph that llama.cpp makes each node comes
// behind its sources, and a block's sources are a view and a node away.
inline constexpr size_t kMostGraphDepth = 64;

// Whether the server, given this content of GRAPH_COMPUTE, calls that function within itself no more often than that.
bool is_shallow_graph(std::span<const std::byte> content);

}  // namespace hypura
