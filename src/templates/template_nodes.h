// A parsed chat template whose nodes are counted while llama.cpp executes them.
#pragma once

#include "jinja/runtime.h"

namespace hypura {

// Replaces every node of `program` by one that does the same, and that TemplateMeter counts and bounds. `names` are the
// different names in its source. Throws a std::exception where it has a node that is not known. Not to be called twice.
void meter_program(jinja::program& program, size_t names);

}  // namespace hypura
