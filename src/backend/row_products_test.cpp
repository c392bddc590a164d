// That ggml's products with ranges of a matrix's rows are those with the whole matrix, bit for bit: what
// tiers/row_ranges.h relies on.

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <vector>

#include "backend/inner_graph.h"
#include "backend/repacked_layout.h"
#include "ggml-backend.h"
#include "ggml.h"
#include "tiers/row_ranges.h"

namespace hypura {
namespace {

constexpr int64_t kWidth = 256;  // a multiple of every type's block
constexpr int64_t kMostRows = 400;
constexpr int64_t kMostColumns = 9;

class RowProducts : public testing::TestWithParam<ggml_type> {
 protected:
  void SetUp() override {
    ggml_log_set([](ggml_log_level, const char*, void*) {}, nullptr);  // it tells of every matrix that it repacks
    ggml_backend_load_all_from_path(HYPURA_LLAMA_LIB_DIR);
    auto inner = InnerGraph::create();
    ASSERT_TRUE(inner);
    inner_ = std::move(*inner);
    std::mt19937 generator(7);
    std::normal_distribution<float> numbers;
    std::vector<float> weights(kWidth * kMostRows);
    for (float& it : weights) {
      it = numbers(generator);
    }
    columns_.resize(kWidth * kMostColumns);
    for (float& it : columns_) {
      it = numbers(generator);
    }
    row_bytes_ = ggml_row_size(GetParam(), kWidth);
    data_.resize(row_bytes_ * kMostRows);
    ggml_quantize_chunk(GetParam(), weights.data(), data_.data(), 0, kMostRows, kWidth, nullptr);
  }

  // Of the first `rows` rows, range by range.
  std::vector<float> product(int64_t rows, const std::vector<RowRange>& ranges, int64_t columns, bool repacked) {
    std::vector<std::byte> data = data_;
    if (repacked) {
      repack_rows(GetParam(), kWidth, rows, data_.data(), data.data());
    }
    std::vector<float> out(static_cast<size_t>(rows * columns), std::numeric_limits<float>::quiet_NaN());
    for (const RowRange& range : ranges) {
      ggml_tensor* weight = inner_->view(matrix_of(GetParam(), kWidth, range.rows));
      weight->data = data.data() + row_bytes_ * static_cast<size_t>(range.first);
      if (repacked) {
        use_repacked_kernels(*weight);
      }
      ggml_tensor* node = inner_->matrix(rows, columns, out.data() + range.first);
      node->ne[0] = range.rows;
      inner_->multiply(weight, inner_->matrix(kWidth, columns, columns_.data()), node);
    }
    EXPECT_EQ(inner_->run(), GGML_STATUS_SUCCESS);
    return out;
  }

  std::unique_ptr<InnerGraph> inner_;
  size_t row_bytes_ = 0;
  std::vector<std::byte> data_;
  std::vector<float> columns_;
};

TEST_P(RowProducts, OfRangesAreThoseOfTheWholeMatrix) {
  for (const int64_t rows : {400, 386}) {
    const auto whole = cut_rows(rows, 1, kWholeMatrix);
    const auto ranges = cut_rows(rows, 1, 100);
    ASSERT_GT(ranges.size(), 3U);
    const bool has_layout = has_repacked_layout(GetParam(), kWidth, rows);
    EXPECT_EQ(has_layout, has_repacked_layout(GetParam(), kWidth, ranges.front().rows));
    for (const int64_t columns : {1, 3, 9}) {
      inner_->set_threads(columns == 3 ? 2 : 1);
      for (const bool repacked : {false, true}) {
        if (has_layout || !repacked) {
          ASSERT_EQ(product(rows, whole, columns, repacked), product(rows, ranges, columns, repacked))
              << rows << " rows, " << columns << " columns, repacked: " << repacked;
        }
      }
    }
  }
}

// IQ types that cannot be made without an importance matrix are left out.
INSTANTIATE_TEST_SUITE_P(Types, RowProducts,
                         testing::Values(GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q4_0, GGML_TYPE_Q4_1,
                                         GGML_TYPE_Q5_0, GGML_TYPE_Q5_1, GGML_TYPE_Q8_0, GGML_TYPE_Q2_K, GGML_TYPE_Q3_K,
                                         GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K, GGML_TYPE_IQ3_S,
                                         GGML_TYPE_IQ4_NL, GGML_TYPE_IQ4_XS, GGML_TYPE_MXFP4, GGML_TYPE_TQ2_0),
                         [](const auto& it) { return std::string(ggml_type_name(it.param)); });

}  // namespace
}  // namespace hypura
