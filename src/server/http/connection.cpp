#include "server/http/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <exception>

#include "support/elapsed.h"
#include "support/log.h"

namespace hypura {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

void run_handler(HttpService& service, bool stopping, const std::shared_ptr<HttpExchange>& exchange) {
  if (stopping) {
    exchange->respond(service.error(exchange->request(), 503, "the server is stopping"));
    return;
  }
  if (exchange->is_gone()) {
    return;
  }
  try {
    service.handle(exchange);
  } catch (const std::exception& error) {
    logger().error("{} {} failed: {}", exchange->request().method, exchange->request().path, error.what());
    exchange->respond(service.error(exchange->request(), 500, fmt::format("internal error: {}", error.what())));
  }
}

}  // namespace

void HttpCore::add(const std::shared_ptr<Connection>& connection) {
  connections.insert(connection);
  const std::lock_guard lock(count_mutex_);
  count_ = connections.size();
}

void HttpCore::remove(const std::shared_ptr<Connection>& connection) {
  connections.erase(connection);
  const std::lock_guard lock(count_mutex_);
  count_ = connections.size();
  count_changed_.notify_all();
}

bool HttpCore::wait_until_empty(std::chrono::milliseconds at_most) {
  std::unique_lock lock(count_mutex_);
  return count_changed_.wait_for(lock, at_most, [this] { return count_ == 0; });
}

namespace {

// An IPv4 address may come as one of IPv6.
bool is_loopback(const asio::ip::address& address) {
  const bool mapped = address.is_v6() && address.to_v6().is_v4_mapped();
  return mapped ? asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).is_loopback() : address.is_loopback();
}

}  // namespace

Connection::Connection(std::shared_ptr<HttpCore> core, asio::ip::tcp::socket socket)
    : core_(std::move(core)), socket_(std::move(socket)) {
  error_code ignored;  // a socket that takes no options shows at the first read
  socket_.non_blocking(true, ignored);
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket_.set_option(asio::socket_base::keep_alive(true), ignored);
  const auto peer = socket_.remote_endpoint(ignored);
  from_here_ = !ignored && is_loopback(peer.address());
}

void Connection::start() {
  core_->add(shared_from_this());
  next_request();
}

void Connection::refuse(int status, const std::string& sentence) {
  core_->add(shared_from_this());
  began_ = Clock::now();
  parser_.emplace(core_->limits);
  refuse_request(core_->service.error(parser_->request(), status, sentence));
}

void Connection::next_request() {
  phase_ = Phase::kIdle;
  deadline_ = Clock::now() + core_->limits.idle_time;
  parser_.emplace(core_->limits);
  record_.reset();
  exchange_.reset();
  status_ = 0;
  complete_ = false;
  body_received_ = 0;
  sent_bytes_ = 0;
  if (input_.empty()) {
    wait_for_bytes();
  } else {
    const std::string bytes = std::exchange(input_, {});
    take(bytes);
  }
}

// Waiting for readiness instead of reading into a buffer: a thousand quiet connections then hold no memory for it.
void Connection::wait_for_bytes() {
  if (waiting_ || input_ended_ || phase_ == Phase::kClosed) {
    return;
  }
  waiting_ = true;
  socket_.async_wait(asio::ip::tcp::socket::wait_read, [self = shared_from_this()](const error_code& error) {
    self->waiting_ = false;
    if (!error && self->phase_ != Phase::kClosed) {
      self->read_bytes();
    }
  });
}

void Connection::read_bytes() {
  error_code error;
  const size_t count = socket_.read_some(asio::buffer(core_->scratch), error);
  if (error == asio::error::would_block || error == asio::error::try_again || error == asio::error::interrupted) {
    wait_for_bytes();
  } else if (error) {
    on_end_of_input(error != asio::error::eof);
  } else {
    take({core_->scratch.data(), count});
  }
}

void Connection::take(std::string_view bytes) {
  if (phase_ == Phase::kAnswering) {
    // The next request already. A little of it is kept; the rest waits in the system.
    input_.append(bytes);
    if (input_.size() < core_->limits.header_bytes) {
      wait_for_bytes();
    }
    return;
  }
  if (phase_ == Phase::kIdle || phase_ == Phase::kHeader || phase_ == Phase::kBody) {
    if (input_.empty()) {
      input_ = bytes.substr(parse(bytes));
    } else {
      input_.append(bytes);
      input_.erase(0, parse(input_));
    }
  }
  wait_for_bytes();
}

// Gives how many bytes were read. Ends in another phase when the request is complete, or refused.
size_t Connection::parse(std::string_view bytes) {
  size_t used = parser_->put(bytes);
  if (phase_ == Phase::kIdle && parser_->begun()) {
    phase_ = Phase::kHeader;
    began_ = Clock::now();
    deadline_ = began_ + core_->limits.header_time;
  }
  const auto has_header = [this] {
    return parser_->state() == RequestParser::State::kBody || parser_->state() == RequestParser::State::kDone;
  };
  if (phase_ == Phase::kHeader && has_header()) {
    phase_ = Phase::kBody;
    body_began_ = Clock::now();
    if (!admit()) {
      return used;
    }
    body_received_ = parser_->put(bytes.substr(used));
    used += body_received_;
  } else if (phase_ == Phase::kBody) {
    body_received_ += used;
  }
  if (parser_->state() == RequestParser::State::kFailed) {
    const HttpFailure& failure = parser_->failure();
    refuse_request(core_->service.error(parser_->request(), failure.status, failure.sentence));
  } else if (parser_->state() == RequestParser::State::kDone) {
    begin_answer();
  } else if (phase_ == Phase::kBody) {
    set_body_deadline();
  }
  return used;
}

bool Connection::admit() {
  keep_alive_ = parser_->keep_alive();
  http10_ = parser_->http10();
  if (auto refusal = core_->service.admit(parser_->request())) {
    if (parser_->state() == RequestParser::State::kBody) {
      keep_alive_ = false;  // its body is not read
    }
    refuse_request(std::move(*refusal));
    return false;
  }
  if (parser_->state() == RequestParser::State::kBody && parser_->expects_continue()) {
    send(std::string(kContinue));
  }
  return true;
}

// A body must come without long pauses, and not by drops either.
void Connection::set_body_deadline() {
  const HttpLimits& limits = core_->limits;
  const auto earned = std::chrono::seconds(body_received_ / std::max<size_t>(limits.body_bytes_per_second, 1));
  deadline_ = std::min(Clock::now(), body_began_ + earned) + limits.body_time;
}

// Answers the request being read by itself. Without keep_alive_, what still comes of it is thrown away.
void Connection::refuse_request(HttpResponse response) {
  if (parser_->state() == RequestParser::State::kFailed || phase_ != Phase::kBody) {
    keep_alive_ = false;
  }
  phase_ = Phase::kAnswering;
  deadline_ = Clock::time_point::max();
  ++turn_;
  reported_ = false;
  record_ = std::make_shared<AnswerRecord>();
  record_->request = parser_->take_request();
  begin_response(std::move(response), true);
}

void Connection::begin_answer() {
  phase_ = Phase::kAnswering;
  deadline_ = Clock::time_point::max();
  ++turn_;
  reported_ = false;
  record_ = std::make_shared<AnswerRecord>();
  record_->request = parser_->take_request();
  record_->request.from_here = from_here_;
  parser_.reset();
  const auto exchange = std::make_shared<HttpExchange>(shared_from_this(), turn_, record_);
  exchange_ = exchange;
  asio::post(core_->workers_for(record_->request),
             [core = core_, exchange] { run_handler(core->service, core->stopping, exchange); });
}

// The client sends nothing any more: it has gone, or has closed its half only and waits. Which of both shows when
// something is sent: one that has gone answers with a reset.
void Connection::on_end_of_input(bool reset) {
  input_ended_ = true;
  if (phase_ != Phase::kAnswering || reset) {
    close();
    return;
  }
  keep_alive_ = false;
  ask_at_ = Clock::now() + core_->limits.half_closed_time;
  watch_for_reset();
}

void Connection::watch_for_reset() {
  socket_.async_wait(asio::ip::tcp::socket::wait_error, [self = shared_from_this()](const error_code& error) {
    if (!error && self->phase_ == Phase::kAnswering) {
      self->close();
    }
  });
}

// By what clients pass over: an interim response, or, between the pieces of a stream, a zero before the size of the
// next.
void Connection::ask_whether_it_listens(Clock::time_point now) {
  ask_at_ = now + core_->limits.quiet_time;
  if (status_ == 0 && !http10_) {
    send(std::string(kContinue));
  } else if (status_ != 0 && has_body_ && framing_ == BodyFraming::kChunked && !zero_sent_) {
    zero_sent_ = true;
    send("0");
  }
}

void Connection::check_deadlines(Clock::time_point now) {
  if (now >= write_deadline_) {
    close();
  } else if (now >= deadline_) {
    if (phase_ == Phase::kHeader || phase_ == Phase::kBody) {
      keep_alive_ = false;
      const char* part = phase_ == Phase::kHeader ? "header" : "body";
      refuse_request(core_->service.error(parser_->request(), 408,
                                          fmt::format("the {} of the request took too long to come", part)));
    } else {
      close();
    }
  } else if (phase_ == Phase::kAnswering && outbox_.empty() && !complete_) {
    if (now >= ask_at_) {
      ask_whether_it_listens(now);
    }
    if (const auto exchange = exchange_.lock()) {
      exchange->check_quiet(now, core_->limits.quiet_time);
    }
  }
}

void Connection::close_when_answered() {
  if (phase_ == Phase::kAnswering) {
    keep_alive_ = false;
  } else if (phase_ == Phase::kHeader || phase_ == Phase::kBody) {
    keep_alive_ = false;
    refuse_request(core_->service.error(parser_->request(), 503, "the server is stopping"));
  } else if (phase_ == Phase::kIdle) {
    close();
  }
}

void Connection::cancel_answer() {
  const auto exchange = exchange_.lock();
  if (phase_ == Phase::kAnswering && !complete_ && exchange) {
    exchange->gone(true);
  }
}

void Connection::close() {
  if (phase_ == Phase::kClosed) {
    return;
  }
  const bool cut = phase_ == Phase::kAnswering && !reported_;
  phase_ = Phase::kClosed;
  error_code ignored;
  socket_.close(ignored);
  deadline_ = write_deadline_ = Clock::time_point::max();
  outbox_.clear();
  outbox_bytes_ = 0;
  const auto self = shared_from_this();
  core_->remove(self);
  if (const auto exchange = exchange_.lock(); cut && exchange) {
    exchange->gone(false);  // the request is reported when the exchange is released: its tokens are known then
  } else if (cut) {
    report(kClientGone);
  }
}

void Connection::report(int status) {
  if (!reported_) {
    reported_ = true;
    HttpOutcome outcome;
    outcome.status = status;
    outcome.seconds = seconds_since(began_);
    outcome.sent_bytes = sent_bytes_;
    outcome.prompt_tokens = record_->prompt_tokens;
    outcome.answer_tokens = record_->answer_tokens;
    outcome.cut_from = record_->cut_from;
    outcome.cut_to = record_->cut_to;
    core_->service.answered(record_->request, outcome);
  }
}

}  // namespace hypura
