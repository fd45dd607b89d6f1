// Every public entry point that reaches a device, with each of its allocations and launches failing in turn: no leak, a
// clear error, and the next call as if nothing had been.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <regex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/lossatlas.hpp>

#include "planted_failures.hpp"
#include "result_numbers.hpp"

namespace lossatlas {
namespace {

using testing::append;
using testing::Numbers;
using testing::numbers;
using testing::numbers_of;
namespace fs = std::filesystem;

// ---- entry points ---------------------------------------------------------------------------------------------------

using Call = std::function<Numbers()>;

/// One way into the library: the declaration as declarations() shortens it, and what makes a call of it.
struct EntryPoint {
  std::string name;
  std::string declaration;
  std::function<Call()> prepare;
};

using EntryPoints = std::vector<EntryPoint>;

/// An entry point called as function(landscape, instance), on a fresh landscape.
template <class Function>
EntryPoint entry(std::string name, std::string declaration, const Instance& instance, Function function) {
  return {std::move(name), std::move(declaration), [instance, function]() -> Call {
            const auto landscape =
                std::make_shared<const Landscape>(instance.network, instance.data, instance.loss, Device::cuda());
            return [landscape, instance, function] { return function(*landscape, instance); };
          }};
}

Instance few_samples(Support support = Support::all, Loss loss = Loss::cross_entropy) {
  return make_instance({.widths = {2, 3, 2}, .loss = loss, .support = support, .samples = 5, .rank = 1, .points = 3});
}

/// For optimisers, critical points and embeddings.
Instance narrow() {
  return make_instance({.widths = {1, 2, 1},
                        .loss = Loss::mean_squared_error,
                        .targets = Targets::real,
                        .samples = 4,
                        .rank = 1,
                        .points = 1});
}

const Grid kFew = Grid::box(-1, 1, {3});
const Grid kMany = Grid::box(-1, 1, {150});  // so that nodes are fewer

std::vector<double> points_of(const Grid& line) {
  std::vector<double> points(static_cast<std::size_t>(line.size()));
  for (std::int64_t g = 0; g < line.size(); ++g) line.point(g, std::span(points).subspan(std::size_t(g), 1));
  return points;
}

void add_landscapes(EntryPoints& list) {
  list.push_back({"Construction", "Landscape::Landscape(Network, Dataset, Loss, Device)", [] {
                    const Instance one = narrow();  // its targets are brought in two precisions
                    return [one, landscape = std::shared_ptr<Landscape>()]() mutable {
                      landscape = std::make_shared<Landscape>(one.network, one.data, one.loss, Device::cuda());
                      return numbers(landscape->evaluate(one.section.origin).losses);
                    };
                  }});
  const Instance one = few_samples();
  list.push_back(
      entry("Evaluate", "Landscape::evaluate(span, Control)", one, [](const Landscape& landscape, const Instance& at) {
        const Evaluation found = landscape.evaluate(at.section.origin);
        return numbers(found.losses, found.accuracy);
      }));
  list.push_back(
      entry("Gradient", "Landscape::gradient(span, Control)", one,
            [](const Landscape& landscape, const Instance& at) { return landscape.gradient(at.section.origin); }));
  list.push_back(
      entry("Outputs", "Landscape::outputs(Section, span, Control)", few_samples(Support::theorem1),
            [](const Landscape& landscape, const Instance& at) { return landscape.outputs(at.section, at.points); }));
}

void add_sections(EntryPoints& list) {
  const std::string on_grid = "Landscape::evaluate(Section, Grid, EvaluateOptions)";
  const std::string at_points = "Landscape::evaluate(Section, span, EvaluateOptions)";
  for (const Precision precision : {Precision::f64, Precision::f32, Precision::fast}) {
    for (const Method method : {Method::pointwise, Method::chebyshev}) {
      const EvaluateOptions options{.precision = precision, .method = method, .tolerance = 1e-2};
      const bool pointwise = method == Method::pointwise;
      const Grid grid = pointwise ? kFew : kMany, line = pointwise ? Grid::box(0.5, 0.5, {1}) : kMany;
      const std::string how = std::string("_") + name(precision) + '_' + name(method);
      list.push_back(entry("Grid" + how, on_grid, few_samples(), [=](const Landscape& landscape, const Instance& at) {
        return numbers_of(landscape.evaluate(at.section, grid, options));
      }));
      list.push_back(
          entry("Points" + how, at_points, few_samples(), [=](const Landscape& landscape, const Instance& at) {
            return numbers_of(landscape.evaluate(at.section, points_of(line), options));
          }));
    }
  }
  Instance far = make_instance({.widths = {3, 5, 2}, .activation = Activation::relu, .bias = Bias::none, .rank = 1});
  list.push_back(entry("PointsBeyondHalf", at_points, far, [](const Landscape& landscape, const Instance& at) {
    return numbers_of(landscape.evaluate(at.section, std::vector<double>{0.5, 1e6}, {.precision = Precision::fast}));
  }));
  list.push_back(entry("GridWithEnds", on_grid, few_samples(), [](const Landscape& landscape, const Instance& at) {
    const Section line = line_section(at.network, at.section.origin, at.section.directions);
    return numbers_of(landscape.evaluate(line, Grid::unit({3})));
  }));
  list.push_back(entry("FitChebyshev", "fit_chebyshev(Landscape, Section, Grid, EvaluateOptions)",
                       few_samples(Support::last, Loss::mean_squared_error),
                       [](const Landscape& landscape, const Instance& at) {
                         const ChebyshevFit fit = fit_chebyshev(landscape, at.section, kMany);
                         const auto coefficients = fit.interpolant.value().coefficients();
                         return numbers(Numbers(coefficients.begin(), coefficients.end()), fit.report.estimate);
                       }));
}

/// Of a run that goes on from what an earlier one left. One that fails leaves no file but what it can go on from.
Numbers written(const fs::path& folder, const Landscape& landscape, const Section& section, const Grid& grid,
                const SectionFileOptions& options) {
  const fs::path file = folder / "section.npy";
  const auto unfinished = [&](const char* ending) {
    return fs::exists(folder / (std::string("section.npy") + ending));
  };
  try {
    write_section(file, landscape, section, grid, options);
  } catch (const Error&) {
    EXPECT_FALSE(fs::exists(file));
    EXPECT_EQ(unfinished(".partial"), unfinished(".journal"));
    throw;
  }
  EXPECT_FALSE(unfinished(".partial") || unfinished(".journal"));
  Array losses = read_npy(file);
  fs::remove(file);
  return losses.values;
}

/// A folder that goes with its last owner.
std::shared_ptr<const fs::path> temporary_folder() {
  std::string pattern = (fs::temp_directory_path() / "lossatlas-failures-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
  return {new fs::path(pattern), [](const fs::path* folder) {
            std::error_code ignored;
            fs::remove_all(*folder, ignored);
            delete folder;
          }};
}

void add_section_files(EntryPoints& list) {
  struct Way {
    const char* name;
    Method method;
    std::int64_t tile;
  };
  for (const Way& way : {Way{"WriteSection", Method::pointwise, 1}, Way{"WriteSectionInHalves", Method::pointwise, 2},
                         Way{"WriteSectionChebyshev", Method::chebyshev, 100}}) {
    SectionFileOptions options{.unfinished = Unfinished::resume, .tile_points = way.tile};
    options.evaluate.method = way.method;
    const Grid grid = way.method == Method::pointwise ? kFew : kMany;
    const Instance one = few_samples(Support::last, Loss::mean_squared_error);
    list.push_back({way.name, "write_section(path, Landscape, Section, Grid, SectionFileOptions)", [=]() -> Call {
                      const auto folder = temporary_folder();
                      const auto landscape =
                          std::make_shared<const Landscape>(one.network, one.data, one.loss, Device::cuda());
                      return [=] { return written(*folder, *landscape, one.section, grid, options); };
                    }});
  }
}

void add_patterns(EntryPoints& list) {
  const auto add = [&](const char* variant, FitOptions options) {
    options.hidden = {3};
    options.iterations = 1;
    list.push_back({variant, "fit_pattern(Pattern, Dataset, FitOptions)", [options]() -> Call {
                      const Pattern pattern({3, 4}, 1, {0, 1, 0, 1, 1, 0, 1, 0, 0, 1, 0, 1});
                      const Dataset train = few_samples().data;
                      FitOptions here = options;
                      here.device = Device::cuda();
                      return [=] { return numbers_of(fit_pattern(pattern, train, here)); };
                    }});
  };
  const FitOptions on_host{.placed_share = 1, .device = Device::cpu({.threads = 2})};
  FitOptions even = on_host, adam = on_host, refined = on_host;
  even.placed_share = 0;
  even.feature_width = 0.5;
  adam.method = FitMethod::adam;
  refined.method = FitMethod::refine;
  add("FitPatternEven", even);
  add("FitPatternPlaced", on_host);
  add("FitPatternAdam", adam);
  add("FitPatternRefined", refined);
}

void add_transfer(EntryPoints& list) {
  list.push_back(entry("TransferReport", "transfer_report(Landscape, Section, Surface, Dataset, EvaluateOptions)",
                       few_samples(Support::theorem1), [](const Landscape& landscape, const Instance& at) {
                         const Surface home = landscape.evaluate(at.section, kFew);
                         const TransferReport report =
                             transfer_report(landscape, at.section, home, few_samples().data.slice(0, 3));
                         return numbers(numbers_of(report.surface), report.predicted_rms_difference);
                       }));
}

template <class Optimiser>
void add_optimiser(EntryPoints& list, const std::string& method) {
  list.push_back(entry("Optimise" + method, "optimise(Landscape, span, " + method + ", StoppingRule)", narrow(),
                       [](const Landscape& landscape, const Instance& at) {
                         StoppingRule rule;
                         rule.iterations = 1;
                         return numbers_of(optimise(landscape, at.section.origin, Optimiser{}, rule));
                       }));
}

void add_optimisers(EntryPoints& list) {
  add_optimiser<GradientDescent>(list, "GradientDescent");
  add_optimiser<Adam>(list, "Adam");
  add_optimiser<LevenbergMarquardt>(list, "LevenbergMarquardt");
  add_optimiser<Newton>(list, "Newton");
}

void add_critical_points(EntryPoints& list) {
  const CriticalPointOptions brief{.descent_iterations = 1, .polish_iterations = 1};
  list.push_back(entry("FindCriticalPoint", "find_critical_point(Landscape, span, CriticalPointOptions)", narrow(),
                       [=](const Landscape& landscape, const Instance& at) {
                         return numbers_of(find_critical_point(landscape, at.section.origin, brief));
                       }));
  list.push_back(entry("CertifyCriticalPoint", "certify_critical_point(Landscape, span, double)", narrow(),
                       [](const Landscape& landscape, const Instance& at) {
                         Numbers theta(at.section.origin.size());  // the best constant
                         theta.back() = label_statistics(at.data).mean[0];
                         const CriticalPoint point = certify_critical_point(landscape, theta);
                         EXPECT_TRUE(point.critical) << point.remark;
                         return numbers_of(point);
                       }));
}

void add_critical_search(EntryPoints& list) {
  list.push_back(entry("SearchCriticalPoints", "search_critical_points(Landscape, CriticalSearchOptions)", narrow(),
                       [=](const Landscape& landscape, const Instance&) {
                         const CriticalSearch found = search_critical_points(
                             landscape, {.starts = 2, .each = {.descent_iterations = 0, .polish_iterations = 0}});
                         Numbers result = numbers(double(found.not_converged), double(found.at_infinity));
                         for (const auto& one : found.classes) append(result, numbers_of(one.representative));
                         return result;
                       }));
}

void add_hessians(EntryPoints& list) {
  const Instance one = few_samples();
  list.push_back(
      entry("Hessian", "hessian(Landscape, span, HessianOptions)", one,
            [](const Landscape& landscape, const Instance& at) { return hessian(landscape, at.section.origin); }));
  list.push_back(entry("HessianProducts", "HessianOperator::multiply(span, Control)", one,
                       [](const Landscape& landscape, const Instance& at) {
                         return HessianOperator(landscape, at.section.origin).multiply(at.section.directions);
                       }));
  list.push_back(entry("HessianSpectrum", "hessian_spectrum(Landscape, span, SpectrumOptions, HessianOptions)", one,
                       [](const Landscape& landscape, const Instance& at) {
                         return numbers_of(hessian_spectrum(landscape, at.section.origin, {.vectors = true}));
                       }));
  list.push_back(entry("HessianSpectra", "hessian_spectra(Landscape, span, SpectrumOptions, HessianOptions)", one,
                       [](const Landscape& landscape, const Instance& at) {
                         Numbers result;
                         const Numbers thetas = numbers(at.section.origin, at.section.directions);
                         for (const Spectrum& each : hessian_spectra(landscape, thetas, {.vectors = true})) {
                           append(result, numbers_of(each));
                         }
                         return result;
                       }));
  list.push_back(entry("SpectrumCost", "spectrum_cost(Landscape, SpectrumOptions, HessianPart)", one,
                       [](const Landscape& landscape, const Instance&) {
                         return numbers(spectrum_cost(landscape, {.vectors = true}).bytes);
                       }));
  list.push_back(entry("TestCurvature", "test_curvature(Landscape, span, CurvatureOptions)", one,
                       [](const Landscape& landscape, const Instance& at) {
                         const CurvatureTest test = test_curvature(landscape, at.section.origin);
                         return numbers(double(test.curvature), test.below, test.rounding);
                       }));
}

void add_embeddings(EntryPoints& list) {
  list.push_back(entry("Certify", "certify(Landscape, span, Embedding, Control)", narrow(),
                       [](const Landscape& landscape, const Instance& at) {
                         const auto found =
                             certify(landscape, at.section.origin, split_neuron(at.network, at.section.origin, {}));
                         return numbers(found.output_change, found.loss_change, found.gradient_residual,
                                        found.narrow_gradient_l1, found.wide_gradient_l1);
                       }));
  list.push_back(entry("SplitForecast", "split_forecast(Landscape, span, long, long, SpectrumOptions, Control)",
                       narrow(), [](const Landscape& landscape, const Instance& at) {
                         return numbers_of(split_forecast(landscape, at.section.origin, 1, 0));
                       }));
  list.push_back(entry("ForecastSplit", "forecast_split(Landscape, span, Split, Control)", narrow(),
                       [](const Landscape& landscape, const Instance& at) {
                         return numbers(forecast_split(landscape, at.section.origin, {}));
                       }));
}

void add_rates(EntryPoints& list) {
  for (const Precision precision : {Precision::f64, Precision::f32, Precision::fast}) {
    list.push_back(
        {std::string("Rates_") + name(precision), "measure_rates(Device, Precision, Control)", [precision]() -> Call {
           return [precision, device = Device::cuda()] {
             const DeviceRates rates = measure_rates(device, precision);  // other numbers each time
             return numbers(rates.flop > 0, rates.transcendental > 0, rates.bytes > 0);
           };
         }});
  }
}

constexpr void (*kGroups[])(EntryPoints&) = {
    add_landscapes,      add_sections,        add_section_files, add_patterns,   add_transfer, add_optimisers,
    add_critical_points, add_critical_search, add_hessians,      add_embeddings, add_rates};

/// Every failure of every entry point of a group.
void fail_every(void (*add)(EntryPoints&)) {
  EntryPoints group;
  add(group);
  for (const EntryPoint& tested : group) {
    SCOPED_TRACE(tested.name);
    EXPECT_GT(fail_every(Planted::allocation, tested.prepare), 2);
    fail_every(Planted::refused_launch, tested.prepare);
    fail_every(Planted::faulting_launch, tested.prepare);
  }
}

TEST_F(CudaFailures, OfLandscapes) { fail_every(add_landscapes); }
TEST_F(CudaFailures, OfSections) { fail_every(add_sections); }
TEST_F(CudaFailures, OfSectionFiles) { fail_every(add_section_files); }
TEST_F(CudaFailures, OfPatterns) { fail_every(add_patterns); }
TEST_F(CudaFailures, OfTransfer) { fail_every(add_transfer); }
TEST_F(CudaFailures, OfOptimisers) { fail_every(add_optimisers); }
TEST_F(CudaFailures, OfCriticalPoints) { fail_every(add_critical_points); }
TEST_F(CudaFailures, OfCriticalSearch) { fail_every(add_critical_search); }
TEST_F(CudaFailures, OfHessians) { fail_every(add_hessians); }
TEST_F(CudaFailures, OfEmbeddings) { fail_every(add_embeddings); }
TEST_F(CudaFailures, OfRates) { fail_every(add_rates); }

// ---- several threads ------------------------------------------------------------------------------------------------

// One landscape, four threads: a failure in one of them is no matter of the others.
TEST_F(CudaFailures, OfOneThreadAreNotThoseOfOthers) {
  const Instance one = few_samples();
  const Landscape landscape(one.network, one.data, one.loss, Device::cuda());
  const std::vector<double> expected = landscape.evaluate(one.section, kFew).losses;
  for (const Planted what : {Planted::allocation, Planted::refused_launch}) {
    for (std::int64_t k = 1; k < 60; k += 3) {
      plant(what, k);
      std::atomic<int> failed = 0;
      const auto work = [&] {
        auto call = [&] { return landscape.evaluate(one.section, kFew).losses; };
        failed += fails(what, k, call, expected);
      };
      {
        std::vector<std::jthread> team;
        for (int t = 0; t < 4; ++t) team.emplace_back(work);
      }
      EXPECT_LE(failed, 1) << k;
      emulator()->reset();
      EXPECT_TRUE(same_bits(landscape.evaluate(one.section, kFew).losses, expected)) << k;
    }
  }
}

// ---- none forgotten -------------------------------------------------------------------------------------------------

/// The exported functions that a landscape, a device or what holds one is given to or belongs to.
std::set<std::string> declarations() {
  const std::pair<std::regex, const char*> shorter[] = {
      {std::regex("lossatlas::|std::filesystem::__cxx11::|\\[abi:cxx11\\]| const&?"), ""},
      {std::regex("std::span<double, [0-9]+ul>"), "span"}};
  const std::regex on_device("^(Landscape|Device|HessianOperator)::|\\(.*\\b(Landscape|Device|FitOptions)\\b");
  std::ifstream symbols(fs::path(__FILE__).replace_filename("exported_symbols.txt"));
  std::set<std::string> found;
  for (std::string line; std::getline(symbols, line);) {
    for (const auto& [pattern, text] : shorter) line = std::regex_replace(line, pattern, text);
    if (std::regex_search(line, on_device)) found.insert(line);
  }
  return found;
}

/// These allocate nothing on a device.
const std::set<std::string> kHostOnly = {
    "Device::best()",
    "Device::cpu(CpuOptions)",
    "Device::cuda(CudaOptions)",
    "Device::describe()",
    "HessianOperator::HessianOperator(Landscape, std::vector<double, std::allocator<double> >, HessianPart)",
    "Landscape::Landscape(Landscape&&)",
    "Landscape::data()",
    "Landscape::device()",
    "Landscape::explain(Section, long, EvaluateOptions)",
    "Landscape::explain(Section, long, EvaluateOptions, DeviceRates)",
    "Landscape::loss()",
    "Landscape::network()",
    "Landscape::operator=(Landscape&&)",
    "Landscape::~Landscape()",
    "rank_splits(Landscape, span, Control)",
    "section_cost(Landscape, Section, long, EvaluateOptions)",
};

TEST(EntryPoints, NoneIsForgotten) {
  std::set<std::string> known = kHostOnly;
  EntryPoints all;
  for (const auto add : kGroups) add(all);
  for (const EntryPoint& each : all) known.insert(each.declaration);
  EXPECT_EQ(declarations(), known);
}

}  // namespace
}  // namespace lossatlas
