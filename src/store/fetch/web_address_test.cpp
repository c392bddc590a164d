#include "store/fetch/web_address.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

TEST(WebAddress, OriginsHaveSchemeHostAndPort) {
  EXPECT_EQ(origin_of("https://Example.org/a?b"), "https://example.org:443");
  EXPECT_EQ(origin_of("http://127.0.0.1:8080"), "http://127.0.0.1:8080");
  EXPECT_EQ(origin_of("file:///etc/passwd"), "");
  EXPECT_EQ(origin_of("nonsense"), "");
}

TEST(WebAddress, RedirectsStayOnTheWebAndNeverLeaveHttps) {
  EXPECT_EQ(redirected("https://a.example/x/y", "/z"), "https://a.example/z");
  EXPECT_EQ(redirected("https://a.example/x/y", "https://b.example/z?k=1"), "https://b.example/z?k=1");
  EXPECT_EQ(redirected("http://a.example/x", "https://a.example/x"), "https://a.example/x");
  EXPECT_FALSE(redirected("https://a.example/x", "http://a.example/x"));
  EXPECT_FALSE(redirected("https://a.example/x", "file:///etc/passwd"));
}

TEST(WebAddress, PathsAreEscaped) {
  EXPECT_EQ(escaped_path("Q4_K_M/a b#c?.gguf"), "Q4_K_M/a%20b%23c%3F.gguf");
}

}  // namespace
}  // namespace hypura
