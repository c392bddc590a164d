#include "backend/gpu/slot_pool.h"

#include <gmock/gmock.h>

#include <set>

namespace hypura {
namespace {

using testing::Each;
using testing::ElementsAre;

// Layers of 16 experts with two matrices each, over ggml's CPU device.
class SlotPoolTest : public testing::Test {
 protected:
  void SetUp() override {
    ggml_backend_load_all_from_path(HYPURA_LLAMA_LIB_DIR);
    device_ = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    ASSERT_NE(device_, nullptr);
  }

  void add_layer(ggml_type up, ggml_type down, int64_t rows = 64) {
    ExpertLayer layer = {static_cast<int>(layers_.size()), 16, {}};
    for (const ggml_type type : {up, down}) {
      TensorInfo& tensor = *tensors_.emplace_back(std::make_unique<TensorInfo>());
      tensor.name = "experts";
      tensor.type = static_cast<int>(type);
      tensor.shape = {256, rows, 16, 1};
      layer.parts.push_back({&tensor, ggml_row_size(type, 256) * static_cast<uint64_t>(rows)});
    }
    layers_.push_back(std::move(layer));
  }

  ggml_backend_dev_t device_ = nullptr;
  std::vector<std::unique_ptr<TensorInfo>> tensors_;
  std::vector<ExpertLayer> layers_;
};

TEST_F(SlotPoolTest, HasLayersThatAreAlike) {
  add_layer(GGML_TYPE_Q4_0, GGML_TYPE_Q4_0);
  add_layer(GGML_TYPE_Q4_0, GGML_TYPE_Q4_0);
  EXPECT_THAT(pooled_layers(device_, layers_, 20), Each(true));
  EXPECT_THAT(pooled_layers(device_, {}, 20), ElementsAre());
}

// As in files with more bits for some layers' last matrix.
TEST_F(SlotPoolTest, OfTwoKindsHasTheLarger) {
  add_layer(GGML_TYPE_Q4_K, GGML_TYPE_Q4_K);
  add_layer(GGML_TYPE_Q4_K, GGML_TYPE_Q6_K);
  add_layer(GGML_TYPE_Q4_K, GGML_TYPE_Q6_K);
  EXPECT_THAT(pooled_layers(device_, layers_, 20), ElementsAre(false, true, true));
}

TEST_F(SlotPoolTest, HasNoneWhereOthersFindNoRoomInTheirPlaces) {
  add_layer(GGML_TYPE_Q6_K, GGML_TYPE_Q4_0);
  add_layer(GGML_TYPE_Q4_K, GGML_TYPE_F16);
  EXPECT_THAT(pooled_layers(device_, layers_, 20), Each(false)) << "the first matrix of the smaller is larger";
}

TEST_F(SlotPoolTest, HasNoneWhereATensorWouldBeTooLarge) {
  add_layer(GGML_TYPE_Q4_0, GGML_TYPE_Q4_0);
  const uint64_t blocks = 256 / 32 * 64;  // of a matrix
  EXPECT_THAT(pooled_layers(device_, layers_, (uint64_t{1} << 31) / blocks - 33), Each(true));
  EXPECT_THAT(pooled_layers(device_, layers_, (uint64_t{1} << 31) / blocks), Each(false));
}

// Own slots first; no place is two slots', and the last of each stretch are nobody's.
TEST_F(SlotPoolTest, EachSlotHasAPlaceOfItsOwn) {
  add_layer(GGML_TYPE_Q4_0, GGML_TYPE_Q4_0);
  add_layer(GGML_TYPE_Q4_0, GGML_TYPE_Q4_0);
  const SlotPool::Share shares[] = {{true, 3, 12}, {true, 4, 12}};
  const auto pool = SlotPool::create(layers_, shares, 4, device_);
  ASSERT_TRUE(pool) << pool.error().message;
  EXPECT_EQ((*pool)->places(), 2U * 16 + 3 + 4);
  std::set<uint32_t> places;
  for (uint32_t layer = 0; layer < 2; ++layer) {
    for (uint32_t slot = 0; slot < shares[layer].slots + shares[layer].borrowed; ++slot) {
      const uint32_t place = (*pool)->place(layer, slot);
      EXPECT_EQ(slot < shares[layer].slots, place >= 32) << "slot " << slot << " of layer " << layer;
      EXPECT_TRUE(place >= 32 || place % 16 < 12) << place;
      EXPECT_LT(place, (*pool)->places());
      EXPECT_TRUE(places.insert(place).second) << place << " is another's too";
    }
  }
}

}  // namespace
}  // namespace hypura
