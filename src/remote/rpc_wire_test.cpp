#include "remote/rpc_wire.h"

#include <gtest/gtest.h>

#include <string_view>

namespace hypura {
namespace {

uint64_t number_at(std::span<const std::byte> bytes, size_t at, size_t size) {
  uint64_t number = 0;
  std::memcpy(&number, bytes.data() + at, size);
  return number;
}

// As llama.cpp's own, which are packed.
TEST(RpcWire, HasLlamasSizes) {
  EXPECT_EQ(sizeof(RpcTensor), 296U);
  EXPECT_EQ(sizeof(RpcHello), 24U);
  EXPECT_EQ(sizeof(RpcHelloAnswer), 28U);
  EXPECT_EQ(sizeof(RpcAllocBuffer), 12U);
  EXPECT_EQ(sizeof(RpcAllocBufferAnswer), 16U);
  EXPECT_EQ(sizeof(RpcSetTensor), 305U);
  EXPECT_EQ(sizeof(RpcGetTensor), 312U);
  EXPECT_EQ(sizeof(RpcGraphRecompute), 4U);
}

TEST(RpcWire, ATensorLiesAsLlamaReadsIt) {
  RpcTensor tensor;
  tensor.id = 1;
  tensor.type = 2;
  tensor.buffer = 3;
  tensor.set_shape(4, {10, 11, 12, 1});
  tensor.op = 5;
  tensor.op_params[0] = 6;
  tensor.flags = 7;
  tensor.src[0] = 8;
  tensor.view_src = 9;
  tensor.view_offs = 10;
  tensor.data = 11;
  tensor.set_name(std::string(100, 'n'));
  tensor.use_count = 12;
  const auto bytes = std::as_bytes(std::span(&tensor, 1));
  const std::pair<size_t, uint64_t> words[] = {{0, 1}, {12, 3}, {124, 8}, {204, 9}, {212, 10}, {220, 11}};
  for (const auto& [at, number] : words) {
    EXPECT_EQ(number_at(bytes, at, 8), number) << "at " << at;
  }
  const std::pair<size_t, uint64_t> halves[] = {{8, 2},    {20, 10},   {24, 11}, {28, 12}, {32, 1},  {36, 4},  {40, 40},
                                                {44, 440}, {48, 5280}, {52, 5},  {56, 6},  {120, 7}, {292, 12}};
  for (const auto& [at, number] : halves) {
    EXPECT_EQ(number_at(bytes, at, 4), number) << "at " << at;
  }
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(bytes.data()) + 228), std::string(63, 'n'));
}

TEST(RpcWire, RequestsFollowEachOther) {
  RpcRequests requests;
  requests.add(RpcCommand::kBufferGetBase, RpcBufferGetBase{42});
  ASSERT_EQ(requests.bytes().size(), kRpcRequestHead + 8);
  EXPECT_EQ(number_at(requests.bytes(), 0, 1), 3U);
  EXPECT_EQ(number_at(requests.bytes(), 1, 8), 8U);
  EXPECT_EQ(number_at(requests.bytes(), 9, 8), 42U);
  const auto data = requests.add_set_tensor(RpcTensor(), 5);
  ASSERT_EQ(data.size(), 5U);
  EXPECT_EQ(number_at(requests.bytes(), 17, 1), 6U);
  EXPECT_EQ(number_at(requests.bytes(), 18, 8), 296U + 1 + 8 + 5);
  EXPECT_EQ(data.data() + data.size(), requests.bytes().data() + requests.bytes().size());
  requests.clear();
  EXPECT_TRUE(requests.bytes().empty());
}

TEST(RpcWire, AGraphHasItsNodesAndTensors) {
  RpcRequests requests;
  const uint64_t nodes[] = {2, 3};
  const RpcTensor tensors[3] = {};
  requests.add_graph(7, nodes, tensors);
  const auto bytes = requests.bytes();
  ASSERT_EQ(bytes.size(), kRpcRequestHead + 12 + 16 + 3 * 296);
  EXPECT_EQ(number_at(bytes, 0, 1), 10U);
  EXPECT_EQ(number_at(bytes, 9, 4), 7U);
  EXPECT_EQ(number_at(bytes, 13, 4), 2U);
  EXPECT_EQ(number_at(bytes, 17, 8), 2U);
  EXPECT_EQ(number_at(bytes, 25, 8), 3U);
  EXPECT_EQ(number_at(bytes, 33, 4), 3U);
}

}  // namespace
}  // namespace hypura
