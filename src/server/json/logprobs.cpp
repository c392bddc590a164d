#include "server/json/logprobs.h"

#include <cmath>

namespace hypura {

double finite_logprob(float logprob) {
  constexpr double kUnlikely = -9999;  // no token that matters is as unlikely
  return std::isfinite(logprob) ? static_cast<double>(logprob) : kUnlikely;
}

Json bytes_json(const std::string& text) {
  Json bytes = Json::array();
  for (const char byte : text) {
    bytes.push_back(static_cast<unsigned char>(byte));
  }
  return bytes;
}

}  // namespace hypura
