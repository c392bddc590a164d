// How often a token uses the experts of a layer, most used first, and what follows from it: hits of a cache, and
// experts that a pass of many tokens touches.
//
// popularity[r] is the probability that a token uses the expert of rank r, as the cache sees it: the sum over all ranks
// is the number of experts a token uses, and the sum over the first q, by that number, the hit rate of q cached
// experts. So it is told from a measured hit curve, which is how a live cache does on a model's routing, and every plan
// agrees with that curve at every size.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hypura {

// Without a measurement: the hit rate of a share x of the experts is x^0.6. Fitted to the live cache on the stories
// model's routing (25 % .424, 37.5 % .554, 50 % .669; docs/lab/experiments.md); other models route otherwise.
inline constexpr double kPriorExponent = 0.6;
std::vector<double> prior_popularity(uint32_t experts, uint32_t used);

// From hit rates: hits[q] with q experts of the layer cached, 0 <= q <= experts. They need be neither monotone nor
// concave: the smallest concave curve above them counts. A curve that does not end at 1 is stretched until it does.
std::vector<double> popularity_from_hits(std::span<const double> hits, uint32_t used);

// Distinct experts that a pass of `tokens` tokens is expected to use of those from rank `first` on, tokens choosing
// independently of each other.
double expected_experts(std::span<const double> popularity, uint32_t first, uint32_t tokens);

}  // namespace hypura
