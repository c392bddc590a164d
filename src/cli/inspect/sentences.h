// What the terminal and the page say in the same words.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/inspect/facts.h"

namespace hypura {

// Labels and values that describe the model: "architecture", "parameters", "weights", "context", "file". Control
// characters are replaced.
std::vector<std::pair<std::string, std::string>> model_sentences(const Model& model);

// The processor, memory and disk that the predictions are for; or how to have them measured.
std::string machine_sentence(const MachineProfile* machine);

// What was decided and why, one thought each.
std::vector<std::string> plan_sentences(const Plan& plan, const Model& model);

// Each machine of a plan with workers, this one first, and what it has and does; none without.
std::vector<std::pair<std::string, std::string>> machine_sentences(const Plan& plan);

// The plan's warnings, control characters replaced.
std::vector<std::string> all_warnings(const InspectView& view);

// An error's sentence without the table that a budget error goes on with; control characters replaced.
std::string first_line(std::string_view message);

}  // namespace hypura
