// The messages of llama.cpp's RPC protocol, version 7.0, in bytes: those that a client of workers sends.
//
// A request is a command (1 byte), the size of what follows (8 bytes), and that. Only some requests are answered: with
// a size (8 bytes), and that. Commands are carried out in their order, so that several go out in one write and are one
// round trip. All numbers are little-endian, as those of the machines that llama.cpp's own client runs on.
//
// What is relied on upstream (ggml/src/ggml-rpc of the pinned release) stands here; backend/worker_block.cpp holds
// it against ggml's headers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace hypura {

enum class RpcCommand : uint8_t {
  kAllocBuffer = 0,
  kBufferGetBase = 3,
  kFreeBuffer = 4,
  kBufferClear = 5,
  kSetTensor = 6,
  kGetTensor = 8,
  kCopyTensor = 9,
  kGraphCompute = 10,
  kHello = 14,
  kGraphRecompute = 16,
};

inline constexpr uint8_t kRpcMajor = 7;
inline constexpr uint8_t kRpcMinor = 0;  // what a server of a lower one lacks we do not ask for

inline constexpr size_t kRpcDims = 4;      // GGML_MAX_DIMS
inline constexpr size_t kRpcParams = 16;   // GGML_MAX_OP_PARAMS, in numbers of 4 bytes
inline constexpr size_t kRpcSources = 10;  // GGML_MAX_SRC
inline constexpr size_t kRpcName = 64;     // GGML_MAX_NAME, with the 0 behind it

inline constexpr uint32_t kRpcF32 = 0;  // GGML_TYPE_F32
inline constexpr uint32_t kRpcI8 = 24;
inline constexpr uint32_t kRpcI32 = 26;
inline constexpr int32_t kRpcCompute = 16;  // GGML_TENSOR_FLAG_COMPUTE

#pragma pack(push, 1)

// A tensor. Where it lies in memory of the server, `buffer` is the server's name of that and `data` an address in it;
// else both are 0.
struct RpcTensor {
  uint64_t id = 0;
  uint32_t type = 0;
  uint64_t buffer = 0;
  uint32_t ne[kRpcDims] = {};
  uint32_t nb[kRpcDims] = {};
  uint32_t op = 0;
  int32_t op_params[kRpcParams] = {};
  int32_t flags = 0;
  uint64_t src[kRpcSources] = {};
  uint64_t view_src = 0;
  uint64_t view_offs = 0;
  uint64_t data = 0;
  char name[kRpcName] = {};
  int32_t use_count = 0;

  // Cut where it is too long.
  void set_name(std::string_view text);

  // Contiguous, in elements of that many bytes.
  void set_shape(uint32_t element_bytes, std::array<uint32_t, kRpcDims> elements);
};

struct RpcHello {
  uint8_t capabilities[24] = {};  // all 0: TCP
};
struct RpcHelloAnswer {
  uint8_t major = 0;
  uint8_t minor = 0;
  uint8_t patch = 0;
  uint8_t padding = 0;
  uint8_t capabilities[24] = {};
};
struct RpcAllocBuffer {
  uint32_t device = 0;
  uint64_t size = 0;
};
struct RpcAllocBufferAnswer {
  uint64_t buffer = 0;  // 0: there is no memory
  uint64_t size = 0;
};
struct RpcBufferGetBase {
  uint64_t buffer = 0;
};
struct RpcBufferGetBaseAnswer {
  uint64_t base = 0;
};
struct RpcFreeBuffer {
  uint64_t buffer = 0;
};
struct RpcBufferClear {
  uint64_t buffer = 0;
  uint8_t value = 0;
};
struct RpcCopyTensor {
  RpcTensor from;
  RpcTensor to;
};
struct RpcCopyTensorAnswer {
  uint8_t copied = 0;
};
// The data follows.
struct RpcSetTensor {
  RpcTensor tensor;
  uint8_t cached = 0;
  uint64_t offset = 0;
};
// The answer is `size` bytes.
struct RpcGetTensor {
  RpcTensor tensor;
  uint64_t offset = 0;
  uint64_t size = 0;
};
// Computes the graph that the device was last sent.
struct RpcGraphRecompute {
  uint32_t device = 0;
};

#pragma pack(pop)

inline constexpr size_t kRpcRequestHead = 9;  // bytes before what a request holds
inline constexpr size_t kRpcAnswerHead = 8;   // the same of an answer

// Requests one behind the other, for one write.
class RpcRequests {
 public:
  void clear() { bytes_.clear(); }
  std::span<const std::byte> bytes() const { return bytes_; }

  // One whose content is `content`.
  template <class Content>
  void add(RpcCommand command, const Content& content) {
    static_assert(std::is_trivially_copyable_v<Content>);
    begin(command, sizeof(content));
    append(&content, sizeof(content));
  }

  // Sets `size` bytes of `tensor`, from its beginning. They are to be written where the result says, before the next
  // request is added, or at the same place in bytes() later.
  std::span<std::byte> add_set_tensor(const RpcTensor& tensor, size_t size);

  // Some of bytes(), to be written.
  std::span<std::byte> bytes_at(size_t begin, size_t size) { return std::span(bytes_).subspan(begin, size); }

  // Computes `nodes`, by their ids, on `device`, which keeps the graph. `tensors`: they, and all that they use.
  void add_graph(uint32_t device, std::span<const uint64_t> nodes, std::span<const RpcTensor> tensors);

 private:
  void begin(RpcCommand command, uint64_t size);
  void append(const void* from, size_t size);

  std::vector<std::byte> bytes_;
};

}  // namespace hypura
