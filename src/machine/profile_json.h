// A machine profile as JSON: what the cache holds and `hypura profile --json` prints.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "hypura/profile.h"
#include "hypura/result.h"

namespace hypura {

// An object with the names of the struct's fields; an absent limit is null. Rates are bytes per second.
nlohmann::ordered_json profile_to_json(const MachineProfile& profile);

// Fails with kIo on anything that profile_to_json cannot have made: a field that is missing or of another type, a rate
// that is negative or no number.
Result<MachineProfile> profile_from_json(const nlohmann::ordered_json& json);

}  // namespace hypura
