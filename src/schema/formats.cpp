#include "schema/formats.h"

#include <algorithm>
#include <array>
#include <map>

namespace hypura::schema {

namespace {

using Patterns = std::map<std::string, std::string, std::less<>>;

std::string group(const std::string& inner) {
  return "(?:" + inner + ")";
}

void add_times(Patterns& patterns) {
  const std::string leap_year = R"((?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00))";
  const std::string date = "(?:" + leap_year + R"(-02-29|\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01]))" +
                           R"(|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))))";
  const std::string time = R"((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d))";
  const std::string n = R"(\d{1,9})";
  const std::string of_day = "T(?:" + n + "H(?:" + n + "M(?:" + n + "S)?)?|" + n + "M(?:" + n + "S)?|" + n + "S)";
  const std::string days = "(?:" + n + "Y(?:" + n + "M(?:" + n + "D)?)?|" + n + "M(?:" + n + "D)?|" + n + "D)";
  patterns["date"] = "^(?!0000)" + date + "$";
  patterns["time"] = "^" + time + "$";
  patterns["date-time"] = "^(?!0000)" + date + "T" + time + "$";
  patterns["duration"] = "^P(?:" + n + "W|" + days + group(of_day) + "?|" + of_day + ")$";
}

void add_hosts(Patterns& patterns) {
  // Short labels, and few: so the whole stays under 253 characters.
  const std::string label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,38}[A-Za-z0-9])?";
  const std::string host = label + R"((?:\.)" + label + "){0,5}";
  const std::string byte = R"((?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d))";
  const std::string ipv4 = byte + R"((?:\.)" + byte + "){3}";
  const std::string h = "[0-9A-Fa-f]{1,4}";
  const std::string c = ":" + h;
  std::string ipv6 = group(h + ":") + "{7}" + h;
  for (int before = 0; before < 8; ++before) {  // how many groups stand before "::"; up to seven stand in all
    const std::string left = before == 0 ? "" : h + group(c) + "{" + std::to_string(before - 1) + "}";
    ipv6 +=
        "|" + left + "::" + (before == 7 ? "" : group(h + group(c) + "{0," + std::to_string(6 - before) + "}") + "?");
  }
  ipv6 += "|" + group(h + ":") + "{6}" + ipv4 + "|::(?:[Ff]{4}:)?" + ipv4;
  const std::string atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]";
  const std::string email = atom + R"((?:\.?)" + atom + "){0,31}@" + host;
  for (const char* name : {"hostname", "idn-hostname"}) {
    patterns[name] = "^" + host + "$";
  }
  for (const char* name : {"email", "idn-email"}) {
    patterns[name] = "^" + email + "$";
  }
  patterns["ipv4"] = "^" + ipv4 + "$";
  patterns["ipv6"] = "^(?:" + ipv6 + ")$";
  patterns["cidrv4"] = "^" + ipv4 + R"(/(?:3[0-2]|[12]?\d)$)";
  patterns["cidrv6"] = "^(?:" + ipv6 + R"()/(?:12[0-8]|1[01]\d|[1-9]?\d)$)";
}

void add_addresses(Patterns& patterns) {
  const std::string escaped = "%[0-9A-Fa-f]{2}";
  const std::string letter = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|" + escaped + ")";
  const std::string first = "(?:[A-Za-z0-9._~!$&'()*+,;=@-]|" + escaped + ")";  // a colon would end a scheme
  const std::string host = "(?:[A-Za-z0-9._~-]|" + escaped + ")+(?::[0-9]{1,5})?";
  const std::string path = "(?:/" + letter + "*)*";
  const std::string rest = R"((?:\?(?:[/?]|)" + letter + ")*)?(?:#(?:[/?]|" + letter + ")*)?";
  const std::string scheme = "[A-Za-z][A-Za-z0-9+.-]*:";
  const std::string uri = scheme + "(?://" + group(host) + "?" + path + "|" + letter + "+" + path + "|/(?:" + letter +
                          "+" + path + ")?)" + rest;
  const std::string relative = "(?:/?" + first + "+" + path + "|/)?" + rest;
  const std::string name = "(?:[A-Za-z0-9_]|" + escaped + ")+";
  const std::string variable = name + R"((?:\.)" + name + R"()*(?::[1-9]\d{0,3}|\*)?)";
  for (const char* it : {"uri", "iri", "url"}) {
    patterns[it] = "^" + uri + "$";
  }
  for (const char* it : {"uri-reference", "iri-reference"}) {
    patterns[it] = "^(?:" + uri + "|" + relative + ")$";
  }
  patterns["uri-template"] = R"(^(?:[A-Za-z0-9._~!$&()*+,;=:@/?#\[\]-]|)" + escaped + R"(|\{[+#./;?&]?)" + variable +
                             "(?:," + variable + R"()*\})*$)";
}

Patterns make_patterns() {
  Patterns patterns;
  add_times(patterns);
  add_hosts(patterns);
  add_addresses(patterns);
  const std::string hex = "[0-9A-Fa-f]";
  const std::string four = hex + "{4}";
  const std::string uuid = hex + "{8}-" + four + "-";
  patterns["uuid"] = patterns["guid"] = "^" + uuid + four + "-" + four + "-" + hex + "{12}$";
  for (const char* version : {"1", "2", "3", "4", "5", "6", "7", "8"}) {
    patterns[std::string("uuid") + version] =
        "^" + uuid + version + hex + "{3}-[89abAB]" + hex + "{3}-" + hex + "{12}$";
  }
  patterns["base64"] = patterns["byte"] = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$";
  patterns["base64url"] = "^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2}(?:==)?|[A-Za-z0-9_-]{3}=?)?$";
  patterns["base32"] = "^(?:[A-Z2-7]{8})*(?:[A-Z2-7]{2}={6}|[A-Z2-7]{4}={4}|[A-Z2-7]{5}={3}|[A-Z2-7]{7}=)?$";
  patterns["base16"] = "^(?:[0-9A-Fa-f]{2})*$";
  patterns["json-pointer"] = "^(?:/(?:[^/~]|~[01])*)*$";
  patterns["relative-json-pointer"] = R"(^(?:0|[1-9]\d{0,8})(?:#|(?:/(?:[^/~]|~[01])*)*)$)";
  patterns["e164"] = R"(^\+[1-9]\d{6,14}$)";
  patterns["ulid"] = "^[0-7][0-9A-HJKMNP-TV-Z]{25}$";
  patterns["nanoid"] = "^[A-Za-z0-9_-]{21}$";
  return patterns;
}

}  // namespace

const std::string* format_pattern(std::string_view format) {
  static const Patterns kPatterns = make_patterns();
  const auto found = kPatterns.find(format);
  return found == kPatterns.end() ? nullptr : &found->second;
}

bool is_loose_format(std::string_view format) {
  static constexpr std::array<std::string_view, 10> kLoose = {
      "password", "binary", "float", "double", "path", "file-path", "directory-path", "7bit", "8bit", "int64"};
  return std::find(kLoose.begin(), kLoose.end(), format) != kLoose.end();
}

}  // namespace hypura::schema
