#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>

#include "machine/cgroup_linux.h"
#include "machine/memory.h"
#include "machine/test_tree.h"
#include "support/units.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr const char* kMeminfo =
    "MemTotal:       16384000 kB\nMemFree:          500000 kB\nMemAvailable:   12288000 kB\nSwapTotal:  0 kB\n";
constexpr const char* kUnlimitedV1 = "9223372036854771712\n";

class MemoryLimitsTest : public testing::Test {
 protected:
  MemoryLimitsTest() { tree_.write("/proc/meminfo", kMeminfo); }

  void mounts(const std::string& lines) {
    tree_.write("/proc/self/mountinfo", "22 27 0:21 / /proc rw,relatime shared:12 - proc proc rw\n" + lines +
                                            "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n");
  }
  void v2(const fs::path& directory, const std::string& max, const std::string& high, uint64_t current,
          uint64_t inactive_file) {
    tree_.write(directory / "memory.max", max + "\n");
    tree_.write(directory / "memory.high", high + "\n");
    tree_.write(directory / "memory.current", std::to_string(current) + "\n");
    tree_.write(directory / "memory.stat",
                "anon 123\nfile 456\nactive_file 99\ninactive_file " + std::to_string(inactive_file) + "\nslab 7\n");
  }
  void v1(const fs::path& directory, const std::string& limit, uint64_t usage, uint64_t inactive_file,
          const std::string& hierarchical = kUnlimitedV1) {
    tree_.write(directory / "memory.limit_in_bytes", limit);
    tree_.write(directory / "memory.usage_in_bytes", std::to_string(usage) + "\n");
    tree_.write(directory / "memory.stat", "cache 5\ninactive_file 1\nhierarchical_memory_limit " + hierarchical +
                                               "total_inactive_file " + std::to_string(inactive_file) + "\n");
  }
  MemoryLimits read() {
    Result<MemoryLimits> limits = read_memory_limits(tree_.root());
    if (!limits) {
      ADD_FAILURE() << limits.error().message;
      return {};
    }
    return *limits;
  }
  void expect_no_limit() {
    const MemoryLimits limits = read();
    EXPECT_EQ(limits.cgroup_limit, std::nullopt);
    EXPECT_EQ(limits.cgroup_path, "");
    EXPECT_EQ(limits.allowed(), 12288000 * kKiB);
  }
  void expect_limit(uint64_t limit, uint64_t used, const std::string& path) {
    const MemoryLimits limits = read();
    EXPECT_EQ(limits.total, 16384000 * kKiB);
    EXPECT_EQ(limits.cgroup_limit, limit);
    EXPECT_EQ(limits.cgroup_used, used);
    EXPECT_EQ(limits.cgroup_path, path);
  }

  static constexpr const char* kMountV2 = "31 23 0:28 / /sys/fs/cgroup rw shared:9 master:1 - cgroup2 cgroup2 rw\n";
  static constexpr const char* kMountV1 = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
  TestTree tree_;
};

TEST_F(MemoryLimitsTest, NoCgroupsAtAll) {
  expect_no_limit();
}

TEST_F(MemoryLimitsTest, V2ParentIsTighter) {
  mounts(kMountV2);
  tree_.write("/proc/self/cgroup", "0::/user.slice/run.scope\n");
  v2("/sys/fs/cgroup/user.slice", "4294967296", "max", 3 * kGiB, kGiB);
  v2("/sys/fs/cgroup/user.slice/run.scope", "8589934592", "max", kGiB, 0);
  expect_limit(4 * kGiB, 2 * kGiB, "/sys/fs/cgroup/user.slice");
  EXPECT_EQ(read().allowed(), 2 * kGiB);
}

TEST_F(MemoryLimitsTest, V2LargerLimitThatLeavesLessIsTighter) {
  mounts(kMountV2);
  tree_.write("/proc/self/cgroup", "0::/shared/mine\n");
  v2("/sys/fs/cgroup/shared", "10737418240", "max", 9 * kGiB, 0);
  v2("/sys/fs/cgroup/shared/mine", "4294967296", "max", kGiB, 0);
  expect_limit(10 * kGiB, 9 * kGiB, "/sys/fs/cgroup/shared");
}

TEST_F(MemoryLimitsTest, V2OwnGroupIsTighter) {
  mounts(kMountV2);
  tree_.write("/proc/self/cgroup", "0::/user.slice/run.scope\n");
  v2("/sys/fs/cgroup/user.slice", "8589934592", "max", 2 * kGiB, 0);
  v2("/sys/fs/cgroup/user.slice/run.scope", "2147483648", "max", kGiB, 2 * kGiB);
  expect_limit(2 * kGiB, 0, "/sys/fs/cgroup/user.slice/run.scope");
}

TEST_F(MemoryLimitsTest, V2HighIsALimit) {
  mounts(kMountV2);
  tree_.write("/proc/self/cgroup", "0::/a\n");
  v2("/sys/fs/cgroup/a", "8589934592", "3221225472", kGiB, 0);
  expect_limit(3 * kGiB, kGiB, "/sys/fs/cgroup/a");
}

TEST_F(MemoryLimitsTest, V2MaxIsNoLimit) {
  mounts(kMountV2);
  tree_.write("/proc/self/cgroup", "0::/a/b\n");
  v2("/sys/fs/cgroup/a", "max", "max", kGiB, 0);
  v2("/sys/fs/cgroup/a/b", "max", "max", kGiB, 0);
  expect_no_limit();
}

TEST_F(MemoryLimitsTest, V1WithParents) {
  mounts(kMountV1);
  tree_.write("/proc/self/cgroup", "9:name=systemd:/x\n4:cpu,memory:/a/b\n");
  v1("/sys/fs/cgroup/memory", kUnlimitedV1, 8 * kGiB, 0);
  v1("/sys/fs/cgroup/memory/a", "3221225472\n", 2 * kGiB, kGiB, "3221225472\n");
  v1("/sys/fs/cgroup/memory/a/b", kUnlimitedV1, kGiB, 0, "3221225472\n");
  expect_limit(3 * kGiB, kGiB, "/sys/fs/cgroup/memory/a");
}

TEST_F(MemoryLimitsTest, V1Unlimited) {
  mounts(kMountV1);
  tree_.write("/proc/self/cgroup", "4:memory:/a\n");
  v1("/sys/fs/cgroup/memory", kUnlimitedV1, kGiB, 0);
  v1("/sys/fs/cgroup/memory/a", kUnlimitedV1, kGiB, 0);
  expect_no_limit();
  // Pages of 64 KiB.
  v1("/sys/fs/cgroup/memory/a", "9223372036854710272\n", kGiB, 0);
  expect_no_limit();
}

TEST_F(MemoryLimitsTest, V1LimitOfAnAncestorOutsideTheMount) {
  mounts("35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  tree_.write("/proc/self/cgroup", "4:memory:/docker/abc\n");
  v1("/sys/fs/cgroup/memory", kUnlimitedV1, kGiB, 0, "2147483648\n");
  expect_limit(2 * kGiB, kGiB, "/sys/fs/cgroup/memory");
}

TEST_F(MemoryLimitsTest, HybridHasItsMemoryInV1) {
  mounts(std::string(kMountV1) + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  tree_.write("/proc/self/cgroup", "4:memory:/job\n0::/job\n");
  tree_.write("/sys/fs/cgroup/unified/job/cgroup.procs", "1\n");
  v1("/sys/fs/cgroup/memory", kUnlimitedV1, 8 * kGiB, 0);
  v1("/sys/fs/cgroup/memory/job", "1073741824\n", 10 * kMiB, kMiB);
  expect_limit(kGiB, 9 * kMiB, "/sys/fs/cgroup/memory/job");
}

TEST_F(MemoryLimitsTest, PathBelowTheRootOfTheMount) {
  mounts("35 31 0:32 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  tree_.write("/proc/self/cgroup", "0::/docker/abc/job\n");
  v2("/sys/fs/cgroup/job", "1073741824", "max", kMiB, 0);
  v2("/sys/fs/cgroup", "max", "max", kMiB, 0);
  expect_limit(kGiB, kMiB, "/sys/fs/cgroup/job");
}

TEST_F(MemoryLimitsTest, NamespacedPathMeansTheTopOfTheMount) {
  mounts(kMountV2);
  v2("/sys/fs/cgroup", "1073741824", "max", kMiB, 0);
  for (const char* path : {"/docker/abc/not/here", "/../other", "/../../..", "/"}) {
    tree_.write("/proc/self/cgroup", std::string("0::") + path + "\n");
    expect_limit(kGiB, kMiB, "/sys/fs/cgroup");
  }
}

TEST_F(MemoryLimitsTest, SpacesAndColonsInNames) {
  mounts("31 23 0:28 / /sys/fs/my\\040cgroup rw - cgroup2 cgroup2 rw\n");
  tree_.write("/proc/self/cgroup", "0::/a:b c\n");
  v2("/sys/fs/my cgroup/a:b c", "1073741824", "max", kMiB, 0);
  expect_limit(kGiB, kMiB, "/sys/fs/my cgroup/a:b c");
}

TEST_F(MemoryLimitsTest, SenselessContentsAreNoLimit) {
  mounts(kMountV2);
  tree_.write("/proc/self/cgroup", "0::/a\n");
  for (const char* garbage : {"", "\n", "-1", "12G", "0x100", "1 2", "99999999999999999999999", "maximum"}) {
    v2("/sys/fs/cgroup/a", garbage, garbage, kMiB, 0);
    expect_no_limit();
  }
  v2("/sys/fs/cgroup/a", "1073741824", "max", kMiB, 0);
  for (const char* garbage : {"", "::", "0", "0:", "nonsense\n\n", "x::/a"}) {
    tree_.write("/proc/self/cgroup", garbage);
    expect_no_limit();
  }
  tree_.write("/proc/self/cgroup", "0::/a\n");
  for (const char* garbage : {"", "-", "- - -", "31 23 0:28 / /sys/fs/cgroup rw -", "31 - cgroup2 cgroup2 rw"}) {
    tree_.write("/proc/self/mountinfo", garbage);
    expect_no_limit();
  }
}

TEST_F(MemoryLimitsTest, MissingFilesAreNoLimitOrNoUse) {
  mounts(kMountV2);
  tree_.write("/proc/self/cgroup", "0::/a\n");
  tree_.write("/sys/fs/cgroup/a/cgroup.procs", "1\n");
  expect_no_limit();
  tree_.write("/sys/fs/cgroup/a/memory.max", "1073741824\n");
  expect_limit(kGiB, 0, "/sys/fs/cgroup/a");
  tree_.write("/sys/fs/cgroup/a/memory.current", "1048576\n");
  expect_limit(kGiB, kMiB, "/sys/fs/cgroup/a");
}

TEST(MemoryLimits, MeminfoIsNeeded) {
  const TestTree tree;
  const Result<MemoryLimits> missing = read_memory_limits(tree.root());
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kIo);
  EXPECT_THAT(missing.error().message, HasSubstr("/proc/meminfo"));
  for (const char* garbage :
       {"", "MemTotal: 5 kB\n", "MemTotal: x kB\nMemAvailable: 5 kB\n", "MemTotal:", "MemTotal: "}) {
    tree.write("/proc/meminfo", garbage);
    const Result<MemoryLimits> limits = read_memory_limits(tree.root());
    ASSERT_FALSE(limits) << garbage;
    EXPECT_EQ(limits.error().code, ErrorCode::kIo);
  }
}

// A real group with a limit, below the one we are in; gone at the end.
class LiveCgroup {
 public:
  explicit LiveCgroup(const fs::path& parent) : path_(parent / ("hypura-test-" + std::to_string(getpid()))) {
    std::error_code error;
    made_ = fs::create_directory(path_, error);
  }
  LiveCgroup(const LiveCgroup&) = delete;
  LiveCgroup& operator=(const LiveCgroup&) = delete;
  ~LiveCgroup() {
    if (made_) {
      rmdir(path_.c_str());
    }
  }
  bool made() const { return made_; }
  const fs::path& path() const { return path_; }
  bool write(const char* file, const std::string& text) const {
    std::ofstream out(path_ / file);
    out << text << std::flush;
    return out.good();
  }

 private:
  fs::path path_;
  bool made_ = false;
};

TEST(MemoryLimits, SeesALiveCgroup) {
  constexpr uint64_t kLimit = 300 * kMiB;
  const CgroupChain chain = cgroup_v1_chain({}, "memory");
  if (geteuid() != 0 || chain.empty()) {
    GTEST_SKIP() << "needs root and a v1 memory controller";
  }
  const LiveCgroup group(chain.front());
  if (!group.made() || !group.write("memory.limit_in_bytes", std::to_string(kLimit))) {
    GTEST_SKIP() << "cannot make a cgroup in " << chain.front();
  }
  std::array<int, 2> pipe_ends{};
  ASSERT_EQ(pipe(pipe_ends.data()), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::string answer = "cannot join the group";
    if (group.write("cgroup.procs", std::to_string(getpid()))) {
      const Result<MemoryLimits> limits = read_memory_limits();
      answer = limits ? fmt::format("{} {} {}", limits->cgroup_limit.value_or(0), limits->cgroup_path,
                                    limits->allowed() <= kLimit && limits->cgroup_used < kLimit)
                      : limits.error().message;
    }
    const ssize_t written = ::write(pipe_ends[1], answer.data(), answer.size());
    _exit(written == static_cast<ssize_t>(answer.size()) ? 0 : 1);
  }
  close(pipe_ends[1]);
  std::string answer(4096, '\0');
  const ssize_t got = ::read(pipe_ends[0], answer.data(), answer.size());
  close(pipe_ends[0]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  answer.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
  EXPECT_EQ(answer, fmt::format("{} {} true", kLimit, group.path().string()));
}

}  // namespace
}  // namespace hypura
