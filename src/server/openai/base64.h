// Base64, as RFC 4648 has it.
#pragma once

#include <string>
#include <vector>

namespace hypura::openai {

// The numbers as 32-bit floats, little-endian, in base64.
std::string floats_to_base64(const std::vector<float>& vector);

}  // namespace hypura::openai
