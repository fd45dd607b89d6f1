#pragma once

#include <cstdint>

namespace lossatlas {

/// Which part of ∇²R: all of it, or the Gauss–Newton part (1/N) Σ Jᵀ (∇²ℓ) J alone.
enum class HessianPart : std::uint8_t { full, gauss_newton };

}  // namespace lossatlas
