#include "cli/worker/worker_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "bench/isolation/process.h"
#include "cli/serve/spawn_alone.h"
#include "cli/serving_log.h"
#include "load/open_worker.h"
#include "machine/confine.h"
#include "support/fail.h"
#include "support/log.h"
#include "support/units.h"

extern char** environ;  // NOLINT(readability-redundant-declaration): not declared by every system

namespace hypura {

namespace {

// Beyond what it has when all is allocated: a peer's buffers, the messages that fill them, and as much again for what
// computing takes.
constexpr uint64_t kMoreMemory = 4 * kMostBufferBytes;

bool listens(int fd) {
  int on = 0;
  socklen_t length = sizeof(on);
  return ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &length) == 0 && on != 0;
}

// A descriptor of its own for what came in as a standard one, whose place is then /dev/null's: the server prints.
FileDescriptor take_standard(int fd) {
  FileDescriptor own(::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  const FileDescriptor nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ::dup2(nothing.get(), fd);
  return own;
}

std::string opened_sentence(const OpenWorker& worker, const std::string& listen) {
  const WorkerVerdict& facts = worker.facts;
  const char* what = worker.names->layers().front().dense ? "feed-forward parts" : "experts";
  const std::string layers =
      facts.peer_memory == 0 ? "" : fmt::format(", or {} for whole layers", format_bytes(facts.peer_memory));
  return fmt::format("{} is worked for at {}: slots for {} of {} {} ({}){} in {}{}, {} threads", worker.model->name,
                     listen, facts.slots, worker.all, what, format_bytes(facts.slots * facts.slot_bytes), layers,
                     format_bytes(facts.budget), worker.remark, facts.threads);
}

}  // namespace

std::string how_it_ended(int wait_status) {
  return WIFSIGNALED(wait_status) ? fmt::format("by signal {}", WTERMSIG(wait_status))
                                  : fmt::format("with code {}", WEXITSTATUS(wait_status));
}

Result<WorkerProcess> start_worker_process(const std::filesystem::path& program,
                                           const std::vector<std::string>& arguments, int listener) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) {
    return fail(ErrorCode::kIo, "cannot create a pipe ({})", errno_text(errno));
  }
  WorkerProcess started{0, FileDescriptor(ends[0])};
  const FileDescriptor its_end(ends[1]);
  ::fcntl(ends[0], F_SETFD, FD_CLOEXEC);
  ::fcntl(ends[1], F_SETFD, FD_CLOEXEC);
  std::vector<char*> pointers = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) {
    pointers.push_back(const_cast<char*>(argument.c_str()));
  }
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&files, listener, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, its_end.get(), STDOUT_FILENO);
  posix_spawnattr_setflags(&attributes, static_cast<short>(inherit_nothing(files)));
  const int error = ::posix_spawn(&started.process, program.c_str(), &files, &attributes, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    return fail(ErrorCode::kIo, "{} cannot be started ({})", program.string(), errno_text(error));
  }
  return started;
}

Result<int> work_for_others(const WorkerCommandOptions& options) {
  if (!listens(STDIN_FILENO)) {
    return fail(ErrorCode::kUsage, "--inherited is for the process that `hypura worker` starts: leave it out");
  }
  end_with_parent();
  std::signal(SIGINT, SIG_IGN);  // of the terminal: the supervisor ends this process
  log_for_serving(options.verbose);
  const FileDescriptor listener = take_standard(STDIN_FILENO);
  FileDescriptor status = take_standard(STDOUT_FILENO);
  WorkerRequest request;
  request.model = options.model;
  request.memory = options.memory;
  request.threads = options.threads;
  request.repacked = options.repacked;
  auto worker = open_worker(request);
  if (!worker) {
    return propagate(worker.error());
  }
  Unconfined missing = confine_files();  // which threads that are made later have as well
  start_worker(**worker);
  for (std::string& sentence : confine_calls(kMoreMemory)) {
    missing.push_back(std::move(sentence));
  }
  for (const std::string& sentence : missing) {
    logger().warn("the process is not confined in all: {}", sentence);
  }
  logger().info("{}", opened_sentence(**worker, options.listen));
  const char ready = 1;
  [[maybe_unused]] const ssize_t written = ::write(status.get(), &ready, 1);
  RpcListener serving;
  serving.fd = listener.get();
  serving.greeting = std::chrono::milliseconds(static_cast<int64_t>(1000 * kGreetingSeconds));
  serve_worker(**worker, serving);
  return 0;
}

}  // namespace hypura
