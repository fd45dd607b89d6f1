// Calls on one point, or before any point, end when they are asked to.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <functional>
#include <lossatlas/hessian.hpp>
#include <lossatlas/landscape.hpp>
#include <lossatlas/rates.hpp>
#include <stop_token>
#include <thread>

#include "reference/random_problem.hpp"
#include "test_device.hpp"

namespace lossatlas {
namespace {

/// A chain of layers of one unit.
Network chain(std::int64_t layers) {
  return mlp(std::vector<std::int64_t>(static_cast<std::size_t>(layers + 1), 1), Activation::tanh);
}

Dataset line(std::int64_t samples) {
  Random random(4);
  return reference::random_data(random, samples, 1, 1, Loss::mean_squared_error);
}

/// Of this process: other processes do not count.
double processor_seconds(const std::function<void()>& call) {
  const std::clock_t start = std::clock();
  call();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

double seconds(const std::function<void()>& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST(Interruption, ARequestBeforehandIsHeededByEveryCall) {
  const Network network = mlp({1, 3, 1}, Activation::tanh);
  const Landscape landscape(network, line(20), Loss::mean_squared_error, test_device());
  const std::vector<double> theta = random_parameters(network, {.seed = 1});
  const Section section = make_section(network, theta, random_directions(network, theta));
  std::stop_source stop;
  stop.request_stop();
  const Control control{{}, stop.get_token()};
  const HessianOptions options{.control = control};
  EXPECT_THROW(landscape.evaluate(theta, control), Interrupted);
  EXPECT_THROW(landscape.gradient(theta, control), Interrupted);
  EXPECT_THROW(landscape.explain(section, 9, {.control = control}), Interrupted);
  EXPECT_THROW(section_cost(landscape, section, 9, {.control = control}), Interrupted);
  EXPECT_THROW(measure_rates(test_device(), Precision::f64, control), Interrupted);
  EXPECT_THROW(hessian(landscape, theta, options), Interrupted);
  EXPECT_THROW(hessian_spectrum(landscape, theta, {}, options), Interrupted);
  EXPECT_THROW(hessian_spectra(landscape, theta, {}, options), Interrupted);
  EXPECT_THROW(HessianOperator(landscape, theta).multiply(theta, control), Interrupted);
}

TEST(Interruption, ARequestBeforehandIsHeededOnGraphs) {
  const Network network({{Dense{1, 3, true, Activation::tanh}, {-1}},
                         {Dense{3, 3, true, Activation::identity}, {0}},
                         {Add{}, {0, 1}},
                         {Dense{3, 1, true, Activation::identity}, {2}}});
  const Landscape landscape(network, line(20), Loss::mean_squared_error, test_device());
  const std::vector<double> theta = random_parameters(network, {.seed = 1});
  const Section section = make_section(network, theta, random_directions(network, theta));
  std::stop_source stop;
  stop.request_stop();
  const Control control{{}, stop.get_token()};
  EXPECT_THROW(landscape.gradient(theta, control), Interrupted);
  EXPECT_THROW(landscape.evaluate(section, std::vector<double>{0, 0}, {.control = control}), Interrupted);
  EXPECT_THROW(landscape.explain(section, 9, {.control = control}), Interrupted);
  EXPECT_THROW(hessian(landscape, theta, {.control = control}), Interrupted);
  EXPECT_THROW(HessianOperator(landscape, theta).multiply(theta, control), Interrupted);
}

// Of the threads at work each may finish what it has begun; nobody begins anything new.
TEST(Interruption, NoChunkOfSamplesBeginsAfterTheRequest) {
  constexpr int kThreads = 3;
  const Network network = mlp({1, 8, 1}, Activation::tanh);
  const Landscape landscape(network, line(40000), Loss::mean_squared_error, Device::cpu({.threads = kThreads}));
  const std::vector<double> theta = random_parameters(network, {.seed = 1});
  const auto events_after_request = [](const std::function<void(const Control&)>& call) {
    std::stop_source stop;
    int events = 0;
    const Control control{[&](const ProgressEvent& event) {
                            if (event.done > 0 && events++ == 0) {
                              std::jthread([&stop] { stop.request_stop(); }).join();
                            }
                          },
                          stop.get_token()};
    EXPECT_THROW(call(control), Interrupted);
    return events - 1;
  };
  EXPECT_LT(events_after_request([&](const Control& control) { landscape.evaluate(theta, control); }), kThreads);
  EXPECT_LT(events_after_request([&](const Control& control) { landscape.gradient(theta, control); }), kThreads);
  const auto expect_samples = [](const std::function<void(const Control&)>& call) {
    int events = 0;
    std::int64_t last = 0;
    call({[&](const ProgressEvent& event) {
            EXPECT_GT(event.done, last);
            EXPECT_EQ(event.total, 40000);
            last = event.done;
            ++events;
          },
          {}});
    EXPECT_GT(events, 10 * kThreads);
    EXPECT_EQ(last, 40000);
  };
  expect_samples([&](const Control& control) { landscape.evaluate(theta, control); });
  expect_samples([&](const Control& control) { landscape.gradient(theta, control); });
}

// The Hessian of L layers has of the order of L² blocks, and each takes its share: three times the layers may take nine
// times as long and more, but not 81 times.
TEST(Interruption, DeepHessiansTakeTimeByTheirBlocks) {
  const auto best_of = [](int runs, std::int64_t layers) {
    const Network network = chain(layers);
    const Landscape landscape(network, line(2), Loss::mean_squared_error, Device::cpu({.threads = 1}));
    const std::vector<double> theta = random_parameters(network, {.seed = 1});
    double best = 1e9;
    for (int i = 0; i < runs; ++i) best = std::min(best, processor_seconds([&] { hessian(landscape, theta); }));
    return best;
  };
  EXPECT_LT(best_of(2, 240), 40 * best_of(5, 80));
}

// One chunk of samples, within which no progress is reported. Uninterrupted it takes many times as long as what is
// allowed after the request.
TEST(Interruption, OneChunkOfADeepHessianIsLeftInTheMiddle) {
  const Network network = mlp({1, 16, 16, 16, 16, 16, 16, 16, 16, 1}, Activation::tanh);
  const Landscape landscape(network, line(32), Loss::mean_squared_error, Device::cpu({.threads = 1}));
  const std::vector<double> theta = random_parameters(network, {.seed = 1});
  hessian(landscape, theta);
  bool in_the_middle = false;
  for (int attempt = 0; attempt < 5 && !in_the_middle; ++attempt) {  // other processes may delay any one of them
    const double whole = seconds([&] { hessian(landscape, theta); });
    std::stop_source stop;
    std::jthread other([&] {
      std::this_thread::sleep_for(std::chrono::duration<double>(0.05 * whole));
      stop.request_stop();
    });
    bool stopped = false;
    const double interrupted = seconds([&] {
      try {
        hessian(landscape, theta, {.control = {{}, stop.get_token()}});
      } catch (const Interrupted&) {
        stopped = true;
      }
    });
    in_the_middle = stopped && interrupted < 0.6 * whole;
  }
  EXPECT_TRUE(in_the_middle);
}

}  // namespace
}  // namespace lossatlas
