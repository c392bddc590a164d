// Names of models, of files in repositories, and Modelfiles: whatever comes is read or refused, and a name that was
// read is written so that it is read as the same again.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "server/ollama/modelfile.h"
#include "store/catalogue/created.h"
#include "store/names/gguf_files.h"
#include "store/names/model_name.h"

namespace hypura {
namespace {

[[noreturn]] void stop_with(const char* what, const std::string& detail) {
  std::fprintf(stderr, "%s: %s\n", what, detail.c_str());
  std::abort();
}

void check_name(std::string_view text) {
  const auto name = read_model_name(text, FilesAs::kErrors);
  if (!name) {
    return;
  }
  for (const NameReading& reading : name->readings) {
    const std::string written = text_of(reading);
    const auto again = read_model_name(written, FilesAs::kErrors);
    if (!again || again->readings.front() != reading) {
      stop_with("not read again as the same", written);
    }
    if (written.find("..") != std::string::npos && !std::holds_alternative<AddressName>(reading)) {
      stop_with("a name that leads out", written);
    }
  }
  if (const auto created = created_name(text); created && !created_name(*created)) {
    stop_with("not created again", *created);
  }
}

void check_file(const std::string& file) {
  const auto part = gguf_part(file);
  if (part && (part->part < 1 || part->part > part->parts || part->stem.empty())) {
    stop_with("an impossible part", file);
  }
  const std::string quant = quant_of(file);
  if (!quant.empty() && !is_quantization(quant)) {
    stop_with("no quantization", quant);
  }
  for (const GgufSet& set : gguf_sets({file, "a-Q4_0.gguf"})) {
    if (set.files.empty() || set.files.size() > set.parts) {
      stop_with("an impossible set", file);
    }
  }
}

}  // namespace
}  // namespace hypura

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  hypura::check_name(text);
  hypura::check_file(text);
  if (const auto file = hypura::ollama::read_modelfile(text)) {
    (void)hypura::ollama::check_parameters(file->parameters);
  }
  return 0;
}
