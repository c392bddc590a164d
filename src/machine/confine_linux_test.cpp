#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <thread>

#include "machine/confine.h"
#include "support/sanitized_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

// What `work` gives in a process of its own: its exit status; -1 where a signal ended it.
int in_child(const std::function<int()>& work) {
  const pid_t child = fork();
  if (child == 0) {
    _exit(work());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool has_filters() {
  return in_child([] {
           confine_files();
           return confine_calls(64 * kMiB).empty() ? 0 : 1;
         }) == 0;
}

TEST(Confine, NothingIsOpenedAnyMore) {
  if (!has_filters()) {
    GTEST_SKIP() << "this system has no seccomp, or not for us";
  }
  EXPECT_EQ(in_child([] {
              confine_files();
              confine_calls(64 * kMiB);
              return std::ifstream("/proc/self/status").is_open() ? 1 : 0;
            }),
            0);
  EXPECT_EQ(in_child([] {
              confine_files();
              confine_calls(64 * kMiB);
              return socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM ? 0 : 1;
            }),
            0);
  EXPECT_EQ(in_child([] {
              confine_files();
              confine_calls(64 * kMiB);
              execl("/bin/true", "true", nullptr);
              return errno == EPERM ? 0 : 1;
            }),
            0);
}

TEST(Confine, MemoryIsForDataAndLimited) {
  if (!has_filters() || kAddressSanitized || kThreadSanitized) {
    GTEST_SKIP() << "this system has no seccomp, or not for us, or a sanitizer takes memory";
  }
  const auto map = [](uint64_t bytes, int protection) {
    return mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
  };
  EXPECT_EQ(in_child([&] {
              confine_files();
              confine_calls(64 * kMiB);
              const bool some = map(kMiB, PROT_READ | PROT_WRITE);
              const bool code = map(kMiB, PROT_READ | PROT_EXEC);
              return some && !code ? 0 : 1;
            }),
            0);
  EXPECT_EQ(in_child([&] {
              confine_files();
              confine_calls(64 * kMiB);
              return map(128 * kMiB, PROT_READ | PROT_WRITE) ? 1 : 0;
            }),
            0);
}

TEST(Confine, ThreadsAndOpenFilesWork) {
  if (!has_filters() || kAddressSanitized || kThreadSanitized) {
    GTEST_SKIP() << "this system has no seccomp, or not for us, or a sanitizer minds threads after fork";
  }
  EXPECT_EQ(in_child([] {
              std::FILE* file = std::fopen("/proc/self/stat", "r");
              confine_files();
              confine_calls(64 * kMiB);
              int read = 0;
              std::thread([&] { read = std::fgetc(file); }).join();
              return read > 0 ? 0 : 1;
            }),
            0);
}

}  // namespace
}  // namespace hypura
