// Tells a story with a model that need not fit into memory: embed MODEL.gguf BUDGET_IN_MIB
#include <hypura/engine.h>

#include <cstdlib>
#include <iostream>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: embed MODEL.gguf BUDGET_IN_MIB\n";
    return EXIT_FAILURE;
  }
  hypura::EngineOptions options;
  options.model = argv[1];
  options.memory = std::strtoull(argv[2], nullptr, 10) << 20;
  const auto engine = hypura::Engine::open(options);
  if (!engine) {
    std::cerr << engine.error().message << '\n';
    return EXIT_FAILURE;
  }
  std::cerr << (*engine)->plan().sentence << '\n' << (*engine)->plan().why << '\n';

  hypura::GenerateOptions wanted;
  wanted.max_tokens = 100;
  wanted.sampling.temperature = 0;
  wanted.on_text = [](std::string_view text) {
    std::cout << text << std::flush;
    return true;  // false would end it
  };
  const auto session = (*engine)->new_session();
  const auto story = (*session)->complete("Once upon a time, there was a little rabbit", wanted);
  std::cout << '\n';
  if (!story) {
    std::cerr << story.error().message << '\n';
    return EXIT_FAILURE;
  }
  const hypura::EngineStats stats = (*engine)->stats();
  std::cerr << stats.answer_tokens << " tokens, " << static_cast<double>(stats.decoded_tokens) / stats.decode_seconds
            << " tokens/s\n";
}
