#!/usr/bin/env python3
"""hessian_bench and its PyTorch and JAX peers, in turns, on the same random data: one JSON and a short table.

  bench/hessian_run.py --bench build/cpu/bin/hessian_bench --python VENV/bin/python [--rounds 5] [--save NAME]

VENV needs numpy, and torch or jax or both. Each ratio is a median over the rounds of one round's ratio. OpenBLAS and
MKL get their fastest kernels for this CPU, as bench/run.py says; --stock leaves both as they are installed.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import run

PEERS = {"torch": "hessian_torch.py", "jax": "hessian_jax.py"}
HAS_DEVICE = {"torch": "torch.zeros(1, device='{}')", "jax": "jax.devices('{}')"}


def installed(python, module, device):
    code = f"import numpy, {module}; " + HAS_DEVICE[module].format(device)
    return subprocess.run([python, "-c", code], stderr=subprocess.DEVNULL).returncode == 0


class Comparison:
    def __init__(self, options, folder):
        self.options = options
        self.bench = [str(options.bench)] + (["--threads", str(options.threads)] if options.threads else [])
        self.bench_environment, self.peer_environment = {}, {}
        if not options.stock:
            self.bench_environment = run.fastest_openblas(self.bench)[0]
            self.peer_environment = run.vendor_shim(folder)
        export = self.bench + ["--export", str(folder / "cases"), "--cases", options.cases]
        subprocess.run(export, check=True)
        threads = options.threads or len(os.sched_getaffinity(0))
        self.commands = {}
        for module, script in PEERS.items():
            if not installed(options.python, module, options.device):
                print(f"hessian_run.py: no {module} on {options.device} in {options.python}; left out", file=sys.stderr)
                continue
            command = [options.python, str(run.HERE / "peers" / script), str(folder / "cases")]
            command += ["--threads", str(threads), "--device", options.device]
            self.commands[module] = command + (["--forms", options.torch_forms] if module == "torch" else [])
        if not self.commands:
            raise SystemExit("hessian_run.py: no peer; give a --python with numpy and torch or jax")

    def lossatlas(self):
        pattern = "^assemble/(" + self.options.cases.replace(",", "|") + ")/"
        command = self.bench + ["--device", self.options.device, "--benchmark_format=json"]
        return run.run_json(command + ["--benchmark_filter=" + pattern], self.bench_environment)

    def round(self, index):
        """All in turns; every second round the other way round."""
        calls = [("lossatlas", self.lossatlas)]
        for module, command in self.commands.items():
            calls.append((module, lambda command=command: run.run_json(command, self.peer_environment)))
        return {name: call() for name, call in (calls if index % 2 == 0 else reversed(calls))}


def measured(results):
    """What one round says: case → {"lossatlas": {...}, "torch/functional": {...}, ...}."""
    cases = {}
    for one in results["lossatlas"]["benchmarks"]:
        if one.get("error_occurred"):
            raise SystemExit(f"hessian_run.py: {one['name']}: {one['error_message']}")
        seconds = one["real_time"] / 1e3  # the benchmark's unit is the millisecond
        own = {"seconds": seconds, "flop_per_second": one["flop/s"]}
        own |= {"share_of_dgemm": one["of_dgemm"]} if "of_dgemm" in one else {}
        case = one["name"].split("/")[1]
        cases[case] = {"lossatlas": own}
        for module in results.keys() - {"lossatlas"}:
            for form, peer in results[module]["cases"][case].items():
                cases[case][f"{module}/{form}"] = peer | {"ratio": peer["seconds"] / seconds}
    return cases


def medians(rounds):
    summary = {}
    for case, entries in rounds[0].items():
        summary[case] = {}
        for entry, values in entries.items():
            every = [one[case][entry] for one in rounds]
            summary[case][entry] = {key: statistics.median(one[key] for one in every) for key in values}
            if "ratio" in values:
                summary[case][entry]["ratio_range"] = [pick(one["ratio"] for one in every) for pick in (min, max)]
    return summary


def print_table(report):
    print(f"{report['machine']['cpu']}, {report['context']['device']}, {report['context']['blas']}")
    for peer in report["peers"].values():
        print(f"{peer['framework']} {peer['version']}, {peer['device']}, {peer['threads']} threads")
    print("medians of", report["rounds"], "rounds")
    rows = [("case", "by", "ms", "vs lossatlas", "of dgemm", "difference")]
    for case, entries in report["summary"].items():
        for entry, m in sorted(entries.items(), key=lambda item: item[1]["seconds"]):
            rows.append((
                case,
                entry,
                f"{1e3 * m['seconds']:.4g}",
                "{:.3g}x [{:.3g}, {:.3g}]".format(m["ratio"], *m["ratio_range"]) if "ratio" in m else "",
                f"{m['share_of_dgemm']:.2f}" if "share_of_dgemm" in m else "",
                f"{m['max_relative_error']:.1e}" if "max_relative_error" in m else "",
            ))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=pathlib.Path, default=run.ROOT / "build/cpu/bin/hessian_bench")
    parser.add_argument("--python", default=sys.executable, help="a Python with numpy, and torch or jax")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="of all; default: all cores of this process")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="of all")
    parser.add_argument("--cases", default="2_100_1", help="separated by commas")
    parser.add_argument("--torch-forms", default="functional,vectorized,func,vmap", help="separated by commas")
    parser.add_argument("--stock", action="store_true", help="both BLAS as installed")
    parser.add_argument("--json", type=pathlib.Path, help="where the JSON goes; default: a new temporary folder")
    parser.add_argument("--save", metavar="NAME", help="also bench/results/NAME.json")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds: received {options.rounds}, expected at least 1")
    if not options.bench.is_file():
        parser.error(f"--bench: {options.bench} is no file; configure with -DLOSSATLAS_BENCH=ON and build")
    return options


def main():
    options = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="lossatlas-bench-") as name:
        comparison = Comparison(options, pathlib.Path(name))
        rounds = []
        for index in range(options.rounds):
            results = comparison.round(index)
            rounds.append(measured(results))
            print(f"round {index + 1} of {options.rounds}", file=sys.stderr)
    context = results["lossatlas"]["context"]
    report = {
        "machine": run.machine(),
        "context": {key: context[key] for key in ("device", "threads", "blas", "compiler", "lossatlas")},
        "environment": {"lossatlas": comparison.bench_environment, "peers": comparison.peer_environment and
                        "MKL with all of the CPU's instructions (peers/mkl_vendor.c)" or "as installed"},
        "peers": {module: {key: results[module][key] for key in ("framework", "version", "threads", "device")}
                  for module in comparison.commands},
        "rounds": len(rounds),
        "summary": medians(rounds),
        "every_round": rounds,
    }
    path = run.save_report(report, options, "hessian.json")
    print_table(report)
    print(path)


if __name__ == "__main__":
    main()
