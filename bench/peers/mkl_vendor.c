/* Preloaded into PyTorch on CPUs that are not Intel's, where MKL otherwise keeps to AVX2: with these answers it runs the
   kernels that the CPU's own feature bits allow, and the peer is as fast as it can be. */
int mkl_serv_intel_cpu_true(void) { return 1; }
int mkl_serv_intel_cpu(void) { return 1; }
