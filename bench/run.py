#!/usr/bin/env python3
"""section_bench and its PyTorch peer, in turns, on the same random data: one JSON and a short table.

  bench/run.py --bench build/cpu/bin/section_bench --python VENV/bin/python [--rounds 5] [--save NAME]

VENV needs numpy and torch. Runs alternate; every number in the table is a median over the rounds of one round's ratio.
By default both sides get the fastest kernels that their BLAS has for this CPU: OpenBLAS's core is tried and set by
OPENBLAS_CORETYPE, and on a CPU that is not Intel's peers/mkl_vendor.c is preloaded into PyTorch. --stock leaves both
as they are installed. Wall-clock ratios are the result; ratios of CPU time stand beside them, since they show a machine
that was busy with something else (waiting threads of OpenMP and OpenBLAS spin and count in it).
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
FAIR = 0.7


def run_json(command, environment):
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"run.py: {shlex.join(command)} ended with status {done.returncode}")
    return json.loads(done.stdout)


def cpu_lines():
    try:
        return pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


def cpu_field(name):
    return next((line.split(":", 1)[1].strip() for line in cpu_lines() if line.startswith(name)), "unknown")


def git(*arguments):
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], stdout=subprocess.PIPE, text=True)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def machine():
    return {
        "cpu": f"{cpu_field('model name')} (family {cpu_field('cpu family')}, model {cpu_field('model')})",
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "load_average": os.getloadavg(),
        "commit": git("rev-parse", "HEAD") + (" with local changes" if git("status", "--porcelain") else ""),
        "command": shlex.join(sys.argv),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def fastest_openblas(bench):
    """Environment and rates of the OpenBLAS core with the fastest f32 products."""
    candidates = [{}]
    if "avx512f" in cpu_field("flags").split():
        candidates.append({"OPENBLAS_CORETYPE": "SkylakeX"})
    rated = [(run_json(bench + ["--rates"], environment), environment) for environment in candidates]
    rates, environment = max(rated, key=lambda item: item[0]["f32"])
    return environment, rates


def vendor_shim(folder):
    """Environment that lets MKL use all of a CPU that is not Intel's; empty where it is, or without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if cpu_field("vendor_id") in ("GenuineIntel", "unknown") or not compiler:
        return {}
    library = folder / "mkl_vendor.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, HERE / "peers" / "mkl_vendor.c"], check=True)
    return {"LD_PRELOAD": str(library)}


class Comparison:
    def __init__(self, options, folder):
        self.folder = folder
        self.bench = [str(options.bench)] + (["--threads", str(options.threads)] if options.threads else [])
        self.cases = options.cases
        self.peer = [options.python, str(HERE / "peers" / "section_torch.py"), str(folder / "cases")]
        self.peer += ["--cases", self.cases]
        self.bench_environment, self.peer_environment = {}, {}
        if options.stock:
            self.rates = run_json(self.bench + ["--rates"], {})
        else:
            self.bench_environment, self.rates = fastest_openblas(self.bench)
            self.peer_environment = vendor_shim(folder)
        subprocess.run(self.bench + ["--export", str(folder / "cases")], check=True)
        self.peer += ["--gemm", f"f32={self.rates['f32']},f64={self.rates['f64']}"]
        threads = options.threads or len(os.sched_getaffinity(0))
        self.peer += ["--threads", str(threads)]
        tuned = run_json(self.peer + ["--least", "0"], self.peer_environment)
        forms = {case: result["optimised"]["form"] for case, result in tuned["cases"].items()}
        self.peer += ["--forms", json.dumps(forms)]

    def lossatlas(self):
        pattern = "^(" + self.cases.replace(",", "|") + ")/"
        command = self.bench + ["--repetitions", "1", "--benchmark_format=json", "--benchmark_filter=" + pattern]
        return run_json(command, self.bench_environment)

    def pytorch(self):
        return run_json(self.peer, self.peer_environment)

    def round(self, index):
        """The two in turns; every second round starts with the other one."""
        if index % 2 == 0:
            ours = self.lossatlas()
            return ours, self.pytorch()
        theirs = self.pytorch()
        return self.lossatlas(), theirs


def measured(ours, theirs):
    """What one round says about each case."""
    result = {}
    for run in ours["benchmarks"]:
        if run.get("error_occurred"):
            raise SystemExit(f"run.py: {run['name']}: {run['error_message']}")
        case = "/".join(run["name"].split("/")[:2])
        if case not in theirs["cases"]:
            continue
        precision = case.split("/")[1]
        peer = theirs["cases"][case]
        seconds, cpu_seconds = run["real_time"] / 1e3, run["cpu_time"] / 1e3  # the benchmark's unit is the millisecond
        result[case] = {
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "points_samples_per_second": run["items_per_second"],
            "flop": run["flop"],
            "bytes": run["bytes"],
            "special_functions": run["special"],
            "flop_per_second": run["flop/s"],
            "special_per_second": run["special/s"],
            "gemm_flop_per_second": run["gemm_flop/s"],
            "fma_flop_per_second": run["fma_flop/s"],
            "tanh_per_second": run["tanh/s"],
            "share_of_gemm": run["of_gemm"],
            "share_of_floor": run["of_floor"],
            "share_of_gemm_cpu": run["of_gemm_cpu"],
            "plan_error": run["error"],
            "error": peer["lossatlas_error"],
            "loop_error": peer["loop"]["max_relative_error"],
            "optimised_error": peer["optimised"]["max_relative_error"],
            "loop_seconds": peer["loop"]["seconds"],
            "optimised_seconds": peer["optimised"]["seconds"],
            "ratio_to_loop": peer["loop"]["seconds"] / seconds,
            "ratio_to_optimised": peer["optimised"]["seconds"] / seconds,
            "ratio_to_loop_cpu": peer["loop"]["cpu_seconds"] / cpu_seconds,
            "ratio_to_optimised_cpu": peer["optimised"]["cpu_seconds"] / cpu_seconds,
            "peer_share_of_gemm": theirs["matmul"][precision]["flop_per_second"] / run["gemm_flop/s"],
        }
    return result


def medians(rounds):
    """Over rounds, with the smallest and largest of what is compared."""
    summary = {}
    for case in rounds[0]:
        keys = rounds[0][case]
        summary[case] = {key: statistics.median(one[case][key] for one in rounds) for key in keys}
        for key in ("share_of_gemm", "ratio_to_loop", "ratio_to_optimised"):
            summary[case][key + "_range"] = [pick(one[case][key] for one in rounds) for pick in (min, max)]
        summary[case]["peer_is_fair"] = summary[case]["peer_share_of_gemm"] >= FAIR
    return summary


def print_table(report):
    print(f"{report['machine']['cpu']}, {report['context']['device']}, {report['context']['blas']}, "
          f"PyTorch {report['peer']['pytorch']} with {report['peer']['threads']} threads")
    print("medians of", report["rounds"], "rounds; CPU-time figures in brackets")
    head = ("case", "points·samples/s", "of gemm", "of floor", "vs loop", "vs optimised", "error", "peer's error",
            "peer's gemm")
    rows = [head]
    for case, m in report["summary"].items():
        rows.append((
            case,
            f"{m['points_samples_per_second']:.3g}",
            f"{m['share_of_gemm']:.2f} [{m['share_of_gemm_cpu']:.2f}]",
            f"{m['share_of_floor']:.2f}",
            f"{m['ratio_to_loop']:.3g}x [{m['ratio_to_loop_cpu']:.3g}]",
            f"{m['ratio_to_optimised']:.3g}x [{m['ratio_to_optimised_cpu']:.3g}]",
            f"{m['error']:.1e}",
            f"{m['optimised_error']:.1e}",
            f"{m['peer_share_of_gemm']:.2f}" + ("" if m["peer_is_fair"] else " not fair"),
        ))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=pathlib.Path, default=ROOT / "build/cpu/bin/section_bench")
    parser.add_argument("--python", default=sys.executable, help="a Python with numpy and torch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="of both; default: all cores of this process")
    parser.add_argument("--cases", default="dense,prefix,theorem1,quadratic", help="separated by commas")
    parser.add_argument("--stock", action="store_true", help="both BLAS as installed")
    parser.add_argument("--json", type=pathlib.Path, help="where the JSON goes; default: a new temporary folder")
    parser.add_argument("--save", metavar="NAME", help="also bench/results/NAME.json")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds: received {options.rounds}, expected at least 1")
    if not options.bench.is_file():
        parser.error(f"--bench: {options.bench} is no file; configure with -DLOSSATLAS_BENCH=ON and build")
    return options


def write_whole(path, text):
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def save_report(report, options, name):
    """Where the JSON went."""
    text = json.dumps(report, indent=1) + "\n"
    path = options.json or pathlib.Path(tempfile.mkdtemp(prefix="lossatlas-bench-")) / name
    write_whole(path, text)
    if options.save:
        path = HERE / "results" / (options.save + ".json")
        path.parent.mkdir(exist_ok=True)
        write_whole(path, text)
    return path


def main():
    options = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="lossatlas-bench-") as name:
        comparison = Comparison(options, pathlib.Path(name))
        rounds = []
        for index in range(options.rounds):
            ours, theirs = comparison.round(index)
            rounds.append(measured(ours, theirs))
            print(f"round {index + 1} of {options.rounds}", file=sys.stderr)
    report = {
        "machine": machine(),
        "context": {key: ours["context"][key] for key in ("device", "threads", "blas", "compiler", "lossatlas")},
        "environment": {"lossatlas": comparison.bench_environment, "pytorch": bool(comparison.peer_environment)
                        and "MKL with all of the CPU's instructions (peers/mkl_vendor.c)" or "as installed"},
        "peer": {key: theirs[key] for key in ("pytorch", "threads", "cpu_capability")}
        | {"forms": {case: result["optimised"]["form"] for case, result in theirs["cases"].items()}},
        "rounds": len(rounds),
        "summary": medians(rounds),
        "every_round": rounds,
    }
    path = save_report(report, options, "section.json")
    print_table(report)
    print(path)


if __name__ == "__main__":
    main()
