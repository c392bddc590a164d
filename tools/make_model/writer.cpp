#include "make_model/writer.h"

#include <algorithm>
#include <span>
#include <utility>

#include "make_model/vocab.h"
#include "make_model/weights.h"
#include "storage/output_file.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr uint64_t kChunkBytes = kMiB;

Status write_tensor(const TensorPlan& tensor, TensorSource& source, OutputFile& file) {
  const uint64_t row_bytes = ggml_row_size(tensor.type, tensor.dims[0]);
  const uint64_t rows = tensor.rows();
  const uint64_t step = std::clamp<uint64_t>(kChunkBytes / row_bytes, 1, rows);
  std::vector<uint8_t> chunk(step * row_bytes);
  for (uint64_t row = 0; row < rows; row += step) {
    const auto out = std::span(chunk).first(static_cast<size_t>(std::min(step, rows - row) * row_bytes));
    source.fill_rows(tensor, row, out);
    if (auto status = file.append(out); !status) {
      return status;
    }
  }
  return {};
}

Status write_part(const Part& part, bool sparse, TensorSource& source) {
  auto file = OutputFile::create(part.path, part.bytes, sparse);
  if (!file) {
    return propagate(file.error());
  }
  if (auto status = file->append(part.header); !status) {
    return status;
  }
  for (size_t i = 0; i < part.tensors.size() && !sparse; ++i) {
    if (auto status = file->pad_to(part.header.size() + part.offsets[i]); !status) {
      return status;
    }
    if (auto status = write_tensor(*part.tensors[i], source, *file); !status) {
      return status;
    }
  }
  return file->finish();
}

}  // namespace

Result<WrittenModel> write_model(const ModelSpec& spec) {
  auto vocab = load_vocab(spec.vocab);
  if (!vocab) {
    return propagate(vocab.error());
  }
  if (spec.vocab_tokens != 0) {
    if (auto status = pad_vocab(*vocab, spec.vocab_tokens); !status) {
      return propagate(status.error());
    }
  }
  auto plan = plan_model(spec, *vocab);
  if (!plan) {
    return propagate(plan.error());
  }
  WrittenModel model{.plan = std::move(*plan), .parts = {}};
  model.parts = make_parts(model.plan, *vocab);
  TensorSource source(model.plan, *vocab);
  for (const Part& part : model.parts) {
    if (auto status = write_part(part, spec.sparse, source); !status) {
      return propagate(status.error());
    }
  }
  return model;
}

}  // namespace hypura
