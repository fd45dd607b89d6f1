#!/usr/bin/env python3
"""The Hessians of hessian_bench in JAX, compiled, in f64.

  hessian_bench --export DIR
  hessian_jax.py DIR [--cases 2_100_1] [--forms hessian,map] [--threads N] [--device cpu|cuda]

Every form reads the same data, and its matrix is compared with the one that lossatlas wrote before it is timed:
  hessian   jax.jit(jax.hessian(loss)): vmap over all columns at once
  map       jax.jit of jax.lax.map over columns in batches, the fastest of several sizes
Compilation is not timed. Prints JSON.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy

TOLERANCE = 1e-11  # of the largest entry: a wrong formula fails, rounding does not
BATCHES = (8, 32, 128)


class Problem:
    """One exported case on the default device."""

    def __init__(self, folder):
        about = json.loads((folder / "case.json").read_text())
        if about["activation"] != "tanh" or about["loss"] != "mse":
            raise SystemExit(f"{folder}: expected tanh and mse, received {about['activation']} and {about['loss']}")
        self.widths = about["widths"]
        self.theta = jnp.asarray(numpy.load(folder / "theta.npy"))
        self.data = jnp.asarray(numpy.load(folder / "inputs.npy")), jnp.asarray(numpy.load(folder / "targets.npy"))
        self.expected = numpy.load(folder / "hessian.npy")

    def loss(self, theta, inputs, targets):
        hidden, at, last = inputs, 0, len(self.widths) - 2
        for layer, (fan_in, out) in enumerate(zip(self.widths, self.widths[1:])):
            weight = theta[at : at + out * fan_in].reshape(out, fan_in)
            at += out * fan_in
            hidden = hidden @ weight.T + theta[at : at + out]
            at += out
            if layer < last:
                hidden = jnp.tanh(hidden)
        return jnp.mean(jnp.sum((hidden - targets) ** 2, axis=1))


def mapped(problem, size):
    """The data are arguments, so that the compiler does not fold them."""

    def matrix(theta, inputs, targets):
        gradient = jax.grad(lambda point: problem.loss(point, inputs, targets))
        columns = jnp.eye(len(theta), dtype=theta.dtype)
        return jax.lax.map(lambda vector: jax.jvp(gradient, (theta,), (vector,))[1], columns, batch_size=size)

    compiled = jax.jit(matrix)
    return lambda: compiled(problem.theta, *problem.data).block_until_ready()


def function_of(problem, form):
    if form == "hessian":
        compiled = jax.jit(jax.hessian(problem.loss))
        return lambda: compiled(problem.theta, *problem.data).block_until_ready()
    if form == "map":
        functions = [mapped(problem, size) for size in BATCHES]
        for function in functions:
            function()
        return min(functions, key=lambda function: clock(function, 0)["seconds"])
    raise SystemExit(f"--forms: received {form}, expected hessian or map")


def clock(function, least):
    """Median seconds of calls that fill `least` seconds."""
    walls = []
    while sum(walls) < least or not walls:
        start = time.perf_counter()
        function()
        walls.append(time.perf_counter() - start)
    return {"seconds": statistics.median(walls), "calls": len(walls)}


def run_form(problem, form, least):
    function = function_of(problem, form)
    difference = numpy.abs(numpy.asarray(function()) - problem.expected)  # also compiles
    error = float(difference.max() / numpy.abs(problem.expected).max())
    if not error <= TOLERANCE:
        raise SystemExit(f"{form}: the Hessian differs from lossatlas's by {error:.3g}, expected at most {TOLERANCE}")
    return clock(function, least) | {"max_relative_error": error}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="what hessian_bench --export wrote")
    parser.add_argument("--cases", default="", help="names, separated by commas; default: all")
    parser.add_argument("--forms", default="hessian,map", help="separated by commas")
    parser.add_argument("--threads", type=int, default=0, help="run on the first N of this process's processors")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--least", type=float, default=1, help="seconds of each timing at least")
    options = parser.parse_args()
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is no folder; expected what hessian_bench --export wrote")
    return options


def main():
    options = parse_arguments()
    processors = sorted(os.sched_getaffinity(0))
    if options.threads > 0:
        os.sched_setaffinity(0, processors[: options.threads])  # XLA has a thread for each
    jax.config.update("jax_platforms", options.device)
    jax.config.update("jax_enable_x64", True)
    result = {
        "framework": "JAX",
        "version": jax.__version__,
        "threads": len(os.sched_getaffinity(0)),
        "device": jax.devices()[0].device_kind,
        "cases": {},
    }
    wanted = options.cases.split(",") if options.cases else None
    for folder in sorted(path.parent for path in options.folder.glob("*/case.json")):
        if wanted and folder.name not in wanted:
            continue
        problem = Problem(folder)
        forms = {form: run_form(problem, form, options.least) for form in options.forms.split(",")}
        result["cases"][folder.name] = forms
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
