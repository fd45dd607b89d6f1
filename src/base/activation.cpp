#include <lossatlas/activation.hpp>

#include <array>
#include <string>

#include "../kernels/scalar.cuh"
#include "base/check.hpp"

namespace lossatlas {
namespace {

constexpr std::array kActivations = {Activation::identity, Activation::relu,    Activation::leaky_relu,
                                     Activation::tanh,     Activation::sigmoid, Activation::softplus,
                                     Activation::gelu,     Activation::sine};
constexpr std::array<std::string_view, kActivations.size()> kNames = {"identity", "relu",     "leaky_relu", "tanh",
                                                                      "sigmoid",  "softplus", "gelu",       "sine"};

// Rejects a value cast from an untrusted integer that is no enumerator.
void check(Activation activation, std::string_view function) {
  const auto index = static_cast<std::size_t>(activation);
  require(index < kActivations.size(), function, "received activation number ", index, ", expected 0 to ",
          kActivations.size() - 1, "; pass an enumerator of Activation");
}

}  // namespace

double activate(Activation activation, double x) {
  check(activation, "activate");
  return scalar::activate(activation, x);
}

double activate_derivative(Activation activation, double x) {
  check(activation, "activate_derivative");
  return scalar::activate_derivative(activation, x);
}

double activate_second_derivative(Activation activation, double x) {
  check(activation, "activate_second_derivative");
  return scalar::activate_second_derivative(activation, x);
}

std::string_view name(Activation activation) {
  check(activation, "name");
  return kNames[static_cast<std::size_t>(activation)];
}

Activation parse_activation(std::string_view text) {
  std::string expected;
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (text == kNames[i]) return kActivations[i];
    expected += (i == 0 ? "" : ", ") + std::string(kNames[i]);
  }
  throw InvalidArgument(message("parse_activation", "received activation '", text, "', expected one of ", expected,
                                "; use one of these names"));
}

std::span<const Activation> all_activations() { return kActivations; }

}  // namespace lossatlas
