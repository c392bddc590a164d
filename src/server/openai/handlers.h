// The routes under /v1 that speak OpenAI's language.
#pragma once

#include <memory>

#include "server/api.h"
#include "server/exchange.h"

namespace hypura::openai {

using ExchangePtr = std::shared_ptr<Exchange>;

void list_models(const ApiContext& context, const ExchangePtr& exchange);
void show_model(const ApiContext& context, const ExchangePtr& exchange);
void chat_completions(const ApiContext& context, const ExchangePtr& exchange);
void completions(const ApiContext& context, const ExchangePtr& exchange);
void embeddings(const ApiContext& context, const ExchangePtr& exchange);
void responses(const ApiContext& context, const ExchangePtr& exchange);

// 404 with a sentence for what OpenAI has and this server has not.
void not_offered(const ApiContext& context, const ExchangePtr& exchange);
void responses_not_kept(const ApiContext& context, const ExchangePtr& exchange);

}  // namespace hypura::openai
