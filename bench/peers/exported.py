"""What section_bench --export wrote, and how a peer is asked for timings: JSON lines on standard input and output.

A peer offers variants of each case and precision, `name → Variant`, and answers

  {"prepare": "dense/f32"}                       → {variant: {"error": ...} or {"unavailable": reason}}
  {"time": "dense/f32", "variant": "loop"}       → {"seconds": ..., "cpu_seconds": ..., "points_timed": ...}
  {"rates": true}                                → what the device can do, as the peer's library sees it
"""

import dataclasses
import json
import statistics
import sys
import time
import traceback
import typing

import numpy

# What a precision has to reach, relative to the loss: a wrong formula fails, rounding does not.
TOLERANCE = {"f64": 1e-11, "f32": 1e-5, "fast": 1e-3}
PRODUCT_SIZE = {"cpu": 2048, "cuda": 8192}  # of the square products whose rate is a ceiling
LOOP_POINTS, LOOP_PAIRS = 16, 120_000  # a general form is timed on so many points, and fewer where N is large


class Exported:
    """One exported case: its shapes, and arrays in fp64."""

    def __init__(self, folder):
        about = json.loads((folder / "case.json").read_text())
        self.about = about
        self.name, self.loss, self.heads = about["name"], about["loss"], about["heads"]
        self.activation, self.widths = about["activation"], about["widths"]
        self.classes = self.widths[-1] // self.heads

        def load(name):
            return numpy.load(folder / (name + ".npy"))

        self.theta, self.directions, self.inputs, self.points = map(load, ("theta", "directions", "inputs", "points"))
        if (folder / "labels.npy").exists():
            self.labels = load("labels").astype(numpy.int64)
            self.targets = numpy.eye(self.classes)[self.labels]
        else:
            self.labels, self.targets = None, load("targets")
        self.checked, self.reference = load("checked").astype(numpy.int64), load("reference")

    def layers(self, theta):
        """Views (..., out, in) and (..., out) of each layer in theta (..., M)."""
        views, at = [], 0
        for fan_in, out in zip(self.widths, self.widths[1:]):
            weight = theta[..., at : at + out * fan_in].reshape(*theta.shape[:-1], out, fan_in)
            at += out * fan_in
            views.append((weight, theta[..., at : at + out]))
            at += out
        return views

    def error(self, losses):
        """max |L − L64| / |L64| of losses (K, H) at the checked points; NaN when an entry is."""
        return float(numpy.max(numpy.abs(numpy.asarray(losses, numpy.float64) - self.reference) / abs(self.reference)))


@dataclasses.dataclass
class Variant:
    """`evaluate(points)`: losses at points (G, z), on the device. `whole`: timed on all points, else on some."""

    evaluate: typing.Callable
    whole: bool = False
    chunk: int = 1
    form: str = ""


def clock(function, least, synchronise=lambda: None):
    """Median wall and CPU seconds (all threads) of calls that fill `least` seconds."""
    walls, cpus = [], []
    while sum(walls) < least or not walls:
        synchronise()
        cpu, wall = time.process_time(), time.perf_counter()
        function()
        synchronise()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {"seconds": statistics.median(walls), "cpu_seconds": statistics.median(cpus)}


def reason(error):
    """An exception in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]


class Server:
    """Answers about the case that was asked for last. `problem(exported, precision)` has points(array), host(losses),
    synchronise(), release() and variants(): name → candidates, or a function of the variants chosen so far."""

    def __init__(self, folder, problem, least):
        self.folder, self.problem, self.least = folder, problem, least
        self.key, self.prepared = None, {}

    def prepare(self, key):
        name, precision = key.split("/")
        self.key, self.prepared = None, {}
        exported = Exported(self.folder / name)
        problem = self.problem(exported, precision)
        answers, variants = {}, {}
        for variant_name, candidates in problem.variants().items():
            try:
                if callable(candidates):
                    candidates = candidates(variants)
                variant, error = self.fastest(problem, exported, candidates, TOLERANCE[precision])
                variants[variant_name] = variant
                answers[variant_name] = {"error": error, "form": variant.form, "whole": variant.whole}
            except Exception as failed:  # a peer's failure is a result, and no reason to lose the others
                traceback.print_exc(file=sys.stderr)
                answers[variant_name] = {"unavailable": reason(failed)}
            problem.release()
        self.key, self.prepared = key, (problem, exported, variants)
        return answers

    def sample(self, exported, variant):
        """All points, or a multiple of the chunk that is spread over them."""
        points = exported.points
        if variant.whole:
            return points
        few = min(LOOP_POINTS, -(-LOOP_PAIRS // len(exported.inputs)))
        return self.spread(points, -(-few // variant.chunk) * variant.chunk)

    @staticmethod
    def spread(points, count):
        return points[numpy.linspace(0, len(points) - 1, min(count, len(points))).astype(int)]

    def fastest(self, problem, exported, candidates, tolerance):
        """The candidate with the least seconds a point that is accurate, and its error; fails when all do."""
        timed, failed = [], None
        for variant in candidates:
            try:
                timed.append((self.seconds(problem, exported, variant, candidates), variant))
            except Exception as error:  # out of memory, or an operation that this device lacks
                failed = error
                problem.release()
        for _, variant in sorted(timed, key=lambda item: item[0]):
            error = exported.error(problem.host(variant.evaluate(problem.points(exported.points[exported.checked]))))
            if error <= tolerance:
                return variant, error
            failed = ValueError(f"losses are off by {error:.3g}, expected at most {tolerance}")
        raise failed

    def seconds(self, problem, exported, variant, candidates):
        """For each point, of some, the same number for all candidates that evaluate all; 0 without others."""
        if len(candidates) == 1:
            return 0
        largest = 2 * max(one.chunk for one in candidates)
        points = self.spread(exported.points, largest) if variant.whole else self.sample(exported, variant)
        points = problem.points(points)
        variant.evaluate(points[: variant.chunk])
        return clock(lambda: variant.evaluate(points), 0.02, problem.synchronise)["seconds"] / len(points)

    def time(self, key, name):
        if self.key != key:
            self.prepare(key)
        problem, exported, variants = self.prepared
        variant = variants[name]
        points = problem.points(self.sample(exported, variant))
        variant.evaluate(points[: variant.chunk])
        timed = clock(lambda: variant.evaluate(points), self.least, problem.synchronise)
        problem.release()
        scale = len(exported.points) / len(points)
        return {what: value * scale for what, value in timed.items()} | {"points_timed": len(points)}

    def answer(self, request, rates):
        if "prepare" in request:
            return self.prepare(request["prepare"])
        if "time" in request:
            return self.time(request["time"], request["variant"])
        return rates()


def serve(server, about, rates):
    """Answers until standard input ends; the first line says who answers."""
    output = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    print(json.dumps(about), file=output, flush=True)
    for line in sys.stdin:
        try:
            reply = server.answer(json.loads(line), rates)
        except Exception as failed:
            traceback.print_exc(file=sys.stderr)
            reply = {"failed": reason(failed)}
        print(json.dumps(reply), file=output, flush=True)
