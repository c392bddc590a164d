// What differs from system to system of a TCP socket.
#pragma once

namespace hypura {

// Of send(): a peer that has gone is an error, and no signal.
extern const int kSendFlags;

// Has the system find out within some seconds that the peer is gone without a word.
void look_after(int fd);

}  // namespace hypura
