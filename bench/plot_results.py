#!/usr/bin/env python3
"""Pictures of what bench/run.py recorded: a roofline, the ratios to the peers, and the cost over G and over N.

  bench/plot_results.py [bench/results/NAME.json ...] [--out DIR]

Writes NAME-roofline.png and NAME-ratios.png for a comparison, NAME-scaling.png for a run with --scaling, into DIR or
beside each JSON. Needs matplotlib.
"""

import argparse
import json
import pathlib

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

RESULTS = pathlib.Path(__file__).resolve().parent / "results"
COLOURS = {"f64": "#1f5fa8", "f32": "#c7511f", "fast": "#3d8b37"}
PEER_COLOURS = {
    "torch loop": "#9aa5b1",
    "torch vmap": "#5f7fa3",
    "torch compile": "#33507a",
    "jax": "#4f9d8f",
    "torch by hand": "#e0a030",
}
plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 150})


def title_of(report):
    machine = report["context"]["device"]
    if machine.startswith("cpu"):
        machine = f"{report['machine']['cpu'].split(' (')[0]}, threads: {report['context']['threads']}"
    return f"{machine}; {report['machine']['commit'][:10]}, {report['machine']['date'][:10]}"


def by_precision(rows):
    result = {}
    for key, row in rows.items():
        case, precision = key.split("/")
        result.setdefault(precision, {})[case] = row
    return {name: result[name] for name in ("f64", "f32", "fast") if name in result}


def bounds(report, precision, cases):
    """Rates of products and copies of a precision."""
    rates = [row["rates"] for row in cases.values()]
    if "fma_flop/s" in rates[0]:
        return max(one["fma_flop/s"] for one in rates), max(one["copy_bytes/s"] for one in rates)
    measured = report["peers"]["torch"]["rates"]
    return measured["products"]["fp16" if precision == "fast" else precision], measured["copy"]


def draw_roof(axes, report, precision, cases, span):
    """Copies, then products."""
    products, copies = bounds(report, precision, cases)
    ridge = products / copies
    axes.plot([span[0], ridge, span[1]], [span[0] * copies, products, products], color=COLOURS[precision], lw=1.5,
              label=f"{precision}: {products / 1e9:,.0f} GFLOP/s, {copies / 1e9:,.0f} GB/s")


def draw_row(axes, number, row, colour, titles):
    """One row: its floor, lossatlas, PyTorch by hand, and the number by which the key names it."""
    flop, x = row["work"]["flop"], row["work"]["flop"] / row["work"]["bytes"]
    reached, bound = 1e3 * flop / row["lossatlas"]["ms"], 1e3 * flop / row["work"]["floor_ms"]
    axes.plot([x, x], [reached, bound], color=colour, lw=0.8, alpha=0.6)
    axes.plot(x, bound, marker="_", ms=11, mew=2, color=colour, ls="", label=titles[0])
    axes.plot(x, reached, marker="o", ms=5, color=colour, ls="", label=titles[1])
    axes.annotate(str(number), (x, reached), xytext=(5 if number % 2 else -5, -3), textcoords="offset points",
                  ha="left" if number % 2 else "right", fontsize=8)
    hand = row["peers"].get("torch by hand", {})
    if "ms" in hand:
        axes.plot(x, 1e3 * flop / hand["ms"], marker="D", ms=4, mfc="white", color="#444444", ls="", label=titles[2])


def draw_roofline(report, path):
    """FLOP/s over FLOP for each byte; a dash is the row's own floor, which knows of transcendental functions, too."""
    groups = by_precision(report["rows"])
    figure, panels = plt.subplots(1, len(groups), figsize=(7.4 * len(groups), 5), squeeze=False, sharey=True)
    intensities = [row["work"]["flop"] / row["work"]["bytes"] for row in report["rows"].values()]
    span = (min(1, min(intensities) / 2), max(intensities) * 3)
    for axes, (precision, cases) in zip(panels[0], groups.items()):
        draw_roof(axes, report, precision, cases, span)
        for index, row in enumerate(cases.values()):
            titles = ("floor, transcendental functions included", "lossatlas", "torch by hand")
            draw_row(axes, index + 1, row, COLOURS[precision], (None, None, None) if index else titles)
        key = [f"{index + 1:2d}  {case}: {100 * row['lossatlas']['share_of_floor']:.0f} % of its floor"
               for index, (case, row) in enumerate(cases.items())]
        axes.text(1.02, 0.98, "\n".join(key), transform=axes.transAxes, va="top", fontsize=8, linespacing=1.5)
        axes.set(xscale="log", yscale="log", xlim=span, xlabel="FLOP for each byte that must move", title=precision)
        axes.grid(alpha=0.25, which="major")
        axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(1.0, 0.0), frameon=False)
    panels[0][0].set_ylabel("FLOP/s that the plan counts")
    figure.suptitle("Roofline — " + title_of(report), fontsize=10)
    finish(figure, path)


def time_text(ms):
    return f"{ms:.3g} ms" if ms < 999.5 else f"{ms / 1000:.3g} s"


def draw_ratios(report, path):
    groups = by_precision(report["rows"])
    figure, panels = plt.subplots(len(groups), 1, figsize=(11, 3.6 * len(groups)), squeeze=False)
    for axes, (precision, cases) in zip(panels[:, 0], groups.items()):
        titles = [title for title in PEER_COLOURS
                  if any("ratio" in row["peers"].get(title, {}) for row in cases.values())]
        width = 0.84 / max(1, len(titles))
        for index, title in enumerate(titles):
            for at, row in enumerate(cases.values()):
                draw_bar(axes, at + (index - (len(titles) - 1) / 2) * width, width, title, row["peers"].get(title, {}))
        axes.axhline(1, color="black", lw=1)
        axes.set(yscale="log", title=precision, ylabel="times as fast as the peer")
        axes.set_xticks(range(len(cases)), [f"{case}\n{time_text(row['lossatlas']['ms'])}" for case, row in cases.items()],
                        fontsize=8)
        axes.margins(x=0.01, y=0.16)
        axes.grid(axis="y", alpha=0.25)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour, label=title) for title, colour in PEER_COLOURS.items()]
    figure.legend(handles=handles, fontsize=9, ncols=len(handles), frameon=False, loc="lower center")
    figure.suptitle("Peers' time over lossatlas's; hatched: less accurate — " + title_of(report), fontsize=10)
    finish(figure, path, bottom=0.4 / figure.get_figheight())


def draw_bar(axes, x, width, title, peer):
    if "ratio" not in peer:
        return
    low, high = peer["ratio_range"]
    axes.bar(x, peer["ratio"], width, color=PEER_COLOURS[title], edgecolor="white", lw=0,
             hatch=None if peer["equal_accuracy"] else "//",
             yerr=[[peer["ratio"] - low], [high - peer["ratio"]]], error_kw={"lw": 0.8, "ecolor": "#333333"})
    axes.annotate(f"{peer['ratio']:.2g}" if peer["ratio"] < 100 else f"{peer['ratio']:.0f}", (x, high),
                  xytext=(0, 2), textcoords="offset points", ha="center", fontsize=6.5, rotation=90)


def draw_scaling(report, path):
    figure, panels = plt.subplots(1, 2, figsize=(10, 4.4), sharey=True)
    cases = list(dict.fromkeys(key.split("/")[0] for key in report["scaling"]))
    for axes, axis, name, other in zip(panels, "GN", ("grid points G", "samples N"), "NG"):
        for key, curve in report["scaling"].items():
            case, precision, which = key.split("/")
            if which != axis:
                continue
            marker, dashes = "os^Dv"[cases.index(case) % 5], ("-", "--", ":", "-.")[cases.index(case) % 4]
            sizes, times = curve["sizes"], curve["ms"]
            errors = [[ms - low for ms, (low, _) in zip(times, curve["ms_range"])],
                      [high - ms for ms, (_, high) in zip(times, curve["ms_range"])]]
            axes.errorbar(sizes, times, errors, fmt=marker, ms=5, color=COLOURS[precision], lw=1)
            middle = len(sizes) // 2
            fit = [times[middle] * (size / sizes[middle]) ** curve["exponent"] for size in sizes]
            (fixed,) = curve["fixed"].values()
            axes.plot(sizes, fit, dashes, color=COLOURS[precision], lw=1.2,
                      label=f"{case} {precision}, {other} = {fixed:,.0f}: time ∝ {axis}^{curve['exponent']:.2f}")
        axes.set(xscale="log", yscale="log", xlabel=name)
        axes.grid(alpha=0.25, which="both")
        axes.legend(fontsize=8, frameon=False)
    panels[0].set_ylabel("milliseconds")
    figure.suptitle("Cost over the grid and over the data — " + title_of(report), fontsize=10)
    finish(figure, path)


def finish(figure, path, bottom=0):
    figure.tight_layout(rect=(0, bottom, 1, 1))
    figure.savefig(path)
    plt.close(figure)
    print(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", nargs="*", type=pathlib.Path, help="default: all of bench/results that run.py wrote")
    parser.add_argument("--out", type=pathlib.Path, help="folder of the pictures; default: beside each JSON")
    options = parser.parse_args()
    for path in options.json or sorted(RESULTS.glob("*.json")):
        report = json.loads(path.read_text())
        folder = options.out or path.parent
        folder.mkdir(parents=True, exist_ok=True)
        if report.get("kind") == "scaling":
            draw_scaling(report, folder / f"{path.stem}-scaling.png")
        elif report.get("kind") == "sections":
            draw_roofline(report, folder / f"{path.stem}-roofline.png")
            draw_ratios(report, folder / f"{path.stem}-ratios.png")
        elif options.json:
            raise SystemExit(f"plot_results.py: {path} is no comparison and no scaling run of bench/run.py")


if __name__ == "__main__":
    main()
