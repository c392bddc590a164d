#include "server/embedding.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <iterator>
#include <system_error>
#include <thread>
#include <utility>

#include "server/answering.h"
#include "server/metrics.h"
#include "support/fail.h"

namespace hypura {

namespace {

// Generator::embed waits, so each request has a thread; this many at once, as each of them waits for the one model.
constexpr int kMaxThreads = 32;
std::atomic<int> threads_at_work{0};

struct Work {
  const ApiContext context;  // a copy: the server may be gone before its last exchange
  std::shared_ptr<Exchange> exchange;
  EmbeddingJob job;
  std::function<HttpResponse(const Result<Embeddings>&)> answer;
  std::atomic<bool> gone{false};

  Work(const ApiContext& api, std::shared_ptr<Exchange> to, EmbeddingJob what,
       std::function<HttpResponse(const Result<Embeddings>&)> writes)
      : context(api), exchange(std::move(to)), job(std::move(what)), answer(std::move(writes)) {}
};

Result<Embeddings> embed_all(Work& work, Generator& generator) {
  Embeddings embeddings;
  for (EmbedRequest& text : work.job.texts) {
    if (work.gone) {
      return fail(ErrorCode::kCancelled, "the client disconnected");
    }
    text.truncate = work.job.truncate;
    Result<Embedding> one = generator.embed(text);
    if (!one) {
      return propagate(one.error());
    }
    if (!std::all_of(one->values.begin(), one->values.end(), [](float value) { return std::isfinite(value); })) {
      return fail(ErrorCode::kInternal, "the model's embedding of a text is not finite");
    }
    work.context.metrics.embedded(*work.exchange, one->tokens);
    if (one->cut_from > 0) {
      work.exchange->note_cut(one->cut_from, one->tokens);
    }
    embeddings.tokens += one->tokens;
    embeddings.values.push_back(std::move(one->values));
  }
  return embeddings;
}

void embed_and_respond(Work& work, ModelLease lease) {
  Result<Embeddings> embeddings = embed_all(work, *lease.generator);
  if (embeddings) {
    embeddings->load_seconds = lease.load_seconds;
  }
  release(std::move(lease));
  work.exchange->respond(work.answer(embeddings));
}

void start_thread(const std::shared_ptr<Work>& work, const ModelLease& lease) {
  const auto busy = [&work] {
    --threads_at_work;
    work->exchange->respond(work->answer(fail(ErrorCode::kBusy, "too many embedding requests; try again later")));
  };
  if (++threads_at_work > kMaxThreads) {
    busy();
    return;
  }
  try {
    std::thread([work, held = ModelLease(lease)]() mutable {
      embed_and_respond(*work, std::move(held));
      --threads_at_work;
    }).detach();
  } catch (const std::system_error&) {
    busy();
  }
}

}  // namespace

void run_embedding(const ApiContext& context, std::shared_ptr<Exchange> exchange, EmbeddingJob job,
                   std::function<HttpResponse(const Result<Embeddings>&)> answer) {
  const auto work = std::make_shared<Work>(context, std::move(exchange), std::move(job), std::move(answer));
  work->exchange->on_gone([weak = std::weak_ptr(work)] {
    if (const auto self = weak.lock()) {
      self->gone = true;
    }
  });
  context.host.lease(work->job.model, work->job.keep, [work](Result<ModelLease> lease) {
    if (!lease) {
      work->exchange->respond(work->answer(propagate(lease.error())));
    } else if (work->gone || work->job.texts.empty()) {
      Embeddings none;
      none.load_seconds = lease->load_seconds;
      release(std::move(*lease));
      work->exchange->respond(work->answer(none));
    } else {
      start_thread(work, *lease);
      release(std::move(*lease));
    }
  });
}

std::vector<float> normalised(std::vector<float> vector, size_t dimensions) {
  if (dimensions > 0 && dimensions < vector.size()) {
    vector.resize(dimensions);
  }
  double square = 0;
  for (const float value : vector) {
    square += static_cast<double>(value) * static_cast<double>(value);
  }
  if (square > 0) {
    const double scale = 1 / std::sqrt(square);
    std::transform(vector.begin(), vector.end(), vector.begin(),
                   [scale](float value) { return static_cast<float>(static_cast<double>(value) * scale); });
  }
  return vector;
}

std::string floats_to_json(const std::vector<float>& vector) {
  std::string text = "[";
  for (size_t i = 0; i < vector.size(); ++i) {
    fmt::format_to(std::back_inserter(text), "{}{}", i == 0 ? "" : ",", vector[i]);
  }
  return text + "]";
}

}  // namespace hypura
