#include "backend/loading/weight_filler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <memory>

#include "backend/loading/own_layouts.h"
#include "ggml-backend.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;

// Vectors that lie one after another in a file, at offsets that are no multiple of a block, and their memory.
class Filling : public testing::Test {
 protected:
  void SetUp() override {
    uint64_t offset = 100;
    for (const int64_t floats : {3 * kMiB, 1UL, 5UL, kMiB, 7 * kMiB / 2, 1000UL}) {
      tensors_.push_back(std::make_unique<ggml_tensor>(matrix_of(GGML_TYPE_F32, static_cast<int64_t>(floats), 1)));
      ggml_tensor& tensor = *tensors_.back();
      buffers_.emplace_back(ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), ggml_nbytes(&tensor)),
                            ggml_backend_buffer_free);
      ggml_backend_tensor_alloc(buffers_.back().get(), &tensor, ggml_backend_buffer_get_base(buffers_.back().get()));
      weights_.push_back({&tensor, {0, offset, ggml_nbytes(&tensor)}});
      offset += ggml_nbytes(&tensor);
    }
    std::string text(offset, '\0');
    for (size_t i = 0; i < text.size(); ++i) {
      text[i] = static_cast<char>(i * 31 + i / 4096);
    }
    std::ofstream(path_, std::ios::binary) << text;
    bytes_ = std::move(text);
    std::swap(weights_.front(), weights_.back());  // in any order
  }

  Status fill(uint32_t threads) {
    auto reader = Reader::open({path_}, {});
    EXPECT_TRUE(reader);
    return fill_weights(weights_, **reader, threads, [this](double share) { shares_.push_back(share); });
  }

  TempDir folder_;
  fs::path path_ = folder_.path() / "weights";
  std::string bytes_;
  std::vector<std::unique_ptr<ggml_tensor>> tensors_;
  std::vector<std::unique_ptr<ggml_backend_buffer, decltype(&ggml_backend_buffer_free)>> buffers_;
  std::vector<UnfilledWeight> weights_;
  std::vector<double> shares_;
};

TEST_F(Filling, PutsEachByteInItsPlace) {
  for (const uint32_t threads : {1, 3}) {
    for (const auto& tensor : tensors_) {
      std::memset(tensor->data, 0, ggml_nbytes(tensor.get()));
    }
    shares_.clear();
    ASSERT_TRUE(fill(threads));
    for (const UnfilledWeight& it : weights_) {
      EXPECT_EQ(std::memcmp(it.tensor->data, bytes_.data() + it.extent.offset, it.extent.length), 0)
          << it.extent.length << " at " << it.extent.offset;
    }
    EXPECT_TRUE(std::is_sorted(shares_.begin(), shares_.end()));
    EXPECT_EQ(shares_.back(), 1);
  }
}

TEST_F(Filling, AFileCutShortMeanwhileIsAnError) {
  auto reader = Reader::open({path_}, {});
  ASSERT_TRUE(reader);
  fs::resize_file(path_, bytes_.size() / 2);
  const Status status = fill_weights(weights_, **reader, 2, {});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_THAT(status.error().message, testing::HasSubstr(path_.string()));
}

TEST_F(Filling, NothingToFillIsNoError) {
  weights_.clear();
  EXPECT_TRUE(fill(2));
  EXPECT_TRUE(shares_.empty());
}

}  // namespace
}  // namespace hypura
