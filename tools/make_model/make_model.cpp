#include "make_model/make_model.h"

#include "make_model/writer.h"
#include "support/fail.h"

namespace hypura {

Result<std::filesystem::path> make_model(const ModelSpec& spec) {
  auto model = write_model(spec);
  if (!model) {
    return propagate(model.error());
  }
  return model->parts.front().path;
}

}  // namespace hypura
