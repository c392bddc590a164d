#include "remote/worker_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>

#include "support/fail.h"

namespace hypura {

Result<WorkerAddress> parse_worker_address(const std::string& text) {
  const auto refused = [&text] {
    return fail(ErrorCode::kUsage, "'{}' is not the address of a worker; write it like 127.0.0.1:52525", text);
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) {
    return refused();
  }
  WorkerAddress address;
  const bool brackets = text.front() == '[' && text[colon - 1] == ']';
  address.host = brackets ? text.substr(1, colon - 2) : text.substr(0, colon);
  const bool other = address.host.find_first_of(brackets ? " /@[]" : " /@[]:") != std::string::npos;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, address.port);
  if (address.host.empty() || other || error != std::errc() || rest != end || address.port == 0) {
    return refused();
  }
  return address;
}

std::string to_string(const WorkerAddress& address) {
  const bool v6 = address.host.find(':') != std::string::npos;
  return v6 ? fmt::format("[{}]:{}", address.host, address.port) : fmt::format("{}:{}", address.host, address.port);
}

bool is_loopback(const WorkerAddress& address) {
  in_addr v4 = {};
  in6_addr v6 = {};
  if (::inet_pton(AF_INET, address.host.c_str(), &v4) == 1) {
    return (ntohl(v4.s_addr) >> 24U) == 127;
  }
  if (::inet_pton(AF_INET6, address.host.c_str(), &v6) == 1) {
    return IN6_IS_ADDR_LOOPBACK(&v6) != 0;
  }
  return address.host == "localhost";
}

}  // namespace hypura
