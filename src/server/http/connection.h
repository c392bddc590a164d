// Private to server/http, and the only header with Boost in it: one connection, and what all of them share.
//
// All state belongs to the I/O thread; other threads reach it through HttpCore::post. A connection has at most one wait
// for bytes and one write under way. While it is idle, or an answer is being made, it holds no buffer.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "server/http/http_exchange.h"
#include "server/http/http_service.h"
#include "server/http/request_parser.h"
#include "server/http/wire.h"

namespace hypura {

using Clock = std::chrono::steady_clock;

inline constexpr int kClientGone = 499;  // the status in logs

class Connection;

// Lives until the last connection and the last exchange have gone, which may be later than the server.
struct HttpCore {
  HttpCore(HttpLimits client_limits, HttpService& behind)
      : limits(client_limits),
        service(behind),
        io(1),
        workers(limits.workers),
        large_workers(limits.large_workers),
        quick_workers(limits.quick_workers),
        scratch(64 << 10) {}

  const HttpLimits limits;
  HttpService& service;  // until the server has stopped
  boost::asio::io_context io;
  boost::asio::thread_pool workers;
  boost::asio::thread_pool large_workers;
  boost::asio::thread_pool quick_workers;

  std::vector<char> scratch;  // what a socket gave, until it is parsed
  std::unordered_set<std::shared_ptr<Connection>> connections;
  std::atomic<bool> stopping{false};  // no request is taken any more

  // Runs `work` on the I/O thread; never once the server has stopped. Any thread.
  template <class Work>
  void post(Work work) {
    const std::lock_guard lock(post_mutex_);
    if (!closed_) {
      boost::asio::post(io, std::move(work));
    }
  }
  // The threads that a request is handled on.
  boost::asio::thread_pool& workers_for(const HttpRequest& request) {
    return request.body.empty() ? quick_workers : request.body.size() < limits.large_body ? workers : large_workers;
  }
  void join_workers() {
    quick_workers.join();
    workers.join();
    large_workers.join();
  }

  void close_post() {
    const std::lock_guard lock(post_mutex_);
    closed_ = true;
  }

  void add(const std::shared_ptr<Connection>& connection);
  void remove(const std::shared_ptr<Connection>& connection);

  // Waits until no connection is left; false when that takes too long. Any thread but the I/O thread.
  bool wait_until_empty(std::chrono::milliseconds at_most);

 private:
  std::mutex post_mutex_;
  bool closed_ = false;

  std::mutex count_mutex_;
  std::condition_variable count_changed_;
  size_t count_ = 0;
};

class Connection : public AnswerPort, public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<HttpCore> core, boost::asio::ip::tcp::socket socket);

  // Begins to read requests; registered with the core from then until it is closed.
  void start();
  // Instead of start(): sends a refusal and closes.
  void refuse(int status, const std::string& sentence);

  void post(uint64_t turn, ExchangeStep step) override;

  void check_deadlines(Clock::time_point now);
  // Closes when the answer under way is sent; at once when there is none.
  void close_when_answered();
  // Ends the answer under way as if the client had gone, but sends what comes of it.
  void cancel_answer();
  // Closes at once. An answer under way is cancelled.
  void close();

 private:
  enum class Phase { kIdle, kHeader, kBody, kAnswering, kLingering, kClosed };

  void wait_for_bytes();
  void read_bytes();
  void take(std::string_view bytes);
  size_t parse(std::string_view bytes);
  bool admit();
  void set_body_deadline();
  void refuse_request(HttpResponse response);
  void begin_answer();

  void apply(uint64_t turn, ExchangeStep step);
  void apply_released();
  void begin_response(HttpResponse response, bool whole);
  void add_piece(std::string piece);
  void finish_response();
  void send(std::string bytes);
  void flush();
  void on_sent(const boost::system::error_code& error, size_t bytes);
  void response_sent();
  void next_request();
  void linger();
  void on_end_of_input(bool reset);
  void watch_for_reset();
  void ask_whether_it_listens(Clock::time_point now);
  void report(int status);

  const std::shared_ptr<HttpCore> core_;
  boost::asio::ip::tcp::socket socket_;
  Phase phase_ = Phase::kIdle;
  Clock::time_point deadline_ = Clock::time_point::max();        // of the phase
  Clock::time_point write_deadline_ = Clock::time_point::max();  // of the write under way

  // The request being read.
  std::optional<RequestParser> parser_;
  std::string input_;  // bytes not parsed yet
  bool waiting_ = false;
  bool input_ended_ = false;
  Clock::time_point ask_at_ = Clock::time_point::max();  // whether a client that sends no more still listens
  Clock::time_point began_;                              // its first byte
  Clock::time_point body_began_;
  size_t body_received_ = 0;

  // The request being answered, and its response.
  uint64_t turn_ = 0;
  std::shared_ptr<AnswerRecord> record_;
  std::weak_ptr<HttpExchange> exchange_;
  bool from_here_ = false;  // the client is on this machine
  bool keep_alive_ = false;
  bool http10_ = false;
  BodyFraming framing_ = BodyFraming::kLength;
  bool has_body_ = true;    // HEAD has none
  int status_ = 0;          // 0: the head is not sent yet
  bool zero_sent_ = false;  // of the size of the next chunk
  bool complete_ = false;   // all of it is in the outbox, or sent
  bool reported_ = true;

  std::deque<std::string> outbox_;
  size_t outbox_sent_ = 0;   // of its first string
  size_t outbox_bytes_ = 0;  // not sent yet
  uint64_t sent_bytes_ = 0;  // of this response
  bool writing_ = false;
};

}  // namespace hypura
