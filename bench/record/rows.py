"""One row: a case in one precision, all programs in turns, and what their times say."""

import statistics
import time

from .programs import Gone

LEAST_ROUNDS = 3  # even when --row-seconds are over
FAIR = 0.7
# A peer is as accurate as lossatlas when its error is at most ten times the larger of lossatlas's and this.
USUAL_ERROR = {"f64": 1e-14, "f32": 1e-6, "fast": 1e-4}
DEFINITIONS = {
    "ms": "median over the rounds of one evaluation of the whole grid, data on the device, losses back on the host",
    "error": "max |L - L64| / |L64| over heads and up to 64 random points, L64 in fp64 by evaluating every layer and "
    "sample on the CPU",
    "ratio": "median over the rounds of a peer's time over lossatlas's in the same round",
    "equal_accuracy": "the peer's error is at most ten times the larger of lossatlas's and "
    + ", ".join(f"{error:g} ({name})" for name, error in USUAL_ERROR.items()),
    "points_timed": "grid points that a peer was timed on; its time is scaled to all",
    "share_of_gemm": "FLOP of the form (a general peer: of the whole network at every point and sample; otherwise of "
    "the plan) at the rate of products over the time; transcendental functions are not in it",
    "share_of_floor, cpu": "(FLOP / multiply-adds in registers + transcendental functions / tanh), or bytes / copies if more, "
    "over the time",
    "share_of_floor, cuda": "the longest of FLOP / products, transcendental functions / tanh and bytes / copies, over the "
    "time; f32 products at the rate of TF32 or half precision over three if that is more",
}


def floor_rates(ceilings, precision):
    """Rates of products and tanh that bound a precision on a GPU."""
    products = ceilings["products"]
    if precision == "f32":
        rate = max(products["f32"], products["tf32"] / 3, products["fp16"] / 3)
    else:
        rate = products["fp16" if precision == "fast" else "f64"]
    return rate, ceilings["tanh"][precision]


class Row:
    def __init__(self, key, about, lossatlas, peers, ceilings):
        self.key, self.about, self.ceilings = key, about, ceilings
        self.precision = key.split("/")[1]
        self.lossatlas, self.peers = lossatlas, peers
        self.variants, self.unavailable = {}, {}
        for peer in peers:
            self.prepare(peer)

    def prepare(self, peer):
        try:
            answers = peer.ask({"prepare": self.key})
        except Gone as gone:
            self.unavailable[peer.name] = str(gone)
            return
        for variant, answer in answers.items():
            title = variant if variant.startswith(peer.name) else f"{peer.name} {variant}"
            if "unavailable" in answer:
                self.unavailable[title] = answer["unavailable"]
            else:
                self.variants[title] = (peer, variant, answer)

    def measure(self, rounds, row_seconds):
        """The rounds: name → numbers of lossatlas and of each variant; every second round the other way round."""
        self.rounds, self.context = [], {}
        start = time.monotonic()
        for index in range(rounds):
            calls = [("lossatlas", self.time_lossatlas)]
            calls += [(title, lambda title=title: self.time_variant(title)) for title in self.variants]
            if index % 2:
                calls.reverse()
            self.rounds.append({title: call() for title, call in calls})
            if index + 1 >= LEAST_ROUNDS and time.monotonic() - start > row_seconds:
                break
        return self

    def time_lossatlas(self):
        self.context, result = self.lossatlas.time(self.key)
        return result | {"seconds": result["real_time"] / 1e3}  # the benchmark's unit is the millisecond

    def time_variant(self, title):
        peer, variant, _ = self.variants[title]
        try:
            return peer.ask({"time": self.key, "variant": variant})
        except Gone as gone:
            self.unavailable[title] = str(gone)
            return None

    def median(self, title, key):
        return statistics.median(one[title][key] for one in self.rounds)

    def gemm_rate(self):
        if "gemm_flop/s" in self.rounds[0]["lossatlas"]:
            return self.median("lossatlas", "gemm_flop/s")
        return self.ceilings["products"]["fp16" if self.precision == "fast" else self.precision]

    def floor_seconds(self):
        if "floor_ms" in self.rounds[0]["lossatlas"]:
            return self.median("lossatlas", "floor_ms") / 1e3
        products, tanh = floor_rates(self.ceilings, self.precision)
        work = self.rounds[0]["lossatlas"]
        return max(work["flop"] / products, work["transcendental"] / tanh, work["bytes"] / self.ceilings["copy"])

    def ours(self):
        seconds = self.median("lossatlas", "seconds")
        result = self.rounds[0]["lossatlas"]
        shares = [self.floor_seconds() / one["lossatlas"]["seconds"] for one in self.rounds]
        measured = {
            "ms": 1e3 * seconds,
            "ms_range": [1e3 * pick(one["lossatlas"]["seconds"] for one in self.rounds) for pick in (min, max)],
            "cpu_ms": 1e3 * self.median("lossatlas", "cpu_seconds"),
            "points_samples_per_second": result["points"] * result["samples"] / seconds,
            "error": result["error"],
            "share_of_gemm": result["flop"] / self.gemm_rate() / seconds,
            "share_of_floor": self.floor_seconds() / seconds,
            "share_of_floor_range": [min(shares), max(shares)],
        }
        rates = {key: self.median("lossatlas", key) for key in result if key.endswith("/s")}
        return measured, rates

    def peer(self, title, ours):
        _, _, answer = self.variants[title]
        if title in self.unavailable:
            return {"unavailable": self.unavailable[title]}
        seconds = self.median(title, "seconds")
        ratios = [one[title]["seconds"] / one["lossatlas"]["seconds"] for one in self.rounds]
        cpu_ratios = [one[title]["cpu_seconds"] / one["lossatlas"]["cpu_seconds"] for one in self.rounds]
        pairs = self.about["points"] * self.about["samples"]
        flop = self.rounds[0]["lossatlas"]["flop"] if answer["whole"] else pairs * self.about["network_flop"]
        return {
            "ms": 1e3 * seconds,
            "cpu_ms": 1e3 * self.median(title, "cpu_seconds"),
            "points_samples_per_second": pairs / seconds,
            "error": answer["error"],
            "equal_accuracy": answer["error"] <= 10 * max(ours["error"], USUAL_ERROR[self.precision]),
            "ratio": statistics.median(ratios),
            "ratio_range": [min(ratios), max(ratios)],
            "ratio_cpu": statistics.median(cpu_ratios),
            "share_of_gemm": flop / self.gemm_rate() / seconds,
            "points_timed": self.rounds[0][title]["points_timed"],
            "form": answer["form"],
        }

    def summary(self):
        ours, rates = self.ours()
        about = {key: self.about[key] for key in ("network", "loss", "points", "samples", "directions", "plan")}
        work = {key: self.rounds[0]["lossatlas"][key] for key in ("flop", "transcendental", "bytes")}
        peers = {title: {"unavailable": reason} for title, reason in self.unavailable.items()}
        peers |= {title: self.peer(title, ours) for title in self.variants}
        return {
            "case": about,
            "work": work | {"floor_ms": 1e3 * self.floor_seconds()},
            "rounds": len(self.rounds),
            "lossatlas": ours,
            "rates": rates,
            "peers": peers,
            "ratios_at_equal_accuracy": best_ratios(peers),
            "every_round_ms": {
                title: [1e3 * one[title]["seconds"] if one[title] else None for one in self.rounds]
                for title in self.rounds[0]
            },
        }


def best_ratios(peers):
    """Over the best of the peers that know nothing of the section, and over the one by hand."""
    accurate = {title: one["ratio"] for title, one in peers.items() if one.get("equal_accuracy")}
    general = [ratio for title, ratio in accurate.items() if title != "torch by hand"]
    return {"general": min(general, default=None), "by_hand": accurate.get("torch by hand")}
