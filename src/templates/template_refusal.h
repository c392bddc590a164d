// What a chat template says when it refuses something.
#pragma once

#include <string>
#include <string_view>

namespace hypura {

// The rule in what llama.cpp reports: the template's own sentence or what its engine could not do, on one line, without
// the template's source around it and without a full stop.
std::string refused_rule(std::string_view report);

}  // namespace hypura
