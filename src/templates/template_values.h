// Variables that a request gives to the model's chat template.
#pragma once

#include <map>
#include <string>

#include "hypura/result.h"

namespace hypura {

class MaskedText;

// Of the text of a JSON object, each value as JSON; none of "". Text in them is never read as control tokens when
// `masked` is there. Fails with kUsage when it is no object, and for names that are not the request's to set, such as
// "messages", which the error names.
Result<std::map<std::string, std::string>> template_values(const std::string& json, MaskedText* masked);

}  // namespace hypura
