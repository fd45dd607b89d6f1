#!/usr/bin/env python3
"""hessian_bench and its PyTorch and JAX peers, in turns, on the same random data: one JSON and a short table.

  bench/hessian_run.py --bench build/cpu/bin/hessian_bench --python VENV/bin/python [--rounds 5] [--save NAME]

VENV needs numpy, and torch or jax or both. Each ratio is a median over the rounds of one round's ratio. Wall-clock
ratios are the result; ratios of CPU time stand beside them, since they show a machine that was busy with something else
(waiting threads of OpenMP and OpenBLAS spin and count in it). A peer's time of a large case is that of --rows rows,
scaled to all of them (peers/hessian_peer.py); "rows" in the JSON says how many were timed. OpenBLAS and MKL get their
fastest kernels for this CPU, as bench/run.py says; --stock leaves both as they are installed.

A peer's spectrum is its fastest Hessian and then its eigvalsh; "eigen_ratio" is that eigvalsh alone, of a matrix that
is on the device already, over the part of ours that follows the assembly. On a GPU "share_of_products" sets the N·M²
FLOP of the assembly against the fp64 products of 8192² matrices that the peers reach in the same round: the tensor
cores' where it has them.
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
        self.bench += ["--device", options.device, "--cases", options.cases]
        self.bench += ["--spectra", options.spectra] if options.spectra else []
        subprocess.run(self.bench + ["--export", str(folder / "cases")], check=True)
        threads = options.threads or len(os.sched_getaffinity(0))
        self.commands = {}
        for module, script in PEERS.items():
            if not installed(options.python, module, options.device):
                print(f"hessian_run.py: no {module} on {options.device} in {options.python}; left out", file=sys.stderr)
                continue
            command = [options.python, str(run.HERE / "peers" / script), str(folder / "cases")]
            command += ["--threads", str(threads), "--device", options.device, "--rows", str(options.rows)]
            self.commands[module] = command + ["--forms", getattr(options, f"{module}_forms")]
        if not self.commands:
            raise SystemExit("hessian_run.py: no peer; give a --python with numpy and torch or jax")

    def lossatlas(self):
        return run.run_json(self.bench + ["--benchmark_format=json"], self.bench_environment)

    def round(self, index):
        """All in turns; every second round the other way round."""
        calls = [("lossatlas", self.lossatlas)]
        for module, command in self.commands.items():
            calls.append((module, lambda command=command: run.run_json(command, self.peer_environment)))
        return {name: call() for name, call in (calls if index % 2 == 0 else reversed(calls))}


def own_figures(one):
    own = {"seconds": one["real_time"] / 1e3, "cpu_seconds": one["cpu_time"] / 1e3}  # the unit is the millisecond
    own |= {ours: one[theirs] for theirs, ours in (("flop", "flop"), ("flop/s", "flop_per_second"),
                                                  ("gemm_flop/s", "gemm_flop_per_second"),
                                                  ("of_dgemm", "share_of_dgemm"), ("of_floor", "share_of_floor"),
                                                  ("eigen_flop", "eigen_flop"), ("assembly_s", "assembly_seconds"),
                                                  ("eigen_s", "eigen_seconds"))
            if theirs in one}
    if "gemm_flop/cpu_s" in one:
        own["share_of_dgemm_cpu"] = own["flop"] / own["cpu_seconds"] / one["gemm_flop/cpu_s"]
    return own


def peer_figures(kind, module, case):
    """Name → figures of one peer."""
    if kind == "assemble":
        return {f"{module}/{form}": figures for form, figures in case["forms"].items()}
    form, fastest = min(case["forms"].items(), key=lambda item: item[1]["seconds"])
    solve = case["eigenvalues"]
    both = {key: fastest[key] + solve[key] for key in ("seconds", "cpu_seconds")}
    return {f"{module}/{form}, eigvalsh": both | {"eigvalsh_seconds": solve["seconds"], "rows": fastest["rows"],
                                                  "max_relative_error": solve["max_relative_error"]}}


def compared(peer, own):
    """The peer's figures with those that say how much faster lossatlas is."""
    peer |= {"ratio": peer["seconds"] / own["seconds"], "ratio_cpu": peer["cpu_seconds"] / own["cpu_seconds"]}
    if "eigvalsh_seconds" in peer:
        peer["eigen_ratio"] = peer["eigvalsh_seconds"] / own["eigen_seconds"]
    return peer


def measured(results, device):
    """What one round says: "assemble/2_100_1" → {"lossatlas": {...}, "torch/functional": {...}, ...}."""
    rows, peers = {}, results.keys() - {"lossatlas"}
    products = max(results[module]["product_flop_per_second"] for module in peers)
    for one in results["lossatlas"]["benchmarks"]:
        if one.get("error_occurred"):
            raise SystemExit(f"hessian_run.py: {one['name']}: {one['error_message']}")
        kind, case = one["name"].split("/")[:2]
        own = own_figures(one)
        entries = rows[f"{kind}/{case}"] = {"lossatlas": own}
        if kind == "assemble" and device == "cuda":
            own |= {"product_flop_per_second": products, "share_of_products": own["flop_per_second"] / products}
        for module in peers:
            for name, peer in peer_figures(kind, module, results[module]["cases"][case]).items():
                entries[name] = compared(peer, own)
    return rows


def left_out(results):
    """Module → case → form → why."""
    return {module: {case: one["left_out"] for case, one in results[module]["cases"].items() if one["left_out"]}
            for module in results.keys() - {"lossatlas"}}


def medians(rounds):
    """Over the rounds that have the entry: another form can be the fastest one of another round."""
    summary = {}
    for row in rounds[0]:
        summary[row] = {}
        for name in dict.fromkeys(name for one in rounds for name in one[row]):
            every = [one[row][name] for one in rounds if name in one[row]]
            entry = summary[row][name] = {key: statistics.median(one[key] for one in every) for key in every[0]}
            if "ratio" in entry:
                entry["ratio_range"] = [pick(one["ratio"] for one in every) for pick in (min, max)]
                entry["rounds"] = len(every)
    return summary


def share_of_products(m):
    if "share_of_products" in m:
        return f"{m['share_of_products']:.2f}"
    return f"{m['share_of_dgemm']:.2f} [cpu {m['share_of_dgemm_cpu']:.2f}]" if "share_of_dgemm" in m else ""


def eigenvalues(m):
    """Those alone, in ms."""
    if "eigen_ratio" in m:
        return f"{1e3 * m['eigvalsh_seconds']:.4g}: {m['eigen_ratio']:.3g}x"
    return f"{1e3 * m['eigen_seconds']:.4g}" if "eigen_seconds" in m else ""


def print_table(report):
    print(f"{report['machine']['cpu']}, {report['context']['device']}, {report['context']['blas']}")
    for peer in report["peers"].values():
        print(f"{peer['framework']} {peer['version']}, {peer['device']}, {peer['threads']} threads")
    print("medians of", report["rounds"], "rounds; in brackets the range, and the figure by CPU time")
    rows = [("case", "by", "ms", "vs lossatlas", "of products", "eigenvalues", "difference", "rows timed")]
    for case, entries in report["summary"].items():
        for entry, m in sorted(entries.items(), key=lambda item: item[1]["seconds"]):
            rows.append((
                case,
                entry,
                f"{1e3 * m['seconds']:.4g}",
                "{:.3g}x [{:.3g}, {:.3g}; cpu {:.3g}]".format(m["ratio"], *m["ratio_range"], m["ratio_cpu"])
                if "ratio" in m else "",
                share_of_products(m),
                eigenvalues(m),
                f"{m['max_relative_error']:.1e}" if "max_relative_error" in m else "",
                f"{m['rows']:.0f}" if "rows" in m else "",
            ))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())
    for module, cases in report["left_out"].items():
        for case, forms in cases.items():
            for form, reason in forms.items():
                print(f"{case}: no {module}/{form}: it {reason}")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=pathlib.Path, default=run.ROOT / "build/cpu/bin/hessian_bench")
    parser.add_argument("--python", default=sys.executable, help="a Python with numpy, and torch or jax")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="of all; default: all cores of this process")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="of all")
    parser.add_argument("--cases", default="2_100_1", help="separated by commas")
    parser.add_argument("--spectra", default="", help="cases whose eigenvalues are computed too")
    parser.add_argument("--rows", type=int, default=512, help="timed at most of a peer's form that is linear in rows")
    parser.add_argument("--torch-forms", default="functional,vectorized,func,vmap", help="separated by commas")
    parser.add_argument("--jax-forms", default="hessian,map", help="separated by commas")
    parser.add_argument("--stock", action="store_true", help="both BLAS as installed")
    parser.add_argument("--json", type=pathlib.Path, help="where the JSON goes; default: a new temporary folder")
    parser.add_argument("--save", metavar="NAME", help="also bench/results/NAME.json")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds: received {options.rounds}, expected at least 1")
    if not set(filter(None, options.spectra.split(","))) <= set(options.cases.split(",")):
        parser.error(f"--spectra: received {options.spectra}, expected some of --cases {options.cases}")
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
            rounds.append(measured(results, options.device))
            print(f"round {index + 1} of {options.rounds}", file=sys.stderr)
    context = results["lossatlas"]["context"]
    report = {
        "machine": run.machine(),
        "context": {key: context[key] for key in ("device", "threads", "blas", "compiler", "lossatlas")},
        "environment": {"lossatlas": comparison.bench_environment, "peers": comparison.peer_environment and
                        "MKL with all of the CPU's instructions (peers/mkl_vendor.c)" or "as installed"},
        "peers": {module: {key: results[module][key] for key in ("framework", "version", "threads", "device",
                                                                 "product_flop_per_second")}
                  for module in comparison.commands},
        "left_out": left_out(results),
        "rounds": len(rounds),
        "summary": medians(rounds),
        "every_round": rounds,
    }
    path = run.save_report(report, options, "hessian.json")
    print_table(report)
    print(path)


if __name__ == "__main__":
    main()
