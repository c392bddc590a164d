// Saying what is wrong with the fields of a request.
#pragma once

#include <string>

#include "server/json/fields.h"

namespace hypura::v1 {

// Sets the fields' status to kUsage with this sentence, if it is not set yet.
void refuse(Fields& fields, std::string sentence);

// Passes the first error of a part on to the whole.
void join_status(Fields& whole, const Fields& part);

}  // namespace hypura::v1
