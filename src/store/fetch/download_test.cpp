#include "store/fetch/download.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "store/fetch/fake_hub_for_test.h"
#include "store/fetch/part_file.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

constexpr size_t kSize = 300'000;
constexpr const char* kEtag = "\"one\"";

std::string contents(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// How a process that calls `run` ended, as waitpid tells it.
int in_child(const std::function<bool()>& run) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit(run() ? 0 : 1);
  }
  int result = 0;
  EXPECT_EQ(::waitpid(child, &result, 0), child);
  return result;
}

class DownloadTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.chunk = 32 * 1024;
    options_.save_every = 32 * 1024;
    options_.retries.first_wait = std::chrono::milliseconds(1);
    options_.retries.longest_wait = std::chrono::milliseconds(2);
  }

  Result<DownloadReport> fetch(const std::string& url, const std::string& sha256 = {}, uint64_t size = 0) {
    const auto client = WebClient::make();
    return download(**client, {url, token_, size, sha256}, target_, lock_, options_);
  }

  std::string bytes_ = test_bytes(kSize);
  std::string token_;
  DownloadOptions options_;
  TempDir folder_;
  std::filesystem::path target_ = folder_.path() / "blobs" / "model";
  std::filesystem::path lock_ = folder_.path() / "locks" / "model.lock";
};

TEST_F(DownloadTest, FetchesRangesAtOnceAndChecksTheHash) {
  const LoopbackServer server([&](const TestRequest& request) { return ranged(request, bytes_, kEtag); });
  const auto report = fetch(server.url("/m"), sha256_of(bytes_), kSize);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->fetched, kSize);
  EXPECT_EQ(report->sha256, sha256_of(bytes_));
  EXPECT_EQ(contents(target_), bytes_);
  EXPECT_EQ(server.requests().size(), 1 + (kSize + options_.chunk - 1) / options_.chunk);
  EXPECT_FALSE(std::filesystem::exists(PartFile::bytes_path(target_)));
  EXPECT_FALSE(std::filesystem::exists(PartFile::record_path(target_)));
  EXPECT_TRUE(fetch(server.url("/m"), sha256_of(bytes_), kSize)->was_there);
}

TEST_F(DownloadTest, ServersWithoutRangesGiveAllAtOnceAndFromTheStartAfterACut) {
  std::atomic<int> count = 0;
  const LoopbackServer server([&](const TestRequest&) {
    TestAnswer answer;
    answer.body = bytes_;
    if (++count == 2) {  // the first after the question where it is
      answer.cut_after = 100'000;
    }
    return answer;
  });
  const auto report = fetch(server.url("/m"), sha256_of(bytes_));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->failures, 1);
  EXPECT_EQ(contents(target_), bytes_);
}

TEST_F(DownloadTest, CutConnectionsAndBusyServersAreTriedAgain) {
  std::atomic<int> count = 0;
  const LoopbackServer server([&](const TestRequest& request) {
    TestAnswer answer = ranged(request, bytes_, kEtag);
    const int number = ++count;
    if (number % 5 == 2) {
      answer.cut_after = answer.body.size() / 2;
    } else if (number % 5 == 4) {
      answer = {503, {}, "busy", {}, {}};
    }
    return answer;
  });
  const auto report = fetch(server.url("/m"), sha256_of(bytes_));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_GT(report->failures, 0);
  EXPECT_EQ(contents(target_), bytes_);
}

TEST_F(DownloadTest, FailuresAreBoundedAndWhatCameIsKept) {
  std::atomic<bool> broken = false;
  const LoopbackServer server([&](const TestRequest& request) {
    TestAnswer answer = ranged(request, bytes_, kEtag);
    if (request.header("range") != "bytes=0-0") {
      if (broken) {
        answer.cut_after = 0;
      }
      broken = true;
    }
    return answer;
  });
  options_.connections = 1;
  const auto failed = fetch(server.url("/m"), sha256_of(bytes_));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kIo);
  EXPECT_NE(failed.error().message.find("failure 6 in a row"), std::string::npos) << failed.error().message;
  EXPECT_FALSE(std::filesystem::exists(target_));
  broken = false;
  options_.retries.most = 0;
  options_.chunk = kSize;
  const auto report = fetch(server.url("/m"), sha256_of(bytes_));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->kept, 32 * 1024);
  EXPECT_EQ(report->fetched, kSize - 32 * 1024);
  EXPECT_EQ(contents(target_), bytes_);
}

TEST_F(DownloadTest, AFileThatChangesIsBegunAnew) {
  std::string other = test_bytes(kSize, 7);
  std::atomic<int> count = 0;
  const LoopbackServer server([&](const TestRequest& request) {
    return ++count > 3 ? ranged(request, other, "\"two\"") : ranged(request, bytes_, kEtag);
  });
  const auto report = fetch(server.url("/m"));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->restarts, 1);
  EXPECT_EQ(contents(target_), other);
}

TEST_F(DownloadTest, AFileThatNeverStaysTheSameIsGivenUp) {
  std::atomic<int> count = 0;
  const LoopbackServer server(
      [&](const TestRequest& request) { return ranged(request, bytes_, "\"" + std::to_string(++count) + "\""); });
  const auto report = fetch(server.url("/m"));
  ASSERT_FALSE(report);
  EXPECT_NE(report.error().message.find("changed on the server"), std::string::npos) << report.error().message;
}

TEST_F(DownloadTest, AnotherVersionIsNotPutBehindWhatAnEarlierRunLeft) {
  std::atomic<int> count = 0;
  options_.keep_going = [&] { return count < 4; };
  const LoopbackServer server([&](const TestRequest& request) {
    ++count;
    return ranged(request, bytes_, kEtag);
  });
  ASSERT_EQ(fetch(server.url("/m")).error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(std::filesystem::exists(PartFile::record_path(target_)));
  options_.keep_going = {};
  std::string other = test_bytes(kSize, 7);
  const LoopbackServer later([&](const TestRequest& request) { return ranged(request, other, "\"two\""); });
  const auto report = fetch(later.url("/m"));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->kept, 0);
  EXPECT_EQ(contents(target_), other);
}

TEST_F(DownloadTest, AWrongHashThrowsThePartAway) {
  const LoopbackServer server([&](const TestRequest& request) { return ranged(request, bytes_, kEtag); });
  const auto report = fetch(server.url("/m"), std::string(64, 'a'));
  ASSERT_FALSE(report);
  EXPECT_NE(report.error().message.find("SHA-256"), std::string::npos) << report.error().message;
  EXPECT_FALSE(std::filesystem::exists(target_));
  EXPECT_FALSE(std::filesystem::exists(PartFile::bytes_path(target_)));
  EXPECT_FALSE(std::filesystem::exists(PartFile::record_path(target_)));
}

TEST_F(DownloadTest, TheHashOfTheRedirectIsChecked) {
  const std::string wrong(64, 'b');
  const LoopbackServer server([&](const TestRequest& request) {
    return request.target == "/blob"
               ? ranged(request, bytes_, kEtag)
               : TestAnswer{302, {{"Location", "/blob"}, {"X-Linked-Etag", "\"" + wrong + "\""}}, "", {}, {}};
  });
  const auto report = fetch(server.url("/m"));
  ASSERT_FALSE(report);
  EXPECT_NE(report.error().message.find(wrong), std::string::npos) << report.error().message;
}

TEST_F(DownloadTest, WrongLengthsAreErrors) {
  const LoopbackServer server([&](const TestRequest& request) { return ranged(request, bytes_, kEtag); });
  const auto listed = fetch(server.url("/m"), {}, kSize + 1);
  ASSERT_FALSE(listed);
  EXPECT_NE(listed.error().message.find("listing"), std::string::npos) << listed.error().message;

  const LoopbackServer shifted([&](const TestRequest& request) {
    TestAnswer answer = ranged(request, bytes_, kEtag);
    if (request.header("range") != "bytes=0-0") {
      answer.headers.back().second = "bytes 1-" + std::to_string(answer.body.size()) + "/" + std::to_string(kSize);
    }
    return answer;
  });
  const auto other_bytes = fetch(shifted.url("/m"));
  ASSERT_FALSE(other_bytes);
  EXPECT_NE(other_bytes.error().message.find("other bytes"), std::string::npos) << other_bytes.error().message;

  const LoopbackServer longer([&](const TestRequest& request) {
    TestAnswer answer = ranged(request, bytes_, kEtag);
    answer.body += "more";
    return answer;
  });
  const auto more = fetch(longer.url("/m"));
  ASSERT_FALSE(more);
  EXPECT_NE(more.error().message.find("more bytes"), std::string::npos) << more.error().message;
}

TEST_F(DownloadTest, TheTokenGoesToNoOtherServer) {
  const LoopbackServer elsewhere([&](const TestRequest& request) { return ranged(request, bytes_, kEtag); });
  const LoopbackServer first([&](const TestRequest& request) {
    return request.target == "/m" ? TestAnswer{302, {{"Location", "/moved"}}, "", {}, {}}
                                  : TestAnswer{302, {{"Location", elsewhere.url("/blob")}}, "", {}, {}};
  });
  token_ = "secret";
  ASSERT_TRUE(fetch(first.url("/m"), sha256_of(bytes_)));
  for (const TestRequest& request : first.requests()) {
    EXPECT_EQ(request.header("authorization"), "Bearer secret");
  }
  EXPECT_EQ(first.requests().size(), 2);
  EXPECT_GT(elsewhere.requests().size(), 1);
  for (const TestRequest& request : elsewhere.requests()) {
    EXPECT_EQ(request.header("authorization"), "");
  }
}

TEST_F(DownloadTest, AnAddressWhoseTimeIsOverIsAskedForAgain) {
  std::atomic<int> signature = 0;
  std::atomic<int> used = 0;
  const LoopbackServer server([&](const TestRequest& request) {
    if (request.target == "/m") {
      return TestAnswer{302, {{"Location", "/blob?" + std::to_string(++signature)}}, "", {}, {}};
    }
    if (++used > 4 && request.target == "/blob?1") {
      return TestAnswer{403, {}, "expired", {}, {}};
    }
    return ranged(request, bytes_, kEtag);
  });
  const auto report = fetch(server.url("/m"), sha256_of(bytes_));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(signature, 2);
  EXPECT_EQ(contents(target_), bytes_);
}

TEST_F(DownloadTest, ADiskWithoutRoomIsToldBeforeAndLeavesWhatCameWhenItFills) {
  const LoopbackServer server([&](const TestRequest& request) { return ranged(request, bytes_, kEtag); });
  options_.keep_free = 0;
  options_.free_space = [](const std::filesystem::path&) -> Result<uint64_t> { return kSize - 1; };
  const auto before = fetch(server.url("/m"), sha256_of(bytes_));
  ASSERT_FALSE(before);
  EXPECT_NE(before.error().message.find("are free"), std::string::npos) << before.error().message;
  EXPECT_EQ(server.requests().size(), 1);

  // As on a disk that fills meanwhile: no file of this process may grow longer.
  options_.free_space = [](const std::filesystem::path&) -> Result<uint64_t> { return kSize; };
  const int result = in_child([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100'000, 100'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    return !fetch(server.url("/m"), sha256_of(bytes_)) && std::filesystem::exists(PartFile::record_path(target_));
  });
  EXPECT_TRUE(WIFEXITED(result) && WEXITSTATUS(result) == 0);
  const auto report = fetch(server.url("/m"), sha256_of(bytes_));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_GT(report->kept, 0);
  EXPECT_EQ(contents(target_), bytes_);
}

TEST_F(DownloadTest, TenKillsAndThenOneGoodFile) {
  bytes_ = test_bytes(24 * options_.chunk);
  const LoopbackServer server([&](const TestRequest& request) { return ranged(request, bytes_, kEtag); });
  options_.connections = 2;
  std::minstd_rand random(5);
  for (int kill = 0; kill < 10; ++kill) {
    const uint64_t most = 1 + random() % (2 * options_.chunk);
    const int result = in_child([&] {
      uint64_t recorded = 0;  // what came before the last record of it could be written
      options_.progress = [&](const DownloadProgress& progress) {
        const bool enough = progress.bytes >= progress.kept + most && (kill > 0 || recorded >= options_.save_every);
        if (enough || progress.state == DownloadProgress::State::kChecking) {
          std::raise(SIGKILL);
        }
        recorded = progress.bytes - progress.kept;
      };
      return fetch(server.url("/m"), sha256_of(bytes_)).has_value();
    });
    EXPECT_TRUE(WIFSIGNALED(result));
    EXPECT_FALSE(std::filesystem::exists(target_));
  }
  const auto report = fetch(server.url("/m"), sha256_of(bytes_));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_GT(report->kept, 0);
  EXPECT_EQ(contents(target_), bytes_);
}

TEST_F(DownloadTest, TwoAtOnceShareOneDownload) {
  std::atomic<bool> second_waits = false;
  const LoopbackServer server([&](const TestRequest& request) {
    while (!second_waits) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return ranged(request, bytes_, kEtag);
  });
  std::thread first([&] { EXPECT_TRUE(fetch(server.url("/m"), sha256_of(bytes_))); });
  while (server.requests().empty()) {  // the first has the lock by then
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  DownloadOptions options = options_;
  options.progress = [&](const DownloadProgress& progress) {
    second_waits = progress.state == DownloadProgress::State::kWaiting;
  };
  const auto client = WebClient::make();
  const auto report = download(**client, {server.url("/m"), {}, 0, sha256_of(bytes_)}, target_, lock_, options);
  first.join();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_TRUE(report->was_there);
  EXPECT_EQ(server.requests().size(), 1 + (kSize + options_.chunk - 1) / options_.chunk);
  EXPECT_EQ(contents(target_), bytes_);
}

}  // namespace
}  // namespace hypura
