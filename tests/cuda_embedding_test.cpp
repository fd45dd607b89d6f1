// The block theorem of docs/theory.md, section 4, with Hessians, spectra and factors of the CUDA device, against dual numbers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include <lossatlas/critical_point.hpp>
#include <lossatlas/curvature.hpp>
#include <lossatlas/forecast.hpp>
#include <lossatlas/hessian.hpp>

#include "cuda_device.hpp"
#include "reference/block_theorem.hpp"

namespace lossatlas {
namespace {

using reference::kAlphas;
using reference::max_difference;
using reference::RandomProblem;

class CudaEmbedding : public CudaBackend {};

/// One neuron of a random problem, split with every α.
class SplitCase {
 public:
  SplitCase(const RandomProblem& problem, std::int64_t layer, std::int64_t neuron)
      : problem_(problem),
        narrow_(problem.network, problem.data, problem.loss, Device::cuda()),
        forecast_(split_forecast(narrow_, problem.theta, layer, neuron)) {
    for (const double alpha : kAlphas) {
      splits_.push_back({layer, neuron, alpha});
      wide_.push_back(split_neuron(problem.network, problem.theta, splits_.back()));
      thetas_.insert(thetas_.end(), wide_.back().theta.begin(), wide_.back().theta.end());
    }
  }

  /// The largest difference between VᵀH_wideV and the direct sum, and between their sorted spectra.
  struct Errors {
    double matrix = 0, spectrum = 0, oracle = 0;
  };

  void check(Errors& worst, reference::Tally& tally) const {
    const Landscape wide(wide_.front().network, problem_.data, problem_.loss, Device::cuda());
    const std::vector<double> narrow_hessian = hessian(narrow_, problem_.theta);
    const std::vector<Spectrum> spectra = hessian_spectra(wide, thetas_);
    ASSERT_EQ(spectra.size(), wide_.size());
    for (std::size_t i = 0; i < wide_.size(); ++i) {
      SCOPED_TRACE(problem_.describe() + ", layer " + std::to_string(splits_[i].layer) + ", alpha " +
                   std::to_string(splits_[i].alpha));
      const std::vector<double>& theta = wide_[i].theta;
      const std::vector<double> h = hessian(wide, theta);
      const auto left =
          reference::congruent(reference::coordinates(problem_.network, wide_[i].network, splits_[i]), h, theta.size());
      const auto right = reference::direct_sum(narrow_hessian, forecast_, splits_[i].alpha);
      const double scale = reference::largest(h);
      const auto size = static_cast<double>(theta.size());
      note(max_difference(left, right), 1e-12, scale, worst.matrix);
      note(max_difference(sorted(left), sorted(right)), 1e-12 * size, scale, worst.spectrum);
      const auto exact = reference::dual_hessian(wide_[i].network, theta, problem_.data, problem_.loss);
      note(max_difference(spectra[i].eigenvalues, sorted(exact)), 1e-12 * size, scale, worst.oracle);
      tally.compare(forecast_.wide(splits_[i].alpha), forecast_.gap, spectra[i], "forecast");
    }
  }

 private:
  static std::vector<double> sorted(const std::vector<double>& matrix) {
    return symmetric_spectrum(matrix, reference::side(matrix)).eigenvalues;
  }
  static void note(double error, double bound, double scale, double& worst) {
    EXPECT_LE(error, bound * scale);
    if (scale > 0) worst = std::max(worst, error / scale);  // dead units: all may vanish
  }

  const RandomProblem& problem_;
  Landscape narrow_;
  SplitForecast forecast_;
  std::vector<Split> splits_;
  std::vector<Embedding> wide_;
  std::vector<double> thetas_;
};

TEST_F(CudaEmbedding, BlockTheoremAtRandomParameters) {
  std::uint64_t seed = 6000;
  SplitCase::Errors worst;
  reference::Tally tally;
  for (int round = 0; round < 2; ++round) {
    for (const auto& kind : reference::kinds()) {
      const RandomProblem problem = reference::random_problem(++seed, kind);
      for (std::int64_t layer = 1; layer < problem.network.depth(); ++layer) {
        const std::int64_t neuron = static_cast<std::int64_t>(seed) % reference::width(problem.network, layer - 1);
        SplitCase(problem, layer, neuron).check(worst, tally);
      }
    }
  }
  std::printf("seeds from 6001: |VtHV - sum| %.1e, sorted spectra %.1e, device and oracle %.1e, of max |H|\n",
              worst.matrix, worst.spectrum, worst.oracle);
  tally.report("one split on the device");
  EXPECT_GT(tally.compared, 400);
}

/// The minimum of [Z21] Figure 3a, whose α = ½ split is a saddle with one zero eigenvalue.
TEST_F(CudaEmbedding, MinimumOfWidthTwoBecomesASaddle) {
  const auto mse = Loss::mean_squared_error;
  const Network network = mlp({1, 2, 1}, Activation::tanh, {.bias = Bias::hidden});
  const Landscape host(network, tanh3(), mse, Device::cpu());
  const CriticalPoint minimum = find_critical_point(host, random_parameters(network, {.seed = 1}));
  ASSERT_TRUE(minimum.critical) << minimum.remark;
  const Landscape narrow(network, tanh3(), mse, Device::cuda());
  const Embedding split = split_neuron(network, minimum.theta, {1, 0, 0.5});
  const Landscape wide(split.network, tanh3(), mse, Device::cuda());
  EXPECT_EQ(test_curvature(narrow, minimum.theta).curvature, Curvature::not_negative);
  EXPECT_EQ(test_curvature(wide, split.theta).curvature, Curvature::negative);
  EXPECT_EQ(hessian_spectrum(narrow, minimum.theta).inertia, (Inertia{6, 0, 0}));
  const Spectrum after = hessian_spectrum(wide, split.theta);
  EXPECT_EQ(after.inertia.zero, 1);
  EXPECT_GT(after.inertia.negative, 0);
  EXPECT_EQ(after.inertia, forecast_split(narrow, minimum.theta, {1, 0, 0.5}));
}

}  // namespace
}  // namespace lossatlas
