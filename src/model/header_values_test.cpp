#include "model/header_values.h"

#include <gguf.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

namespace hypura {
namespace {

TEST(HeaderJson, HoldsEveryKindOfValue) {
  gguf_context* header = gguf_init_empty();
  gguf_set_val_str(header, "text", "a \"quoted\"\n\xFF line");
  gguf_set_val_bool(header, "yes", true);
  gguf_set_val_i8(header, "small", -7);
  gguf_set_val_u64(header, "large", std::numeric_limits<uint64_t>::max());
  gguf_set_val_f32(header, "float", 1e-5F);
  gguf_set_val_f64(header, "none", std::numeric_limits<double>::infinity());
  const int16_t numbers[] = {-1, 2};
  gguf_set_arr_data(header, "numbers", GGUF_TYPE_INT16, numbers, 2);
  const bool bits[] = {true, false};
  gguf_set_arr_data(header, "bits", GGUF_TYPE_BOOL, bits, 2);
  const char* texts[] = {"a", ""};
  gguf_set_arr_str(header, "texts", texts, 2);
  const auto json = nlohmann::json::parse(header_json(*header), nullptr, false);
  gguf_free(header);
  ASSERT_TRUE(json.is_object());
  EXPECT_EQ(json["text"], "a \"quoted\"\n\uFFFD line");
  EXPECT_EQ(json["yes"], true);
  EXPECT_EQ(json["small"], -7);
  EXPECT_EQ(json["large"], std::numeric_limits<uint64_t>::max());
  EXPECT_NEAR(json["float"].get<double>(), 1e-5, 1e-9);
  EXPECT_TRUE(json["none"].is_null());
  EXPECT_EQ(json["numbers"], nlohmann::json({-1, 2}));
  EXPECT_EQ(json["bits"], nlohmann::json({true, false}));
  EXPECT_EQ(json["texts"], nlohmann::json({"a", ""}));
}

}  // namespace
}  // namespace hypura
