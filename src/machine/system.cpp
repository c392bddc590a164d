#include "machine/system.h"

#include <sys/utsname.h>

namespace hypura {

namespace {

utsname ask() {
  utsname names{};
  if (uname(&names) != 0) {
    return {};
  }
  return names;
}

}  // namespace

std::string host_name() {
  return ask().nodename;
}

std::string system_release() {
  const utsname names = ask();
  return std::string(names.sysname) + " " + names.release;
}

std::string machine_name() {
  return ask().machine;
}

}  // namespace hypura
