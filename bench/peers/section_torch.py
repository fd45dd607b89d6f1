#!/usr/bin/env python3
"""The sections of section_bench in PyTorch: a loop over grid points, and by hand what lossatlas plans by itself.

  section_bench --export DIR
  section_torch.py DIR [--cases dense,prefix] [--threads N] [--gemm f32=RATE,f64=RATE]

Both forms read the same random data, and their losses are compared with those that lossatlas wrote before anything is
timed. The loop forms theta0 + a1 d1 + a2 d2 and runs the whole network on all samples. The optimised form caches the
layers below the first one that moves, computes that layer's affine terms once, works in place, knows Theorem 1 and the
quadratic of a last layer, and is tuned: the fastest of several batch sizes and of MKL's and oneDNN's products. Prints
JSON.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

import numpy
import torch
import torch.nn.functional as F

DTYPES = {"f32": torch.float32, "f64": torch.float64}
TOLERANCE = {"f32": 1e-5, "f64": 1e-11}  # relative to the loss: a wrong formula fails, rounding does not
PRODUCT = 2048
STYLES = [("single", 1), ("onednn", 1), ("batched", 2), ("batched", 4), ("batched", 8), ("batched", 16)]


class Problem:
    """One exported case in one precision."""

    def __init__(self, folder, precision):
        about = json.loads((folder / "case.json").read_text())
        if about["activation"] != "tanh":
            raise SystemExit(f"{folder}: expected tanh, received {about['activation']}")

        def load(name):
            return torch.from_numpy(numpy.load(folder / name)).to(DTYPES[precision])

        self.precision = precision
        self.heads = about["heads"]
        self.loss = about["loss"]
        self.widths = about["widths"]
        self.theta, self.directions = load("theta.npy"), load("directions.npy")
        self.inputs, self.points = load("inputs.npy"), load("points.npy")
        self.labels = torch.from_numpy(numpy.load(folder / "labels.npy")).long()
        self.classes = self.widths[-1] // self.heads
        self.targets = F.one_hot(self.labels, self.classes).to(self.theta.dtype)
        self.expected = torch.from_numpy(numpy.load(folder / "losses-f64.npy"))
        self.own = torch.from_numpy(numpy.load(folder / f"losses-{precision}.npy"))
        # (1 + z, G): the factors of theta0 and the directions.
        self.factors = torch.cat([torch.ones(len(self.points), 1, dtype=self.theta.dtype), self.points], 1)
        self.parts = self.layers(torch.cat([self.theta[None], self.directions]))

    def layers(self, theta):
        """Views (..., out, in) and (..., out) of each layer in theta (..., M)."""
        views, at = [], 0
        for fan_in, out in zip(self.widths, self.widths[1:]):
            weight = theta[..., at : at + out * fan_in].unflatten(-1, (out, fan_in))
            at += out * fan_in
            views.append((weight, theta[..., at : at + out]))
            at += out
        return views

    def losses(self, outputs):
        """Losses (H) of outputs (N, H·C)."""
        heads = outputs.chunk(self.heads, 1)
        if self.loss == "ce":
            return torch.stack([F.cross_entropy(head, self.labels) for head in heads])
        return torch.stack([(head - self.targets).square_().sum(1).mean() for head in heads])

    def moved(self, layer):
        weight, bias = self.parts[layer]
        return bool(weight[1:].any() or bias[1:].any())


def loop(problem, indices):
    """The whole network on all samples at one point after another."""
    result = []
    for alpha in problem.points[indices]:
        theta = problem.theta + alpha @ problem.directions
        hidden = problem.inputs
        layers = problem.layers(theta)
        for weight, bias in layers[:-1]:
            hidden = torch.tanh(F.linear(hidden, weight, bias))
        result.append(problem.losses(F.linear(hidden, *layers[-1])))
    return torch.stack(result)


def cached(problem, layers):
    """Activations after the first `layers` layers, which do not move."""
    hidden = problem.inputs
    for weight, bias in problem.parts[:layers]:
        hidden = torch.addmm(bias[0], hidden, weight[0].t()).tanh_()
    return hidden


def affine_terms(problem, hidden, layer):
    """(1 + z, N, out): the pre-activation of a layer is their sum with the factors of a point."""
    weight, bias = problem.parts[layer]
    return torch.stack([torch.addmm(b, hidden, w.t()) for w, b in zip(weight, bias)])


def batches(problem, terms, first, size):
    """`size` points at a time: one batched product for each later layer."""
    count, samples, width = terms.shape
    labels = problem.labels.repeat(size)
    buffers = [torch.empty(size, samples, w, dtype=terms.dtype) for w in [width] + problem.widths[first + 2 :]]
    result = []
    for factors in problem.factors.split(size):
        n = len(factors)
        hidden = buffers[0][:n]
        torch.mm(factors, terms.view(count, -1), out=hidden.view(n, -1))
        for (weight, bias), buffer in zip(problem.parts[first + 1 :], buffers[1:]):
            w = torch.mm(factors, weight.flatten(1)).unflatten(1, weight.shape[1:])
            b = torch.mm(factors, bias).unsqueeze(1)
            hidden = torch.baddbmm(b, hidden.tanh_(), w.transpose(1, 2), out=buffer[:n])
        flat = F.cross_entropy(hidden.flatten(0, 1), labels[: n * samples], reduction="none")
        result.append(flat.view(n, samples).mean(1))
    return torch.cat(result)[:, None]


def singles(problem, terms, first, fused):
    """One point at a time in buffers; `fused`: oneDNN's product with bias and tanh in one pass."""
    hidden = torch.empty_like(terms[0])
    later = problem.parts[first + 1 :]
    buffers = [torch.empty(len(hidden), w, dtype=terms.dtype) for w in problem.widths[first + 2 :]]
    result = []
    for factors, alpha in zip(problem.factors, problem.points.tolist()):
        torch.add(terms[0], terms[1], alpha=alpha[0], out=hidden)
        for term, a in zip(terms[2:], alpha[1:]):
            hidden.add_(term, alpha=a)
        x = hidden.tanh_()
        for k, ((weight, bias), buffer) in enumerate(zip(later, buffers)):
            w, b = torch.mv(weight.flatten(1).t(), factors).view(weight.shape[1:]), torch.mv(bias.t(), factors)
            last = k + 1 == len(later)
            if fused:
                x = torch.ops.mkldnn._linear_pointwise(x, w, b, "none" if last else "tanh", [], None)
                continue
            x = torch.addmm(b, x, w.t(), out=buffer)
            if not last:
                x.tanh_()
        result.append(problem.losses(x))
    return torch.stack(result)


def affine(problem, style):
    """Prefix cached, first moved layer affine, later layers for every point and sample."""
    first = next(layer for layer in range(len(problem.parts)) if problem.moved(layer))
    terms = affine_terms(problem, cached(problem, first), first)
    name, size = style
    if name == "batched":
        return batches(problem, terms, first, size)
    return singles(problem, terms, first, name == "onednn")


def theorem1(problem, chunk):
    """No dependence on the samples: one forward pass for each point, the label frequencies once."""
    frequencies = problem.targets.mean(0)
    result = []
    for factors in problem.factors.split(chunk):
        hidden = torch.mm(factors, problem.parts[0][1])
        for weight, bias in problem.parts[1:]:
            hidden = torch.addmm(bias[0], hidden.tanh_(), weight[0].t())
        outputs = hidden.view(len(factors), problem.heads, problem.classes)
        result.append(torch.logsumexp(outputs, 2) - outputs @ frequencies)
    return torch.cat(result)


def quadratic(problem):
    """Mean squared error and only the last layer moves: the factors' quadratic form of a small Gram matrix."""
    last = len(problem.parts) - 1
    terms = affine_terms(problem, cached(problem, last), last)
    terms[0] -= problem.targets
    flat = terms.flatten(1)
    gram = flat @ flat.t() / len(problem.inputs)
    return ((problem.factors @ gram) * problem.factors).sum(1, keepdim=True)


def optimised_forms(problem):
    """Name → function for every way to evaluate the case by hand."""
    if not problem.parts[0][0].any():
        return {f"chunk {n}": (lambda n=n: theorem1(problem, n)) for n in (128, 256, 512, 1024, 4096)}
    if problem.loss == "mse":
        return {"gram": lambda: quadratic(problem)}
    forms = {f"{style} {size}": (lambda s=(style, size): affine(problem, s)) for style, size in STYLES}
    if problem.precision != "f32" or not torch.backends.mkldnn.is_available():
        del forms["onednn 1"]
    return forms


def clock(function, least):
    """Median wall seconds and CPU seconds (all threads) of calls that fill `least` seconds, after one to warm up."""
    function()
    walls, cpus = [], []
    while sum(walls) < least or not walls:
        cpu, wall = time.process_time(), time.perf_counter()
        function()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {"seconds": statistics.median(walls), "cpu_seconds": statistics.median(cpus)}


def matmul(precision, least=0.2):
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randn(PRODUCT, PRODUCT, dtype=DTYPES[precision], generator=generator) for _ in range(2))
    out = torch.empty_like(a)
    time_of = clock(lambda: torch.mm(a, b, out=out), least)
    flop = 2 * PRODUCT**3
    return {"flop_per_second": flop / time_of["seconds"], "cpu_seconds": time_of["cpu_seconds"]}


def relative_error(losses, expected):
    """NaN when an entry is."""
    return float(((losses.double() - expected).abs() / expected.abs()).max())


def checked(losses, expected, what, precision):
    error = relative_error(losses, expected)
    bound = TOLERANCE[precision]
    if not error <= bound:
        raise SystemExit(f"{what}: losses differ from lossatlas's by {error:.3g}, expected at most {bound}")
    return error


def run_case(folder, precision, options):
    problem = Problem(folder, precision)
    what = f"{folder.name}/{precision}"
    points = len(problem.points)
    indices = torch.linspace(0, points - 1, min(points, options.loop_points)).long()
    forms = optimised_forms(problem)
    chosen = options.forms.get(what)
    if chosen is None:
        chosen = min(forms, key=lambda name: clock(forms[name], 0)["seconds"])
    naive_error = checked(loop(problem, indices), problem.expected[indices], what + " loop", precision)
    error = checked(forms[chosen](), problem.expected, what + " " + chosen, precision)

    naive = clock(lambda: loop(problem, indices), options.least)
    scale = points / len(indices)
    return {
        "lossatlas_error": relative_error(problem.own, problem.expected),
        "loop": {key: value * scale for key, value in naive.items()}
        | {"points_timed": len(indices), "max_relative_error": naive_error},
        "optimised": clock(forms[chosen], options.least) | {"form": chosen, "max_relative_error": error},
    }


def parse_rates(text):
    return {key: float(value) for key, value in (item.split("=") for item in text.split(",") if item)}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, nargs="?", help="what section_bench --export wrote")
    parser.add_argument("--cases", default="", help="names, separated by commas; default: all")
    parser.add_argument("--threads", type=int, default=0, help="default: PyTorch's own choice")
    parser.add_argument("--gemm", type=parse_rates, default={}, help="FLOP/s of OpenBLAS, f32=RATE,f64=RATE")
    parser.add_argument("--forms", type=json.loads, default={}, help="JSON: tuned form of each CASE/PRECISION")
    parser.add_argument("--loop-points", type=int, default=24, help="grid points that the loop is timed on")
    parser.add_argument("--least", type=float, default=0.3, help="seconds of each timing at least")
    parser.add_argument("--rates", action="store_true", help="only the rate of products")
    options = parser.parse_args()
    if not options.rates and not (options.folder and options.folder.is_dir()):
        parser.error("expected the folder that section_bench --export wrote")
    return options


def main():
    options = parse_arguments()
    if options.threads > 0:
        torch.set_num_threads(options.threads)
    result = {
        "pytorch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "matmul": {},
        "cases": {},
    }
    with torch.inference_mode():
        for precision in DTYPES:
            rate = matmul(precision)
            if precision in options.gemm:
                rate["share_of_openblas"] = rate["flop_per_second"] / options.gemm[precision]
                rate["fair"] = rate["share_of_openblas"] >= 0.7
            result["matmul"][precision] = rate
        wanted = options.cases.split(",") if options.cases else None
        folders = [] if options.rates else sorted(path.parent for path in options.folder.glob("*/case.json"))
        for folder in folders:
            if wanted and folder.name not in wanted:
                continue
            for precision in json.loads((folder / "case.json").read_text())["precisions"]:
                result["cases"][f"{folder.name}/{precision}"] = run_case(folder, precision, options)
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
