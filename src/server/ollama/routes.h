// The handlers of the Ollama-native API, one for each route of ollama_routes(). Any thread; none waits.
#pragma once

#include <memory>

#include "server/api.h"

namespace hypura::ollama {

using Handler = void(const ApiContext& context, const std::shared_ptr<Exchange>& exchange);

// generate.cpp, chat.cpp
Handler handle_generate;
Handler handle_chat;

// embed.cpp
Handler handle_embed;
Handler handle_embeddings;

// models.cpp
Handler handle_version;
Handler handle_tags;
Handler handle_ps;
Handler handle_show;

// pull.cpp
Handler handle_pull;

// library.cpp: what takes models away, and what is not done
Handler handle_delete;
Handler handle_other_change;
Handler handle_blob_head;

// create.cpp
Handler handle_create;
Handler handle_copy;

// account.cpp: what needs ollama.com
Handler handle_account;
Handler handle_status;
Handler handle_cloud;

}  // namespace hypura::ollama
