// A variable of the environment that is set, or unset, for as long as the object lives.
#pragma once

#include <cstdlib>
#include <optional>
#include <string>

namespace hypura {

class EnvironmentVariable {
 public:
  // nullptr: unset.
  EnvironmentVariable(std::string name, const char* value) : name_(std::move(name)) {
    const char* before = ::getenv(name_.c_str());
    before_ = before == nullptr ? std::nullopt : std::optional<std::string>(before);
    set(value);
  }
  ~EnvironmentVariable() { set(before_ ? before_->c_str() : nullptr); }
  EnvironmentVariable(const EnvironmentVariable&) = delete;
  EnvironmentVariable& operator=(const EnvironmentVariable&) = delete;

  void set(const char* value) {
    if (value == nullptr) {
      ::unsetenv(name_.c_str());
    } else {
      ::setenv(name_.c_str(), value, 1);
    }
  }

 private:
  std::string name_;
  std::optional<std::string> before_;
};

}  // namespace hypura
