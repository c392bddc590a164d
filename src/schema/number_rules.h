// Numbers within limits, as rules for their digits.
#pragma once

#include "schema/context.h"
#include "schema/rules.h"

namespace hypura::schema {

// The rule for the numbers of `shape`. A multiple that cannot be counted is a fault of the context.
Rules::Symbol number_rule(Context& context, Rules& rules, const NumberShape& shape);

}  // namespace hypura::schema
