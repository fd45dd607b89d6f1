#pragma once

#include <cstdint>

namespace lossatlas {

/// Which part of ∇²R: all of it, or only the Gauss–Newton part (1/N) Σ Jᵀ (∇²ℓ) J.
enum class HessianPart : std::uint8_t { full, gauss_newton };

}  // namespace lossatlas
