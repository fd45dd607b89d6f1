"""The machine, the fastest BLAS on both sides, and files that are written whole."""

import datetime
import json
import os
import pathlib
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile

BENCH = pathlib.Path(__file__).resolve().parents[1]
ROOT = BENCH.parent


def run_json(command, environment):
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{pathlib.Path(sys.argv[0]).name}: {shlex.join(command)} ended with status {done.returncode}")
    return json.loads(done.stdout)


def cpu_field(name):
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "unknown")


def git(*arguments):
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], stdout=subprocess.PIPE, text=True)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def machine():
    changed = git("status", "--porcelain", "--", ".", ":!bench/results")  # earlier results do not change what runs
    return {
        "cpu": f"{cpu_field('model name')} (family {cpu_field('cpu family')}, model {cpu_field('model')})",
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "load_average": os.getloadavg(),
        "commit": git("rev-parse", "HEAD") + (" with local changes" if changed else ""),
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
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, BENCH / "peers" / "mkl_vendor.c"], check=True)
    return {"LD_PRELOAD": str(library)}


def write_whole(path, text):
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def save_report(report, options, name):
    """Where the JSON went: --json or a new folder, and bench/results with --save."""
    text = json.dumps(report, indent=1) + "\n"
    path = options.json or pathlib.Path(tempfile.mkdtemp(prefix="lossatlas-bench-")) / name
    write_whole(path, text)
    if options.save:
        path = BENCH / "results" / (options.save + ".json")
        path.parent.mkdir(exist_ok=True)
        write_whole(path, text)
    return path
