// The emulated cuBLAS and cuSOLVER against naive loops, and their argument checks.
#include <cublas_v2.h>
#include <cusolverDn.h>
#include <gtest/gtest.h>

#include "device_memory.hpp"

namespace {

/// Both handles on one non-blocking stream.
class Libraries : public EmulatedDevice {
 protected:
  Libraries() {
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
    EXPECT_EQ(cublasCreate(&blas_), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cublasSetStream(blas_, stream_), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cusolverDnCreate(&solver_), CUSOLVER_STATUS_SUCCESS);
    EXPECT_EQ(cusolverDnSetStream(solver_, stream_), CUSOLVER_STATUS_SUCCESS);
    EXPECT_EQ(cusolverDnCreateParams(&params_), CUSOLVER_STATUS_SUCCESS);
  }
  ~Libraries() override {
    cusolverDnDestroyParams(params_);
    cusolverDnDestroy(solver_);
    cublasDestroy(blas_);
    cudaStreamDestroy(stream_);
    reset();
    EXPECT_EQ(control().counts().live(), 0);
  }

  cudaStream_t stream_ = nullptr;
  cublasHandle_t blas_ = nullptr;
  cusolverDnHandle_t solver_ = nullptr;
  cusolverDnParams_t params_ = nullptr;
};

using Blas = Libraries;
using Solver = Libraries;

constexpr cublasOperation_t kOps[] = {CUBLAS_OP_N, CUBLAS_OP_T};
constexpr double kTolerance = 1e-13;  // sums of at most 12 products of numbers below 1

/// Element (i, j) of op(A), A column-major.
template <class T>
T at(const std::vector<T>& a, cublasOperation_t op, int ld, int i, int j) {
  return op == CUBLAS_OP_N ? a[static_cast<std::size_t>(i + j * ld)] : a[static_cast<std::size_t>(j + i * ld)];
}

/// α op(A) op(B) + β C.
template <class T>
std::vector<T> product(cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k, T alpha,
                       const std::vector<T>& a, int lda, const std::vector<T>& b, int ldb, T beta, std::vector<T> c,
                       int ldc) {
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < m; ++i) {
      double sum = 0;
      for (int l = 0; l < k; ++l) sum += static_cast<double>(at(a, op_a, lda, i, l)) * at(b, op_b, ldb, l, j);
      T& out = c[static_cast<std::size_t>(i + j * ldc)];
      out = static_cast<T>(alpha * sum + (beta == T(0) ? T(0) : beta * out));
    }
  }
  return c;
}

TEST_F(Blas, GemmEqualsLoops) {
  const int m = 5, n = 4, k = 6, ld = 8;
  const double alpha = 0.75, beta = -0.5;
  for (const cublasOperation_t op_a : kOps) {
    for (const cublasOperation_t op_b : kOps) {
      const auto a = uniform<double>(ld * 6, 1), b = uniform<double>(ld * 6, 2), c = uniform<double>(ld * n, 3);
      const DeviceVector<double> da(a), db(b), dc(c), dc64(c);
      EXPECT_EQ(cublasDgemm(blas_, op_a, op_b, m, n, k, &alpha, da.get(), ld, db.get(), ld, &beta, dc.get(), ld),
                CUBLAS_STATUS_SUCCESS);
      EXPECT_EQ(cublasDgemm_64(blas_, op_a, op_b, m, n, k, &alpha, da.get(), ld, db.get(), ld, &beta, dc64.get(), ld),
                CUBLAS_STATUS_SUCCESS);
      const auto want = product(op_a, op_b, m, n, k, alpha, a, ld, b, ld, beta, c, ld);
      EXPECT_LE(worst_error(dc.read(), want), kTolerance) << op_a << op_b;
      EXPECT_EQ(dc64.read(), dc.read());
    }
  }
}

TEST_F(Blas, GemmWithZeroBetaDoesNotReadC) {
  const double one = 1, zero = 0;
  const DeviceVector<double> a(std::vector<double>(4, 1)), c(4);
  EXPECT_EQ(cublasDgemm(blas_, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, a.get(), 2, a.get(), 2, &zero, c.get(), 2),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(c.read(), std::vector<double>(4, 2));
}

TEST_F(Blas, SgemmRoundsOperandsInTf32Mode) {
  const float one = 1, zero = 0;
  const float x = 1 + 0x1p-12f;  // rounded to 1
  const DeviceVector<float> a(std::vector<float>{x}), b(std::vector<float>{2}), c(1);
  const auto multiply = [&] {
    EXPECT_EQ(cublasSgemm(blas_, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a.get(), 1, b.get(), 1, &zero, c.get(), 1),
              CUBLAS_STATUS_SUCCESS);
    return c.read()[0];
  };
  EXPECT_EQ(multiply(), 2 * x);
  EXPECT_EQ(cublasSetMathMode(blas_, CUBLAS_TF32_TENSOR_OP_MATH), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(multiply(), 2);
}

TEST_F(Blas, BatchedGemmEqualsLoops) {
  const int m = 3, n = 2, k = 4, batch = 3;
  const double alpha = 1.5, beta = 0;
  const auto a = uniform<double>(m * k * batch, 1), b = uniform<double>(k * n, 2);  // b shared: stride 0
  const DeviceVector<double> da(a), db(b), dc(m * n * batch);
  EXPECT_EQ(cublasDgemmStridedBatched(blas_, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &alpha, da.get(), m, m * k, db.get(), k,
                                      0, &beta, dc.get(), m, m * n, batch),
            CUBLAS_STATUS_SUCCESS);
  std::vector<double> want;
  for (int i = 0; i < batch; ++i) {
    const std::vector<double> a_i(a.begin() + i * m * k, a.begin() + (i + 1) * m * k);
    const auto c = product(CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, alpha, a_i, m, b, k, 0.0, std::vector<double>(m * n), m);
    want.insert(want.end(), c.begin(), c.end());
  }
  EXPECT_LE(worst_error(dc.read(), want), kTolerance);
  EXPECT_EQ(cublasDgemmStridedBatched(blas_, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &alpha, da.get(), m, m * k, db.get(), k,
                                      0, &beta, dc.get(), m, m * n - 1, batch),
            CUBLAS_STATUS_INVALID_VALUE);
}

TEST_F(Blas, SyrkWritesOneTriangle) {
  const int n = 4, k = 5, ld = 6;
  const double alpha = 2, beta = 1;
  for (const cublasOperation_t op : kOps) {
    const auto a = uniform<double>(ld * 6, 1), c = uniform<double>(ld * n, 2);
    const DeviceVector<double> da(a), dc(c);
    EXPECT_EQ(cublasDsyrk(blas_, CUBLAS_FILL_MODE_LOWER, op, n, k, &alpha, da.get(), ld, &beta, dc.get(), ld),
              CUBLAS_STATUS_SUCCESS);
    const cublasOperation_t other = op == CUBLAS_OP_N ? CUBLAS_OP_T : CUBLAS_OP_N;
    auto want = product(op, other, n, n, k, alpha, a, ld, a, ld, beta, c, ld);
    for (int j = 0; j < n; ++j) {
      for (int i = 0; i < j; ++i) want[static_cast<std::size_t>(i + j * ld)] = c[static_cast<std::size_t>(i + j * ld)];
    }
    EXPECT_LE(worst_error(dc.read(), want), kTolerance);
  }
}

TEST_F(Blas, TrsmSolves) {
  const int m = 4, n = 3;
  const double alpha = 2, one = 1, zero = 0;
  auto a = uniform<double>(m * m, 1);
  for (int j = 0; j < m; ++j) {
    a[static_cast<std::size_t>(j * m + j)] = 2;
    for (int i = 0; i < j; ++i)
      a[static_cast<std::size_t>(i + j * m)] = 0;  // so that gemm sees the same lower triangle
  }
  const auto b = uniform<double>(m * n, 2);
  for (const cublasOperation_t op : kOps) {
    const DeviceVector<double> da(a), x(b), back(m * n);
    EXPECT_EQ(cublasDtrsm(blas_, CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_LOWER, op, CUBLAS_DIAG_NON_UNIT, m, n, &alpha,
                          da.get(), m, x.get(), m),
              CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cublasDgemm(blas_, op, CUBLAS_OP_N, m, n, m, &one, da.get(), m, x.get(), m, &zero, back.get(), m),
              CUBLAS_STATUS_SUCCESS);
    auto want = b;
    for (double& value : want) value *= alpha;
    EXPECT_LE(worst_error(back.read(), want), kTolerance);
  }
}

TEST_F(Blas, GemvAndGeamEqualLoops) {
  const int m = 5, n = 3;
  const double alpha = 0.5, beta = 2;
  const auto a = uniform<double>(m * n, 1), x = uniform<double>(m, 2), y = uniform<double>(m, 3);
  for (const cublasOperation_t op : kOps) {
    const int in = op == CUBLAS_OP_N ? n : m, out = op == CUBLAS_OP_N ? m : n;
    const DeviceVector<double> da(a), dx(x), dy(y);
    EXPECT_EQ(cublasDgemv(blas_, op, m, n, &alpha, da.get(), m, dx.get(), 1, &beta, dy.get(), 1),
              CUBLAS_STATUS_SUCCESS);
    const auto want = product(op, CUBLAS_OP_N, out, 1, in, alpha, a, m, x, m, beta, y, m);
    EXPECT_LE(worst_error(dy.read(), want), kTolerance);
  }
  const DeviceVector<double> da(a), transposed(m * n);
  const double one = 1, zero = 0;
  EXPECT_EQ(
      cublasDgeam(blas_, CUBLAS_OP_T, CUBLAS_OP_N, n, m, &one, da.get(), m, &zero, nullptr, n, transposed.get(), n),
      CUBLAS_STATUS_SUCCESS);
  const auto got = transposed.read();
  for (int i = 0; i < m * n; ++i)
    EXPECT_EQ(got[static_cast<std::size_t>(i % m * n + i / m)], a[static_cast<std::size_t>(i)]);
}

TEST_F(Blas, VectorsEqualLoops) {
  const int n = 7;
  const double alpha = -2;
  const auto x = uniform<double>(n, 1), y = uniform<double>(n, 2);
  const DeviceVector<double> dx(x), dy(y), result(1);
  double dot = 0, norm = 0, want_dot = 0, want_square = 0;
  for (int i = 0; i < n; ++i) {
    want_dot += x[static_cast<std::size_t>(i)] * y[static_cast<std::size_t>(i)];
    want_square += x[static_cast<std::size_t>(i)] * x[static_cast<std::size_t>(i)];
  }
  EXPECT_EQ(cublasDdot(blas_, n, dx.get(), 1, dy.get(), 1, &dot), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasDnrm2(blas_, n, dx.get(), 1, &norm), CUBLAS_STATUS_SUCCESS);
  EXPECT_NEAR(dot, want_dot, kTolerance);
  EXPECT_NEAR(norm * norm, want_square, kTolerance);
  EXPECT_EQ(cublasDaxpy(blas_, n, &alpha, dx.get(), 1, dy.get(), 1), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasDscal(blas_, n, &alpha, dx.get(), 1), CUBLAS_STATUS_SUCCESS);
  const auto got_x = dx.read(), got_y = dy.read();
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(got_x[i], alpha * x[i]);
    EXPECT_NEAR(got_y[i], y[i] + alpha * x[i], kTolerance);
  }
}

TEST_F(Blas, ScalarsOnTheDeviceAreReadWhenTheRoutineRuns) {
  const DeviceVector<double> alpha(std::vector<double>{3}), x(std::vector<double>{2}), result(1);
  EXPECT_EQ(cublasSetPointerMode(blas_, CUBLAS_POINTER_MODE_DEVICE), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasDscal(blas_, 1, alpha.get(), x.get(), 1), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasDnrm2(blas_, 1, x.get(), 1, result.get()), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(result.read()[0], 6);
  const double on_host = 3;
  EXPECT_EQ(cublasDscal(blas_, 1, &on_host, x.get(), 1), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
}

TEST_F(Blas, RunsOnItsStream) {
  int late = 0;
  for (std::uint64_t seed = 1; seed <= 16; ++seed) {
    control().set_seed(seed);
    const double alpha = 2;
    const DeviceVector<double> x(std::vector<double>{1});
    EXPECT_EQ(cublasDscal(blas_, 1, &alpha, x.get(), 1), CUBLAS_STATUS_SUCCESS);
    double seen = 0;  // the legacy stream is not ordered with a non-blocking one
    EXPECT_EQ(cudaMemcpy(&seen, x.get(), sizeof(seen), cudaMemcpyDeviceToHost), cudaSuccess);
    late += seen == 1;
    EXPECT_EQ(x.read()[0], 2);
  }
  EXPECT_GE(late, 2);
}

TEST_F(Blas, RefusesInvalidArguments) {
  const double one = 1;
  const DeviceVector<double> a(16);
  double* const p = a.get();
  const auto gemm = [&](int m, int n, int k, int lda, int ldb, int ldc, const double* alpha) {
    return cublasDgemm(blas_, CUBLAS_OP_N, CUBLAS_OP_T, m, n, k, alpha, p, lda, p, ldb, &one, p, ldc);
  };
  EXPECT_EQ(gemm(-1, 2, 2, 2, 2, 2, &one), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(gemm(3, 2, 2, 2, 2, 3, &one), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(gemm(2, 3, 2, 2, 2, 2, &one), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(gemm(3, 2, 2, 3, 2, 2, &one), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(gemm(0, 2, 2, 0, 2, 1, &one), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(gemm(2, 2, 2, 2, 2, 2, nullptr), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(gemm(0, 2, 2, 1, 2, 1, &one), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasDgemm(nullptr, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, p, 1, p, 1, &one, p, 1),
            CUBLAS_STATUS_NOT_INITIALIZED);
  EXPECT_EQ(cublasDsyrk(blas_, CUBLAS_FILL_MODE_FULL, CUBLAS_OP_N, 2, 2, &one, p, 2, &one, p, 2),
            CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasDsyrk(blas_, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_T, 2, 3, &one, p, 2, &one, p, 2),
            CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasDtrsm(blas_, CUBLAS_SIDE_RIGHT, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N, CUBLAS_DIAG_UNIT, 2, 3, &one, p,
                        2, p, 2),
            CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasDgemv(blas_, CUBLAS_OP_N, 2, 2, &one, p, 2, p, 0, &one, p, 1), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasDgeam(blas_, CUBLAS_OP_T, CUBLAS_OP_N, 2, 2, &one, p, 2, &one, p + 4, 2, p, 2),
            CUBLAS_STATUS_INVALID_VALUE);
}

TEST_F(Blas, MatrixBeyondItsAllocationIsAFault) {
  const double one = 1;
  const DeviceVector<double> a(15), c(16);
  EXPECT_EQ(cublasDgemm(blas_, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &one, a.get(), 4, a.get(), 4, &one, c.get(), 4),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  EXPECT_EQ(cublasDscal(blas_, 1, &one, c.get(), 1), CUBLAS_STATUS_EXECUTION_FAILED);
}

// Solvers

struct Workspace {
  Workspace(std::size_t device_bytes, std::size_t host_bytes) : device(device_bytes), host(host_bytes) {}
  DeviceVector<char> device;
  std::vector<char> host;
};

/// M Mᵀ + I, both triangles.
std::vector<double> positive_definite(int n) {
  const auto m = uniform<double>(static_cast<std::size_t>(n) * n, 5);
  std::vector<double> identity(static_cast<std::size_t>(n) * n);
  for (int i = 0; i < n; ++i) identity[static_cast<std::size_t>(i * n + i)] = 1;
  return product(CUBLAS_OP_N, CUBLAS_OP_T, n, n, n, 1.0, m, n, m, n, 1.0, identity, n);
}

TEST_F(Solver, CholeskySolves) {
  const int n = 6, columns = 2;
  const auto a = positive_definite(n), x = uniform<double>(n * columns, 6);
  const auto b =
      product(CUBLAS_OP_N, CUBLAS_OP_N, n, columns, n, 1.0, a, n, x, n, 0.0, std::vector<double>(n * columns), n);
  const DeviceVector<double> da(a), db(b);
  const DeviceVector<int> info(1);
  std::size_t device_bytes = 0, host_bytes = 0;
  EXPECT_EQ(cusolverDnXpotrf_bufferSize(solver_, params_, CUBLAS_FILL_MODE_LOWER, n, CUDA_R_64F, da.get(), n,
                                        CUDA_R_64F, &device_bytes, &host_bytes),
            CUSOLVER_STATUS_SUCCESS);
  Workspace space(device_bytes, host_bytes);
  const auto factor = [&](std::int64_t order, std::int64_t ld, std::size_t bytes, cudaDataType type) {
    return cusolverDnXpotrf(solver_, params_, CUBLAS_FILL_MODE_LOWER, order, type, da.get(), ld, CUDA_R_64F,
                            space.device.get(), bytes, space.host.data(), host_bytes, info.get());
  };
  EXPECT_EQ(factor(n, n - 1, device_bytes, CUDA_R_64F), CUSOLVER_STATUS_INVALID_VALUE);
  EXPECT_EQ(factor(-1, n, device_bytes, CUDA_R_64F), CUSOLVER_STATUS_INVALID_VALUE);
  EXPECT_EQ(factor(n, n, device_bytes - 1, CUDA_R_64F), CUSOLVER_STATUS_INVALID_VALUE);
  EXPECT_EQ(factor(n, n, device_bytes, CUDA_R_32F), CUSOLVER_STATUS_INVALID_VALUE);
  EXPECT_EQ(factor(n, n, device_bytes, CUDA_R_64F), CUSOLVER_STATUS_SUCCESS);
  EXPECT_EQ(cusolverDnXpotrs(solver_, params_, CUBLAS_FILL_MODE_LOWER, n, columns, CUDA_R_64F, da.get(), n, CUDA_R_64F,
                             db.get(), n, info.get()),
            CUSOLVER_STATUS_SUCCESS);
  EXPECT_LE(worst_error(db.read(), x), 1e-12);  // the condition is below 100
  EXPECT_EQ(info.read()[0], 0);
}

TEST_F(Solver, CholeskyTellsWhereItFails) {
  const DeviceVector<double> a(std::vector<double>{1, 0, 0, 0, -1, 0, 0, 0, 1});
  const DeviceVector<int> info(1);
  Workspace space(1024, 1024);
  EXPECT_EQ(cusolverDnXpotrf(solver_, params_, CUBLAS_FILL_MODE_LOWER, 3, CUDA_R_64F, a.get(), 3, CUDA_R_64F,
                             space.device.get(), 1024, space.host.data(), 1024, info.get()),
            CUSOLVER_STATUS_SUCCESS);
  EXPECT_EQ(info.read()[0], 2);
}

TEST_F(Solver, QrSolvesLeastSquares) {
  const int m = 7, n = 3;
  const double one = 1;
  const auto a = uniform<double>(m * n, 7), x = uniform<double>(n, 8);
  const auto b = product(CUBLAS_OP_N, CUBLAS_OP_N, m, 1, n, 1.0, a, m, x, n, 0.0, std::vector<double>(m), m);
  const DeviceVector<double> da(a), db(b), tau(n);
  const DeviceVector<int> info(1);
  std::size_t device_bytes = 0, host_bytes = 0;
  EXPECT_EQ(cusolverDnXgeqrf_bufferSize(solver_, params_, m, n, CUDA_R_64F, da.get(), m, CUDA_R_64F, tau.get(),
                                        CUDA_R_64F, &device_bytes, &host_bytes),
            CUSOLVER_STATUS_SUCCESS);
  Workspace space(device_bytes, host_bytes);
  EXPECT_EQ(cusolverDnXgeqrf(solver_, params_, m, n, CUDA_R_64F, da.get(), m, CUDA_R_64F, tau.get(), CUDA_R_64F,
                             space.device.get(), device_bytes, space.host.data(), host_bytes, info.get()),
            CUSOLVER_STATUS_SUCCESS);
  int size = 0;
  EXPECT_EQ(cusolverDnDormqr_bufferSize(solver_, CUBLAS_SIDE_LEFT, CUBLAS_OP_T, m, 1, n, da.get(), m, tau.get(),
                                        db.get(), m, &size),
            CUSOLVER_STATUS_SUCCESS);
  const DeviceVector<double> scratch(static_cast<std::size_t>(size));
  EXPECT_EQ(cusolverDnDormqr(solver_, CUBLAS_SIDE_LEFT, CUBLAS_OP_T, m, 1, n, da.get(), m, tau.get(), db.get(), m,
                             scratch.get(), size - 1, info.get()),
            CUSOLVER_STATUS_INVALID_VALUE);
  EXPECT_EQ(cusolverDnDormqr(solver_, CUBLAS_SIDE_LEFT, CUBLAS_OP_T, m, 1, n, da.get(), m, tau.get(), db.get(), m,
                             scratch.get(), size, info.get()),
            CUSOLVER_STATUS_SUCCESS);
  EXPECT_EQ(cublasDtrsm(blas_, CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_N, CUBLAS_DIAG_NON_UNIT, n, 1, &one,
                        da.get(), m, db.get(), m),
            CUBLAS_STATUS_SUCCESS);
  auto got = db.read();
  got.resize(n);
  EXPECT_LE(worst_error(got, x), 1e-12);
}

TEST_F(Solver, EigenvaluesAndVectors) {
  const int n = 5;
  const auto a = positive_definite(n);
  const DeviceVector<double> v(a), w(n);
  const DeviceVector<int> info(1);
  std::size_t device_bytes = 0, host_bytes = 0;
  EXPECT_EQ(
      cusolverDnXsyevd_bufferSize(solver_, params_, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER, n, CUDA_R_64F,
                                  v.get(), n, CUDA_R_64F, w.get(), CUDA_R_64F, &device_bytes, &host_bytes),
      CUSOLVER_STATUS_SUCCESS);
  Workspace space(device_bytes, host_bytes);
  EXPECT_EQ(cusolverDnXsyevd(solver_, params_, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER, n, CUDA_R_64F, v.get(),
                             n, CUDA_R_64F, w.get(), CUDA_R_64F, space.device.get(), device_bytes, space.host.data(),
                             host_bytes, info.get()),
            CUSOLVER_STATUS_SUCCESS);
  const auto vectors = v.read(), values = w.read();
  EXPECT_TRUE(std::is_sorted(values.begin(), values.end()));
  auto scaled = vectors;
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < n; ++i) scaled[static_cast<std::size_t>(i + j * n)] *= values[static_cast<std::size_t>(j)];
  }
  const auto back =
      product(CUBLAS_OP_N, CUBLAS_OP_T, n, n, n, 1.0, scaled, n, vectors, n, 0.0, std::vector<double>(n * n), n);
  EXPECT_LE(worst_error(back, a), 1e-12);
}

TEST_F(Solver, BatchedEigenvaluesAreEachMatrixs) {
  const int n = 2, batch = 3;
  const DeviceVector<double> a(std::vector<double>{1, 0, 0, 2, 2, 1, 1, 2, 5, 0, 0, -5}), w(n * batch);
  const DeviceVector<int> info(batch);
  Workspace space(4096, 4096);
  EXPECT_EQ(cusolverDnXsyevBatched(solver_, params_, CUSOLVER_EIG_MODE_NOVECTOR, CUBLAS_FILL_MODE_UPPER, n, CUDA_R_64F,
                                   a.get(), n, CUDA_R_64F, w.get(), CUDA_R_64F, space.device.get(), 4096,
                                   space.host.data(), 4096, info.get(), batch),
            CUSOLVER_STATUS_SUCCESS);
  EXPECT_LE(worst_error(w.read(), std::vector<double>{1, 2, 1, 3, -5, 5}), kTolerance);
}

TEST_F(Solver, BatchesAreRefusedBeyondTheirLimits) {
  const auto ask = [&](std::int64_t n, std::int64_t batch) {
    std::size_t device_bytes = 0, host_bytes = 0;
    return cusolverDnXsyevBatched_bufferSize(solver_, params_, CUSOLVER_EIG_MODE_NOVECTOR, CUBLAS_FILL_MODE_LOWER, n,
                                             CUDA_R_64F, nullptr, n, CUDA_R_64F, nullptr, CUDA_R_64F, &device_bytes,
                                             &host_bytes, batch);
  };
  EXPECT_EQ(ask(2, 32767), CUSOLVER_STATUS_SUCCESS);
  EXPECT_EQ(ask(512, 8191), CUSOLVER_STATUS_SUCCESS);
  EXPECT_EQ(ask(512, 8192), CUSOLVER_STATUS_INVALID_VALUE);
  EXPECT_EQ(ask(2, 32768), CUSOLVER_STATUS_INVALID_VALUE);
  EXPECT_EQ(ask(2, 0), CUSOLVER_STATUS_INVALID_VALUE);
  EXPECT_EQ(cusolverDnSetAdvOptions(params_, CUSOLVERDN_SYEVBATCHED, CUSOLVER_ALG_1), CUSOLVER_STATUS_SUCCESS);
  EXPECT_EQ(cusolverDnSetAdvOptions(nullptr, CUSOLVERDN_SYEVBATCHED, CUSOLVER_ALG_1), CUSOLVER_STATUS_INVALID_VALUE);
}

TEST_F(Libraries, PlantedFailures) {
  cublasHandle_t blas = nullptr;
  control().fail_allocation(1);
  EXPECT_EQ(cublasCreate(&blas), CUBLAS_STATUS_ALLOC_FAILED);
  const double one = 1;
  const DeviceVector<double> x(std::vector<double>{1});
  control().fail_launch(1);
  EXPECT_EQ(cublasDscal(blas_, 1, &one, x.get(), 1), CUBLAS_STATUS_EXECUTION_FAILED);
  EXPECT_EQ(cublasDscal(blas_, 1, &one, x.get(), 1), CUBLAS_STATUS_SUCCESS);
  control().fault_launch(1);
  EXPECT_EQ(cublasDscal(blas_, 1, &one, x.get(), 1), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
}

}  // namespace
