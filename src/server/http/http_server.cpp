#include "server/http/http_server.h"

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <thread>

#include "server/http/connection.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr auto kAcceptAgain = std::chrono::milliseconds(100);  // when there are no file descriptors left
constexpr size_t kRefusedAtOnce = 64;                          // connections besides the limit that hear why

// How often deadlines are looked at.
std::chrono::milliseconds tick(const HttpLimits& limits) {
  const auto shortest = std::min({limits.header_time, limits.body_time, limits.idle_time, limits.write_time,
                                  limits.linger_time, limits.quiet_time, limits.half_closed_time});
  return std::clamp<std::chrono::milliseconds>(shortest / 4, std::chrono::milliseconds(5), std::chrono::seconds(1));
}

Result<tcp::endpoint> resolve(asio::io_context& io, const HttpAddress& address) {
  std::string host = address.host;
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  }
  error_code error;
  const auto ip = asio::ip::make_address(host, error);
  if (!error) {
    return tcp::endpoint(ip, address.port);
  }
  const auto found = tcp::resolver(io).resolve(host, std::to_string(address.port), error);
  if (error || found.empty()) {
    return fail(ErrorCode::kUsage, "the host {} has no address: {}; use an address of this machine, like 127.0.0.1",
                address.host, error.message());
  }
  // A name like localhost has several; clients that know only one know the older kind.
  const auto v4 =
      std::find_if(found.begin(), found.end(), [](const auto& entry) { return entry.endpoint().address().is_v4(); });
  return v4 != found.end() ? v4->endpoint() : found.begin()->endpoint();
}

tl::unexpected<Error> cannot_listen(const HttpAddress& address, const error_code& error) {
  if (error == asio::error::address_in_use) {
    return fail(ErrorCode::kUsage,
                "port {} of {} is in use by another program; stop it, or choose another port with --port", address.port,
                address.host);
  }
  if (error == asio::error::access_denied) {
    return fail(ErrorCode::kUsage, "port {} of {} is not open to this user; choose 1024 or higher with --port",
                address.port, address.host);
  }
  if (error == boost::system::errc::address_not_available) {
    return fail(ErrorCode::kUsage,
                "{} is not an address of this machine; --host 127.0.0.1 serves this machine only, 0.0.0.0 all",
                address.host);
  }
  return fail(ErrorCode::kUsage, "cannot listen on port {} of {}: {}", address.port, address.host, error.message());
}

Result<tcp::acceptor> open_acceptor(asio::io_context& io, const HttpAddress& address) {
  const auto endpoint = resolve(io, address);
  if (!endpoint) {
    return propagate(endpoint.error());
  }
  tcp::acceptor acceptor(io);
  error_code error;
  error_code ignored;
  acceptor.open(endpoint->protocol(), error);
  if (!error) {
    acceptor.set_option(asio::socket_base::reuse_address(true), ignored);
    if (endpoint->protocol() == tcp::v6()) {
      acceptor.set_option(asio::ip::v6_only(false), ignored);
    }
    acceptor.bind(*endpoint, error);
  }
  if (!error) {
    acceptor.listen(asio::socket_base::max_listen_connections, error);
  }
  if (error) {
    return cannot_listen(address, error);
  }
  return acceptor;
}

class AsioServer : public HttpServer {
 public:
  AsioServer(std::shared_ptr<HttpCore> core, tcp::acceptor acceptor)
      : core_(std::move(core)),
        acceptor_(std::move(acceptor)),
        endpoint_(acceptor_.local_endpoint()),
        ticker_(core_->io),
        accept_again_(core_->io) {}
  ~AsioServer() override { stop(std::chrono::milliseconds(0)); }
  AsioServer(const AsioServer&) = delete;
  AsioServer& operator=(const AsioServer&) = delete;

  void serve() override {
    accept();
    await_tick();
    thread_ = std::thread([this] { run(); });
  }

  uint16_t port() const override { return endpoint_.port(); }
  std::string ip() const override { return endpoint_.address().to_string(); }
  bool is_loopback() const override { return endpoint_.address().is_loopback(); }

  void stop(std::chrono::milliseconds grace) override {
    if (!thread_.joinable()) {
      return;  // never served, or stopped already
    }
    core_->post([this] {
      core_->stopping = true;
      error_code ignored;
      acceptor_.close(ignored);
      accept_again_.cancel();
      for_each_connection([](Connection& connection) { connection.close_when_answered(); });
    });
    if (!core_->wait_until_empty(grace)) {
      core_->post([this] { for_each_connection([](Connection& connection) { connection.cancel_answer(); }); });
      core_->wait_until_empty(core_->limits.last_words_time);
    }
    core_->join_workers();
    core_->post([this] {
      for_each_connection([](Connection& connection) { connection.close(); });
      stopped_ = true;
      ticker_.cancel();
      work_.reset();
    });
    core_->close_post();
    thread_.join();
  }

 private:
  void run() {
    while (true) {
      try {
        core_->io.run();
        return;
      } catch (const std::exception& error) {
        logger().error("a connection failed: {}", error.what());
      }
    }
  }

  // Connections may close meanwhile.
  template <class Visit>
  void for_each_connection(Visit visit) {
    const std::vector<std::shared_ptr<Connection>> all(core_->connections.begin(), core_->connections.end());
    for (const auto& connection : all) {
      visit(*connection);
    }
  }

  void accept() {
    acceptor_.async_accept([this](const error_code& error, tcp::socket socket) {
      if (!acceptor_.is_open()) {
        return;
      }
      if (error) {
        logger().warn("a connection could not be accepted: {}", error.message());
        accept_again_.expires_after(kAcceptAgain);
        accept_again_.async_wait([this](const error_code& stopped) {
          if (!stopped) {
            accept();
          }
        });
        return;
      }
      welcome(std::move(socket));
      accept();
    });
  }

  void welcome(tcp::socket socket) {
    const size_t most = core_->limits.connections;
    if (core_->connections.size() >= most + kRefusedAtOnce) {
      return;
    }
    const auto connection = std::make_shared<Connection>(core_, std::move(socket));
    if (core_->connections.size() < most) {
      connection->start();
    } else {
      connection->refuse(503, fmt::format("the server has {} connections already; try again later", most));
    }
  }

  void await_tick() {
    ticker_.expires_after(tick(core_->limits));
    ticker_.async_wait([this](const error_code&) {
      if (!stopped_) {
        for_each_connection([now = Clock::now()](Connection& connection) { connection.check_deadlines(now); });
        await_tick();
      }
    });
  }

  const std::shared_ptr<HttpCore> core_;
  tcp::acceptor acceptor_;
  const tcp::endpoint endpoint_;
  asio::steady_timer ticker_;
  asio::steady_timer accept_again_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{core_->io.get_executor()};
  bool stopped_ = false;  // of the I/O thread
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::listen(const HttpAddress& address, const HttpLimits& limits,
                                                       HttpService& service) {
  auto core = std::make_shared<HttpCore>(limits, service);
  auto acceptor = open_acceptor(core->io, address);
  if (!acceptor) {
    return propagate(acceptor.error());
  }
  return std::make_unique<AsioServer>(std::move(core), std::move(*acceptor));
}

}  // namespace hypura
