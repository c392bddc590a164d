#include "server/access_host.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "server/access.h"
#include "server/server_text.h"

namespace hypura {

namespace {

using V4 = std::array<uint8_t, 4>;
using V6 = std::array<uint8_t, 16>;

constexpr std::array<uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct Address {
  std::optional<V4> v4;
  std::optional<V6> v6;
};

// inet_pton takes nothing but four decimal numbers for IPv4: neither 127.1 nor a name that begins like an address.
Address parse_address(std::string_view text) {
  const std::string plain(text.substr(0, text.find('%')));  // without the zone of a link-local address
  V4 v4{};
  V6 v6{};
  if (::inet_pton(AF_INET, std::string(text).c_str(), v4.data()) == 1) {
    return {v4, std::nullopt};
  }
  if (::inet_pton(AF_INET6, plain.c_str(), v6.data()) != 1) {
    return {};
  }
  if (std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), v6.begin())) {
    std::copy(v6.begin() + kMappedPrefix.size(), v6.end(), v4.begin());
    return {v4, std::nullopt};
  }
  return {std::nullopt, v6};
}

bool is_local(const V4& ip) {
  const bool unspecified = ip == V4{};
  const bool loopback = ip[0] == 127;
  const bool is_private = ip[0] == 10 || (ip[0] == 172 && (ip[1] & 0xf0) == 16) || (ip[0] == 192 && ip[1] == 168);
  return unspecified || loopback || is_private;
}

bool is_local(const V6& ip) {
  const bool unspecified_or_loopback =
      std::all_of(ip.begin(), ip.end() - 1, [](uint8_t byte) { return byte == 0; }) && ip.back() <= 1;
  return unspecified_or_loopback || (ip[0] & 0xfe) == 0xfc;
}

std::string text_of(int family, const void* bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  return ::inet_ntop(family, bytes, text.data(), text.size()) == nullptr ? std::string() : std::string(text.data());
}

std::string interface_address(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    return text_of(AF_INET, &v4.sin_addr);
  }
  if (address.sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    return text_of(AF_INET6, &v6.sin6_addr);
  }
  return {};
}

std::vector<std::string> interface_addresses() {
  std::vector<std::string> found;
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) {
    return found;
  }
  for (const ifaddrs* at = first; at != nullptr; at = at->ifa_next) {
    std::string text = at->ifa_addr == nullptr ? std::string() : interface_address(*at->ifa_addr);
    if (!text.empty()) {
      found.push_back(std::move(text));
    }
  }
  ::freeifaddrs(first);
  return found;
}

}  // namespace

std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) {
    const size_t bracket = host.find(']');
    const std::string_view rest = bracket == std::string_view::npos ? host : host.substr(bracket + 1);
    const bool well_formed =
        rest.empty() || (rest.front() == ':' && rest.find_first_not_of("0123456789", 1) == std::string_view::npos);
    return well_formed ? host.substr(1, bracket - 1) : host;
  }
  const size_t colon = host.find(':');
  const bool one_colon = colon != std::string_view::npos && host.find(':', colon + 1) == std::string_view::npos;
  const bool has_port = one_colon && host.find_first_not_of("0123456789", colon + 1) == std::string_view::npos;
  return has_port ? host.substr(0, colon) : host;
}

bool is_local_address(std::string_view text) {
  const Address address = parse_address(text);
  return (address.v4 && is_local(*address.v4)) || (address.v6 && is_local(*address.v6));
}

std::string canonical_address(std::string_view text) {
  const Address address = parse_address(text);
  if (address.v4) {
    return text_of(AF_INET, address.v4->data());
  }
  return address.v6 ? text_of(AF_INET6, address.v6->data()) : std::string();
}

bool host_allowed(const AccessRules& rules, std::string_view host) {
  const std::string name = ascii_lower(without_port(host));
  if (name.empty() || name == "localhost" || (!rules.machine.empty() && name == ascii_lower(rules.machine))) {
    return true;
  }
  const std::string address = canonical_address(name);
  if (!address.empty()) {
    return is_local_address(name) ||
           std::find(rules.addresses.begin(), rules.addresses.end(), address) != rules.addresses.end();
  }
  return name.ends_with(".localhost") || name.ends_with(".local") || name.ends_with(".internal");
}

AccessRules local_access_rules() {
  AccessRules rules;
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) == 0) {
    rules.machine = name.data();
  }
  rules.addresses = interface_addresses();
  return rules;
}

}  // namespace hypura
