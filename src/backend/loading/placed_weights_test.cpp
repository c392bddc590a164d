#include "backend/loading/placed_weights.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "backend/loading/own_layouts.h"
#include "ggml-backend.h"
#include "tiers/row_ranges.h"

namespace hypura {
namespace {

using BufferPtr = std::unique_ptr<ggml_backend_buffer, decltype(&ggml_backend_buffer_free)>;

class PlacedWeightsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ggml_log_set([](ggml_log_level, const char*, void*) {}, nullptr);  // it tells of every matrix that it repacks
    ggml_backend_load_all_from_path(HYPURA_LLAMA_LIB_DIR);
  }

  // Places `tensor` in a new buffer of `type`, as ggml does for the loader.
  static BufferPtr place(ggml_backend_buffer_type_t type, ggml_tensor& tensor) {
    BufferPtr buffer(ggml_backend_buft_alloc_buffer(type, ggml_backend_buft_get_alloc_size(type, &tensor)),
                     ggml_backend_buffer_free);
    EXPECT_NE(buffer, nullptr);
    ggml_backend_tensor_alloc(buffer.get(), &tensor, ggml_backend_buffer_get_base(buffer.get()));
    return buffer;
  }

  static std::vector<std::byte> random(size_t count) {
    std::mt19937 engine(7);
    std::vector<std::byte> bytes(count);
    for (std::byte& it : bytes) {
      it = static_cast<std::byte>(engine());
    }
    return bytes;
  }

  static std::vector<std::byte> bytes_of(const BufferPtr& buffer) {
    const auto* data = static_cast<const std::byte*>(ggml_backend_buffer_get_base(buffer.get()));
    return {data, data + ggml_backend_buffer_get_size(buffer.get())};
  }
};

// Three experts, cut where groups of rows go on over their ends, against ggml's own laying out of the whole.
TEST_F(PlacedWeightsTest, LaysOutByGroupsWhatGgmlLaysOutAtOnce) {
  int layouts = 0;
  for (ggml_backend_buffer_type_t type : own_layouts()) {
    for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
      if (ggml_blck_size(static_cast<ggml_type>(i)) == 0 || !multiplies(type, matrix_of(i, 768, 96))) {
        continue;
      }
      ++layouts;
      SCOPED_TRACE(std::string(ggml_backend_buft_name(type)) + " " + ggml_type_name(static_cast<ggml_type>(i)));
      ggml_tensor whole = matrix_of(i, 768, 96);
      const std::vector<std::byte> data = random(ggml_nbytes(&whole));
      const BufferPtr at_once = place(type, whole);
      ggml_backend_buffer_clear(at_once.get(), 0);
      ggml_backend_tensor_set(&whole, data.data(), 0, data.size());

      PlacedWeights weights;
      ggml_tensor parts = matrix_of(i, 768, 96);
      const BufferPtr in_parts = [&] {
        const PlacedWeights::Watch watch(weights);
        return place(type, parts);
      }();
      EXPECT_TRUE(ggml_backend_buffer_is_host(in_parts.get())) << "while loading";
      ASSERT_EQ(weights.tensors(), std::vector<ggml_tensor*>{&parts});
      weights.restore();
      EXPECT_FALSE(ggml_backend_buffer_is_host(in_parts.get()));
      EXPECT_EQ(ggml_backend_buffer_get_type(in_parts.get()), type);
      ggml_backend_buffer_clear(in_parts.get(), 0);
      const uint64_t group = group_bytes(parts);
      ASSERT_EQ(group, kRowGroup * ggml_row_size(parts.type, 768));
      for (uint64_t at = 0; at < data.size(); at += 2 * group) {
        lay_out(parts, at, data.data() + at, std::min(2 * group, data.size() - at));
      }
      EXPECT_TRUE(bytes_of(in_parts) == bytes_of(at_once));
    }
  }
  if (layouts == 0) {
    GTEST_SKIP() << "ggml has no layouts of its own for this processor";
  }
}

TEST_F(PlacedWeightsTest, AsInTheFileBytesGoAnywhere) {
  PlacedWeights weights;
  ggml_tensor vector = matrix_of(GGML_TYPE_F32, 1000, 1);
  const BufferPtr buffer = [&] {
    const PlacedWeights::Watch watch(weights);
    return place(ggml_backend_cpu_buffer_type(), vector);
  }();
  weights.restore();
  EXPECT_EQ(group_bytes(vector), 1U);
  const std::vector<std::byte> data = random(4000);
  lay_out(vector, 0, data.data(), 1234);
  lay_out(vector, 1234, data.data() + 1234, data.size() - 1234);
  EXPECT_EQ(std::memcmp(vector.data, data.data(), data.size()), 0);
}

TEST_F(PlacedWeightsTest, OnlyItsThreadIsWatchedAndOnlyMeanwhile) {
  PlacedWeights weights;
  ggml_tensor other = matrix_of(GGML_TYPE_F32, 64, 1);
  ggml_tensor later = other;
  BufferPtr elsewhere(nullptr, ggml_backend_buffer_free);
  {
    const PlacedWeights::Watch watch(weights);
    std::thread([&] { elsewhere = place(ggml_backend_cpu_buffer_type(), other); }).join();
  }
  const BufferPtr afterwards = place(ggml_backend_cpu_buffer_type(), later);
  EXPECT_TRUE(weights.tensors().empty());
}

}  // namespace
}  // namespace hypura
