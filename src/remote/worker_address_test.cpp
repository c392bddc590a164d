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

TEST(WorkerAddress, OfThisMachineAloneOrOfANetwork) {
  for (const char* text : {"127.0.0.1:1", "127.8.9.1:1", "[::1]:1", "localhost:1"}) {
    EXPECT_TRUE(is_loopback(*parse_worker_address(text))) << text;
  }
  for (const char* text :
       {"10.0.0.1:1", "0.0.0.0:1", "[::]:1", "[fe80::1]:1", "128.0.0.1:1", "box:1", "127.example:1"}) {
    EXPECT_FALSE(is_loopback(*parse_worker_address(text))) << text;
  }
}

}  // namespace
}  // namespace hypura
