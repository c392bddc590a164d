// Figures as people read them, and text made safe for where it is printed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hypura {

// Three significant digits without an exponent: "1040", "10.4", "0.0104".
std::string significant(double value);

// A count of parameters or tokens: "1.03 T", "32.1 B", "52.0 M", "8192".
std::string count_words(int64_t count);

// "133 ms", "17.0 s", "12.5 min", "3.2 h"; "n/a" for what is not a positive number.
std::string seconds_words(double seconds);

// "7.55 tok/s"; "n/a" for what is not a positive number.
std::string rate_words(double tokens_per_second);

// "37 %", "0.4 %", "99.6 %", "100 %": one decimal where whole per cents would claim none or all.
std::string percent_words(double share);

// "12 files", "1 file".
std::string plural(uint64_t count, std::string_view thing);

// `text` for HTML, inside an element or a quoted attribute. Made printable first.
std::string escape_html(std::string_view text);

// `text` broken at spaces into lines of at most `width` columns, every line but the first indented by `indent`, which
// counts. Longer words stand alone. No line end.
std::string wrap(std::string_view text, size_t indent, size_t width);

}  // namespace hypura
