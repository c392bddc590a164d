// Turns texts into vectors on one model, for one exchange.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/api.h"
#include "server/exchange.h"
#include "server/model_host.h"

namespace hypura {

struct EmbeddingJob {
  ModelPtr model;  // with embeddings
  std::optional<KeepAlive> keep;
  std::vector<EmbedRequest> texts;  // none: the model is loaded, and that is all; `truncate` is that of all
  bool truncate = true;
};

struct Embeddings {
  std::vector<std::vector<float>> values;  // one for each text, not normalised
  uint32_t tokens = 0;                     // of all texts
  double load_seconds = 0;
};

// Leases the model, embeds the texts and responds with what `answer` makes of the outcome; nothing once the client has
// gone. Fails with kContextFull when a text is too long and must not be cut, with kBusy when too many requests for
// embeddings are at work. Returns at once; `answer` is called once, on any thread. The exchange must have no other
// on_gone.
void run_embedding(const ApiContext& context, std::shared_ptr<Exchange> exchange, EmbeddingJob job,
                   std::function<HttpResponse(const Result<Embeddings>&)> answer);

// The first `dimensions` of a vector, all when they are 0 or more than it has, scaled to length 1. One of length 0 is
// not scaled.
std::vector<float> normalised(std::vector<float> vector, size_t dimensions);

// "[0.1,-0.2]": each number in the fewest digits that give the same float. All must be finite.
std::string floats_to_json(const std::vector<float>& vector);

}  // namespace hypura
