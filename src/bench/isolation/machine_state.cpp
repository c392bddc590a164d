#include "bench/isolation/machine_state.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "machine/cpu.h"
#include "machine/memory.h"
#include "machine/system.h"
#include "support/fail.h"
#include "support/memory/huge_pages.h"

namespace hypura {

namespace {

volatile std::sig_atomic_t stop_flag = 0;

void note_stop(int /*signal*/) {
  stop_flag = 1;
}

}  // namespace

Status write_setting(const std::filesystem::path& path, const std::string& text) {
  const int file = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) {
    return fail(ErrorCode::kIo, "{} cannot be opened for writing ({}); run as root", path.string(),
                std::strerror(errno));
  }
  const ssize_t written = write(file, text.data(), text.size());
  const int error = errno;
  close(file);
  if (written != static_cast<ssize_t>(text.size())) {
    return fail(ErrorCode::kIo, "{} rejects \"{}\" ({})", path.string(), text, std::strerror(error));
  }
  return {};
}

void touch_memory(uint64_t wanted) {
  const auto limits = read_memory_limits();
  const uint64_t bytes = std::min(wanted, limits ? limits->allowed() / 8 * 7 : 0);
  void* mapped = bytes == 0
                     ? MAP_FAILED
                     : mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) {
    return;
  }
  advise_huge_pages(static_cast<std::byte*>(mapped), bytes);
  constexpr uint64_t kPage = 4096;
  auto* memory = static_cast<volatile char*>(mapped);
  const uint64_t share = bytes / usable_cores() + 1;
  std::vector<std::thread> threads;
  for (uint64_t begin = 0; begin < bytes; begin += share) {
    threads.emplace_back([=] {
      for (uint64_t at = begin; at < std::min(bytes, begin + share); at += kPage) {
        memory[at] = 1;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  munmap(mapped, bytes);
}

MachineFacts read_machine_facts() {
  MachineFacts facts;
  facts.processor = read_cpu().model;
  facts.cores = usable_cores();
  if (const auto limits = read_memory_limits(); limits) {
    facts.memory = limits->total;
  }
  facts.kernel = system_release();
  if (getloadavg(&facts.load_average, 1) != 1) {
    facts.load_average = 0;
  }
  return facts;
}

Status lock_machine() {
  const std::filesystem::path path = std::filesystem::temp_directory_path() / "hypura-bench.lock";
  // Opened before it is made: Linux refuses O_CREAT for another user's file in a shared folder.
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    file = open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
  }
  if (file < 0) {
    return fail(ErrorCode::kIo, "{} cannot be opened ({})", path.string(), std::strerror(errno));
  }
  if (flock(file, LOCK_EX | LOCK_NB) != 0) {
    close(file);
    return fail(ErrorCode::kUsage,
                "another hypura benchmark is running on this machine ({} is locked); wait until it ends",
                path.string());
  }
  return {};
}

void catch_stop_signals() {
  struct sigaction action {};
  action.sa_handler = note_stop;  // without SA_RESTART: a wait for a child ends at once
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    sigaction(signal, &action, nullptr);
  }
}

bool stop_requested() {
  return stop_flag != 0;
}

}  // namespace hypura
