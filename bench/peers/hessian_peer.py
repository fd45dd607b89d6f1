"""What the Hessian peers share: the exported cases, which rows a form computes, its check and its timing.

A form computes all rows of the Hessian at once, or rows one by one or in batches. The latter are timed on at most
--rows rows, evenly spread, and their time is scaled to all of them, in which they are linear; "rows" says how many
were timed. The former are left out where the intermediates of all columns, N·M doubles for each unit, leave no room,
and so are batches of too many columns.
"""

import argparse
import dataclasses
import json
import pathlib
import statistics
import sys
import time
import typing

import numpy

TOLERANCE = 1e-11  # of the largest entry: a wrong formula fails, rounding does not
LIVE = 8  # intermediates of one unit that live at once in forward over reverse


class Exported:
    """One exported case, arrays in fp64."""

    def __init__(self, folder):
        about = json.loads((folder / "case.json").read_text())
        if about["activation"] != "tanh" or about["loss"] != "mse":
            raise SystemExit(f"{folder}: expected tanh and mse, received {about['activation']} and {about['loss']}")
        self.name, self.widths = about["name"], about["widths"]
        self.theta, self.inputs, self.targets = (numpy.load(folder / f"{name}.npy")
                                                 for name in ("theta", "inputs", "targets"))
        self.hessian = numpy.load(folder / "hessian.npy", mmap_mode="r")
        spectrum = folder / "eigenvalues.npy"
        self.eigenvalues = numpy.load(spectrum) if spectrum.exists() else None

    def loss(self, theta, inputs, targets, tanh):
        hidden, at, last = inputs, 0, len(self.widths) - 2
        for layer, (fan_in, out) in enumerate(zip(self.widths, self.widths[1:])):
            weight = theta[at : at + out * fan_in].reshape(out, fan_in)
            at += out * fan_in
            hidden = hidden @ weight.T + theta[at : at + out]
            at += out
            if layer < last:
                hidden = tanh(hidden)
        return ((hidden - targets) ** 2).sum(1).mean()

    def rows(self, most):
        size = len(self.theta)
        return numpy.arange(size) if size <= most else numpy.linspace(0, size - 1, most).astype(numpy.int64)

    def bytes_at_once(self, columns=None):
        return 8 * LIVE * len(self.inputs) * sum(self.widths[1:]) * (columns or len(self.theta))

    def fitting(self, batches, free):
        """The batches of columns that leave half of what is free; the smallest one in any case."""
        return [size for size in batches if size == min(batches) or self.bytes_at_once(size) <= free / 2]


@dataclasses.dataclass
class Form:
    """make(rows) → function() → those rows, an array; with whole, all rows come from one pass."""

    make: typing.Callable
    whole: bool = False


def free_memory():
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return 1 << 62


def clock(function, least):
    """Median seconds of calls that fill `least` seconds, on the wall and of all threads together."""
    walls, cpus = [], []
    while sum(walls) < least or not walls:
        wall, cpu = time.perf_counter(), time.process_time()
        function()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {"seconds": statistics.median(walls), "cpu_seconds": statistics.median(cpus), "calls": len(walls)}


def fastest(functions):
    """The fastest of several ways to compute the same; the first call of each warms up."""
    for function in functions:
        function()
    return min(functions, key=lambda function: clock(function, 0)["seconds"])


def relative_error(received, expected, what):
    error = float(numpy.max(numpy.abs(received - expected)) / numpy.max(numpy.abs(expected)))
    if not error <= TOLERANCE:
        raise SystemExit(f"{what} differs from lossatlas's by {error:.3g}, expected at most {TOLERANCE}")
    return error


def run_form(exported, name, form, options):
    rows = exported.rows(len(exported.theta) if form.whole else options.rows)
    function = form.make(rows)
    error = relative_error(numpy.asarray(function()), exported.hessian[rows], f"{exported.name}: {name}: the Hessian")
    timed = clock(function, options.least)
    scale = len(exported.theta) / len(rows)
    timed |= {key: scale * timed[key] for key in ("seconds", "cpu_seconds")}
    return timed | {"rows": len(rows), "max_relative_error": error}


def run_case(peer, exported, options):
    result = {"forms": {}, "left_out": {}}
    available = peer.device_memory() if options.device == "cuda" else free_memory()
    problem = peer.Problem(exported, options.device, available)
    for name in options.forms.split(","):
        form = problem.forms()[name]
        if form.whole and exported.bytes_at_once() > available / 2:
            result["left_out"][name] = (f"takes {exported.bytes_at_once():.2g} bytes at once, "
                                        f"{available:.2g} are free")
            continue
        result["forms"][name] = run_form(exported, name, form, options)
    if exported.eigenvalues is not None:
        function = problem.eigenvalues()
        what = f"{exported.name}: the spectrum"
        error = relative_error(numpy.asarray(function()), exported.eigenvalues, what)
        result["eigenvalues"] = clock(function, options.least) | {"max_relative_error": error}
    return result


def parse_arguments(description, forms):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="what hessian_bench --export wrote")
    parser.add_argument("--cases", default="", help="names, separated by commas; default: all")
    parser.add_argument("--forms", default=",".join(forms), help="separated by commas")
    parser.add_argument("--rows", type=int, default=512, help="timed at most of a form that is linear in rows")
    parser.add_argument("--threads", type=int, default=0, help="default: one for each of this process's processors")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--least", type=float, default=1, help="seconds of each timing at least")
    options = parser.parse_args()
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is no folder; expected what hessian_bench --export wrote")
    if options.rows < 1:
        parser.error(f"--rows: received {options.rows}, expected at least 1")
    unknown = set(options.forms.split(",")) - set(forms)
    if unknown:
        parser.error(f"--forms: received {', '.join(sorted(unknown))}, expected some of {', '.join(forms)}")
    return options


def run(peer, options):
    """All cases, as JSON on standard output."""
    result = peer.about(options) | {"product_flop_per_second": peer.product_rate(options.device), "cases": {}}
    wanted = options.cases.split(",") if options.cases else None
    for folder in sorted(path.parent for path in options.folder.glob("*/case.json")):
        if not wanted or folder.name in wanted:
            result["cases"][folder.name] = run_case(peer, Exported(folder), options)
    json.dump(result, sys.stdout, indent=1)
    print()
