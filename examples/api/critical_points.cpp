// Critical points, and how splitting neurons embeds them in wider networks.
#include <lossatlas/lossatlas.hpp>

#include "check.hpp"

using namespace lossatlas;

namespace {

const Network kNetwork = mlp({1, 2, 1}, Activation::tanh, {.bias = Bias::hidden});

/// A minimum of width 2 on the data tanh3().
const std::vector<double>& minimum() {
  static const std::vector<double> theta = [] {
    const Landscape landscape(kNetwork, tanh3(), Loss::mean_squared_error);
    return find_critical_point(landscape, random_parameters(kNetwork, {.seed = 1})).theta;
  }();
  return theta;
}

void one_point() {
  //! [critical point]
  const Landscape landscape(kNetwork, tanh3(), Loss::mean_squared_error);
  const std::vector<double> start = random_parameters(kNetwork, {.seed = 1});
  const CriticalPoint point = find_critical_point(landscape, start, {.tolerance = 1e-11});
  check(point.critical && point.finite && point.gradient_l1 <= 1e-11);  // `remark` would say why not
  check(point.inertia.negative == 0 && near(point.loss, 0.0698, 1e-4));

  const CriticalPoint same = certify_critical_point(landscape, point.theta, 1e-11);  // of a theta from elsewhere
  check(same.critical && same.inertia == point.inertia && !certify_critical_point(landscape, start).critical);
  //! [critical point]
}

void many_points() {
  //! [search]
  const Landscape landscape(kNetwork, tanh3(), Loss::mean_squared_error);
  const CriticalSearch search = search_critical_points(landscape, {.starts = 8, .init = {.seed = 1, .power = 3}});
  check(search.found > 0);
  check(search.found + search.vanishing_output + search.at_infinity + search.not_converged == 8);
  for (const CriticalClass& one : search.classes) {  // ascending in the loss; a start may count in several
    check(one.representative.critical && one.count <= search.found);
  }
  check(near(search.classes.front().representative.loss, 0.0697915121018));
  check(near(search.classes.back().representative.loss, 0.1090227420902));
  //! [search]
}

void splits() {
  //! [split]
  const Landscape narrow(kNetwork, tanh3(), Loss::mean_squared_error);
  const Split half{.layer = 1, .neuron = 0, .alpha = 0.5};  // the first neuron of the first hidden layer
  const Embedding wide = split_neuron(kNetwork, minimum(), half);
  check(wide.network.width(0) == 3 && wide.source[0] == std::vector<std::int64_t>{0, 1, 0});
  check(wide.share[0] == std::vector{0.5, 1.0, 0.5});

  const EmbeddingCertificate certificate = certify(narrow, minimum(), wide);
  check(certificate.output_change < 1e-12 && certificate.wide_gradient_l1 < 1e-9);  // still critical
  //! [split]
}

void embeddings() {
  //! [embed]
  const std::vector<double> shares = {0.5, -0.25, 0.75};  // of the output weights of neuron 1: three copies
  const Embedding three = split_neuron(kNetwork, minimum(), 1, 1, shares);
  check(three.source[0] == std::vector<std::int64_t>{0, 1, 1, 1});

  const std::vector<Split> steps = {{1, 0, 0.5}, {1, 2, 0.3}};  // neuron 2 is the copy that the first step made
  check(embed(kNetwork, minimum(), steps).share[0] == std::vector{0.5, 1.0, 0.35, 0.15});
  const std::vector<WeightedSplit> weighted = {{.layer = 1, .neuron = 1, .weights = shares}};
  check(embed(kNetwork, minimum(), weighted).theta == three.theta);

  const std::vector<std::int64_t> widths = {5};  // one for each hidden layer
  check(embed(kNetwork, minimum(), widths).source[0] == std::vector<std::int64_t>{0, 1, 0, 1, 0});
  const std::vector<std::vector<double>> by_neuron = {{0.75, 1.0, 0.25}};  // wide neurons copy 0, 1, 0
  check(embed(kNetwork, minimum(), by_neuron).network.width(0) == 3);
  //! [embed]

  //! [null embedding]
  const Embedding idle = null_embedding(kNetwork, minimum(), 1, 2);  // two neurons without weights in layer 1
  check(idle.network.width(0) == 4 && idle.source[0] == std::vector<std::int64_t>{0, 1, -1, -1});
  //! [null embedding]
}

void families() {
  //! [family]
  const std::vector<Split> both = {{.layer = 1, .neuron = 0}, {.layer = 1, .neuron = 1}};
  const EmbeddingFamily family = embedding_family(kNetwork, minimum(), both);
  const Network& network = family.base.network;
  check(family.rank == 2 && network.width(0) == 4);
  const Section plane = make_section(network, family.base.theta, family.directions);  // alpha of each split
  const Surface surface =
      Landscape(network, tanh3(), Loss::mean_squared_error).evaluate(plane, Grid::box(-2, 2, {3, 3}));
  const Range range = finite_range(surface.losses);
  check(near(range.lo, range.hi));  // the same function everywhere
  //! [family]
}

void forecasts() {
  //! [forecast]
  const Landscape narrow(kNetwork, tanh3(), Loss::mean_squared_error);
  const SplitForecast forecast = split_forecast(narrow, minimum(), 1, 0);  // layer 1, neuron 0, any alpha
  const Inertia inside = forecast.wide(0.5);
  check(inside == forecast.narrow + forecast.inside && forecast.wide(2.0) == forecast.narrow + forecast.outside);
  check(inside == forecast_split(narrow, minimum(), {.layer = 1, .neuron = 0, .alpha = 0.5}));

  const Embedding wide = split_neuron(kNetwork, minimum(), Split{.layer = 1, .neuron = 0, .alpha = 0.5});
  const Landscape landscape(wide.network, tanh3(), Loss::mean_squared_error);
  check(inside == hessian_spectrum(landscape, wide.theta).inertia);
  //! [forecast]

  //! [rank splits]
  const std::vector<SplitCandidate> candidates = rank_splits(narrow, minimum());
  check(candidates.size() == 2 && candidates[0].smallest_eigenvalue <= candidates[1].smallest_eigenvalue);
  //! [rank splits]
}

}  // namespace

int main() { return run({one_point, many_points, splits, embeddings, families, forecasts}); }
