#include "cpu/section_joint.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <type_traits>
#include <vector>

#include "base/parallel.hpp"
#include "cpu/section_lists.hpp"
#include "cpu/section_pack.hpp"

namespace lossatlas::cpu {
namespace {

constexpr std::int64_t kChunkSamples = 1024;  // at most, in one partial sum
constexpr std::int64_t kChunkStep = 64;       // a multiple of R on every target
constexpr double kItemFlop = 1e9;             // tens of milliseconds on one core, so that a stop is quick
constexpr std::int64_t kPartialSums = std::int64_t{1} << 20;  // held at a time: 8 MiB

bool moves(const PlanStep& step) { return !step.adds() && !step.layer->shared(); }

// How G × N is divided. Chunks fix the order of sums and follow from the plan and N; items only decide who computes
// what and when.
struct Cut {
  std::int64_t chunk = 0;         // samples in a partial sum
  std::int64_t chunks = 0;        // of N
  std::int64_t item_points = 1;   // points of one item
  std::int64_t item_chunks = 1;   // chunks of one item
  std::int64_t block_points = 1;  // points between two reductions

  Cut(const SectionPlan& plan, std::int64_t samples, std::int64_t points, std::int64_t most_points, bool moving,
      int threads) {
    const double flop = plan.pair_work;
    chunk =
        std::clamp(static_cast<std::int64_t>(kItemFlop / flop) / kChunkStep * kChunkStep, kChunkStep, kChunkSamples);
    chunks = ceil_divide(samples, chunk);
    const double chunk_flop = flop * static_cast<double>(std::min(chunk, samples));
    const auto fits = std::max<std::int64_t>(1, static_cast<std::int64_t>(kItemFlop / chunk_flop));
    const std::int64_t share = std::clamp<std::int64_t>(ceil_divide(points, std::int64_t{4} * threads), 1, most_points);
    if (moving) {  // weights of a point should serve many samples; fixed ones let cached A_d serve many points
      item_chunks = std::min(fits, chunks);
      item_points = std::clamp<std::int64_t>(fits / item_chunks, 1, share);
    } else {
      item_points = std::min(fits, share);
      item_chunks = std::min(fits / item_points, chunks);
    }
    block_points = round_up(std::max<std::int64_t>(1, kPartialSums / (chunks * plan.heads)), item_points);
  }
};

// Bytes of the A_d, the targets and the packed layers.
template <class T>
std::int64_t pair_bytes(const PlanLists& lists, const Dataset& data) {
  std::int64_t units = 0, weights = 0;
  for (const Crossing& crossing : lists.crossings) units += std::ssize(crossing.parts) * crossing.units;
  for (const PlanStep& step : lists.pair) weights += step.adds() ? 0 : count_values(std::span(step.layer, 1));
  const std::int64_t values =
      round_up(data.size(), section_kernels<T>().rows) * (units + (data.has_labels() ? 1 : data.outputs()));
  return (values + weights) * static_cast<std::int64_t>(sizeof(T));
}

template <class T>
class PairSection final : public DeviceSection {
 public:
  PairSection(const SectionPlan& plan, const Dataset& data, int threads, const Control& control)
      : plan_(plan),
        lists_(lists_of(plan)),
        data_(data),
        threads_(threads),
        point_list_(section_kernels<double>(), lists_, control),
        strips_(ceil_divide(data.size(), rows())),
        memory_(lists_.pair_slots, width(), rows()),
        scratch_(static_cast<std::size_t>(threads)) {
    for (const Crossing& crossing : lists_.crossings) {
      places_.push_back({base_size_, units_});
      base_size_ += std::ssize(crossing.parts) * crossing.units * rows();
      units_ += crossing.units;
    }
    for (const PlanStep& step : lists_.pair) {
      layers_.push_back(step.adds() ? nullptr : std::make_unique<PackedParts<T>>(kernels_, *step.layer, control));
    }
    load_targets(control);
    load_base(control);
  }

  void losses(const SectionPoints& points, const Control& control, std::span<double> losses) override {
    with_memory(pair_bytes<T>(lists_, data_), [&] { run({points, control}, losses); });
  }

 private:
  struct Interval {
    std::int64_t first;
    std::int64_t last;
  };

  // The arguments of one call.
  struct Call {
    const SectionPoints& points;
    const Control& control;
  };

  // Where a crossing's A_d begin in the base of a strip, and its B in the bias of a point.
  struct Place {
    std::int64_t base;
    std::int64_t bias;
  };

  // The memory of one thread.
  struct Scratch {
    explicit Scratch(const PairSection& section)
        : points(static_cast<std::size_t>(section.plan_.rank * section_kernels<double>().rows)),
          strip(section.memory_.scratch()),
          alpha(section.plan_.rank * section_kernels<double>().rows),
          list(section.point_list_.scratch()),
          bias(AlignedBuffer<T>::zeroed(section_kernels<double>().rows * section.units_)),
          layers(section.layers_.size()),
          coefficients(section.lists_.crossings.size()) {
      std::int64_t size = 0;
      for (const auto& layer : section.layers_) size += layer ? layer->scratch() : 0;
      weights = AlignedBuffer<T>(size);
    }
    std::vector<double> points;   // α of an item's points (·, z)
    AlignedBuffer<T> strip;       // of the pair list
    AlignedBuffer<double> alpha;  // (z, R of f64)
    AlignedBuffer<double> list;   // of the point list
    AlignedBuffer<T> bias;        // B: (points, units of all crossings); 0 where there is none
    AlignedBuffer<T> weights;     // of moving layers at one point
    std::vector<T> point;         // α of one point (z)
    std::vector<PackedLayer<T>> layers;
    std::vector<std::vector<T>> coefficients;  // α_d of the A_d of each crossing
    std::vector<T> chosen;
  };

  std::int64_t rows() const { return kernels_.rows; }
  bool moving() const { return std::ranges::any_of(lists_.pair, moves); }
  std::int64_t width() const {
    std::int64_t most = 0;
    for (const Crossing& crossing : lists_.crossings) most = std::max(most, crossing.units);
    for (const PlanStep& step : lists_.pair) most = std::max(most, step.out);
    return most;
  }

  void run(const Call& call, std::span<double> losses) {
    const std::int64_t points = call.points.count();
    const Cut cut(plan_, data_.size(), points, section_kernels<double>().rows, moving(), threads_);
    const std::int64_t groups = ceil_divide(cut.chunks, cut.item_chunks);
    const std::int64_t total = ceil_divide(points, cut.item_points) * groups;
    for (std::int64_t first = 0; first < points; first += cut.block_points) {
      const std::int64_t last = std::min(points, first + cut.block_points);
      const std::int64_t before = first / cut.item_points * groups;
      std::vector<double> sums(static_cast<std::size_t>((last - first) * cut.chunks * plan_.heads), 0.0);
      const auto item = [&](std::int64_t index, int thread) {
        auto& own = scratch_[static_cast<std::size_t>(thread)];
        if (!own) own = std::make_unique<Scratch>(*this);
        const std::int64_t g = first + index / groups * cut.item_points;
        const std::int64_t chunk = index % groups * cut.item_chunks;
        run_item(call, cut, *own, {g, std::min(last, g + cut.item_points)},
                 {chunk, std::min(cut.chunks, chunk + cut.item_chunks)},
                 sums.data() + (g - first) * cut.chunks * plan_.heads);
      };
      parallel_for(ceil_divide(last - first, cut.item_points) * groups, threads_, shifted(call.control, before, total),
                   "section", item);
      reduce(cut, sums,
             losses.subspan(static_cast<std::size_t>(first * plan_.heads),
                            static_cast<std::size_t>((last - first) * plan_.heads)));
    }
  }

  static Control shifted(const Control& control, std::int64_t before, std::int64_t total) {
    Control shifted{{}, control.stop};
    if (control.progress) {
      shifted.progress = [&control, before, total](const ProgressEvent& event) {
        control.progress({event.stage, before + event.done, total});
      };
    }
    return shifted;
  }

  void load_targets(const Control& control) {
    const std::int64_t classes = plan_.outputs / plan_.heads;
    const bool has_labels = data_.has_labels();
    const std::int64_t width = has_labels ? 1 : classes;
    targets_ = AlignedBuffer<T>(strips_ * rows() * width);
    parallel_for(strips_, threads_, control, "targets", [&](std::int64_t strip, int) {
      T* to = targets_.data() + strip * width * rows();
      for (std::int64_t row = 0; row < rows(); ++row) {
        const std::int64_t n = std::min(strip * rows() + row, data_.size() - 1);
        if (has_labels) {
          to[row] = static_cast<T>(data_.labels()[static_cast<std::size_t>(n)]);
        } else {
          for (std::int64_t c = 0; c < classes; ++c) to[c * rows() + row] = static_cast<T>(data_.target(n, c));
        }
      }
    });
  }

  // Fills base_: for each strip, the A_d (parts, units, R) of one crossing after another.
  void load_base(const Control& control) {
    base_ = AlignedBuffer<T>(strips_ * base_size_);
    struct Target {
      std::int64_t base, units;
    };
    std::map<std::int32_t, std::vector<Target>> targets;  // of each value of the sample list
    for (std::size_t k = 0; k < places_.size(); ++k) {
      const Crossing& crossing = lists_.crossings[k];
      for (std::size_t part = 0; part < crossing.parts.size(); ++part) {
        const std::int64_t offset = static_cast<std::int64_t>(part) * crossing.units * rows();
        targets[crossing.parts[part]].push_back({places_[k].base + offset, crossing.units});
      }
    }
    const SampleList list(lists_, data_, control);
    std::vector<AlignedBuffer<double>> scratch(static_cast<std::size_t>(threads_));
    parallel_for(strips_ * (rows() / list.rows()), threads_, control, "samples", [&](std::int64_t index, int thread) {
      auto& own = scratch[static_cast<std::size_t>(thread)];
      if (own.size() == 0) own = AlignedBuffer<double>(list.scratch());
      const std::int64_t first = index * list.rows();
      T* strip = base_.data() + first / rows() * base_size_ + first % rows();
      list.strip(first, control, own.data(), [&](std::int32_t value, const double* from) {
        const auto found = targets.find(value);
        if (found == targets.end()) return;
        for (const Target& target : found->second) {
          for (std::int64_t unit = 0; unit < target.units; ++unit) {
            const double* row = from + unit * list.rows();
            std::transform(row, row + list.rows(), strip + target.base + unit * rows(),
                           [](double a) { return static_cast<T>(a); });
          }
        }
      });
    });
  }

  // sums (points, chunks of N, H) += the losses of all pairs of the item.
  void run_item(const Call& call, const Cut& cut, Scratch& scratch, Interval points, Interval chunks,
                double* sums) const {
    const std::int64_t count = points.last - points.first;
    const auto alphas = std::span(scratch.points).first(static_cast<std::size_t>(count * plan_.rank));
    call.points.copy(points.first, count, alphas);
    if (!lists_.point.empty()) compute_bias(scratch, alphas);
    const std::int64_t chunk_strips = cut.chunk / rows();
    const Interval strips{chunks.first * chunk_strips, std::min(strips_, chunks.last * chunk_strips)};
    const auto pair = [&](std::int64_t p, std::int64_t strip) {
      check_stop(call.control);
      run_strip(scratch, p, strip, sums + (p * cut.chunks + strip / chunk_strips) * plan_.heads);
    };
    if (moving()) {
      for (std::int64_t p = 0; p < count; ++p) {
        set_point(call, scratch, p);
        for (std::int64_t strip = strips.first; strip < strips.last; ++strip) pair(p, strip);
      }
    } else {
      for (std::int64_t strip = strips.first; strip < strips.last; ++strip) {
        for (std::int64_t p = 0; p < count; ++p) {
          set_point(call, scratch, p);
          pair(p, strip);
        }
      }
    }
  }

  void compute_bias(Scratch& scratch, std::span<const double> alphas) const {
    const std::int64_t lanes = section_kernels<double>().rows;
    const std::int64_t count = static_cast<std::int64_t>(alphas.size()) / plan_.rank;
    load_points(alphas, plan_.rank, lanes, scratch.alpha.data());
    point_list_.run(scratch.alpha.data(), scratch.list.data());
    for (std::size_t k = 0; k < places_.size(); ++k) {
      const Crossing& crossing = lists_.crossings[k];
      if (crossing.offset == kNoValue) continue;
      const double* bias = point_list_.value(crossing.offset, scratch.list.data());
      for (std::int64_t p = 0; p < count; ++p) {
        for (std::int64_t unit = 0; unit < crossing.units; ++unit) {
          scratch.bias.data()[p * units_ + places_[k].bias + unit] = static_cast<T>(bias[unit * lanes + p]);
        }
      }
    }
  }

  void set_point(const Call& call, Scratch& scratch, std::int64_t p) const {
    const double* alpha = scratch.points.data() + p * plan_.rank;
    scratch.point.assign(alpha, alpha + plan_.rank);
    const std::span<const T> point = scratch.point;
    T* weights = scratch.weights.data();
    for (std::size_t s = 0; s < layers_.size(); ++s) {
      if (!layers_[s]) continue;
      if (!layers_[s]->shared()) check_stop(call.control);
      scratch.layers[s] = layers_[s]->form(kernels_, point, scratch.chosen, weights);
      weights += layers_[s]->scratch();
    }
    for (std::size_t k = 0; k < places_.size(); ++k) {
      choose(point, lists_.crossings[k].directions, scratch.coefficients[k]);
    }
  }

  void run_strip(Scratch& scratch, std::int64_t p, std::int64_t strip, double* sums) const {
    const T* base = base_.data() + strip * base_size_;
    T* buffers = scratch.strip.data();
    const auto value = [&](std::int32_t index) -> const T* {
      if (index < 0) {
        const auto k = static_cast<std::size_t>(-1 - index);
        if (lists_.crossings[k].is_plain()) return base + places_[k].base;
      }
      return memory_.of(index, buffers);
    };
    for (std::size_t k = 0; k < places_.size(); ++k) {
      const Crossing& crossing = lists_.crossings[k];
      if (crossing.is_plain()) continue;
      kernels_.joint(
          {crossing.units, std::ssize(crossing.directions), base + places_[k].base, scratch.coefficients[k].data(),
           scratch.bias.data() + p * units_ + places_[k].bias, crossing.activation},
          memory_.of(-1 - static_cast<std::int32_t>(k), buffers));
    }
    for (std::size_t s = 0; s < layers_.size(); ++s) {
      run_step(kernels_, lists_.pair[s], value, memory_.of(static_cast<std::int32_t>(s), buffers),
               [&](const T* input, T* output) { kernels_.dense(scratch.layers[s], input, output); });
    }
    const T* inputs = value(static_cast<std::int32_t>(layers_.size()) - 1);
    const std::int64_t classes = plan_.outputs / plan_.heads;
    const bool labels = data_.has_labels();
    const T* targets = targets_.data() + strip * rows() * (labels ? 1 : classes);
    const std::int64_t valid = std::min(rows(), data_.size() - strip * rows());
    kernels_.add_losses(
        {plan_.loss, plan_.heads, classes, valid, inputs, labels ? targets : nullptr, labels ? nullptr : targets},
        sums);
  }

  // losses (points, H) = Σ over chunks / N, in the order of the chunks.
  void reduce(const Cut& cut, const std::vector<double>& sums, std::span<double> losses) const {
    const std::int64_t heads = plan_.heads;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(losses.size()); ++i) {
      double sum = 0;
      for (std::int64_t chunk = 0; chunk < cut.chunks; ++chunk) {
        sum += sums[static_cast<std::size_t>((i / heads * cut.chunks + chunk) * heads + i % heads)];
      }
      losses[static_cast<std::size_t>(i)] = sum / static_cast<double>(data_.size());
    }
  }

  const SectionPlan& plan_;
  PlanLists lists_;
  const Dataset& data_;
  int threads_;
  const SectionKernels<T>& kernels_ = section_kernels<T>();
  PointList<double> point_list_;
  std::int64_t strips_;
  ListMemory<T> memory_;                                 // of the pair list
  std::vector<Place> places_;                            // of each crossing
  std::int64_t base_size_ = 0;                           // values of base_ for one strip
  std::int64_t units_ = 0;                               // of all crossings
  std::vector<std::unique_ptr<PackedParts<T>>> layers_;  // of each step of the pair list; null for an addition
  AlignedBuffer<T> targets_;                             // labels (strips, R) or targets (strips, C, R)
  AlignedBuffer<T> base_;
  std::vector<std::unique_ptr<Scratch>> scratch_;  // (threads)
};

}  // namespace

template <class T>
std::unique_ptr<DeviceSection> pair_section(const SectionPlan& plan, const Dataset& data, int threads,
                                            const Control& control) {
  return with_memory(pair_bytes<T>(lists_of(plan), data),
                     [&] { return std::make_unique<PairSection<T>>(plan, data, threads, control); });
}

template std::unique_ptr<DeviceSection> pair_section<float>(const SectionPlan&, const Dataset&, int, const Control&);
template std::unique_ptr<DeviceSection> pair_section<double>(const SectionPlan&, const Dataset&, int, const Control&);

}  // namespace lossatlas::cpu
