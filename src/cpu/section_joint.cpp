#include "cpu/section_joint.hpp"

#include <algorithm>
#include <memory>
#include <type_traits>
#include <vector>

#include "base/parallel.hpp"
#include "cpu/section_chain.hpp"
#include "cpu/section_pack.hpp"

namespace lossatlas::cpu {
namespace {

constexpr std::int64_t kChunkSamples = 1024;  // at most, in one partial sum
constexpr std::int64_t kChunkStep = 64;       // a multiple of every target's row tile
constexpr double kItemFlop = 1e9;             // tens of milliseconds on one core, so that a stop is quick
constexpr double kActivationFlop = 30;
constexpr std::int64_t kPartialSums = std::int64_t{1} << 20;  // held at a time: 8 MiB

// FLOP of one point and sample.
double pair_flop(const SectionPlan& plan) {
  double flop = static_cast<double>(plan.outputs) * kActivationFlop;
  if (plan.kind == PlanKind::joint) {
    const auto parts = static_cast<double>(1 + plan.joint_sample.weight_directions.size());
    flop += static_cast<double>(plan.joint_sample.out) * (2 * parts + kActivationFlop);
  }
  for (const ChainLayer& layer : plan.later) {
    flop += static_cast<double>(layer.out) * (2 * static_cast<double>(layer.in) + kActivationFlop);
  }
  return flop;
}

// The layers of B: the point-only units up to the joint layer's pre-activation.
std::vector<ChainLayer> point_layers(const SectionPlan& plan) {
  std::vector<ChainLayer> layers = plan.point_chain;
  layers.push_back(plan.joint_point);
  layers.back().activation = Activation::identity;
  return layers;
}

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
    const double flop = pair_flop(plan);
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

// Bytes of A_d (direct: of the inputs), the targets and the packed later layers.
template <class T>
std::int64_t pair_bytes(const SectionPlan& plan, const Dataset& data) {
  const bool direct = plan.kind == PlanKind::direct;
  const std::int64_t parts = 1 + static_cast<std::int64_t>(plan.joint_sample.weight_directions.size());
  const std::int64_t units = direct ? data.features() : parts * plan.joint_sample.out;
  const std::int64_t values =
      round_up(data.size(), section_kernels<T>().rows) * (units + (data.has_labels() ? 1 : data.outputs()));
  return (values + count_values(plan.later)) * static_cast<std::int64_t>(sizeof(T));
}

template <class T>
class PairSection final : public DeviceSection {
 public:
  PairSection(const SectionPlan& plan, const Dataset& data, int threads, const Control& control)
      : plan_(plan),
        data_(data),
        threads_(threads),
        point_chain_(section_kernels<double>(), point_layers(plan), control),
        tiles_(ceil_divide(data.size(), rows())),
        units_(plan.kind == PlanKind::direct ? data.features() : plan.joint_sample.out),
        base_size_(static_cast<std::int64_t>(1 + coefficient_directions().size()) * units_ * rows()),
        width_(units_),
        scratch_(static_cast<std::size_t>(threads)) {
    for (const ChainLayer& layer : plan.later) {
      later_.emplace_back(kernels_, layer, control);
      width_ = std::max(width_, layer.out);
    }
    load_targets(control);
    load_base(control);
  }

  Precision precision() const override { return std::is_same_v<T, double> ? Precision::f64 : Precision::f32; }

  void losses(const SectionPoints& points, const Control& control, std::span<double> losses) override {
    with_memory(pair_bytes<T>(plan_, data_), [&] { run({points, control}, losses); });
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

  // The memory of one thread.
  struct Scratch {
    explicit Scratch(const PairSection& section)
        : points(static_cast<std::size_t>(section.plan_.rank * section_kernels<double>().rows)),
          tile(2 * section.width_ * section.rows()),
          alpha(section.plan_.rank * section_kernels<double>().rows),
          chain(section.point_chain_.scratch()),
          bias(section_kernels<double>().rows * section.units_) {
      std::int64_t size = 0;
      for (const PackedParts<T>& layer : section.later_) size += layer.scratch();
      weights = AlignedBuffer<T>(size);
    }
    std::vector<double> points;   // α of an item's points (·, z)
    AlignedBuffer<T> tile;        // two activations (width, R)
    AlignedBuffer<double> alpha;  // (z, R of f64)
    AlignedBuffer<double> chain;  // of the point chain
    AlignedBuffer<T> bias;        // B: (points, m_j)
    AlignedBuffer<T> weights;     // of moving layers at one point
    std::vector<T> point;         // α of one point (z)
    std::vector<T> coefficients;  // α_d of the A_d
    std::vector<PackedLayer<T>> layers;
  };

  std::int64_t rows() const { return kernels_.rows; }
  bool moving() const {
    return std::any_of(plan_.later.begin(), plan_.later.end(), [](const ChainLayer& l) { return !l.shared(); });
  }
  const std::vector<std::int32_t>& coefficient_directions() const { return plan_.joint_sample.weight_directions; }

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
    targets_ = AlignedBuffer<T>(tiles_ * rows() * width);
    parallel_for(tiles_, threads_, control, "targets", [&](std::int64_t tile, int) {
      T* to = targets_.data() + tile * width * rows();
      for (std::int64_t row = 0; row < rows(); ++row) {
        const std::int64_t n = std::min(tile * rows() + row, data_.size() - 1);
        if (has_labels) {
          to[row] = static_cast<T>(data_.labels()[static_cast<std::size_t>(n)]);
        } else {
          for (std::int64_t c = 0; c < classes; ++c) to[c * rows() + row] = static_cast<T>(data_.target(n, c));
        }
      }
    });
  }

  // Fills base_ (tiles, 1 + directions, units, R): with the inputs of a direct plan or the A_d of a joint one.
  void load_base(const Control& control) {
    base_ = AlignedBuffer<T>(tiles_ * base_size_);
    if (plan_.kind == PlanKind::direct) {
      parallel_for(tiles_, threads_, control, "inputs", [&](std::int64_t tile, int) {
        load_inputs(data_, tile * rows(), rows(), base_.data() + tile * base_size_);
      });
      return;
    }
    const SampleChain chain(plan_, data_, control);
    std::vector<AlignedBuffer<double>> scratch(static_cast<std::size_t>(threads_));
    parallel_for(tiles_ * (rows() / chain.rows()), threads_, control, "samples", [&](std::int64_t index, int thread) {
      auto& own = scratch[static_cast<std::size_t>(thread)];
      if (own.size() == 0) own = AlignedBuffer<double>(chain.scratch());
      const std::int64_t first = index * chain.rows();
      T* tile = base_.data() + first / rows() * base_size_ + first % rows();
      chain.tile(first, control, own.data(), [&](std::int64_t d, const double* part) {
        for (std::int64_t unit = 0; unit < units_; ++unit) {
          T* to = tile + (d * units_ + unit) * rows();
          const double* from = part + unit * chain.rows();
          std::transform(from, from + chain.rows(), to, [](double a) { return static_cast<T>(a); });
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
    if (plan_.kind == PlanKind::joint) form_bias(scratch, alphas);
    const std::int64_t chunk_tiles = cut.chunk / rows();
    const Interval tiles{chunks.first * chunk_tiles, std::min(tiles_, chunks.last * chunk_tiles)};
    const auto pair = [&](std::int64_t p, std::int64_t tile) {
      check_stop(call.control);
      run_tile(scratch, p, tile, sums + (p * cut.chunks + tile / chunk_tiles) * plan_.heads);
    };
    if (moving()) {
      for (std::int64_t p = 0; p < count; ++p) {
        set_point(call, scratch, p);
        for (std::int64_t tile = tiles.first; tile < tiles.last; ++tile) pair(p, tile);
      }
    } else {
      for (std::int64_t tile = tiles.first; tile < tiles.last; ++tile) {
        for (std::int64_t p = 0; p < count; ++p) {
          set_point(call, scratch, p);
          pair(p, tile);
        }
      }
    }
  }

  void form_bias(Scratch& scratch, std::span<const double> alphas) const {
    const std::int64_t lanes = section_kernels<double>().rows;
    const std::int64_t count = static_cast<std::int64_t>(alphas.size()) / plan_.rank;
    load_points(alphas, plan_.rank, lanes, scratch.alpha.data());
    const double* bias = point_chain_.run(scratch.alpha.data(), scratch.chain.data());
    for (std::int64_t p = 0; p < count; ++p) {
      for (std::int64_t unit = 0; unit < units_; ++unit) {
        scratch.bias.data()[p * units_ + unit] = static_cast<T>(bias[unit * lanes + p]);
      }
    }
  }

  void set_point(const Call& call, Scratch& scratch, std::int64_t p) const {
    const double* alpha = scratch.points.data() + p * plan_.rank;
    scratch.point.assign(alpha, alpha + plan_.rank);
    const std::span<const T> point = scratch.point;
    scratch.layers.clear();
    T* weights = scratch.weights.data();
    for (const PackedParts<T>& layer : later_) {
      if (!layer.shared()) check_stop(call.control);
      scratch.layers.push_back(layer.form(kernels_, point, scratch.coefficients, weights));
      weights += layer.scratch();
    }
    choose(point, coefficient_directions(), scratch.coefficients);
  }

  void run_tile(Scratch& scratch, std::int64_t p, std::int64_t tile, double* sums) const {
    const T* base = base_.data() + tile * base_size_;
    T* outputs = scratch.tile.data();
    T* spare = outputs + width_ * rows();
    const T* inputs = base;
    if (plan_.kind == PlanKind::joint) {
      kernels_.joint({units_, static_cast<std::int64_t>(scratch.coefficients.size()), base, scratch.coefficients.data(),
                      scratch.bias.data() + p * units_, plan_.joint_sample.activation},
                     outputs);
      inputs = outputs;
      std::swap(outputs, spare);
    }
    for (const PackedLayer<T>& layer : scratch.layers) {
      kernels_.dense(layer, inputs, outputs);
      inputs = outputs;
      std::swap(outputs, spare);
    }
    const std::int64_t classes = plan_.outputs / plan_.heads;
    const bool labels = data_.has_labels();
    const T* targets = targets_.data() + tile * rows() * (labels ? 1 : classes);
    const std::int64_t valid = std::min(rows(), data_.size() - tile * rows());
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
  const Dataset& data_;
  int threads_;
  const SectionKernels<T>& kernels_ = section_kernels<T>();
  PointChain<double> point_chain_;
  std::int64_t tiles_;
  std::int64_t units_;      // m_j; direct: d
  std::int64_t base_size_;  // values of base_ for one tile
  std::int64_t width_;
  std::vector<PackedParts<T>> later_;
  AlignedBuffer<T> targets_;  // labels (tiles, R) or targets (tiles, C, R)
  AlignedBuffer<T> base_;
  std::vector<std::unique_ptr<Scratch>> scratch_;  // (threads)
};

}  // namespace

template <class T>
std::unique_ptr<DeviceSection> pair_section(const SectionPlan& plan, const Dataset& data, int threads,
                                            const Control& control) {
  return with_memory(pair_bytes<T>(plan, data),
                     [&] { return std::make_unique<PairSection<T>>(plan, data, threads, control); });
}

template std::unique_ptr<DeviceSection> pair_section<float>(const SectionPlan&, const Dataset&, int, const Control&);
template std::unique_ptr<DeviceSection> pair_section<double>(const SectionPlan&, const Dataset&, int, const Control&);

}  // namespace lossatlas::cpu
