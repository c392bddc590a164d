#include "server/v1/body.h"

#include <string>

#include "support/fail.h"

namespace hypura::v1 {

Result<Json> read_body(const HttpRequest& request) {
  const std::string encoding = request.header("content-encoding");
  if (!encoding.empty() && encoding != "identity") {
    return fail(ErrorCode::kUsage, "Content-Encoding \"{}\" is not supported; send the body uncompressed", encoding);
  }
  Result<Json> json = parse_json(request.body);
  if (!json && json.error().message == kMissingBody) {
    return fail(ErrorCode::kUsage, "EOF");
  }
  return json;
}

}  // namespace hypura::v1
