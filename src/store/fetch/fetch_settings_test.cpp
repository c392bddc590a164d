#include "store/fetch/fetch_settings.h"

#include <gtest/gtest.h>

#include <map>

#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

Result<FetchSettings> settings_of(const std::map<std::string, std::string>& variables) {
  return fetch_settings("/cache", "/data", [&](const char* variable) -> std::optional<std::string> {
    const auto found = variables.find(variable);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
}

TEST(FetchSettings, TokensAreFoundWhereHuggingFaceKeepsThem) {
  const TempDir folder;
  const std::string home = folder.path();
  EXPECT_EQ(settings_of({{"HOME", home}})->hub_token, "");
  folder.write(".cache/huggingface/token", "of_home\n");
  folder.write("hf/token", " of_hf ");
  folder.write("other", "of_path");
  EXPECT_EQ(settings_of({{"HOME", home}})->hub_token, "of_home");
  EXPECT_EQ(settings_of({{"HOME", home}, {"HF_HOME", home + "/hf"}})->hub_token, "of_hf");
  EXPECT_EQ(settings_of({{"HF_HOME", home + "/hf"}, {"HF_TOKEN_PATH", home + "/other"}})->hub_token, "of_path");
  EXPECT_EQ(settings_of({{"HF_TOKEN_PATH", home + "/other"}, {"HF_TOKEN", "of_variable"}})->hub_token, "of_variable");
  EXPECT_EQ(settings_of({{"HF_TOKEN", "of_variable"}, {"HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"}})->hub_token, "");
}

TEST(FetchSettings, ATokenThatIsNoneIsNotTold) {
  const auto settings = settings_of({{"HF_TOKEN", "sec\xffret"}});
  ASSERT_FALSE(settings);
  EXPECT_EQ(settings.error().message.find("ret"), std::string::npos) << settings.error().message;
  EXPECT_NE(settings.error().message.find("HF_TOKEN"), std::string::npos) << settings.error().message;
}

TEST(FetchSettings, EndpointsAreAddresses) {
  EXPECT_EQ(settings_of({})->hub, "https://huggingface.co");
  EXPECT_EQ(settings_of({{"HF_ENDPOINT", "https://mirror.example/"}})->hub, "https://mirror.example");
  EXPECT_FALSE(settings_of({{"HF_ENDPOINT", "file:///etc"}}));
  EXPECT_TRUE(settings_of({{"HF_HUB_OFFLINE", "True"}})->offline);
  EXPECT_FALSE(settings_of({{"HF_HUB_OFFLINE", "0"}})->offline);
}

}  // namespace
}  // namespace hypura
