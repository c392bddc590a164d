#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <sstream>
#include <system_error>

#include "machine/confine.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

// linux/landlock.h of the oldest system that is built on has the first field alone.
struct LandlockRules {
  uint64_t files = 0;
  uint64_t network = 0;  // from version 4 on
  uint64_t scopes = 0;   // from version 6 on
};

constexpr long kLandlockCreate = 444;
constexpr long kLandlockRestrict = 446;
constexpr unsigned kLandlockAskVersion = 1;

constexpr int kNetworkVersion = 4;
constexpr int kScopesVersion = 6;

std::string reason_of_errno() {
  return std::generic_category().message(errno);
}

// All that a version knows, so that all of it is refused.
LandlockRules rules_of(long version) {
  LandlockRules rules;
  const int kinds = version >= 5 ? 16 : version >= 3 ? 15 : version >= 2 ? 14 : 13;
  rules.files = (uint64_t{1} << kinds) - 1;
  rules.network = version >= kNetworkVersion ? 3 : 0;  // bind, connect
  rules.scopes = version >= kScopesVersion ? 3 : 0;    // abstract sockets and signals of other processes
  return rules;
}

size_t size_of_rules(long version) {
  return sizeof(uint64_t) * (version >= kScopesVersion ? 3U : version >= kNetworkVersion ? 2U : 1U);
}

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr uint32_t kArchitecture = 0;
#endif

// What computing, reading from open files and talking over open sockets take; the most frequent first. Numbers that a
// processor's Linux does not have are left out by the preprocessor.
constexpr long kAllowed[] = {
    SYS_recvfrom,
    SYS_sendto,
    SYS_futex,
    SYS_io_uring_enter,
    SYS_ppoll,
#ifdef SYS_poll
    SYS_poll,
#endif
    SYS_sched_yield,
    SYS_clock_nanosleep,
    SYS_clock_gettime,
    SYS_pread64,
    SYS_read,
    SYS_write,
    SYS_madvise,
    SYS_munmap,
    SYS_mremap,
    SYS_brk,
    SYS_accept,
    SYS_accept4,
    SYS_close,
    SYS_shutdown,
    SYS_setsockopt,
    SYS_getsockopt,
    SYS_getpeername,
    SYS_getsockname,
    SYS_fcntl,
    SYS_recvmsg,
    SYS_sendmsg,
    SYS_readv,
    SYS_writev,
    SYS_preadv,
    SYS_lseek,
    SYS_fstat,
    SYS_newfstatat,
    SYS_io_uring_register,
    SYS_clone,
    SYS_clone3,
    SYS_set_robust_list,
    SYS_get_robust_list,
    SYS_rseq,
    SYS_set_tid_address,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_restart_syscall,
    SYS_sched_getaffinity,
    SYS_sched_setaffinity,
    SYS_sched_getparam,
    SYS_sched_setscheduler,
    SYS_sched_getscheduler,
    SYS_sched_get_priority_min,
    SYS_sched_get_priority_max,
    SYS_membarrier,
    SYS_getcpu,
    SYS_nanosleep,
    SYS_gettimeofday,
#ifdef SYS_time
    SYS_time,
#endif
    SYS_getpid,
    SYS_gettid,
    SYS_tgkill,
    SYS_getrandom,
    SYS_getrusage,
    SYS_prctl,
    SYS_exit,
    SYS_exit_group,
};

constexpr uint32_t kRefuse = SECCOMP_RET_ERRNO | EPERM;

void add_jump(std::vector<sock_filter>& filter, uint16_t test, uint32_t value, uint8_t if_true, uint8_t if_false) {
  filter.push_back({static_cast<uint16_t>(BPF_JMP | test | BPF_K), if_true, if_false, value});
}

void add_load(std::vector<sock_filter>& filter, size_t offset) {
  filter.push_back({BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<uint32_t>(offset)});
}

void add_return(std::vector<sock_filter>& filter, uint32_t action) {
  filter.push_back({BPF_RET | BPF_K, 0, 0, action});
}

std::vector<sock_filter> call_filter() {
  std::vector<sock_filter> filter;
  add_load(filter, offsetof(seccomp_data, arch));
  add_jump(filter, BPF_JEQ, kArchitecture, 1, 0);
  add_return(filter, SECCOMP_RET_KILL_PROCESS);
  add_load(filter, offsetof(seccomp_data, nr));
  for (const long call : kAllowed) {
    add_jump(filter, BPF_JEQ, static_cast<uint32_t>(call), 0, 1);
    add_return(filter, SECCOMP_RET_ALLOW);
  }
  // Memory, but none that can be executed: the low half of the third argument has the protection.
  add_jump(filter, BPF_JEQ, SYS_mmap, 2, 0);
  add_jump(filter, BPF_JEQ, SYS_mprotect, 1, 0);
  add_return(filter, kRefuse);
  add_load(filter, offsetof(seccomp_data, args) + 2 * sizeof(uint64_t));
  add_jump(filter, BPF_JSET, PROT_EXEC, 0, 1);
  add_return(filter, kRefuse);
  add_return(filter, SECCOMP_RET_ALLOW);
  return filter;
}

int process_status = -1;  // /proc/self/status, opened while files can be; the process keeps it

// Bytes of private memory that the process has addresses for: what RLIMIT_DATA counts. 0: unknown.
uint64_t data_bytes() {
  std::array<char, 4096> text{};
  const ssize_t got = ::pread(process_status, text.data(), text.size(), 0);
  std::istringstream words(std::string(text.data(), static_cast<size_t>(std::max<ssize_t>(got, 0))));
  for (std::string word; words >> word;) {
    uint64_t kib = 0;
    if (word == "VmData:" && words >> kib) {
      return kib * kKiB;
    }
  }
  return 0;
}

}  // namespace

Unconfined confine_files() {
  Unconfined missing;
  process_status = process_status < 0 ? ::open("/proc/self/status", O_RDONLY | O_CLOEXEC) : process_status;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    missing.push_back(fmt::format("it may get new privileges: {}", reason_of_errno()));
  }
  const long version = ::syscall(kLandlockCreate, nullptr, size_t{0}, kLandlockAskVersion);
  if (version < 1) {
    missing.push_back(
        fmt::format("it may open what its user may: this kernel has no Landlock ({})", reason_of_errno()));
    return missing;
  }
  const LandlockRules rules = rules_of(version);
  const auto set = static_cast<int>(::syscall(kLandlockCreate, &rules, size_of_rules(version), 0U));
  if (set < 0 || ::syscall(kLandlockRestrict, set, 0U) != 0) {
    missing.push_back(fmt::format("it may open what its user may: Landlock refuses ({})", reason_of_errno()));
  }
  if (set >= 0) {
    ::close(set);
  }
  return missing;
}

Unconfined confine_calls(uint64_t more_memory) {
  Unconfined missing;
  const uint64_t now = data_bytes();
  rlimit limit{};
  if (::getrlimit(RLIMIT_DATA, &limit) == 0 && now > 0) {
    limit.rlim_cur = limit.rlim_max = std::min<rlim_t>(limit.rlim_max, now + more_memory);
  }
  if (now == 0 || ::setrlimit(RLIMIT_DATA, &limit) != 0) {
    missing.push_back(fmt::format("its memory has no limit: {}", now == 0 ? "its size is unknown" : reason_of_errno()));
  }
  if (kArchitecture == 0) {
    missing.emplace_back("it may call all of the system: for this processor there is no filter");
    return missing;
  }
  std::vector<sock_filter> filter = call_filter();
  const sock_fprog program = {static_cast<unsigned short>(filter.size()), filter.data()};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0) {
    missing.push_back(fmt::format("it may call all of the system: seccomp refuses ({})", reason_of_errno()));
  }
  return missing;
}

}  // namespace hypura
