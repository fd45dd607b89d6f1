// Products with the Hessian: lanes of chunks run in parallel.
#include <algorithm>
#include <vector>

#include "base/check.hpp"
#include "base/parallel.hpp"
#include "cpu/hessian.hpp"
#include "cpu/pass.hpp"

namespace lossatlas::cpu {
namespace {

constexpr std::int64_t kLanes = 16;
constexpr std::int64_t kBatch = 64;                            // vectors that run together
constexpr std::int64_t kSumEntries = std::int64_t{1} << 24;    // of all lanes, for one vector
constexpr std::int64_t kBatchEntries = std::int64_t{1} << 27;  // of all lanes, for a batch: 1 GiB
constexpr std::int64_t kReducePiece = std::int64_t{1} << 14;

/// Number of sums over samples kept in parallel: chunk c goes to lane c mod lanes, in order.
std::int64_t lane_count(const Problem& problem) {
  const std::int64_t chunks = (problem.data.size() + kChunk - 1) / kChunk;
  const std::int64_t fit = kSumEntries / problem.network.parameter_count();
  return std::clamp<std::int64_t>(std::min(fit, chunks), 1, kLanes);
}

std::int64_t batch_size(const Problem& problem) {
  return std::clamp<std::int64_t>(kBatchEntries / (lane_count(problem) * problem.network.parameter_count()), 1, kBatch);
}

/// Vectors first..first+count−1 of one call.
struct Batch {
  std::int64_t first;
  std::int64_t count;
};

class Products {
 public:
  Products(const Problem& problem, std::span<const double> theta, HessianPart part, std::span<const double> vectors,
           std::span<double> products)
      : problem_(problem),
        part_(part),
        vectors_(vectors),
        products_(products),
        size_(problem.network.parameter_count()),
        lanes_(lane_count(problem)),
        passes_(problem, theta, {.slopes = true}) {}

  /// Checks for a stop between chunks; `quiet` reports no progress.
  void run(Batch batch, const Control& quiet) {
    sums_.assign(static_cast<std::size_t>(lanes_ * batch.count * size_), 0.0);
    // Vectors of one group share a forward and a backward pass; a product's bits do not depend on its group.
    const std::int64_t group = std::max<std::int64_t>(1, batch.count * lanes_ / problem_.threads);
    const std::int64_t groups = (batch.count + group - 1) / group;
    parallel_for(groups * lanes_, problem_.threads, quiet, "", [&](std::int64_t item, int thread) {
      const std::int64_t first = item / lanes_ * group;
      add_lane(batch, first, std::min(batch.count, first + group), item % lanes_, quiet, passes_.of(thread));
    });
    const std::int64_t entries = batch.count * size_;
    parallel_for((entries + kReducePiece - 1) / kReducePiece, problem_.threads, [&](std::int64_t piece, int) {
      for (std::int64_t e = piece * kReducePiece; e < std::min(entries, (piece + 1) * kReducePiece); ++e) {
        double sum = 0;
        for (std::int64_t lane = 0; lane < lanes_; ++lane) sum += sums_[static_cast<std::size_t>(lane * entries + e)];
        products_[static_cast<std::size_t>(batch.first * size_ + e)] = sum / static_cast<double>(problem_.data.size());
      }
    });
  }

 private:
  void add_lane(Batch batch, std::int64_t begin, std::int64_t end, std::int64_t lane, const Control& quiet,
                Pass& pass) {
    const auto size = static_cast<std::size_t>(size_);
    const std::int64_t samples = problem_.data.size();
    for (std::int64_t first = lane * kChunk; first < samples; first += lanes_ * kChunk) {
      check_stop(quiet);
      pass.forward(first, std::min(kChunk, samples - first));
      if (part_ == HessianPart::full) {
        pass.fill_loss_cotangent();
        pass.pull_down_bends();
      }
      for (std::int64_t v = begin; v < end; ++v) {
        pass.add_hessian_product(part_, {vectors_.data() + (batch.first + v) * size_, size},
                                 {sums_.data() + (lane * batch.count + v) * size_, size});
      }
    }
  }

  const Problem& problem_;
  HessianPart part_;
  std::span<const double> vectors_;
  std::span<double> products_;
  std::int64_t size_;
  std::int64_t lanes_;
  std::vector<double> sums_;  ///< (lanes, vectors of the batch, M)
  Passes passes_;
};

}  // namespace

void hessian_products(const Problem& problem, std::span<const double> theta, HessianPart part,
                      std::span<const double> vectors, const Control& control, std::span<double> products) {
  const std::int64_t size = problem.network.parameter_count();
  require(static_cast<std::int64_t>(theta.size()) == size, "hessian_products", "received ", theta.size(),
          " parameters, expected ", size);
  require(static_cast<std::int64_t>(vectors.size()) % size == 0 && vectors.size() == products.size(),
          "hessian_products", "received ", vectors.size(), " entries of vectors and ", products.size(),
          " of products, expected equal multiples of ", size);
  const SingleThreadedBlas guard;
  const std::int64_t count = static_cast<std::int64_t>(vectors.size()) / size, step = batch_size(problem);
  Products all(problem, theta, part, vectors, products);
  for (std::int64_t first = 0; first < count; first += step) {
    const std::int64_t members = std::min(step, count - first);
    all.run({first, members}, {.progress = {}, .stop = control.stop});
    if (control.progress) control.progress({"products", first + members, count});
  }
}

std::int64_t hessian_products_bytes(const Problem& problem, std::int64_t vectors) {
  const std::int64_t batch = std::min(vectors, batch_size(problem));
  std::int64_t widths = 0;
  for (std::int64_t l = 0; l < problem.network.depth(); ++l) widths += problem.network.width(l);
  const std::int64_t pass = std::min(kChunk, problem.data.size()) * 8 * widths;
  return 8 * (lane_count(problem) * batch * problem.network.parameter_count() + problem.threads * pass);
}

}  // namespace lossatlas::cpu
