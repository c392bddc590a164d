// Traces for tests: random ones, and the recorded routing of the stories model.
#pragma once

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <numeric>
#include <random>
#include <sstream>
#include <string>

#include "hypura/routing.h"

namespace hypura {

// Decode passes and a few prompts, whose last layer has the last token only; some experts are preferred to others.
inline RoutingTrace random_trace(std::mt19937& engine, uint32_t layers, uint32_t experts, uint32_t used,
                                 uint32_t passes) {
  RoutingTrace trace;
  trace.model = "random";
  trace.layers = layers;
  trace.experts = experts;
  trace.used = used;
  std::vector<uint16_t> order(experts);
  for (uint32_t pass = 0; pass < passes; ++pass) {
    const bool decode = engine() % 16 != 0;
    const auto tokens = static_cast<uint32_t>(decode ? 1 : 1 + engine() % 20);
    trace.passes.push_back({tokens, decode, 0});
    for (uint32_t token = 0; token < tokens; ++token) {
      for (uint32_t layer = 0; layer < layers; ++layer) {
        const bool left_out = layer + 1 == layers && token + 1 < tokens;
        std::iota(order.begin(), order.end(), uint16_t{0});
        for (uint32_t k = 0; k < used; ++k) {
          const auto left = static_cast<uint32_t>(experts - k);
          std::swap(order[k], order[k + std::min(engine() % left, engine() % left)]);
          trace.chosen.push_back(left_out ? RoutingTrace::kNone : order[k]);
        }
      }
    }
  }
  return trace;
}

// 2,075 tokens, 6 layers, 32 experts, top-4 (models/stories-routing.txt): decode passes only.
inline RoutingTrace stories_trace() {
  RoutingTrace trace;
  trace.model = "stories";
  trace.layers = 6;
  trace.experts = 32;
  trace.used = 4;
  std::ifstream file(std::string(HYPURA_SOURCE_DIR) + "/models/stories-routing.txt");
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') {
      continue;
    }
    std::istringstream ids(line);
    trace.passes.push_back({1, true, 0});
    for (uint16_t expert = 0; ids >> expert;) {
      trace.chosen.push_back(expert);
    }
  }
  return trace;
}

// Each token chooses by itself, an expert of rank r about in proportion to 1/r.
inline RoutingTrace zipf_trace(uint32_t layers, uint32_t experts, uint32_t used, uint32_t tokens) {
  std::mt19937 engine(11);
  std::extreme_value_distribution<double> noise;
  RoutingTrace trace;
  trace.layers = layers;
  trace.experts = experts;
  trace.used = used;
  std::vector<std::pair<double, uint16_t>> scores(experts);
  for (uint32_t row = 0; row < tokens * layers; ++row) {
    if (row % layers == 0) {
      trace.passes.push_back({1, true, 0});
    }
    for (uint16_t expert = 0; expert < experts; ++expert) {
      const uint32_t rank = (expert * 37U + row % layers) % experts;
      scores[expert] = {noise(engine) - std::log(rank + 1.0), expert};
    }
    std::partial_sort(scores.begin(), scores.begin() + used, scores.end(), std::greater());
    for (uint32_t i = 0; i < used; ++i) {
      trace.chosen.push_back(scores[i].second);
    }
  }
  return trace;
}

// So many tokens of a trace of single tokens.
inline RoutingTrace part_of(const RoutingTrace& trace, size_t first, size_t tokens) {
  RoutingTrace part = trace;
  part.keep_latest(trace.passes.size() - first);
  part.passes.resize(tokens);
  part.chosen.resize(tokens * trace.layers * trace.used);
  return part;
}

}  // namespace hypura
