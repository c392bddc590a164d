#include "templates/jinja_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "support/occurrences.h"

namespace hypura {

namespace {

constexpr uint32_t kDeepestValue = 400;
constexpr uint64_t kMostValues = 2'000'000;
constexpr int64_t kMostRange = 100'000;
constexpr int64_t kLargestIndex = int64_t{1} << 53;
constexpr double kMostMoved = 2e10;  // bytes that one function moves: some seconds

constexpr size_t kValueBytes = 256;  // of one without text: some fields for each type
constexpr size_t kPartBytes = 48;
constexpr size_t kItemBytes = 16;
constexpr size_t kPairBytes = 128;
constexpr size_t kSmallBytes = 512;  // values below are not counted: steps bound their number

size_t text_bytes(const jinja::value_t& value) {
  size_t bytes = 0;
  for (const jinja::string_part& part : value.val_str.parts) {
    bytes += part.val.size() + kPartBytes;
  }
  return bytes;
}

// Without what others hold as well.
size_t own_bytes(const jinja::value_t& value) {
  size_t bytes = kValueBytes + text_bytes(value) + value.val_obj.size() * kPairBytes;
  for (const jinja::value& item : value.val_arr) {
    bytes += kItemBytes;
    if (item != nullptr && item.use_count() == 1) {
      bytes += kValueBytes + text_bytes(*item) + item->val_arr.size() * kItemBytes;
    }
  }
  return bytes;
}

const jinja::value_func_t* as_function(const jinja::value& value) {
  return dynamic_cast<const jinja::value_func_t*>(value.get());
}

// Looks at all that a value holds.
class ValueVisitor {
 public:
  ValueVisitor(TemplateMeter& meter, const jinja::value_t* sought) : meter_(meter), sought_(sought) {}

  ValueExtent extent() const { return extent_; }

  void look_at(const jinja::value& value, uint32_t depth) {
    if (value == nullptr) {
      return;
    }
    if (depth > kDeepestValue) {
      meter_.refuse(fmt::format("it makes a value that is nested more than {} levels deep", kDeepestValue));
    }
    if (value.get() == sought_) {
      meter_.refuse("it makes a value that holds itself");
    }
    constexpr uint64_t kValuesOfStep = 64;
    if (++extent_.values % kValuesOfStep == 0) {
      meter_.work(1);
    }
    extent_.depth = std::max(extent_.depth, depth);
    extent_.bytes += static_cast<double>(value->val_str.length());
    if (extent_.values > kMostValues) {
      meter_.refuse(fmt::format("it makes a value that holds more than {} others", kMostValues));
    }
    for (const jinja::value& item : value->val_arr) {
      look_at(item, depth + 1);
    }
    for (const auto& [key, item] : value->val_obj) {
      look_at(key, depth + 1);
      look_at(item, depth + 1);
    }
    if (const jinja::value_func_t* function = as_function(value)) {
      look_at(function->arg0, depth + 1);
    }
  }

 private:
  TemplateMeter& meter_;
  const jinja::value_t* sought_;
  ValueExtent extent_;
};

struct Release {
  jinja::value value;
  uint64_t run;
  size_t bytes;

  void operator()(jinja::value_t* /*same*/) {
    TemplateMeter& meter = TemplateMeter::current();
    if (meter.number() == run) {
      meter.drop(bytes);
    }
    value.reset();
  }
};

// The arguments of a built-in function.
class Arguments {
 public:
  explicit Arguments(const std::vector<jinja::value>& values) : values_(values) {}

  size_t size() const { return values_.size(); }
  const jinja::value& operator[](size_t i) const { return values_[i]; }

  // The one by this name or at this place; null when there is none.
  jinja::value get(const char* name, size_t place) const {
    for (const jinja::value& value : values_) {
      const auto* named = dynamic_cast<const jinja::value_kwarg_t*>(value.get());
      if (named != nullptr && named->key == name) {
        return named->val;
      }
    }
    const bool there = place < values_.size() && dynamic_cast<jinja::value_kwarg_t*>(values_[place].get()) == nullptr;
    return there ? values_[place] : nullptr;
  }

  std::string text(size_t place) const {
    const bool there = place < values_.size() && jinja::is_val<jinja::value_string>(values_[place]);
    return there ? values_[place]->val_str.str() : "";
  }

 private:
  const std::vector<jinja::value>& values_;
};

bool is_int(const jinja::value& value) {
  return value != nullptr && jinja::is_val<jinja::value_int>(value);
}

void check_moved(TemplateMeter& meter, double bytes) {
  if (bytes > kMostMoved) {
    meter.refuse("it takes apart, or changes, a text in too many places");
  }
}

void check_range(TemplateMeter& meter, const Arguments& arguments) {
  std::array<int64_t, 3> given = {0, 0, 1};
  for (size_t i = 0; i < std::min<size_t>(arguments.size(), 3); ++i) {
    if (!is_int(arguments[i])) {
      return;  // it refuses that itself
    }
    check_index(meter, arguments[i]);
    given[arguments.size() == 1 ? 1 : i] = arguments[i]->val_int;
  }
  const auto [start, stop, step] = given;
  if (step != 0 && (stop - start) / step > kMostRange) {
    meter.refuse(fmt::format("it counts to more than {}", kMostRange));
  }
}

void check_indent(TemplateMeter& meter, const Arguments& arguments) {
  const std::string text = arguments.text(0);
  const jinja::value width = arguments.get("width", 1);
  double bytes = 4;
  if (is_int(width)) {
    bytes = std::abs(static_cast<double>(width->val_int));
  } else if (width != nullptr) {
    bytes = static_cast<double>(width->val_str.length());
  }
  meter.require((static_cast<double>(occurrences(text, "\n")) + 2) * bytes + static_cast<double>(text.size()));
}

void check_replace(TemplateMeter& meter, const Arguments& arguments) {
  const std::string text = arguments.text(0);
  const auto size = static_cast<double>(text.size());
  const std::string old_part = arguments.text(1);
  const auto new_size = static_cast<double>(arguments.text(2).size());
  const double places = old_part.empty() ? size + 1 : static_cast<double>(occurrences(text, old_part));
  meter.require(size + places * new_size);
  if (!old_part.empty() && static_cast<double>(old_part.size()) != new_size) {
    check_moved(meter, places * (size + places * new_size) / 2);
  }
}

void check_split(TemplateMeter& meter, const Arguments& arguments) {
  const std::string text = arguments.text(0);
  const std::string separator = arguments.size() > 1 ? arguments.text(1) : " ";
  const double places = static_cast<double>(occurrences(text, separator));
  check_moved(meter, places * static_cast<double>(text.size()) / 2);
  meter.require(places * (kValueBytes + kItemBytes + kPartBytes) + static_cast<double>(text.size()));
}

void check_strip(TemplateMeter& meter, const Arguments& arguments) {
  const auto parts = static_cast<double>(arguments.size() > 0 ? arguments[0]->val_str.parts.size() : 0);
  check_moved(meter, parts * parts * kPartBytes);
}

void check_tojson(TemplateMeter& meter, const Arguments& arguments) {
  if (arguments.size() == 0) {
    return;
  }
  const ValueExtent extent = measure_value(meter, arguments[0]);
  const jinja::value indent = arguments.get("indent", 2);
  double around = 8;  // commas, quotes, numbers
  if (is_int(indent)) {
    around += std::max(0.0, static_cast<double>(indent->val_int)) * (extent.depth + 1);
  }
  if (const jinja::value separators = arguments.get("separators", 3)) {
    around += measure_value(meter, separators).bytes;
  }
  meter.require(static_cast<double>(extent.values) * around + extent.bytes * 2);
}

// Comparing numbers and text with each other has no order, which std::sort does not survive.
void check_order(TemplateMeter& meter, const std::vector<jinja::value>& items) {
  bool texts = false;
  bool numbers = false;
  bool others = false;
  for (const jinja::value& item : items) {
    const bool number = is_int(item) || jinja::is_val<jinja::value_float>(item);
    texts = texts || jinja::is_val<jinja::value_string>(item);
    numbers = numbers || number;
    others = others || (!number && !jinja::is_val<jinja::value_string>(item));
    if (number && std::isnan(item->val_flt)) {
      meter.refuse("it sorts values that are not numbers");
    }
  }
  if ((texts ? 1 : 0) + (numbers ? 1 : 0) + (others ? 1 : 0) > 1) {
    meter.refuse("it sorts values of different types");
  }
}

void check_sort(TemplateMeter& meter, const Arguments& arguments) {
  if (arguments.size() == 0) {
    return;
  }
  jinja::value attribute = arguments.get("attribute", 3);
  std::vector<jinja::value> items;
  for (const jinja::value& item : arguments[0]->val_arr) {
    jinja::value none = jinja::mk_val<jinja::value_undefined>();
    if (attribute == nullptr || attribute->is_undefined()) {
      items.push_back(item);
    } else if (is_int(attribute) && jinja::is_val<jinja::value_array>(item)) {
      items.push_back(item->at(attribute->val_int, none));
    } else if (!is_int(attribute) && jinja::is_val<jinja::value_object>(item)) {
      items.push_back(item->at(attribute, none));
    }
  }
  check_order(meter, items);
}

void check_dictsort(TemplateMeter& meter, const Arguments& arguments) {
  if (arguments.size() == 0) {
    return;
  }
  const jinja::value by = arguments.get("by", 2);
  const bool values = by != nullptr && by->val_str.str() == "value";
  std::vector<jinja::value> items;
  for (const auto& [key, item] : arguments[0]->val_obj) {
    items.push_back(values ? item : key);
  }
  check_order(meter, items);
}

void check_divisor(TemplateMeter& meter, const jinja::value& divisor) {
  if (is_int(divisor) && (divisor->val_int == 0 || divisor->val_int == -1)) {
    meter.refuse("it divides by 0 or by -1");
  }
}

// Filters that apply a test to each item name it before its argument.
void check_select(TemplateMeter& meter, const Arguments& arguments) {
  for (size_t i = 1; i + 1 < arguments.size(); ++i) {
    if (arguments.text(i) == "divisibleby") {
      check_divisor(meter, arguments[i + 1]);
    }
  }
}

void check_append(TemplateMeter& meter, const Arguments& arguments) {
  if (arguments.size() > 1) {
    check_store(meter, arguments[0], arguments[1]);
    meter.hold(kSmallBytes);  // until the end: nobody tells when the list goes
  }
}

void check_indexes(TemplateMeter& meter, const Arguments& arguments) {
  for (size_t i = 1; i < arguments.size(); ++i) {
    check_index(meter, arguments[i]);
  }
}

void check_join(TemplateMeter& meter, const Arguments& arguments) {
  const ValueExtent extent = measure_value(meter, arguments[0]);
  const jinja::value between = arguments.get("d", 1);
  const double each = between == nullptr ? 0 : static_cast<double>(between->val_str.length());
  meter.require(extent.bytes + static_cast<double>(extent.values) * (each + 24));
}

void check_all(TemplateMeter& meter, const Arguments& arguments) {
  double bytes = 0;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto* named = dynamic_cast<const jinja::value_kwarg_t*>(arguments[i].get());
    bytes += measure_value(meter, named == nullptr ? arguments[i] : named->val).bytes * 2;
  }
  meter.require(bytes);
}

void check_test(TemplateMeter& meter, const Arguments& arguments) {
  check_divisor(meter, arguments.size() > 1 ? arguments[1] : nullptr);
}

struct Guard {
  const char* function;
  void (*check)(TemplateMeter&, const Arguments&);
};

constexpr std::array kGuards = {
    Guard{"range", check_range},
    Guard{"indent", check_indent},
    Guard{"replace", check_replace},
    Guard{"split", check_split},
    Guard{"rsplit", check_split},
    Guard{"strip", check_strip},
    Guard{"trim", check_strip},
    Guard{"lstrip", check_strip},
    Guard{"rstrip", check_strip},
    Guard{"tojson", check_tojson},
    Guard{"safe", check_tojson},
    Guard{"string", check_tojson},
    Guard{"sort", check_sort},
    Guard{"dictsort", check_dictsort},
    Guard{"select", check_select},
    Guard{"selectattr", check_select},
    Guard{"reject", check_select},
    Guard{"rejectattr", check_select},
    Guard{"append", check_append},
    Guard{"slice", check_indexes},
    Guard{"pop", check_indexes},
    Guard{"join", check_join},
    Guard{"namespace", check_all},
    Guard{"format", check_all},
    Guard{"upper", check_all},
    Guard{"lower", check_all},
    Guard{"title", check_all},
    Guard{"capitalize", check_all},
    Guard{"wordcount", check_all},
    Guard{"divisibleby", check_test},
    Guard{"test_is_divisibleby", check_test},
};

const Guard* guard_of(const std::string& function) {
  const auto* const found =
      std::find_if(kGuards.begin(), kGuards.end(), [&](const Guard& it) { return function == it.function; });
  return found == kGuards.end() ? nullptr : found;
}

}  // namespace

ValueExtent measure_value(TemplateMeter& meter, const jinja::value& value) {
  ValueVisitor visitor(meter, nullptr);
  visitor.look_at(value, 0);
  return visitor.extent();
}

void check_store(TemplateMeter& meter, const jinja::value& holder, const jinja::value& value) {
  const jinja::value_func_t* function = as_function(value);
  if (!is_composite(value) && function == nullptr && !jinja::is_val<jinja::value_array>(value) &&
      !jinja::is_val<jinja::value_object>(value)) {
    return;
  }
  if (function != nullptr && function->name == "caller") {
    meter.refuse("it keeps a caller, which keeps all that there was");
  }
  meter.store();
  ValueVisitor(meter, holder.get()).look_at(value, 0);
}

jinja::value held_value(TemplateMeter& meter, jinja::value value) {
  if (value == nullptr || value.use_count() != 1) {
    return value;
  }
  const size_t bytes = own_bytes(*value);
  if (bytes < kSmallBytes) {
    return value;
  }
  meter.hold(bytes);
  jinja::value_t* const same = value.get();
  return {same, Release{std::move(value), meter.number(), bytes}};
}

void keep_value(TemplateMeter& meter, const jinja::value& value) {
  size_t bytes = kValueBytes + text_bytes(*value);
  if (!value->val_arr.empty()) {
    const ValueExtent extent = measure_value(meter, value);  // lists are written out
    meter.require(extent.bytes + static_cast<double>(extent.values) * kPartBytes);
    bytes += static_cast<size_t>(extent.bytes) + extent.values * kPartBytes;
  }
  meter.keep(bytes);
}

bool is_guarded(const std::string& function) {
  return guard_of(function) != nullptr;
}

void check_arguments(TemplateMeter& meter, const std::string& function, const std::vector<jinja::value>& arguments) {
  const Guard* guard = guard_of(function);
  if (guard != nullptr && !arguments.empty()) {
    guard->check(meter, Arguments(arguments));
  }
}

void check_index(TemplateMeter& meter, const jinja::value& value) {
  if (is_int(value) && (value->val_int > kLargestIndex || value->val_int < -kLargestIndex)) {
    meter.refuse("it counts with numbers that are too large");
  }
}

}  // namespace hypura
