#include "schema/number_rules.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace hypura::schema {

namespace {

constexpr size_t kFewDigits = 6;
constexpr size_t kMostDigits = 16;       // of what has no limit that asks for more
constexpr size_t kMostBoundDigits = 60;  // numbers beyond are as good as no limit
constexpr uint64_t kMostUnits = 2000;
constexpr uint64_t kManyUnits = 50;
constexpr size_t kMostDigitStates = 20000;

enum class Order : uint8_t { kLess, kEqual, kGreater };

// How the digits so far compare with those of a bound.
Order compared(Order so_far, const std::string& digits, size_t i, char digit) {
  if (so_far != Order::kEqual) {
    return so_far;
  }
  const char other = i < digits.size() ? digits[i] : '0';
  return digit < other ? Order::kLess : digit > other ? Order::kGreater : Order::kEqual;
}

// How a whole part that has ended compares: with more digits it is greater.
Order ended(Order so_far, const std::string& digits, size_t count) {
  return count < digits.size() ? Order::kLess : count > digits.size() ? Order::kGreater : so_far;
}

// The digits of numbers, without a sign, that lie between two bounds and are multiples of a step.
class MagnitudeRules {
 public:
  MagnitudeRules(Rules& rules, std::optional<Bound> low, std::optional<Bound> high, std::optional<Step> step,
                 bool whole)
      : rules_(rules), low_(std::move(low)), high_(std::move(high)), step_(step) {
    const size_t digits = std::max(low_ ? low_->value.whole.size() : 0, high_ ? high_->value.whole.size() : 0);
    const size_t places = std::max(low_ ? low_->value.fraction.size() : 0, high_ ? high_->value.fraction.size() : 0);
    const bool many = step_ && step_->units > kManyUnits;  // then each digit is dear
    digits_ = std::max(many ? kFewDigits : kMostDigits, digits + 1);
    places_ = whole ? 0 : step_ ? step_->places : std::max(kMostDigits, places + 1);
  }

  // None when there are too many states.
  std::optional<Rules::Symbol> make() {
    const Rules::Symbol start = rules_.rule();
    State zero;
    zero.phase = Phase::kZero;
    rules_.add(start, {rules_.text("0"), number(zero)});
    for (char digit = '1'; digit <= '9'; ++digit) {
      rules_.add(start, {rules_.text(std::string(1, digit)), number(with_digit(State(), digit))});
    }
    for (size_t i = 0; i < states_.size(); ++i) {
      if (i >= kMostDigitStates) {
        return std::nullopt;
      }
      const State state = states_[i];  // more are added to them
      add_rules(state);
    }
    return start;
  }

 private:
  enum class Phase : uint8_t { kWhole, kZero, kFraction };

  struct State {
    Phase phase = Phase::kWhole;
    size_t count = 0;  // digits of this phase
    Order low = Order::kEqual;
    Order high = Order::kEqual;
    uint64_t rest = 0;  // of a division by the step's units

    bool operator<(const State& other) const {
      return std::tie(phase, count, low, high, rest) <
             std::tie(other.phase, other.count, other.low, other.high, other.rest);
    }
  };

  Rules::Symbol number(const State& state) {
    const auto [it, is_new] = numbers_.try_emplace(state, 0);
    if (is_new) {
      it->second = rules_.rule();
      states_.push_back(state);
    }
    return it->second;
  }

  static const std::string& digits_of(const Bound& bound, Phase phase) {
    return phase == Phase::kFraction ? bound.value.fraction : bound.value.whole;
  }

  State with_digit(State state, char digit) const {
    if (low_) {
      state.low = compared(state.low, digits_of(*low_, state.phase), state.count, digit);
    }
    if (high_) {
      state.high = compared(state.high, digits_of(*high_, state.phase), state.count, digit);
    }
    ++state.count;
    if (step_) {
      state.rest = (state.rest * 10 + static_cast<uint64_t>(digit - '0')) % step_->units;
    }
    return state;
  }

  // Where the whole part ends.
  State with_point(State state) const {
    const size_t count = state.phase == Phase::kZero ? 0 : state.count;
    state.low = low_ ? ended(state.low, low_->value.whole, count) : state.low;
    state.high = high_ ? ended(state.high, high_->value.whole, count) : state.high;
    state.phase = Phase::kFraction;
    state.count = 0;
    return state;
  }

  bool accepts(const State& state) const {
    const State end = state.phase == Phase::kFraction ? state : with_point(state);
    const auto order = [&](Order so_far, const Bound& bound) {
      return so_far == Order::kEqual && end.count < bound.value.fraction.size() ? Order::kLess : so_far;
    };
    const Order low = low_ ? order(end.low, *low_) : Order::kGreater;
    const Order high = high_ ? order(end.high, *high_) : Order::kLess;
    uint64_t rest = end.rest;
    for (size_t i = end.count; step_ && i < step_->places; ++i) {
      rest = rest * 10 % step_->units;
    }
    return rest == 0 && (low == Order::kGreater || (low == Order::kEqual && !low_->open)) &&
           (high == Order::kLess || (high == Order::kEqual && !high_->open));
  }

  void add_rules(const State& state) {
    const Rules::Symbol rule = numbers_.at(state);
    const bool fraction = state.phase == Phase::kFraction;
    if (accepts(state) && (!fraction || state.count > 0)) {
      rules_.add(rule, {});
    }
    if (!fraction && places_ > 0) {
      rules_.add(rule, {rules_.text("."), number(with_point(state))});
    }
    const bool more = fraction ? state.count < places_ : state.phase == Phase::kWhole && state.count < digits_;
    std::map<State, std::vector<CharRange>> by_target;
    for (char digit = '0'; more && digit <= '9'; ++digit) {
      by_target[with_digit(state, digit)].push_back({static_cast<uint32_t>(digit), static_cast<uint32_t>(digit)});
    }
    for (auto& [target, digits] : by_target) {
      rules_.add(rule, {rules_.chars(char_set(std::move(digits))), number(target)});
    }
  }

  Rules& rules_;
  std::optional<Bound> low_;
  std::optional<Bound> high_;
  std::optional<Step> step_;
  size_t digits_ = 0;  // of the whole part, at most
  size_t places_ = 0;  // of the fraction
  std::map<State, Rules::Symbol> numbers_;
  std::vector<State> states_;
};

// The other way round, for negative numbers.
std::optional<Bound> mirrored(std::optional<Bound> bound) {
  if (bound) {
    bound->value.negative = !bound->value.negative && !bound->value.is_zero();
  }
  return bound;
}

// Of one sign; `positive` numbers have 0 among them, the others do not. None when there are no such numbers.
struct Magnitudes {
  std::optional<Bound> low;
  std::optional<Bound> high;
  bool any = true;
};

Magnitudes magnitudes(std::optional<Bound> low, std::optional<Bound> high, bool positive) {
  if (low && (low->value.negative || (positive && low->value.is_zero() && !low->open))) {
    low.reset();
  }
  if (!low && !positive) {
    low = Bound{Decimal(), true};
  }
  const bool none = high && high->value.negative;
  if (high && high->value.whole.size() > kMostBoundDigits) {
    high.reset();
  }
  return {low, high, !none};
}

// Divided by 10 to the power of `zeros`.
std::optional<Bound> shifted(std::optional<Bound> bound, size_t zeros) {
  for (; bound && zeros > 0; --zeros) {
    Decimal& number = bound->value;
    const char last = number.whole.empty() ? '0' : number.whole.back();
    number.whole.resize(number.whole.empty() ? 0 : number.whole.size() - 1);
    if (last != '0' || !number.fraction.empty()) {
      number.fraction.insert(number.fraction.begin(), last);
    }
  }
  return bound;
}

// The rule for numbers of one sign; none when that takes too many states.
std::optional<Rules::Symbol> magnitude_rule(Rules& rules, const Magnitudes& its, const NumberShape& shape) {
  size_t zeros = 0;
  std::optional<Step> step = shape.step;
  while (step && step->places == 0 && step->units % 10 == 0) {
    step->units /= 10;
    ++zeros;
  }
  if (zeros == 0) {
    return MagnitudeRules(rules, its.low, its.high, step, shape.whole).make();
  }
  // Multiples of 500 are 0, and those of 5 with two zeros behind them.
  const Rules::Symbol made = rules.rule();
  if (!its.low) {
    rules.add(made, {rules.text("0")});
  }
  const Bound above_zero = {Decimal(), true};
  const auto low = its.low ? shifted(its.low, zeros) : above_zero;
  const auto digits = MagnitudeRules(rules, low, shifted(its.high, zeros), step, true).make();
  if (digits) {
    rules.add(made, {*digits, rules.text(std::string(zeros, '0'))});
  }
  return digits ? std::optional(made) : std::nullopt;
}

// Without the zeros at its end.
uint64_t odd_units(uint64_t units) {
  while (units > 0 && units % 10 == 0) {
    units /= 10;
  }
  return units;
}

}  // namespace

Rules::Symbol number_rule(Context& context, Rules& rules, const NumberShape& shape) {
  if (!shape.low && !shape.high && !shape.step) {
    return shape.whole ? rules.integer() : rules.number();
  }
  if (shape.step && (shape.step->units == 0 || odd_units(shape.step->units) > kMostUnits)) {
    context.refuse(shape.step_of, "multipleOf", "cannot be enforced: the number, less its zeros, is too large");
    return rules.rule();
  }
  const auto far = [](const std::optional<Bound>& bound, bool negative) {
    return bound && bound->value.negative == negative && bound->value.whole.size() > kMostBoundDigits;
  };
  if (far(shape.low, false) || far(shape.high, true)) {
    context.refuse(shape.step_of, far(shape.low, false) ? "minimum" : "maximum",
                   "cannot be enforced: the number has too many digits");
  }
  const Rules::Symbol made = rules.rule();
  const Magnitudes above = magnitudes(shape.low, shape.high, true);
  const Magnitudes below = magnitudes(mirrored(shape.high), mirrored(shape.low), false);
  for (const bool positive : {true, false}) {
    const Magnitudes& its = positive ? above : below;
    if (!its.any) {
      continue;
    }
    const auto digits = magnitude_rule(rules, its, shape);
    if (!digits) {
      context.refuse(shape.step_of, "multipleOf",
                     "cannot be enforced together with these limits: that takes too many rules");
      return made;
    }
    rules.add(made, positive ? Rules::Sequence{*digits} : Rules::Sequence{rules.text("-"), *digits});
  }
  return made;
}

}  // namespace hypura::schema
