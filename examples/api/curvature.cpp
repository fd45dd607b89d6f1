// Hessians: entries, products, spectra, and the test that needs no eigenvalues.
#include <lossatlas/lossatlas.hpp>

#include "check.hpp"

using namespace lossatlas;

namespace {

const Network kNetwork = mlp({1, 3, 1}, Activation::tanh);  // 10 parameters
const std::vector<double> kTheta = random_parameters(kNetwork, {.seed = 1});

void entries_and_products() {
  const Landscape landscape(kNetwork, tanh3(), Loss::mean_squared_error);
  //! [hessian]
  const std::vector<double> h = hessian(landscape, kTheta);  // (10, 10)
  check(h[2 * 10 + 7] == h[7 * 10 + 2]);
  const std::vector<double> part = hessian(landscape, kTheta, {.part = HessianPart::gauss_newton});
  check(near(part[9 * 10 + 9], 2) && near(h[9 * 10 + 9], 2));  // the output bias, squared error: no other part
  //! [hessian]

  //! [products]
  const HessianOperator times_h(landscape, kTheta);  // forms no matrix
  std::vector<double> vectors(2 * 10, 0.0);          // two vectors, one after the other
  vectors[0 * 10 + 7] = 1;
  vectors[1 * 10 + 2] = 3;
  const std::vector<double> products = times_h.multiply(vectors);
  check(near(products[0 * 10 + 2], h[2 * 10 + 7]) && near(products[1 * 10 + 7], 3 * h[7 * 10 + 2]));
  //! [products]
}

void spectra() {
  const Landscape landscape(kNetwork, tanh3(), Loss::mean_squared_error);
  //! [spectrum]
  const Spectrum spectrum = hessian_spectrum(landscape, kTheta, {.vectors = true});
  check(spectrum.inertia.size() == 10 && spectrum.eigenvalues.front() <= spectrum.eigenvalues.back());
  check(spectrum.residual < 1e-9 * spectrum.eigenvalues.back());
  const std::span<const double> steepest = std::span(spectrum.eigenvectors).last(10);  // of the largest eigenvalue
  const std::vector<double> product = HessianOperator(landscape, kTheta).multiply(steepest);
  check(near(product[0], spectrum.eigenvalues.back() * steepest[0]));

  const SpectrumCost cost = spectrum_cost(landscape, {.vectors = true});  // beforehand
  check(cost.bytes >= 2 * 8 * 10 * 10 && cost.eigen_flop > 0);
  //! [spectrum]

  //! [spectra]
  std::vector<double> thetas = kTheta;  // (2, 10): one point after the other
  const std::vector<double> second = random_parameters(kNetwork, {.seed = 2});
  thetas.insert(thetas.end(), second.begin(), second.end());
  const std::vector<Spectrum> both = hessian_spectra(landscape, thetas, {.zero_threshold = 1e-8});
  check(both.size() == 2 && near(both[0].eigenvalues[9], spectrum.eigenvalues[9]));
  check(both[0].zero.threshold == 1e-8);
  //! [spectra]
}

void without_eigenvalues() {
  const Landscape landscape(kNetwork, tanh3(), Loss::mean_squared_error);
  //! [curvature]
  const CurvatureTest test = test_curvature(landscape, kTheta);
  const bool negative = hessian_spectrum(landscape, kTheta).inertia.negative > 0;
  check(test.curvature == (negative ? Curvature::negative : Curvature::not_negative));
  check(test_curvature(landscape, kTheta, {.below = 1e3}).curvature == Curvature::not_negative);  // none below -1000
  //! [curvature]
}

void any_matrix() {
  //! [symmetric spectrum]
  const Spectrum spectrum = symmetric_spectrum({2, 1, 1, 2}, 2, {.vectors = true});
  check(near(spectrum.eigenvalues[0], 1) && near(spectrum.eigenvalues[1], 3));
  check(near(spectrum.eigenvectors[0], -spectrum.eigenvectors[1]));  // row 0 belongs to 1
  ZeroRule rule;
  const Inertia inertia = count_inertia({-2, 1e-15, 5}, std::nullopt, &rule);
  check(inertia == Inertia{.positive = 1, .zero = 1, .negative = 1} && rule.smallest_nonzero == 2);
  //! [symmetric spectrum]
}

}  // namespace

int main() { return run({entries_and_products, spectra, without_eigenvalues, any_matrix}); }
