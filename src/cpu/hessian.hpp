// The exact Hessian and its products with vectors on the CPU. The Hessian is a sum of products over fixed chunks of
// samples, cut into subblocks that depend on the problem only (docs/theory.md, section 5):
//
//   H[(k; i,j), (l; p,q)] = mean_n ã_{k−1}[j] (S_kl[i,p] ã_{l−1}[q] + 1{k<l} δ_l[p] J_{l−1,k}[q,i]),   k ≤ l.
//
// It is computed either as one product per unit i, ã_{k−1}ᵀ (n; j) times the bracket (n; (p,q)), or, if few outputs
// follow one hidden layer, as JᵀJ plus the sparse rest. That of a network which is no chain of dense layers comes from
// products with unit vectors, forward over reverse.
#pragma once

#include <cstdint>
#include <span>

#include <lossatlas/hessian_part.hpp>
#include <lossatlas/progress.hpp>

#include "cpu/gradient.hpp"

namespace lossatlas::cpu {

/// hessian (M, M) at θ (M), symmetric to the bit.
void hessian(const Problem& problem, std::span<const double> theta, HessianPart part, const Control& control,
             std::span<double> hessian);

/// Bytes that hessian() holds besides its result.
std::int64_t hessian_bytes(const Problem& problem, HessianPart part);

/// Peak bytes of assembling the Hessian and of LAPACK's solution.
double hessian_spectrum_bytes(const Problem& problem, HessianPart part, bool vectors);

/// products (k, M) = H V of vectors (k, M), forward over reverse. The bits of a product do not depend on the other
/// vectors. Reports progress in vectors.
void hessian_products(const Problem& problem, std::span<const double> theta, HessianPart part,
                      std::span<const double> vectors, const Control& control, std::span<double> products);

/// Bytes that hessian_products() holds besides its result.
std::int64_t hessian_products_bytes(const Problem& problem, std::int64_t vectors);

}  // namespace lossatlas::cpu
