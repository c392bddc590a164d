#include "remote/worker_address.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

TEST(WorkerAddress, IsReadAndWritten) {
  for (const auto& [text, host, port] :
       {std::tuple("127.0.0.1:52525", "127.0.0.1", 52525), std::tuple("box:1", "box", 1),
        std::tuple("[::1]:65535", "::1", 65535), std::tuple("my-pc.lan:80", "my-pc.lan", 80)}) {
    const auto address = parse_worker_address(text);
    ASSERT_TRUE(address) << address.error().message;
    EXPECT_EQ(address->host, host);
    EXPECT_EQ(address->port, port);
    EXPECT_EQ(to_string(*address), text);
  }
}

TEST(WorkerAddress, OthersAreRefusedByName) {
  for (const char* text : {"", "box", ":1", "box:", "box:0", "box:65536", "box:-1", "box:1x", "box:+1", "::1:7", "[]:1",
                           "[::1]", "a b:1", "http://box:1", "user@box:1"}) {
    const auto address = parse_worker_address(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().code, ErrorCode::kUsage);
    EXPECT_NE(address.error().message.find("'" + std::string(text) + "'"), std::string::npos);
  }
}

}  // namespace
}  // namespace hypura
