// Request bodies of all APIs, as far as the model: the first line of an input is the path, the rest the body. Whatever
// comes is answered once, with JSON or a stream, and never as a fault of the server.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "server/fake_host_for_test.h"
#include "server/json/json.h"
#include "server/server.h"

namespace hypura {
namespace {

const std::vector<Route>& posts() {
  static const std::vector<Route> kPosts = [] {
    std::vector<Route> some = all_routes();
    std::erase_if(some, [](const Route& route) { return route.method != "POST"; });
    return some;
  }();
  return kPosts;
}

// The path that the first line names, or else one of the routes', so that no input is wasted.
std::string path_of(std::string_view line) {
  for (const Route& route : posts()) {
    if (line == route.pattern) {
      return route.pattern;
    }
  }
  const size_t length = line.size();
  return posts()[length % posts().size()].pattern;
}

[[noreturn]] void fail_with(const char* what, const std::string& path, const FakeExchange& exchange) {
  std::fprintf(stderr, "%s: %s gave %d answers, status %d:\n%s\n", what, path.c_str(), exchange.answers(),
               exchange.status(), exchange.body().c_str());
  std::abort();
}

// A thought, text and a call, so that all writers of answers have work.
void give_answer(FakeGenerator& generator) {
  AnswerPiece thought;
  thought.thinking = "Hm\xF0\x9F\x99\x82";
  AnswerPiece text;
  text.content = "Once \"upon\"\n";
  AnswerPiece call;
  call.tool_calls.push_back({"call_1", "look", R"({"at":"it"})"});
  generator.pieces = {thought, text, call};
  generator.end.prompt_tokens = 7;
  generator.end.answer_tokens = 5;
}

void try_one(std::string_view input) {
  const size_t end = input.find('\n');
  const std::string path = path_of(input.substr(0, end));
  const std::string_view body = end == std::string_view::npos ? std::string_view() : input.substr(end + 1);

  FakeApi api(posts());
  give_answer(api.generator());
  const auto exchange = api.post(path, std::string(body));
  if (!exchange->wait() || exchange->answers() != 1) {
    fail_with("not answered once", path, *exchange);
  }
  if (exchange->status() >= 500 && exchange->status() != 501) {
    fail_with("the client's mistake is taken for the server's", path, *exchange);
  }
  if (!exchange->streamed() && !exchange->body().empty() && !parse_json(exchange->body())) {
    fail_with("not JSON", path, *exchange);
  }
  exchange->go();
}

}  // namespace
}  // namespace hypura

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hypura::try_one({reinterpret_cast<const char*>(data), size});
  return 0;
}
