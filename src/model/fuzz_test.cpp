// Random damage with fixed seeds: whatever the bytes, open_model gives a model that is sound or an error that can be
// read. Run under the sanitizers it also shows that no read strays.
#include <algorithm>
#include <array>
#include <random>

#include "model/test_gguf.h"

namespace hypura {
namespace {

constexpr std::array<uint64_t, 10> kNasty = {0,           1,          0x7f,       0xffff,     0x7fffffff,
                                             0x80000000U, 0xffffffff, 1ULL << 32, 1ULL << 63, UINT64_MAX};

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  // Damages the first `header_size` bytes, or cuts the file.
  std::string operator()(std::string bytes, size_t header_size) {
    const size_t times = 1 + below(4);
    for (size_t i = 0; i < times && bytes.size() > 32; ++i) {
      const size_t at = below(std::min(header_size, bytes.size()) - 8);
      switch (below(6)) {
        case 0:
          bytes[at] = static_cast<char>(below(256));
          break;
        case 1:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
          break;
        case 2:
          write(bytes, at, kNasty[below(kNasty.size())]);
          break;
        case 3:
          bytes.erase(at, 1 + below(16));
          break;
        case 4:
          bytes.insert(at, 1 + below(16), static_cast<char>(below(256)));
          break;
        default:
          bytes.resize(below(bytes.size()));
          break;
      }
    }
    return bytes;
  }

 private:
  size_t below(size_t limit) { return random_() % limit; }
  void write(std::string& bytes, size_t at, uint64_t value) {
    std::memcpy(bytes.data() + at, &value, std::min(size_t{4} << below(2), bytes.size() - at));
  }

  std::mt19937 random_;
};

void expect_sound(const Model& model) {
  ASSERT_FALSE(model.tensors.empty());
  for (const TensorInfo& tensor : model.tensors) {
    const uint64_t size = model.files.at(tensor.extent.file).size;
    ASSERT_LE(tensor.extent.length, size);
    ASSERT_LE(tensor.extent.offset, size - tensor.extent.length);
    ASSERT_LT(tensor.layer, model.layers);
    if (tensor.experts() > 0) {
      const Extent last = tensor.expert_extent(tensor.experts() - 1);
      ASSERT_EQ(last.offset + last.length, tensor.extent.offset + tensor.extent.length);
    }
  }
}

TEST(Fuzz, MutatedHeadersGiveAnErrorOrASoundModel) {
  const TempDir dir;
  const std::string good = small_model();
  const size_t header_size = tensor_entry(good, "output.weight", 2).offset + 8;
  int opened = 0;
  int refused = 0;
  for (uint32_t seed = 0; seed < 6000; ++seed) {
    SCOPED_TRACE(seed);
    const std::filesystem::path path = dir.write("fuzz.gguf", Mutator(seed)(good, header_size));
    const Result<Model> model = open_model(path);
    if (model) {
      ++opened;
      ASSERT_NO_FATAL_FAILURE(expect_sound(*model));
    } else {
      ++refused;
      ASSERT_EQ(model.error().code, ErrorCode::kBadModel) << model.error().message;
      ASSERT_NE(model.error().message.find("fuzz"), std::string::npos) << model.error().message;
    }
  }
  // Both ways are taken: flips in texts and values are harmless, the rest is not.
  EXPECT_GT(opened, 100);
  EXPECT_GT(refused, 3000);
}

}  // namespace
}  // namespace hypura
