#!/usr/bin/env python3
"""The Hessians of hessian_bench in JAX, compiled, in f64.

  hessian_bench --export DIR
  hessian_jax.py DIR [--cases 2_100_1] [--forms hessian,map] [--rows 512] [--threads N] [--device cpu|cuda]

Every form reads the same data, and its matrix is compared with the one that lossatlas wrote before it is timed:
  hessian   jax.jit(jax.hessian(loss)): vmap over all columns at once
  map       jax.jit of jax.lax.map over columns in batches, the fastest of several sizes
and eigenvalues by jnp.linalg.eigvalsh where the case has them (on a GPU cuSOLVER's, of a matrix that is there). Compilation is not timed. --threads N runs on the first
N of this process's processors: XLA has a thread for each. Prints JSON.
"""

import os
import sys

import hessian_peer
import jax
import jax.numpy as jnp
from exported import PRODUCT_SIZE
from hessian_peer import Form

BATCHES = (8, 32, 128)
FORMS = ("hessian", "map")


def device_memory():
    stats = jax.devices()[0].memory_stats()
    return stats["bytes_limit"] - stats["bytes_in_use"]


class Problem:
    """One exported case on the default device. The data are arguments, so that the compiler does not fold them."""

    def __init__(self, exported, device, free):
        self.exported, self.free = exported, free
        self.theta = jnp.asarray(exported.theta)
        self.data = jnp.asarray(exported.inputs), jnp.asarray(exported.targets)

    def loss(self, theta, inputs, targets):
        return self.exported.loss(theta, inputs, targets, jnp.tanh)

    def forms(self):
        return {"hessian": Form(lambda _: compiled(jax.hessian(self.loss), self.theta, *self.data), True),
                "map": Form(self.mapped)}

    def mapped(self, rows):
        columns = jnp.zeros((len(rows), len(self.theta))).at[jnp.arange(len(rows)), jnp.asarray(rows)].set(1)

        def batched(size):
            def matrix(columns, theta, inputs, targets):
                gradient = jax.grad(lambda point: self.loss(point, inputs, targets))
                return jax.lax.map(lambda vector: jax.jvp(gradient, (theta,), (vector,))[1], columns, batch_size=size)

            return compiled(matrix, columns, self.theta, *self.data)

        return hessian_peer.fastest([batched(size) for size in self.exported.fitting(BATCHES, self.free)])

    def eigenvalues(self):
        return compiled(jnp.linalg.eigvalsh, jnp.asarray(self.exported.hessian))


def compiled(function, *arguments):
    fast = jax.jit(function)
    return lambda: fast(*arguments).block_until_ready()


def product_rate(device):
    """FLOP/s of square products in f64."""
    size = PRODUCT_SIZE[device]
    a, b = (jax.random.normal(jax.random.key(seed), (size, size), dtype=jnp.float64) for seed in range(2))
    function = compiled(jnp.matmul, a, b)
    function()
    return 2 * size**3 / hessian_peer.clock(function, 0.1)["seconds"]


def about(options):
    processors = sorted(os.sched_getaffinity(0))
    if options.threads > 0:
        os.sched_setaffinity(0, processors[: options.threads])
    jax.config.update("jax_platforms", options.device)
    jax.config.update("jax_enable_x64", True)
    return {
        "framework": "JAX",
        "version": jax.__version__,
        "threads": len(os.sched_getaffinity(0)),
        "device": jax.devices()[0].device_kind,
    }


if __name__ == "__main__":
    hessian_peer.run(sys.modules[__name__], hessian_peer.parse_arguments(__doc__, FORMS))
