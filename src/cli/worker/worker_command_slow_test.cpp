// `hypura worker` as a program: it serves, is confined, comes back when its process is killed, and ends when it is
// asked.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <fstream>
#include <sstream>
#include <thread>

#include "cli/worker/worker_listener.h"
#include "load/worker_peer_for_test.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

const std::string kDemoFile = std::string(HYPURA_SOURCE_DIR) + "/models/hypura-stories-moe.gguf";

// One that was free a moment ago.
uint16_t free_port() {
  const auto listener = listen_at({"127.0.0.1", 0});
  sockaddr_in address{};
  socklen_t length = sizeof(address);
  ::getsockname(listener->get(), reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
}

class RunningWorker {
 public:
  explicit RunningWorker(uint16_t port) : log_(folder_.path() / "log") {
    process_ = ::fork();
    if (process_ == 0) {
      ::setenv("XDG_CACHE_HOME", folder_.path().c_str(), 1);
      if (std::freopen(log_.c_str(), "w", stderr) == nullptr) {
        ::_exit(126);
      }
      const std::string program = std::string(HYPURA_BIN_DIR) + "/hypura";
      const std::string listen = "127.0.0.1:" + std::to_string(port);
      ::execl(program.c_str(), "hypura", "worker", kDemoFile.c_str(), "--memory", "16M", "--threads", "1", "--listen",
              listen.c_str(), nullptr);
      ::_exit(127);
    }
  }
  ~RunningWorker() {
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      ::waitpid(process_, nullptr, 0);
    }
  }

  // Its exit code, once it has ended on SIGTERM.
  int stop() {
    int status = 0;
    ::kill(process_, SIGTERM);
    ::waitpid(process_, &status, 0);
    process_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  // The process that works; 0: there is none yet.
  pid_t child() const {
    std::ifstream children("/proc/" + std::to_string(process_) + "/task/" + std::to_string(process_) + "/children");
    pid_t child = 0;
    children >> child;
    return child;
  }

  std::string log() const {
    std::ostringstream text;
    text << std::ifstream(log_).rdbuf();
    return text.str();
  }

 private:
  TempDir folder_;
  std::filesystem::path log_;
  pid_t process_ = 0;
};

// The first hello is answered when the worker is ready, however long that takes.
std::unique_ptr<WorkerPeer> connect_to(uint16_t port) {
  auto peer = std::make_unique<WorkerPeer>(port);
  while (!peer->connected()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    peer = std::make_unique<WorkerPeer>(port);
  }
  return peer;
}

std::optional<ReplyStatus> ask_one(WorkerPeer& peer, const Model& model) {
  WorkerHello hello;
  if (!peer.allocate(1 << 20)) {
    return std::nullopt;
  }
  const auto told = peer.greet(hello);  // refused, and told what it is
  if (!told || told->accepted != 0) {
    return std::nullopt;
  }
  hello.identity = told->identity;
  const auto verdict = peer.greet(hello);
  if (!verdict || verdict->accepted != 1) {
    return std::nullopt;
  }
  const PeerBlock block(model, 1, 4, peer);
  std::vector<std::byte> bytes(ask_bytes(4, 1, block.width));
  const Ask ask = {9, 1, 1, 0};
  const AskedPair pair = {5, 0};
  std::memcpy(bytes.data(), &ask, sizeof(ask));
  std::memcpy(bytes.data() + sizeof(ask), &pair, sizeof(pair));
  peer.set(kAskName, 0, bytes);
  peer.requests().add_graph(0, block.nodes, block.tensors);
  const auto answer = peer.get(kReplyName, block.reply_at, reply_bytes(block.experts, 1, block.width));
  if (!answer) {
    return std::nullopt;
  }
  Reply reply;
  std::memcpy(&reply, answer->data(), sizeof(reply));
  return reply.status;
}

std::string status_line(pid_t process, const std::string& name) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name)) {
      return line;
    }
  }
  return {};
}

TEST(WorkerCommand, ServesComesBackAndEnds) {
  const Model model = *open_model(kDemoFile);
  const uint16_t port = free_port();
  RunningWorker worker(port);
  {
    const auto peer = connect_to(port);
    ASSERT_EQ(ask_one(*peer, model), ReplyStatus::kDone) << worker.log();
    const pid_t child = worker.child();
    ASSERT_GT(child, 0);
    EXPECT_EQ(status_line(child, "NoNewPrivs:"), "NoNewPrivs:\t1");
    EXPECT_EQ(status_line(child, "Seccomp:"), "Seccomp:\t2");
    ::kill(child, SIGKILL);
    EXPECT_TRUE(peer->is_closed());
  }
  const auto peer = connect_to(port);
  EXPECT_EQ(ask_one(*peer, model), ReplyStatus::kDone) << worker.log();
  ::kill(worker.child(), SIGSTOP);
  EXPECT_EQ(worker.stop(), 0) << worker.log();
  const std::string log = worker.log();
  EXPECT_NE(log.find("ended by signal 9: another starts in 0.5 s"), std::string::npos) << log;
  EXPECT_NE(log.find("is worked for at 127.0.0.1:" + std::to_string(port)), std::string::npos) << log;
}

TEST(WorkerCommand, AModelThatIsNotThereEndsIt) {
  const std::string program = std::string(HYPURA_BIN_DIR) + "/hypura worker /nowhere.gguf 2>/dev/null";
  const int status = std::system(program.c_str());
  EXPECT_NE(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace hypura
