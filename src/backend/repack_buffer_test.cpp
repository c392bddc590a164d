#include "backend/repack_buffer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "ggml-backend.h"

namespace hypura {
namespace {

// Q4_0 matrices of random numbers, and random rows to multiply by.
class RepackBufferTest : public testing::Test {
 protected:
  static constexpr int64_t kWidth = 256;

  static void SetUpTestSuite() {
    ggml_log_set([](ggml_log_level, const char*, void*) {}, nullptr);  // it tells of every matrix that it repacks
    ggml_backend_load_all_from_path(HYPURA_LLAMA_LIB_DIR);
  }

  void SetUp() override {
    if (RepackBuffer::least_rows(GGML_TYPE_Q4_0, kWidth, 64) == std::numeric_limits<int64_t>::max()) {
      GTEST_SKIP() << "ggml has no faster layout of Q4_0 for this processor";
    }
    auto inner = InnerGraph::create();
    ASSERT_TRUE(inner);
    inner_ = std::move(*inner);
  }

  std::vector<float> random(int64_t count) {
    std::uniform_real_distribution<float> numbers(-1, 1);
    std::vector<float> out(static_cast<size_t>(count));
    for (float& it : out) {
      it = numbers(generator_);
    }
    return out;
  }

  void make_matrix(int64_t height) {
    const std::vector<float> numbers = random(kWidth * height);
    data_.resize(ggml_row_size(GGML_TYPE_Q4_0, kWidth) * static_cast<size_t>(height));
    ggml_quantize_chunk(GGML_TYPE_Q4_0, numbers.data(), data_.data(), 0, height, kWidth, nullptr);
    weight_ = {};
    weight_.type = GGML_TYPE_Q4_0;
    weight_.ne[0] = kWidth;
    weight_.ne[1] = height;
    weight_.ne[2] = weight_.ne[3] = 1;
    weight_.nb[0] = ggml_type_size(GGML_TYPE_Q4_0);
    weight_.nb[1] = ggml_row_size(GGML_TYPE_Q4_0, kWidth);
    weight_.nb[2] = weight_.nb[3] = data_.size();
    weight_.data = data_.data();
  }

  std::vector<float> in_buffer(RepackBuffer& repack, std::vector<float>& rows, int threads) {
    const auto count = static_cast<int64_t>(rows.size()) / kWidth;
    std::vector<float> out(static_cast<size_t>(count * weight_.ne[1]));
    inner_->set_threads(threads);
    repack.multiply(*inner_, weight_, inner_->matrix(kWidth, count, rows.data()),
                    inner_->matrix(weight_.ne[1], count, out.data()));
    EXPECT_EQ(inner_->run(), GGML_STATUS_SUCCESS);
    return out;
  }

  // As ggml's products of resident weights: those that llama.cpp repacked when it loaded them, or as they are on disk.
  std::vector<float> resident(std::vector<float>& rows, bool repacked) {
    const auto count = static_cast<int64_t>(rows.size()) / kWidth;
    std::vector<float> out(static_cast<size_t>(count * weight_.ne[1]));
    ggml_tensor weight = weight_;
    ggml_backend_buffer_t buffer = nullptr;
    if (repacked) {
      buffer = ggml_backend_buft_alloc_buffer(repacking_type(), data_.size());
      weight.data = nullptr;
      EXPECT_EQ(ggml_backend_tensor_alloc(buffer, &weight, ggml_backend_buffer_get_base(buffer)), GGML_STATUS_SUCCESS);
      ggml_backend_tensor_set(&weight, data_.data(), 0, data_.size());
    }
    ggml_tensor* product = inner_->matrix(weight_.ne[1], count, out.data());
    product->op = GGML_OP_MUL_MAT;
    product->flags = GGML_TENSOR_FLAG_COMPUTE;
    product->src[0] = &weight;
    product->src[1] = inner_->matrix(kWidth, count, rows.data());
    inner_->add(product);
    EXPECT_EQ(inner_->run(), GGML_STATUS_SUCCESS);
    ggml_backend_buffer_free(buffer);
    return out;
  }

  static ggml_backend_buffer_type_t repacking_type() {
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    const auto extra = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
        ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), "ggml_backend_dev_get_extra_bufts"));
    for (ggml_backend_buffer_type_t* it = extra(cpu); *it != nullptr; ++it) {
      if (std::strcmp(ggml_backend_buft_name(*it), "CPU_REPACK") == 0) {
        return *it;
      }
    }
    return nullptr;
  }

  std::mt19937 generator_{7};
  StreamLayout layout_;
  std::unique_ptr<InnerGraph> inner_;
  std::vector<std::byte> data_;
  ggml_tensor weight_{};
};

TEST_F(RepackBufferTest, MultipliesAsLlamaDoesWithWeightsItRepacked) {
  for (int64_t height : {8, 64, 72, 200}) {
    make_matrix(height);
    const auto repack = RepackBuffer::create(layout_, data_.size());
    ASSERT_NE(repack, nullptr);
    for (int64_t count : {16, 17, 64}) {
      std::vector<float> rows = random(kWidth * count);
      const std::vector<float> expected = resident(rows, true);
      for (int threads : {1, 2, 3}) {
        EXPECT_EQ(in_buffer(*repack, rows, threads), expected) << height << " high, " << count << " rows, " << threads;
      }
    }
  }
}

// The sums are the same numbers added in another order: were they equal to the bit, nothing would have been repacked.
TEST_F(RepackBufferTest, DiffersFromTheLayoutOnDiskInTheLastBitsOnly) {
  make_matrix(64);
  const auto repack = RepackBuffer::create(layout_, data_.size());
  std::vector<float> rows = random(kWidth * 64);
  const std::vector<float> repacked = in_buffer(*repack, rows, 2);
  const std::vector<float> plain = resident(rows, false);
  EXPECT_NE(repacked, plain);
  for (size_t i = 0; i < plain.size(); ++i) {
    ASSERT_NEAR(repacked[i], plain[i], 1e-4);
  }
}

TEST_F(RepackBufferTest, OneBufferServesMatricesOneAfterTheOther) {
  make_matrix(64);
  const auto repack = RepackBuffer::create(layout_, data_.size());
  std::vector<float> rows = random(kWidth * 16);
  const std::vector<std::byte> first = data_;
  const std::vector<float> of_first = resident(rows, true);
  make_matrix(64);
  const std::vector<float> of_second = resident(rows, true);
  std::vector<float> out_first(of_first.size());
  std::vector<float> out_second(of_second.size());
  ggml_tensor other = weight_;
  std::vector<std::byte> kept = first;
  other.data = kept.data();
  repack->multiply(*inner_, other, inner_->matrix(kWidth, 16, rows.data()), inner_->matrix(64, 16, out_first.data()));
  repack->multiply(*inner_, weight_, inner_->matrix(kWidth, 16, rows.data()),
                   inner_->matrix(64, 16, out_second.data()));
  EXPECT_EQ(inner_->run(), GGML_STATUS_SUCCESS);
  EXPECT_EQ(out_first, of_first);
  EXPECT_EQ(out_second, of_second);
}

TEST_F(RepackBufferTest, PaysForManyRowsThatFit) {
  make_matrix(64);
  const auto repack = RepackBuffer::create(layout_, data_.size());
  EXPECT_FALSE(repack->pays(weight_, 1));
  EXPECT_FALSE(repack->pays(weight_, 15));
  EXPECT_TRUE(repack->pays(weight_, 16));
  EXPECT_FALSE(RepackBuffer::create(layout_, data_.size() / 2)->pays(weight_, 16)) << "the buffer is too small for it";
  EXPECT_EQ(RepackBuffer::least_rows(GGML_TYPE_F16, kWidth, 64), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(RepackBuffer::least_rows(GGML_TYPE_Q4_0, kWidth, 7), std::numeric_limits<int64_t>::max());
}

TEST_F(RepackBufferTest, NeverPaysForTypesThatGainNothing) {
  make_matrix(64);
  const auto repack = RepackBuffer::create(layout_, data_.size());
  layout_.never_repacked = {GGML_TYPE_Q4_K};
  EXPECT_TRUE(repack->pays(weight_, 16));
  layout_.never_repacked.push_back(GGML_TYPE_Q4_0);
  EXPECT_FALSE(repack->pays(weight_, 512));
  EXPECT_EQ(RepackBuffer::least_rows(layout_, GGML_TYPE_Q4_0, kWidth, 64), std::numeric_limits<int64_t>::max());
}

}  // namespace
}  // namespace hypura
