// GET and POST /hypura/memory.
#include "server/api.h"
#include "server/json/fields.h"
#include "server/json/json.h"
#include "server/library.h"
#include "server/memory_json.h"
#include "server/memory_keeper.h"
#include "support/fail.h"

namespace hypura {

namespace {

using Reply = std::shared_ptr<Exchange>;

void reply(const Reply& exchange, int status, const Json& json) {
  HttpResponse response;
  response.status = status;
  response.headers = {{"Cache-Control", "no-store"}};
  response.body = dump_json(json);
  exchange->respond(std::move(response));
}

void refuse(const Reply& exchange, const Error& error) {
  reply(exchange, error.code == ErrorCode::kUsage || error.code == ErrorCode::kBudget ? 400 : 500,
        {{"error", error.message}});
}

void show_memory(const ApiContext& context, const Reply& exchange) {
  if (context.memory == nullptr) {
    reply(exchange, 404, {{"error", "this server does not change its memory"}});
    return;
  }
  reply(exchange, 200, memory_json(context.memory->state()));
}

Result<MemoryWish> wish_of(const std::string& body) {
  const auto json = parse_json(body);
  if (!json) {
    return propagate(json.error());
  }
  if (!json->is_object() || json->size() != 1 || !json->contains("memory")) {
    return fail(ErrorCode::kUsage, "send an object with \"memory\" and nothing else: {{\"memory\": \"6G\"}}");
  }
  const Json& memory = (*json)["memory"];
  if (memory.is_number_unsigned() && memory.get<uint64_t>() > 0) {
    return MemoryWish(memory.get<uint64_t>());
  }
  return read_memory_wish(memory.is_string() ? memory.get<std::string>() : memory.dump());
}

void set_memory(const ApiContext& context, const Reply& exchange) {
  if (context.memory == nullptr) {
    show_memory(context, exchange);
    return;
  }
  if (!may_change(context, *exchange)) {
    reply(exchange, 403,
          {{"error",
            "the model's memory is set from this machine alone; start the server with --allow-changes to let "
            "clients on others"}});
    return;
  }
  const auto wish = wish_of(exchange->request().body);
  if (!wish) {
    refuse(exchange, wish.error());
    return;
  }
  context.memory->set(*wish, "asked for over HTTP", [exchange](Result<MemoryKeeperState> state) {
    if (state) {
      reply(exchange, 200, memory_json(*state));
    } else {
      refuse(exchange, state.error());
    }
  });
}

}  // namespace

std::vector<Route> memory_routes() {
  return {{"GET", "/hypura/memory", show_memory}, {"POST", "/hypura/memory", set_memory}};
}

}  // namespace hypura
