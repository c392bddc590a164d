#include "server/ollama/routes.h"

namespace hypura {

std::vector<Route> ollama_routes() {
  using namespace ollama;
  return {
      {"POST", "/api/generate", handle_generate},
      {"POST", "/api/chat", handle_chat},
      {"POST", "/api/embed", handle_embed},
      {"POST", "/api/embeddings", handle_embeddings},
      {"GET", "/api/version", handle_version, true},
      {"GET", "/api/tags", handle_tags, true},
      {"GET", "/api/ps", handle_ps},
      {"POST", "/api/show", handle_show},
      {"POST", "/api/pull", handle_pull},
      {"DELETE", "/api/delete", handle_delete},
      {"POST", "/api/copy", handle_copy},
      {"POST", "/api/create", handle_create},
      {"POST", "/api/push", handle_other_change},
      {"POST", "/api/blobs/*", handle_other_change},
      {"HEAD", "/api/blobs/*", handle_blob_head},
      {"POST", "/api/me", handle_account},
      {"POST", "/api/signout", handle_account},
      {"GET", "/api/status", handle_status},
      {"POST", "/api/web_search", handle_cloud},
      {"POST", "/api/web_fetch", handle_cloud},
      {"GET", "/api/experimental/*", handle_cloud},
      {"POST", "/api/experimental/*", handle_cloud},
  };
}

}  // namespace hypura
