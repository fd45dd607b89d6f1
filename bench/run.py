#!/usr/bin/env python3
"""section_bench and its peers in PyTorch and JAX, in turns, on the same random data: one JSON and a short table.

  bench/run.py --bench build/cpu/bin/section_bench --python VENV/bin/python [--save NAME]
  bench/run.py --device cuda --bench build/gpu/bin/section_bench --python VENV/bin/python [--save NAME]
  bench/run.py --scaling ...        times of cases over G and over N (default: dense)

VENV needs numpy, and torch or jax or both. Runs alternate; every ratio is a median over the rounds of one round's
ratio. On a CPU both sides get by default the fastest kernels that their BLAS has for it: OpenBLAS's core is tried and
set by OPENBLAS_CORETYPE, and on a CPU that is not Intel's peers/mkl_vendor.c is preloaded into the peers. --stock
leaves both as they are installed. Wall-clock ratios are the result; ratios of CPU time stand beside them in the JSON,
since they show a machine that was busy with something else (waiting threads of OpenMP and OpenBLAS spin and count in
it). bench/plot_results.py draws the JSON.
"""

import argparse
import json
import pathlib
import signal
import sys
import tempfile
import time

from record import scaling, table
from record.machine import BENCH as HERE
from record.machine import ROOT, fastest_openblas, machine, run_json, save_report, vendor_shim
from record.programs import PEERS, Gone, Lossatlas, Peer
from record.rows import DEFINITIONS, FAIR, Row

__all__ = ["HERE", "ROOT", "fastest_openblas", "machine", "run_json", "save_report", "vendor_shim"]


class Comparison:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.environment, self.peer_environment, self.gemm = {}, {}, {}
        bench = [str(options.bench)] + (["--threads", str(options.threads)] if options.threads else [])
        if options.device == "cpu":
            if options.stock:
                self.gemm = run_json(bench + ["--rates"], {})
            else:
                self.environment, self.gemm = fastest_openblas(bench)
                self.peer_environment = vendor_shim(folder)
        self.lossatlas = Lossatlas(options, folder / "cases", self.environment)
        self.lossatlas.export(options.cases, options.precisions)
        self.peers, self.about = [], {}
        for name in options.peers.split(",") if options.peers else []:
            self.add_peer(name)

    def add_peer(self, name):
        try:
            peer = Peer(name, self.options, self.folder / "cases", self.peer_environment)
        except Gone as gone:
            self.about[name] = {"unavailable": str(gone)}
            return
        self.peers.append(peer)
        self.about[name] = dict(peer.about)

    def cases(self):
        """In the order of their export."""
        for path in sorted((self.folder / "cases").glob("*/case.json"), key=lambda path: path.stat().st_mtime_ns):
            yield json.loads(path.read_text())

    def measure_rates(self):
        """The best of what was measured so far; PyTorch's on a GPU are the ceilings."""
        for peer in self.peers:
            try:
                rates = peer.ask({"rates": True})
            except Gone as gone:
                print(f"run.py: {peer.name}: {gone}", file=sys.stderr)
                continue
            keep_best(self.about[peer.name].setdefault("rates", {}), rates)
            if self.gemm:
                about = self.about[peer.name]
                products = about["rates"]["products"]
                about["products_of_ours"] = {name: products[name] / self.gemm[name] for name in ("f32", "f64")}
                about["fair"] = min(about["products_of_ours"].values()) >= FAIR

    def rows(self):
        start, rows, context = time.monotonic(), {}, {}
        for about in self.cases():
            self.measure_rates()
            ceilings = self.about.get("torch", {}).get("rates")
            if self.options.device == "cuda" and not ceilings:
                raise SystemExit("run.py: --device cuda needs PyTorch, which measures the ceilings")
            for precision in about["precisions"]:
                if self.options.seconds and time.monotonic() - start > self.options.seconds:
                    print(f"run.py: --seconds are over before {about['name']}/{precision}", file=sys.stderr)
                    return rows, context
                key = f"{about['name']}/{precision}"
                row = Row(key, about, self.lossatlas, self.peers, ceilings)
                rows[key] = row.measure(self.options.rounds, self.options.row_seconds).summary()
                context = row.context
                print(f"{time.monotonic() - start:5.0f} s  {key}", file=sys.stderr)
        return rows, context

    def close(self):
        for peer in self.peers:
            peer.close()


def keep_best(best, rates):
    for name, value in rates.items():
        if isinstance(value, dict):
            keep_best(best.setdefault(name, {}), value)
        elif not isinstance(value, str):
            best[name] = max(value, best.get(name, 0))
        else:
            best[name] = value


def compare(options, folder):
    comparison = Comparison(options, folder)
    try:
        rows, context = comparison.rows()
    finally:
        comparison.close()
    mkl = "MKL with all of the CPU's instructions (peers/mkl_vendor.c)"
    return {
        "kind": "sections",
        "definitions": DEFINITIONS,
        "context": {key: context[key] for key in ("device", "threads", "blas", "compiler", "lossatlas")},
        "environment": {"lossatlas": comparison.environment,
                        "peers": mkl if comparison.peer_environment else "as installed"},
        "openblas": comparison.gemm,
        "peers": comparison.about,
        "rounds": options.rounds,
        "rows": rows,
    }


def scale(options, folder):
    lossatlas = Lossatlas(options, folder, {})
    arguments = ["--scaling", "--cases", options.cases or "dense", "--repetitions", str(options.rounds)]
    arguments += ["--precisions", options.precisions] if options.precisions else []
    result = lossatlas.run(arguments)
    return {
        "kind": "scaling",
        "context": {key: result["context"][key] for key in ("device", "threads", "compiler", "lossatlas")},
        "rounds": options.rounds,
        "scaling": scaling.curves(result["benchmarks"]),
    }


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=pathlib.Path, default=ROOT / "build/cpu/bin/section_bench")
    parser.add_argument("--python", default=sys.executable, help="a Python with numpy, and torch or jax")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--row-seconds", type=float, default=120,
                        help="a row that takes longer ends after 3 rounds (default: 120)")
    parser.add_argument("--seconds", type=float, help="no row starts after so many")
    parser.add_argument("--least", type=float, default=0.2, help="seconds of each of a peer's timings at least")
    parser.add_argument("--threads", type=int, default=0, help="of all; default: all cores of this process")
    parser.add_argument("--cases", default="", help="separated by commas; default: all")
    parser.add_argument("--precisions", default="", help="default: f32,f64 and on a GPU fast")
    parser.add_argument("--peers", default=",".join(PEERS), help="default: %(default)s")
    parser.add_argument("--size", choices=("tiny", "cpu", "cuda"), help="default: the device's")
    parser.add_argument("--stock", action="store_true", help="both BLAS as installed")
    parser.add_argument("--scaling", action="store_true", help="times over G and over N, without peers")
    parser.add_argument("--json", type=pathlib.Path, help="where the JSON goes; default: a new temporary folder")
    parser.add_argument("--save", metavar="NAME", help="also bench/results/NAME.json")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds: received {options.rounds}, expected at least 1")
    for name in options.peers.split(",") if options.peers else []:
        if name not in PEERS:
            parser.error(f"--peers: received {name}, expected some of {', '.join(PEERS)}")
    if not options.bench.is_file():
        parser.error(f"--bench: {options.bench} is no file; configure with -DLOSSATLAS_BENCH=ON and build")
    options.bench = options.bench.resolve()
    return options


def main():
    options = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # peers end and files go
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lossatlas-bench-") as name:
        report = {"machine": machine()} | (scale if options.scaling else compare)(options, pathlib.Path(name))
    report["seconds"] = round(time.monotonic() - start)
    path = save_report(report, options, f"{report['kind']}.json")
    if options.scaling:
        scaling.print_curves(report["scaling"])
    else:
        table.print_table(report)
    print(path)


if __name__ == "__main__":
    main()
