// What a machine that computes a model and a worker say to each other, inside llama.cpp's RPC protocol (ggml-rpc).
//
// A worker is llama.cpp's own RPC server over devices of ours (backend/worker/worker_device.h). It has its own copy of
// the model, so that no weight is sent: weights go by name. It runs nothing that a peer describes: it takes one shape
// of graph, checks all of it, and computes a graph of its own. All numbers are little-endian; structs are sent as they
// lie in memory and have no padding.
//
// A connection, in the messages of ggml-rpc:
//   HELLO                                  first of all, as ggml-rpc has it
//   ALLOC_BUFFER, BUFFER_GET_BASE          memory for asks and replies: kMostBufferBytes in all
//   SET_TENSOR kHelloName, a WorkerHello   within kGreetingSeconds, or the worker closes the connection
//   GET_TENSOR kVerdictName, a WorkerVerdict
//   GRAPH_COMPUTE on device d              once for each layer: its block (below). The memory of its ask must have been
//                                          set: it is computed at once. Number 0 with no pairs is fit for that.
//   and for each pass and layer, in one write:
//   SET_TENSOR kAskName                    an Ask, with its choices and rows
//   GRAPH_RECOMPUTE on device d
//   GET_TENSOR kReplyName                  a Reply, with its map and rows
//   where that is more than an ask holds, several of these one behind the other. The rows are sent with the first: of
//   the others only what stands before the rows is set, and they stay where they are. Before each there may be a
//   SET_TENSOR kAheadName                  WarmExperts of one layer, that the ask after the next will want
//
// All devices are the same: which layer a graph computes follows from the names of its weights. There is one for each
// layer because ggml-rpc keeps one graph for each device. A tensor is sent with its name, type, shape
// (F32 and I32 contiguous; raw ones are I8 of one dimension), `buffer` and `data`; all else is 0 unless said here.
//
// A layer's block, as a graph. With R = most pairs of an ask, the same in all of it, 1..WorkerVerdict::most_pairs:
//   leaf kAskName   F32 [width, 1, R]   `buffer` and `data`: of the Ask's first byte, in ask_bytes(R, R, width)
//   leaf kIdsName   I32 [1, R]          without buffer and data
//   leaves of weights, by their names in the model, of its type and shape [ne0, ne1, experts], without buffer and data;
//                   biases likewise, F32 [ne0, experts]
//   nodes, of 1..kMostNodes, all F32 [n, 1, R], flags GGML_TENSOR_FLAG_COMPUTE, sources before those who use them:
//     MUL_MAT_ID (weight, ask or an earlier node, ids)
//     ADD_ID     (earlier node, bias, ids)
//     GLU, MUL   (earlier nodes; GLU of one node has one source); GLU, UNARY, CLAMP, SCALE, SQR with their op_params
//   A source may be a VIEW of an earlier node: F32 [m, 1, R] with that node's nb, `view_src` that node, and view_offs
//   within its row. Views are no nodes. All nodes but the last are without buffer and data.
//   The last node is the result, kReplyName, with `buffer` and `data` of the Reply's first byte, and room for
//   reply_bytes(experts, R, n).
// Of a model without experts it is a layer's feed-forward part: weights [ne0, ne1], MUL_MAT (weight, ask or an earlier
// node) in the place of MUL_MAT_ID, and no ids. In all else it is as if each layer had one expert; an ask's pairs are
// {0, 0}, {0, 1} and so on: all rows in their order, which are computed together.
//
// Whole layers, attention and KV cache included, are computed for a connection whose hello has AskedSplit::kLayers.
// Then there are no asks and no blocks. After the verdict:
//   ALLOC_BUFFER, BUFFER_GET_BASE, FREE_BUFFER  memory for the KV cache and for what is computed. All buffers of the
//                                          connection, and what of layers is to stay there, matrices and experts
//                                          (each of WorkerVerdict::slot_bytes), have WorkerVerdict::peer_memory
//                                          together: a buffer that is more fails (it is 0)
//   SET_TENSOR kWarmName                   WarmExpert {layer, 0}: the layers that the connection will have computed;
//                                          their matrices and experts stay as memory allows, others are read as used
//   SET_TENSOR, GET_TENSOR                 of a tensor with any other name than those that begin with kReservedNames:
//                                          bytes of a buffer, at most kMostPieceBytes of them
//   BUFFER_CLEAR, COPY_TENSOR              as in ggml-rpc; both tensors of a copy are the peer's. Of all of these
//                                          FREE_BUFFER, SET_TENSOR and BUFFER_CLEAR have no answer
//   and for each pass, in one write:
//   SET_TENSOR                             inputs
//   GRAPH_COMPUTE on device d              or GRAPH_RECOMPUTE of what it was last sent; d is less than
//                                          WorkerVerdict::layers, so that as many graphs are kept
//   GET_TENSOR kLayersStatusName           a LayersStatus, of that graph
//   GET_TENSOR                             outputs
// GRAPH_COMPUTE and GRAPH_RECOMPUTE of a graph that is refused or fails compute nothing or a part of it.
//
// A layers' graph is what llama.cpp made, in at most kMostGraphNodes nodes and kMostGraphBytes. Every tensor has its
// op, op_params, type, ne, nb, src, view_src and view_offs as ggml's own functions made them; flags are what llama.cpp
// set; names count where they are said to. Each node comes behind its sources.
//   weights    leaves by their names in the model, of its type and shape, without buffer and data: tensors of layers,
//              and rope_freqs, rope_factors_long, rope_factors_short. They may be seen through RESHAPE and VIEW.
//   memory     leaves of the peer's, F32, F16, BF16, I32, I64, or a type that a KV cache may have: op NONE, `buffer`
//              and `data` in a live buffer, all of their nb[] * ne[] within it
//   nodes      of the operations that backend/worker/layers_node.cpp lists, with `buffer` and `data` in a live buffer;
//              views (VIEW, RESHAPE, PERMUTE, TRANSPOSE, and those operations that write to what they are given: CPY,
//              SET_ROWS, and what ggml calls inplace) with those of what they show
//   indices    (of GET_ROWS, SET_ROWS, ADD_ID and MUL_MAT_ID) lie in the peer's memory and are computed by no node of
//              the graph: their values are read before anything is computed. Or they are an ARGSORT of the graph's, or
//              a view of one, of no more numbers than there are rows or experts: a router's choice, which is used
//              before the next router's is made.
//   experts    weights of three dimensions, in MUL_MAT_ID alone, of at most WorkerVerdict::most_pairs rows.
// No weight is written to.
//
// Whatever else comes is refused with a line in the worker's log.
//
// Bits: a row is computed by the same kernels as elsewhere if the verdict is that kernels are alike, and if all rows
// that chose an expert in a pass are asked for in one ask: which kernel computes them depends on how many they are, and
// on WorkerHello::repacks.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace hypura {

// Of what this file says. Raised by every change of it.
inline constexpr uint32_t kWorkerProtocol = 4;

inline constexpr uint16_t kWorkerPort = 52525;

inline constexpr std::string_view kHelloName = "hypura.hello";      // set: WorkerHello
inline constexpr std::string_view kVerdictName = "hypura.verdict";  // get: WorkerVerdict, the answer to the hello
inline constexpr std::string_view kWarmName = "hypura.warm";        // set: WarmExpert, one or more
inline constexpr std::string_view kAheadName = "hypura.ahead";      // set: WarmExpert, one or more
inline constexpr std::string_view kReasonName = "hypura.reason";    // get: text of kReasonBytes: why it last refused or
                                                                    // failed, zero-terminated; empty: it did not
inline constexpr std::string_view kAskName = "hypura.ask";
inline constexpr std::string_view kIdsName = "hypura.ids";
inline constexpr std::string_view kReplyName = "hypura.reply";
inline constexpr std::string_view kLayersStatusName = "hypura.layers";  // get: LayersStatus
inline constexpr std::string_view kReservedNames = "hypura.";

inline constexpr uint64_t kMostBufferBytes = 32ULL << 20;  // of all buffers of a connection; of whole layers see above
inline constexpr uint32_t kMostPairs = 512;                // in an ask, and most rows; a worker may take fewer
inline constexpr uint32_t kMostNodes = 16;                 // of a block
inline constexpr double kGreetingSeconds = 10;             // from accepting a connection to its hello
inline constexpr uint64_t kReasonBytes = 512;
inline constexpr uint32_t kMostGraphNodes = 8192;        // of whole layers
inline constexpr uint64_t kMostGraphBytes = 4ULL << 20;  // what GRAPH_COMPUTE of these sends
inline constexpr uint64_t kMostPieceBytes = 8ULL << 20;  // that are set or got at once

// What a connection has computed.
enum class AskedSplit : uint32_t {
  kParts = 0,   // rows of experts, or feed-forward parts
  kLayers = 1,  // whole layers
};

// What must be equal for a worker to compute the same bits.
struct WorkerIdentity {
  uint32_t protocol = kWorkerProtocol;
  uint32_t repacked = 0;          // 1: a repacked copy of the model is read
  uint64_t fingerprint = 0;       // model_fingerprint() of the model as open_model() gives it
  std::array<char, 32> hypura{};  // version; zero-terminated, as are the others
  std::array<char, 64> llama{};   // ggml_build()
  std::array<char, 384> cpu{};    // cpu_kernels() in backend/cpu_kernels.h
};

// Of the one that asks.
struct WorkerHello {
  WorkerIdentity identity;
  uint32_t any_cpu = 0;  // 1: other kernels will do, and other bits
  AskedSplit split = AskedSplit::kParts;
  // Bit t: matrices of ggml's type t are repacked for products with many rows; the worker follows. Of feed-forward
  // parts none is.
  uint64_t repacks = 0;
  uint32_t threads = 0;  // of whole layers: that it computes single tokens with. Attention of one token sums up in as
                         // many parts, so that other bits come of another number
  uint32_t zero = 0;
};

// Of the worker. 0 where a number is not known.
struct WorkerVerdict {
  WorkerIdentity identity;
  uint32_t accepted = 0;  // 1: it computes for this connection from now on
  uint32_t layers = 0;    // with experts, or dense ones
  uint32_t experts = 0;   // most in a layer; 1 of dense ones
  uint32_t slots = 0;     // for experts of any layer, or feed-forward parts
  uint32_t most_pairs = 0;
  uint32_t threads = 0;
  uint64_t slot_bytes = 0;  // of one slot
  uint64_t budget = 0;      // bytes of memory that it may use
  // For whole layers: what buffers of the connection and matrices that stay may have together. 0: it computes none.
  uint64_t peer_memory = 0;
  // As its machine's profile has it, of an expert's matrices: reading, and what the first read takes besides; computing
  // one for one token and for each further, in the mean of the layers.
  double disk_bytes_per_second = 0;
  double disk_seconds = 0;
  double expert_seconds = 0;
  double row_seconds = 0;
  std::array<char, kReasonBytes> sentence{};  // where it did not accept: why, and what to do
};

// An expert that had better be in a slot: by its layer's number in the model. The most wanted first. They are read
// while nothing is asked, each layer's up to its share of the slots. Feed-forward parts are those that the connection
// will ask for: they stay as they are asked for, as far as the memory goes, and the others are read ahead in their
// order.
struct WarmExpert {
  uint16_t layer = 0;
  uint16_t expert = 0;
};

// Behind it lie R times AskedPair, of which the first `pairs` count; then `tokens` rows of `width` floats.
struct Ask {
  uint32_t number = 0;  // comes back in the reply
  uint32_t pairs = 0;   // 0..R; 0: only the map is wanted
  uint32_t tokens = 0;  // 0..R, 0 with no pairs
  uint32_t prompt = 0;  // 1: of a prompt's pass, which says little about what is worth keeping
};

// One row of the result: that expert's of that row of the ask.
struct AskedPair {
  int32_t expert = 0;
  uint32_t token = 0;
};

enum class ReplyStatus : uint32_t {
  kRefused = 0,  // nothing was computed: what was asked for is not allowed. As memory that was never written is.
  kDone = 1,
  kFailed = 2,  // a read failed
};

// Behind it lie map_bytes(experts) of a map: bit e % 8 of byte e / 8 says that expert e of this layer is in a slot now;
// then a row for each pair, in their order.
// A reply whose number is not that of the ask is none.
struct Reply {
  uint32_t number = 0;
  ReplyStatus status = ReplyStatus::kRefused;
  uint32_t pairs = 0;             // as asked
  uint32_t experts = 0;           // different ones among them
  uint32_t hits = 0;              // of these, in a slot when they were asked for
  uint32_t cached = 0;            // bits of the map that are 1
  uint64_t read_bytes = 0;        // for this ask
  uint64_t nanoseconds = 0;       // from its beginning to its end on the worker
  uint64_t wait_nanoseconds = 0;  // of these, waiting for the disk
  std::array<uint64_t, 2> zero{};
};

// Of the graph that was computed last.
struct LayersStatus {
  ReplyStatus status = ReplyStatus::kRefused;
  uint32_t graphs = 0;            // that were computed since the connection's beginning: those that are kDone
  uint64_t read_bytes = 0;        // for this graph
  uint64_t nanoseconds = 0;       // from its beginning to its end on the worker
  uint64_t wait_nanoseconds = 0;  // of these, waiting for the disk
};

static_assert(sizeof(WorkerIdentity) == 16 + 32 + 64 + 384);
static_assert(sizeof(WorkerHello) == sizeof(WorkerIdentity) + 24);
static_assert(sizeof(WorkerVerdict) == sizeof(WorkerIdentity) + 80 + kReasonBytes);
static_assert(sizeof(WarmExpert) == 4 && sizeof(Ask) == 16 && sizeof(AskedPair) == 8 && sizeof(Reply) == 64);
static_assert(sizeof(LayersStatus) == 32);

// Where the rows of an ask for at most `most_pairs` begin, and how long it is. The width is in floats.
constexpr uint64_t ask_rows_offset(uint64_t most_pairs) {
  return sizeof(Ask) + most_pairs * sizeof(AskedPair);
}
constexpr uint64_t ask_bytes(uint64_t most_pairs, uint64_t tokens, uint64_t width) {
  return ask_rows_offset(most_pairs) + tokens * width * sizeof(float);
}

constexpr uint64_t map_bytes(uint64_t experts) {
  return (experts + 63) / 64 * 8;
}

// Where the rows of a reply begin, and how long it is.
constexpr uint64_t reply_rows_offset(uint64_t experts) {
  return sizeof(Reply) + map_bytes(experts);
}
constexpr uint64_t reply_bytes(uint64_t experts, uint64_t pairs, uint64_t width) {
  return reply_rows_offset(experts) + pairs * width * sizeof(float);
}

// The identity of this program, for a model. `llama` and `cpu` are cut to what there is room for.
WorkerIdentity worker_identity(uint64_t fingerprint, bool repacked, std::string_view llama, std::string_view cpu);

// Why `worker` must not compute for who says this hello: what is not alike, and what to do about it; empty: it may.
// Texts in a hello are a peer's, and are made printable.
std::string hello_refusal(const WorkerIdentity& worker, const WorkerHello& hello);

}  // namespace hypura
