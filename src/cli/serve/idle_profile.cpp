#include "cli/serve/idle_profile.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <vector>

#include "cli/serve/spawn_alone.h"
#include "support/executable_path.h"
#include "support/fail.h"
#include "support/log.h"

extern char** environ;  // NOLINT(readability-redundant-declaration): not every system's headers have it

namespace hypura {

namespace {

class ProcessWork : public IdleWork {
 public:
  explicit ProcessWork(pid_t process) : process_(process) {}
  ~ProcessWork() override {
    if (how_.empty()) {
      ::kill(process_, SIGKILL);
      wait(0);
    }
  }

  std::string ended() override {
    if (how_.empty()) {
      wait(WNOHANG);
    }
    return how_;
  }

 private:
  void wait(int options) {
    int status = 0;
    pid_t got = 0;
    while ((got = ::waitpid(process_, &status, options)) < 0 && errno == EINTR) {
    }
    if (got == process_) {
      how_ = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "done"
             : WIFEXITED(status)                           ? fmt::format("failed with code {}", WEXITSTATUS(status))
                                                           : fmt::format("ended by signal {}", WTERMSIG(status));
    }
  }

  pid_t process_;
  std::string how_;
};

std::chrono::system_clock::time_point parsed_time(const std::string& text) {
  std::tm parts{};
  return strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts) == nullptr
             ? std::chrono::system_clock::time_point::max()
             : std::chrono::system_clock::from_time_t(timegm(&parts));
}

}  // namespace

Measurement wanted_measurement(const MachineProfile& profile, std::chrono::system_clock::time_point now) {
  if (profile.doubtful()) {
    return Measurement::kAnew;
  }
  const bool once = profile.first_measured_at.empty();
  return once && parsed_time(profile.measured_at) < now - kBetweenMeasurements ? Measurement::kOnceMore
                                                                               : Measurement::kNone;
}

std::unique_ptr<IdleWork> begin_process(const std::filesystem::path& program,
                                        const std::vector<std::string>& arguments) {
  std::vector<char*> pointers = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) {
    pointers.push_back(const_cast<char*>(argument.c_str()));
  }
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&attributes);
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    posix_spawn_file_actions_addopen(&files, standard, "/dev/null", O_RDWR, 0);
  }
  sigset_t none;
  sigemptyset(&none);  // the server blocks those that it waits for
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, static_cast<short>(POSIX_SPAWN_SETSIGMASK | inherit_nothing(files)));
  pid_t process = 0;
  const int error = posix_spawn(&process, program.c_str(), &files, &attributes, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    logger().warn("msg=not-started program={} code={}", program.string(), error);
    return nullptr;
  }
  return std::make_unique<ProcessWork>(process);
}

std::unique_ptr<IdleWork> begin_idle_profile(const std::filesystem::path& model, std::optional<uint64_t> memory) {
  ProfileOptions where;
  where.path = model;
  const std::optional<MachineProfile> profile = cached_profile(where);
  const auto wanted = profile ? wanted_measurement(*profile, std::chrono::system_clock::now()) : Measurement::kNone;
  if (wanted == Measurement::kNone || memory.value_or(kProfilingMemory) < kProfilingMemory) {
    return nullptr;
  }
  const auto program = executable_path();
  if (!program) {
    logger().warn("msg=not-measured reason=\"{}\"", program.error().message);
    return nullptr;
  }
  std::vector<std::string> arguments = {"profile", "--gpu", "none", "--path", model.string()};
  if (wanted == Measurement::kOnceMore) {
    arguments.emplace_back("--again");
  }
  logger().info("msg=measuring-machine reason=\"{}\"",
                wanted == Measurement::kAnew ? "the profile is doubtful" : "it was measured once only");
  return begin_process(*program, arguments);
}

}  // namespace hypura
