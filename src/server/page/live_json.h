// What the page draws its picture of the model from: GET /hypura/live. docs/guide/page.md names the fields.
#pragma once

#include <string>

#include "server/model_host.h"

namespace hypura {

// The text of a JSON object. Keeps no model loaded. Any thread.
std::string live_json(const ModelHost& host);

}  // namespace hypura
