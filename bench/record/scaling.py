"""Time against G and against N: medians, and the exponents of the powers that fit them best."""

import math
import statistics


def exponent(points):
    """Least squares of log time over log size."""
    xs, ys = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
    x_mean, y_mean = statistics.mean(xs), statistics.mean(ys)
    return sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys)) / sum((x - x_mean) ** 2 for x in xs)


def curves(benchmarks):
    """'dense/f32/G' → {size: ms, ...} of medians, with G and N of each, and the exponent."""
    times = {}
    for one in benchmarks:
        if one["run_type"] != "iteration":
            continue
        case, axis, size, precision = one["name"].split("/")[:4]
        times.setdefault(f"{case}/{precision}/{axis}", {}).setdefault(int(size), []).append(one)
    result = {}
    for key, by_size in times.items():
        points = [(size, statistics.median(one["real_time"] for one in runs)) for size, runs in by_size.items()]
        first = next(iter(by_size.values()))[0]
        fixed = {"samples": first["samples"]} if key.endswith("/G") else {"points": first["points"]}
        result[key] = {
            "fixed": fixed,
            "sizes": [size for size, _ in points],
            "ms": [ms for _, ms in points],
            "ms_range": [[min(o["real_time"] for o in runs), max(o["real_time"] for o in runs)]
                         for runs in by_size.values()],
            "exponent": exponent(points),
        }
    return result


def print_curves(scaling):
    for key, curve in scaling.items():
        fixed = ", ".join(f"{name} {value:.0f}" for name, value in curve["fixed"].items())
        series = ", ".join(f"{size}: {ms:.3g} ms" for size, ms in zip(curve["sizes"], curve["ms"]))
        print(f"{key} ({fixed}): exponent {curve['exponent']:.2f}; {series}")
