// Tells a story with a model that need not fit into memory: embed MODEL.gguf BUDGET_IN_MIB
#include <hypura/generator.h>

#include <cstdlib>
#include <iostream>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: embed MODEL.gguf BUDGET_IN_MIB\n";
    return EXIT_FAILURE;
  }
  hypura::Generator::Options options;
  options.engine.model = argv[1];
  options.engine.memory = std::strtoull(argv[2], nullptr, 10) << 20;
  options.parallel = 1;
  const auto generator = hypura::Generator::open(options);
  if (!generator) {
    std::cerr << generator.error().message << '\n';
    return EXIT_FAILURE;
  }
  std::cerr << (*generator)->plan().sentence << '\n' << (*generator)->plan().why << '\n';

  hypura::AnswerRequest request;
  request.prompt = "Once upon a time, there was a little rabbit";
  request.sampling.temperature = 0;
  request.max_tokens = 100;
  const auto story = (*generator)->generate(std::move(request), [](const hypura::AnswerPiece& piece) {
    std::cout << piece.content << std::flush;
    return true;  // false would end it
  });
  std::cout << '\n';
  if (!story) {
    std::cerr << story.error().message << '\n';
    return EXIT_FAILURE;
  }
  std::cerr << story->end.answer_tokens << " tokens, " << story->end.answer_tokens / story->end.answer_seconds
            << " tokens/s\n";
  if (const auto saved = (*generator)->close(); !saved) {  // what this run taught, for the next one's plan
    std::cerr << saved.error().message << '\n';
  }
}
