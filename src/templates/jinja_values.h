// The values of llama.cpp's template engine: how much they hold, and whether a function of its may have them.
#pragma once

#include <string>
#include <vector>

#include "jinja/value.h"
#include "templates/template_meter.h"

namespace hypura {

// Whether it holds other values.
inline bool is_composite(const jinja::value& value) {
  return !value->val_arr.empty() || !value->val_obj.empty();
}

// What a value holds with all that it holds, each as often as it can be reached.
struct ValueExtent {
  uint64_t values = 0;
  double bytes = 0;  // of text
  uint32_t depth = 0;
};

// Refuses a value that is too deep or too large to be written out.
ValueExtent measure_value(TemplateMeter& meter, const jinja::value& value);

// Refuses to put `value` into `holder` where that would make a circle, or something without a bound.
void check_store(TemplateMeter& meter, const jinja::value& holder, const jinja::value& value);

// Counts a value that nobody else holds, until it is destroyed.
jinja::value held_value(TemplateMeter& meter, jinja::value value);

// Counts what a statement gave.
void keep_value(TemplateMeter& meter, const jinja::value& value);

// Whether the built-in function or filter takes a time, memory or a depth that its arguments decide, or ends the
// process with some.
bool is_guarded(const std::string& function);

// Refuses arguments that it cannot have. `arguments` begins with what it is called on, if anything.
void check_arguments(TemplateMeter& meter, const std::string& function, const std::vector<jinja::value>& arguments);

// Refuses a number that indexes and counts cannot be.
void check_index(TemplateMeter& meter, const jinja::value& value);

}  // namespace hypura
