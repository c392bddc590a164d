#include "cli/worker/options_worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "cli/options/options.h"
#include "cli/options/refused_for_test.h"
#include "cli/worker/worker_listener.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

TEST(WorkerOptionsTest, TakeEveryFlag) {
  const auto parsed = parse_command_line({"worker", "a.gguf", "--listen", "10.8.0.2:7000", "--trust-network",
                                          "--memory", "6G", "--threads", "3", "--no-repacked", "--verbose"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->action, CommandLine::Action::kWorker);
  const WorkerCommandOptions& options = parsed->worker;
  EXPECT_EQ(options.model, "a.gguf");
  EXPECT_EQ(options.listen, "10.8.0.2:7000");
  EXPECT_EQ(options.memory, 6 * kGiB);
  EXPECT_EQ(options.threads, 3U);
  EXPECT_FALSE(options.repacked);
  EXPECT_TRUE(options.trust_network);
  EXPECT_TRUE(options.verbose);
  EXPECT_FALSE(options.inherited);
}

TEST(WorkerOptionsTest, ListensOnThisMachineByDefault) {
  const auto parsed = parse_command_line({"worker", "a.gguf"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->worker.listen, "127.0.0.1:52525");
  EXPECT_FALSE(parsed->worker.memory);
}

class RefusedWorkerOptions : public testing::TestWithParam<Refused> {};

TEST_P(RefusedWorkerOptions, SaysWhy) {
  expect_refused(GetParam());
}

INSTANTIATE_TEST_SUITE_P(
    Flags, RefusedWorkerOptions,
    testing::Values(
        Refused{{"worker"}, {"MODEL"}},
        Refused{{"worker", "a", "--listen", "0.0.0.0:52525"}, {"let other machines in", "ssh -L", "--trust-network"}},
        Refused{{"worker", "a", "--listen", "192.168.1.2:52525"}, {"let other machines in"}},
        Refused{{"worker", "a", "--listen", "[::]:52525"}, {"let other machines in"}},
        Refused{{"worker", "a", "--listen", "127.0.0.1"}, {"--listen takes an address", "'127.0.0.1' is none"}},
        Refused{{"worker", "a", "--listen", "127.0.0.1:99999"}, {"--listen takes an address"}},
        Refused{{"worker", "a", "--listen", "a.example:52525", "--trust-network"}, {"--listen takes an address"}},
        Refused{{"worker", "a", "--threads", "0"}, {"--threads", "from 1 to 1024"}},
        Refused{{"worker", "a", "--context", "8"}, {"--context"}}));

TEST(WorkerListener, KnowsWhatOnlyThisMachineReaches) {
  for (const char* text : {"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"}) {
    EXPECT_TRUE(is_loopback(*read_listen_address(text))) << text;
  }
  for (const char* text : {"0.0.0.0:1", "128.0.0.1:1", "[::]:1", "[fd00::1]:1", "10.0.0.1:1"}) {
    EXPECT_FALSE(is_loopback(*read_listen_address(text))) << text;
  }
}

TEST(WorkerListener, AnAddressThatIsTakenIsNamed) {
  const auto held = listen_at({"127.0.0.1", 0});
  ASSERT_TRUE(held) << held.error().message;
  sockaddr_in address{};
  socklen_t length = sizeof(address);
  ASSERT_EQ(::getsockname(held->get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  const auto again = listen_at({"127.0.0.1", ntohs(address.sin_port)});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kIo);
  EXPECT_THAT(again.error().message, HasSubstr(std::to_string(ntohs(address.sin_port))));
}

}  // namespace
}  // namespace hypura
