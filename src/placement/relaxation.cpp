#include "placement/relaxation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "placement/cost.h"
#include "placement/lp.h"
#include "placement/popularity.h"

namespace hypura {

namespace {

constexpr double kMiBytes = 1024.0 * 1024.0;  // the program counts in MiB, so that its numbers are of like size

// Ranks of a group that are equally popular: one variable for all of them.
struct Piece {
  uint32_t variable = 0;  // experts cached of these ranks, over all layers
  double popularity = 0;
  double most = 0;
};

// Two of these stand in the program: one token, and the pass of a prompt.
struct PassTerms {
  uint32_t tokens = 1;
  LinearProgram::Row computing;  // seconds >= computing with the layers' waits
  LinearProgram::Row reading;    // seconds >= bytes / speed
  double asking = 0;             // expert layers that ask for reads, at the least
};

class Builder {
 public:
  Builder(const PlacementProblem& problem, const Frame& frame) : problem_(problem), frame_(frame) {}

  std::optional<Relaxed> solve();

 private:
  PassTerms begin_pass(uint32_t tokens, double weight);
  void add_pinning(std::vector<PassTerms>& passes);
  void add_waits_for_the_ring(PassTerms& pass);
  void add_group(const ExpertGroup& group, std::vector<PassTerms>& passes);
  std::vector<Piece> add_pieces(const ExpertGroup& group);
  void add_layers(const ExpertGroup& group, const std::vector<Piece>& pieces, PassTerms& pass);

  struct Line {
    double at_zero = 0;
    double slope = 0;
    double lowest = 0;
  };
  Line any_miss(const ExpertGroup& group, double uses, uint32_t tokens) const;

  const PlacementProblem& problem_;
  const Frame& frame_;
  LinearProgram program_;
  LinearProgram::Row memory_;
  std::vector<uint32_t> cached_;
  std::optional<uint32_t> pinned_;
};

PassTerms Builder::begin_pass(uint32_t tokens, double weight) {
  const uint32_t seconds = program_.add(weight, 0, LinearProgram::kUnbounded);
  PassTerms pass{tokens, {}, {}, 0};
  pass.computing.terms = {{seconds, 1}};
  pass.computing.least = dense_computing(problem_, tokens) * (1 + problem_.kv[frame_.kv].slower);
  pass.reading.terms = {{seconds, 1}};
  pass.reading.least = problem_.contention.reading * pass.computing.least;
  pass.computing.least += lookups(problem_, frame_.mode, frame_.rows, tokens).seconds;
  return pass;
}

// A byte pinned is a byte less to read. A weight's slot is larger than its bytes, so this is no more than is gained.
void Builder::add_pinning(std::vector<PassTerms>& passes) {
  const auto bytes = static_cast<double>(problem_.dense_bytes());
  const double read = dense_byte_seconds(problem_, frame_.ring_bytes);
  pinned_ = program_.add(0, 0, bytes / kMiBytes);
  memory_.terms.push_back({*pinned_, 1});
  for (PassTerms& pass : passes) {
    // What a byte takes of computing's time, and so of reading's.
    const double costs = problem_.dense_issuing + problem_.contention.computing * read;
    pass.computing.terms.push_back({*pinned_, costs * kMiBytes});
    pass.computing.least += costs * bytes;
    const double reading = read + problem_.contention.reading * problem_.dense_issuing;
    pass.reading.terms.push_back({*pinned_, reading * kMiBytes});
    pass.reading.least += reading * bytes;
  }
}

// Expert reads wait for the ring's, see pass_cost(): a line below the smaller of the two, which is 0 when all is
// pinned.
void Builder::add_waits_for_the_ring(PassTerms& pass) {
  const auto bytes = static_cast<double>(problem_.dense_bytes());
  const double waits = pass.asking * static_cast<double>(ring_under_way(problem_, frame_.ring_bytes));
  const double slope = std::min(1.0, waits / bytes) / problem_.dense_disk.bytes_per_second;
  pass.computing.least += slope * bytes;
  pass.computing.terms.push_back({*pinned_, slope * kMiBytes});
}

std::vector<Piece> Builder::add_pieces(const ExpertGroup& group) {
  std::vector<Piece> pieces;
  for (double popularity : group.popularity) {
    if (pieces.empty() || std::abs(pieces.back().popularity - popularity) > 1e-12) {
      pieces.push_back({0, popularity, 0});
    }
    pieces.back().most += group.layers;
  }
  for (Piece& piece : pieces) {
    piece.variable = program_.add(0, frame_.all_cached ? piece.most : 0, piece.most);
    cached_.push_back(piece.variable);
    if (frame_.all_cached) {
      continue;  // their slots are no part of the capacity
    }
    memory_.terms.push_back({piece.variable, static_cast<double>(problem_.slot_stride) / kMiBytes});
  }
  return pieces;
}

// A line below min(1, misses): through its values at the fewest misses that the capacity allows and at the most.
Builder::Line Builder::any_miss(const ExpertGroup& group, double uses, uint32_t tokens) const {
  uint64_t cached = group.experts;
  if (!frame_.all_cached) {
    const uint64_t for_each_layer = frame_.capacity / (problem_.slot_stride * group.layers) + 1;
    cached = std::min(cached, for_each_layer);
  }
  const double fewest = expected_experts(group.popularity, static_cast<uint32_t>(cached), tokens);
  const double lowest = std::min(1.0, fewest);
  const double slope = uses > fewest ? (std::min(1.0, uses) - lowest) / (uses - fewest) : 0;
  return {lowest - slope * fewest, slope, lowest};
}

// The group's layers last at least as long as their computing, and as their reading; see layer_cost().
void Builder::add_layers(const ExpertGroup& group, const std::vector<Piece>& pieces, PassTerms& pass) {
  const double layers = group.layers;
  const double uses = expected_experts(group.popularity, 0, pass.tokens);
  const double compute = layer_computing(group, uses, pass.tokens);
  const uint32_t seconds = program_.add(0, layers * compute, LinearProgram::kUnbounded);
  const double transfer = static_cast<double>(group.bytes) / problem_.expert_disk.bytes_per_second;
  const double once = problem_.expert_disk.latency;
  const Line any = any_miss(group, uses, pass.tokens);
  const double miss = transfer + any.slope * once;
  pass.asking += layers * any.lowest;
  // As overlapped(): the larger of these two.
  const Contention costs = overlap_costs(problem_, group, frame_.spare, pass.tokens);
  const struct {
    double computing;
    double reading;
  } weights[] = {{1, costs.computing}, {costs.reading, 1}};
  std::array<LinearProgram::Row, 2> rows;
  std::array<double, 2> of_a_miss{};
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].terms = {{seconds, 1}};
    of_a_miss[i] = weights[i].computing * group.issuing + weights[i].reading * miss;
    const double without = weights[i].computing * compute + weights[i].reading * any.at_zero * once;
    rows[i].least = layers * (without + uses * of_a_miss[i]);
  }
  rows[1].least -= layers * read_before(problem_, group, frame_.spare, pass.tokens);
  const double slowed = problem_.contention.reading;
  const double read = transfer + slowed * group.issuing;
  pass.reading.least += layers * (uses * read + slowed * (compute + problem_.block_seconds));
  for (const Piece& piece : pieces) {
    const double saved = 1 - std::pow(1 - std::min(1.0, piece.popularity), pass.tokens);
    for (size_t i = 0; i < rows.size(); ++i) {
      rows[i].terms.push_back({piece.variable, saved * of_a_miss[i]});
    }
    pass.reading.terms.push_back({piece.variable, saved * read});
  }
  program_.rows.insert(program_.rows.end(), rows.begin(), rows.end());
  pass.computing.terms.push_back({seconds, -1});
  pass.computing.least += layers * problem_.block_seconds;
}

void Builder::add_group(const ExpertGroup& group, std::vector<PassTerms>& passes) {
  const std::vector<Piece> pieces = add_pieces(group);
  for (PassTerms& pass : passes) {
    add_layers(group, pieces, pass);
  }
}

std::optional<Relaxed> Builder::solve() {
  const PromptWeight prompt = prompt_weight(problem_);
  const uint32_t each = std::min(problem_.ubatch[frame_.ubatch].tokens, prompt.tokens);
  const uint32_t prompt_passes = prompt.tokens / each;
  std::vector<PassTerms> passes;
  passes.push_back(begin_pass(1, 1));
  passes.push_back(begin_pass(each, prompt.share * prompt_passes / prompt.tokens));
  if (frame_.ring) {
    add_pinning(passes);
  }
  if (streams_experts(frame_.mode)) {
    for (const ExpertGroup& group : problem_.experts) {
      add_group(group, passes);
    }
  }
  for (PassTerms& pass : passes) {
    if (frame_.ring) {
      add_waits_for_the_ring(pass);
    }
    program_.rows.push_back(std::move(pass.computing));
    program_.rows.push_back(std::move(pass.reading));
  }
  memory_.most = static_cast<double>(frame_.capacity) / kMiBytes;
  if (!memory_.terms.empty()) {
    program_.rows.push_back(std::move(memory_));
  }
  const auto solution = minimise(program_);
  if (!solution) {
    return std::nullopt;
  }
  Relaxed relaxed{solution->cost, 0, 0};
  for (uint32_t variable : cached_) {
    relaxed.cached += solution->values[variable];
  }
  relaxed.pinned = pinned_ ? solution->values[*pinned_] * kMiBytes : 0;
  return relaxed;
}

}  // namespace

std::optional<Relaxed> relax(const PlacementProblem& problem, const Frame& frame) {
  return Builder(problem, frame).solve();
}

}  // namespace hypura
