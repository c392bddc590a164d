// A model read before it is fetched: its headers come by range requests, which are a few MiB of the whole.
#pragma once

#include <cstdint>

#include "hypura/result.h"
#include "model/model.h"
#include "store/fetch/remote_model.h"

namespace hypura {

struct RemoteHeader {
  Model model;           // its files have the paths where they would lie
  uint64_t fetched = 0;  // bytes that were read for it
};

// Fetches the header of each part that is not on this machine, as far as a reader of it asks for more, into files of
// the right length that are holes behind it, reads them as a model's own, and removes them: what may be written about a
// GGUF file is checked by the same reader whether it is fetched or not. Fails as find_remote_model and open_model, and
// with kIo where the server gives no parts of files.
Result<RemoteHeader> read_remote_header(const RemoteAccess& access, const RemoteModel& model);

}  // namespace hypura
