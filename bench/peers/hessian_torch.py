#!/usr/bin/env python3
"""The Hessians of hessian_bench in PyTorch, by its own functions.

  hessian_bench --export DIR
  hessian_torch.py DIR [--cases 2_100_1] [--forms functional,vmap] [--threads N] [--device cpu|cuda]

Every form reads the same data, in f64, and its matrix is compared with the one that lossatlas wrote before it is timed:
  functional   torch.autograd.functional.hessian: one backward pass for each row
  vectorized   the same with vectorize=True
  func         torch.func.hessian: vmap over all columns at once
  vmap         torch.func: vmap over columns in chunks, the fastest of several sizes
Prints JSON.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

import numpy
import torch
from torch.autograd.functional import hessian

TOLERANCE = 1e-11  # of the largest entry: a wrong formula fails, rounding does not
CHUNKS = (8, 16, 32, 64, 128)


class Problem:
    """One exported case on one device."""

    def __init__(self, folder, device):
        about = json.loads((folder / "case.json").read_text())
        if about["activation"] != "tanh" or about["loss"] != "mse":
            raise SystemExit(f"{folder}: expected tanh and mse, received {about['activation']} and {about['loss']}")

        def load(name):
            return torch.from_numpy(numpy.load(folder / name)).to(device)

        self.widths = about["widths"]
        self.theta, self.inputs, self.targets = load("theta.npy"), load("inputs.npy"), load("targets.npy")
        self.expected = load("hessian.npy")

    def loss(self, theta):
        hidden, at, last = self.inputs, 0, len(self.widths) - 2
        for layer, (fan_in, out) in enumerate(zip(self.widths, self.widths[1:])):
            weight = theta[at : at + out * fan_in].view(out, fan_in)
            at += out * fan_in
            hidden = hidden @ weight.t() + theta[at : at + out]
            at += out
            if layer < last:
                hidden = torch.tanh(hidden)
        return (hidden - self.targets).square().sum(1).mean()


def chunked(problem, size):
    def column(vector):
        return torch.func.jvp(torch.func.grad(problem.loss), (problem.theta,), (vector,))[1]

    identity = torch.eye(len(problem.theta), dtype=problem.theta.dtype, device=problem.theta.device)
    return torch.func.vmap(column, chunk_size=size)(identity)


def function_of(problem, form):
    if form == "functional":
        return lambda: hessian(problem.loss, problem.theta)
    if form == "vectorized":
        return lambda: hessian(problem.loss, problem.theta, vectorize=True)
    if form == "func":
        return lambda: torch.func.hessian(problem.loss)(problem.theta)
    if form == "vmap":
        size = min(CHUNKS, key=lambda size: clock(lambda: chunked(problem, size), problem.theta.device, 0)["seconds"])
        return lambda: chunked(problem, size)
    raise SystemExit(f"--forms: received {form}, expected functional, vectorized, func or vmap")


def clock(function, device, least):
    """Median seconds of calls that fill `least` seconds."""
    walls = []
    while sum(walls) < least or not walls:
        start = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize()
        walls.append(time.perf_counter() - start)
    return {"seconds": statistics.median(walls), "calls": len(walls)}


def run_form(problem, form, least):
    function = function_of(problem, form)
    error = float((function() - problem.expected).abs().max() / problem.expected.abs().max())  # also warms up
    if not error <= TOLERANCE:
        raise SystemExit(f"{form}: the Hessian differs from lossatlas's by {error:.3g}, expected at most {TOLERANCE}")
    return clock(function, problem.theta.device, least) | {"max_relative_error": error}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="what hessian_bench --export wrote")
    parser.add_argument("--cases", default="", help="names, separated by commas; default: all")
    parser.add_argument("--forms", default="functional,vectorized,func,vmap", help="separated by commas")
    parser.add_argument("--threads", type=int, default=0, help="default: PyTorch's own choice")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--least", type=float, default=1, help="seconds of each timing at least")
    options = parser.parse_args()
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is no folder; expected what hessian_bench --export wrote")
    return options


def main():
    options = parse_arguments()
    if options.threads > 0:
        torch.set_num_threads(options.threads)
    on_gpu = options.device == "cuda"
    result = {
        "framework": "PyTorch",
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if on_gpu else f"cpu, {torch.backends.cpu.get_cpu_capability()}",
        "cases": {},
    }
    wanted = options.cases.split(",") if options.cases else None
    for folder in sorted(path.parent for path in options.folder.glob("*/case.json")):
        if wanted and folder.name not in wanted:
            continue
        problem = Problem(folder, torch.device(options.device))
        forms = {form: run_form(problem, form, options.least) for form in options.forms.split(",")}
        result["cases"][folder.name] = forms
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
