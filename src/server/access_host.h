// Whether a Host header means this machine, or one next to it.
#pragma once

#include <string>
#include <string_view>

namespace hypura {

// The host of "host", "host:8080", "[::1]" or "[::1]:8080"; an address without brackets is one too.
std::string_view without_port(std::string_view host);

// "127.0.0.1", "10.0.0.7", "::1", "fd00::1", "0.0.0.0": an IP address of loopback, of a private network, or of none.
// A name that only looks like one is not.
bool is_local_address(std::string_view text);

// The address as inet_ntop writes it, an IPv4 address in IPv6's clothes as IPv4; empty when `text` is none.
std::string canonical_address(std::string_view text);

}  // namespace hypura
