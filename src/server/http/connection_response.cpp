// The sending half of a connection.
#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>

#include "server/http/connection.h"
#include "support/log.h"

namespace hypura {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr size_t kBuffersAtOnce = 16;

}  // namespace

void Connection::post(uint64_t turn, ExchangeStep step) {
  core_->post(
      [self = shared_from_this(), turn, step = std::move(step)]() mutable { self->apply(turn, std::move(step)); });
}

void Connection::apply(uint64_t turn, ExchangeStep step) {
  if (step.kind == ExchangeStep::Kind::kCall) {
    step.call();
    return;
  }
  if (turn != turn_) {
    return;
  }
  if (step.kind == ExchangeStep::Kind::kReleased) {
    apply_released();
    return;
  }
  if (phase_ != Phase::kAnswering || complete_) {
    return;
  }
  switch (step.kind) {
    case ExchangeStep::Kind::kRespond:
      begin_response(std::move(step.response), true);
      break;
    case ExchangeStep::Kind::kStart:
      begin_response(std::move(step.response), false);
      break;
    case ExchangeStep::Kind::kPiece:
      add_piece(std::move(step.piece));
      break;
    case ExchangeStep::Kind::kFinish:
      finish_response();
      break;
    case ExchangeStep::Kind::kReleased:
    case ExchangeStep::Kind::kCall:
      break;
  }
}

// Nobody can answer any more.
void Connection::apply_released() {
  if (phase_ == Phase::kClosed) {
    report(kClientGone);
  } else if (phase_ == Phase::kAnswering && !complete_) {
    if (input_ended_) {
      close();
      return;
    }
    if (!core_->stopping) {
      logger().error("{} {} ended without {}", record_->request.method, record_->request.path,
                     status_ == 0 ? "a response" : "the end of its response");
    }
    if (status_ == 0) {
      const int status = core_->stopping ? 503 : 500;
      const char* why = core_->stopping ? "the server is stopping" : "internal error: the request was not answered";
      begin_response(core_->service.error(record_->request, status, why), true);
      return;
    }
    keep_alive_ = false;
    complete_ = true;  // without its last chunk: the client sees that the end is missing
    if (outbox_.empty()) {
      response_sent();
    }
  }
}

void Connection::begin_response(HttpResponse response, bool whole) {
  core_->service.decorate(record_->request, response);
  status_ = response.status;
  has_body_ = !record_->request.head_only && !response.content_type.empty() && status_ != 204 && status_ != 304;
  framing_ = whole ? BodyFraming::kLength : http10_ ? BodyFraming::kClose : BodyFraming::kChunked;
  keep_alive_ = keep_alive_ && framing_ != BodyFraming::kClose && !core_->stopping;
  send(response_head(response, framing_, keep_alive_));
  if (whole) {
    if (has_body_) {
      send(std::move(response.body));
    }
    complete_ = true;
  } else {
    add_piece(std::move(response.body));
  }
}

void Connection::add_piece(std::string piece) {
  if (!has_body_ || piece.empty()) {
    return;
  }
  if (outbox_bytes_ > core_->limits.outbox_bytes) {
    logger().warn("{} {}: the client does not read the response; closing the connection", record_->request.method,
                  record_->request.path);
    close();
    return;
  }
  zero_sent_ = false;
  send(framing_ == BodyFraming::kChunked ? chunk(piece) : std::move(piece));
}

void Connection::finish_response() {
  complete_ = true;
  if (has_body_ && framing_ == BodyFraming::kChunked) {
    send(std::string(kLastChunk));
  } else if (outbox_.empty()) {
    response_sent();
  }
}

void Connection::send(std::string bytes) {
  if (bytes.empty() || phase_ == Phase::kClosed) {
    return;
  }
  outbox_bytes_ += bytes.size();
  outbox_.push_back(std::move(bytes));
  flush();
}

void Connection::flush() {
  if (writing_ || outbox_.empty()) {
    return;
  }
  writing_ = true;
  write_deadline_ = Clock::now() + core_->limits.write_time;
  std::array<asio::const_buffer, kBuffersAtOnce> buffers;
  for (size_t i = 0; i < std::min(buffers.size(), outbox_.size()); ++i) {
    buffers[i] = asio::buffer(outbox_[i]);
  }
  buffers[0] += outbox_sent_;
  socket_.async_write_some(buffers, [self = shared_from_this()](const error_code& error, size_t bytes) {
    self->writing_ = false;
    if (self->phase_ != Phase::kClosed) {
      self->on_sent(error, bytes);
    }
  });
}

void Connection::on_sent(const error_code& error, size_t bytes) {
  if (error) {
    close();
    return;
  }
  write_deadline_ = Clock::time_point::max();
  outbox_bytes_ -= bytes;
  sent_bytes_ += bytes;
  outbox_sent_ += bytes;
  while (!outbox_.empty() && outbox_sent_ >= outbox_.front().size()) {
    outbox_sent_ -= outbox_.front().size();
    outbox_.pop_front();
  }
  if (!outbox_.empty()) {
    flush();
  } else if (complete_) {
    response_sent();
  }
}

void Connection::response_sent() {
  if (phase_ != Phase::kAnswering) {
    return;
  }
  report(status_);
  if (keep_alive_ && !core_->stopping && !input_ended_) {
    next_request();
  } else {
    linger();
  }
}

// Closing a socket that still has bytes to read resets it, and the client may lose the answer: so the rest is read.
void Connection::linger() {
  error_code error;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, error);
  if (error || input_ended_) {
    close();
    return;
  }
  phase_ = Phase::kLingering;
  deadline_ = Clock::now() + core_->limits.linger_time;
  input_.clear();
  wait_for_bytes();
}

}  // namespace hypura
