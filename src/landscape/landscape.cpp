#include <lossatlas/landscape.hpp>

#include "backend/backend.hpp"
#include "base/check.hpp"
#include "base/parallel.hpp"
#include "model/labels.hpp"

namespace lossatlas {

struct Landscape::State {
  Network network;
  Dataset data;
  Loss loss;
  Device device;
  std::shared_ptr<const Backend> backend;
  std::unique_ptr<DeviceLandscape> on_device;
};

namespace {

void check_problem(const Network& network, const Dataset& data, Loss loss) {
  require(network.depth() >= 1, "Landscape", "received an empty network, expected at least one layer");
  require(data.features() == network.inputs(), "Landscape", "received data \"", data.name(), "\" with ",
          data.features(), " features, expected the network's ", network.inputs(), " inputs");
  require_targets(data, loss, network.outputs_per_head(), "Landscape");
}

void check_theta(const Network& network, std::span<const double> theta, std::string_view function) {
  require(static_cast<std::int64_t>(theta.size()) == network.parameter_count(), function, "received ", theta.size(),
          " parameters, expected ", network.parameter_count());
}

}  // namespace

Landscape::Landscape(Network network, Dataset data, Loss loss, Device device) {
  if (data.has_labels() && data.outputs() < network.outputs_per_head())
    data = data.with_classes(network.outputs_per_head());
  check_problem(network, data, loss);
  auto backend = make_backend(device);
  auto on_device = backend->landscape(network, data, loss);
  state_ = std::make_unique<State>(
      State{std::move(network), std::move(data), loss, std::move(device), std::move(backend), std::move(on_device)});
}

Landscape::~Landscape() = default;
Landscape::Landscape(Landscape&&) noexcept = default;
Landscape& Landscape::operator=(Landscape&&) noexcept = default;

const DeviceLandscape& on_device(const Landscape& landscape) { return *landscape.state_->on_device; }

const Network& Landscape::network() const { return state_->network; }
const Dataset& Landscape::data() const { return state_->data; }
Loss Landscape::loss() const { return state_->loss; }
const Device& Landscape::device() const { return state_->device; }

Evaluation Landscape::evaluate(std::span<const double> theta, const Control& control) const {
  check_theta(network(), theta, "Landscape::evaluate");
  check_stop(control);
  const auto heads = static_cast<std::size_t>(network().heads());
  Evaluation result{std::vector<double>(heads), std::vector<double>(heads)};
  state_->on_device->evaluate(theta, control, result.losses, result.accuracy);
  return result;
}

std::vector<double> Landscape::gradient(std::span<const double> theta, const Control& control) const {
  check_theta(network(), theta, "Landscape::gradient");
  check_stop(control);
  std::vector<double> result(theta.size());
  state_->on_device->gradient(theta, 0, data().size(), control, result);
  return result;
}

}  // namespace lossatlas
