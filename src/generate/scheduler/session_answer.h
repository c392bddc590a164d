// The answer of a session: its text is handed over as it comes, and whoever gets it says whether it goes on.
#pragma once

#include <memory>
#include <string>

#include "hypura/engine.h"
#include "llama/vocabulary.h"
#include "output/answer_sampler.h"
#include "output/answer_source.h"
#include "output/text_stream.h"

namespace hypura {

class SessionAnswer final : public AnswerSource {
 public:
  // Writes text and tokens to `generated`. The references must outlive the object.
  SessionAnswer(Vocabulary vocab, std::unique_ptr<AnswerSampler> sampler, const GenerateOptions& options,
                Generated& generated);

  AnswerStep step(const float* logits) override;
  uint32_t left() const override;
  AnswerPiece finish() override;

 private:
  bool emit(const std::string& text);

  Vocabulary vocab_;
  std::unique_ptr<AnswerSampler> sampler_;
  const GenerateOptions& options_;
  Generated& generated_;
  TextStream stream_;
  bool stopped_ = false;  // nobody wants more text
};

}  // namespace hypura
