#!/usr/bin/env python3
"""The sections of section_bench in JAX: jit of vmap over chunks of grid points, the chunk tuned.

  section_bench --export DIR
  section_jax.py DIR [--device cpu|cuda] [--threads N]      answers requests as exported.py says

Each point forms theta0 + a1 d1 + a2 d2 and runs the whole network on all samples. f64 runs with x64 enabled; products
are set to "highest" precision in f64 and f32, in `fast` to "tensorfloat32". --threads keeps the process to as many
cores, as XLA has no setting for it.
"""

import argparse
import functools
import os
import pathlib

import exported as peer

CHUNKS = {"cpu": (1, 4, 16), "cuda": (8, 64, 256)}
CHUNK_BYTES = 8 << 30
PRODUCT = {"cpu": 2048, "cuda": 8192}


def build(jax, exported, labels, targets):
    """losses (G, H) of points (G, z), G·N rows at once."""
    jnp = jax.numpy
    activate = {"tanh": jnp.tanh, "relu": jax.nn.relu}[exported.activation]

    def head_losses(outputs):
        heads = outputs.reshape(len(outputs), exported.heads, -1)
        if labels is None:
            return jnp.square(heads - targets[:, None, :]).sum(2).mean(0)
        chosen = jnp.take_along_axis(heads, labels[:, None, None], 2)[:, :, 0]
        return (jax.scipy.special.logsumexp(heads, axis=2) - chosen).mean(0)

    def losses(point, theta, directions, inputs):
        layers = exported.layers(theta + point @ directions)
        hidden = inputs
        for weight, bias in layers[:-1]:
            hidden = activate(hidden @ weight.T + bias)
        weight, bias = layers[-1]
        return head_losses(hidden @ weight.T + bias)

    return jax.jit(jax.vmap(losses, in_axes=(0, None, None, None)))


class Problem:
    def __init__(self, jax, device, exported, precision):
        self.jax, self.device, self.exported, self.precision = jax, device, exported, precision
        self.dtype = jax.numpy.float64 if precision == "f64" else jax.numpy.float32

        def load(array):
            return jax.numpy.asarray(array, self.dtype)

        self.arrays = [load(array) for array in (exported.theta, exported.directions, exported.inputs)]
        labels = None if exported.loss != "ce" else jax.numpy.asarray(exported.labels)
        self.function = build(jax, exported, labels, load(exported.targets))

    def evaluate(self, chunk, points):
        jnp = self.jax.numpy
        precision = "tensorfloat32" if self.precision == "fast" else "highest"
        self.jax.config.update("jax_default_matmul_precision", precision)
        result = []
        for at in range(0, len(points), chunk):
            part = points[at : at + chunk]
            if len(part) < chunk:
                part = jnp.concatenate([part, jnp.repeat(part[-1:], chunk - len(part), 0)])
            result.append(self.function(part, *self.arrays))
        return jnp.concatenate(result)[: len(points)].block_until_ready()

    def variants(self):
        pair_bytes = 4 * 8 * max(self.exported.widths[1:])
        most = max(1, CHUNK_BYTES // (pair_bytes * len(self.exported.inputs)))
        chunks = sorted({min(chunk, most, len(self.exported.points)) for chunk in CHUNKS[self.device]})
        return {
            "jax": [
                peer.Variant(functools.partial(self.evaluate, chunk), chunk=chunk, form=f"in chunks of {chunk}")
                for chunk in chunks
            ]
        }

    def points(self, array):
        return self.jax.numpy.asarray(array, self.dtype)

    def host(self, losses):
        return losses

    def synchronise(self):
        pass  # evaluate() waits

    def release(self):
        pass


def rates(jax, device):
    result = {}
    for name in ("f64", "f32"):
        jax.config.update("jax_default_matmul_precision", "highest")
        size, key = PRODUCT[device], jax.random.key(1)
        a, b = (jax.random.normal(k, (size, size), name.replace("f", "float")) for k in jax.random.split(key))
        product = jax.jit(jax.numpy.matmul)
        product(a, b).block_until_ready()
        seconds = peer.clock(lambda: product(a, b).block_until_ready(), 0.1)["seconds"]
        result[name] = 2 * size**3 / seconds
    return {"products": result}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="what section_bench --export wrote")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="default: all cores of this process")
    parser.add_argument("--least", type=float, default=0.2, help="seconds of each timing at least")
    options = parser.parse_args()
    if options.threads > 0:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the other programs need the memory, too
    os.environ["JAX_PLATFORMS"] = options.device
    import jax

    jax.config.update("jax_enable_x64", True)
    device = jax.devices()[0]
    about = {
        "library": f"JAX {jax.__version__}",
        "threads": len(os.sched_getaffinity(0)),
        "device": device.device_kind,
    }
    server = peer.Server(options.folder, functools.partial(Problem, jax, options.device), options.least)
    peer.serve(server, about, functools.partial(rates, jax, options.device))


if __name__ == "__main__":
    main()
