#include <iterator>

#include "server/server.h"

namespace hypura {

std::vector<Route> all_routes() {
  std::vector<Route> all;
  for (auto* const routes : {&ollama_routes, &openai_routes, &anthropic_routes, &page_routes, &memory_routes}) {
    std::vector<Route> some = routes();
    all.insert(all.end(), std::make_move_iterator(some.begin()), std::make_move_iterator(some.end()));
  }
  return all;
}

}  // namespace hypura
