// A server with OpenAI's routes alone.
#pragma once

#include <string>

#include "server/v1/v1_for_test.h"

namespace hypura {

class OpenaiTest : public V1Test {
 protected:
  OpenaiTest() : V1Test(openai_routes()) {}

  // That a request is refused before the model is asked, with one error in OpenAI's form.
  void expect_error(const std::string& path, const std::string& body, int status, const std::string& message) {
    const auto exchange = api.post(path, body);
    ASSERT_NE(exchange, nullptr) << path;
    EXPECT_EQ(exchange->status(), status) << body;
    const char* type = status == 400 ? "invalid_request_error" : status == 404 ? "not_found_error" : "api_error";
    EXPECT_EQ(json_of(exchange),
              Json({{"error", {{"message", message}, {"type", type}, {"param", nullptr}, {"code", nullptr}}}}))
        << body;
    EXPECT_TRUE(api.generator().requests.empty()) << body;
    EXPECT_EQ(api.host.leases, 0);
  }
};

}  // namespace hypura
