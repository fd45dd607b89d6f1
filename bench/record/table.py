"""The short table of a report."""


def share(value):
    return f"{100 * value:.0f} %"


def ratio(peer):
    """What lossatlas is faster by; in brackets at another accuracy."""
    if peer is None or "ratio" not in peer:
        return "-"
    text = f"{peer['ratio']:.3g}x"
    return text if peer["equal_accuracy"] else f"({text})"


def peer_titles(rows):
    titles = {}
    for row in rows.values():
        titles |= dict.fromkeys(title for title, peer in row["peers"].items() if "ratio" in peer)
    return list(titles)


def lines(rows):
    titles = peer_titles(rows)
    table = [("case", "G", "N", "ms", "points·samples/s", "of gemm", "of floor", "error", *titles)]
    for key, row in rows.items():
        ours = row["lossatlas"]
        table.append((key, str(row["case"]["points"]), str(row["case"]["samples"]), f"{ours['ms']:.4g}",
                      f"{ours['points_samples_per_second']:.3g}", share(ours["share_of_gemm"]),
                      share(ours["share_of_floor"]), f"{ours['error']:.1e}",
                      *(ratio(row["peers"].get(title)) for title in titles)))
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in table]


def print_table(report):
    context = report["context"]
    print(f"{report['machine']['cpu']}; {context['device']}; {context['blas']}")
    for name, peer in report["peers"].items():
        print(f"{name}: {peer['unavailable']}" if "unavailable" in peer
              else f"{peer['library']}, {peer['device']}, {peer['threads']} threads{fairness(peer)}")
    print("a peer's column: its time over lossatlas's; in brackets where it is less accurate")
    for line in lines(report["rows"]):
        print(line)


def fairness(peer):
    shares = peer.get("products_of_ours", {})
    if not shares:
        return ""
    text = ", ".join(f"{name} {share(value)}" for name, value in shares.items())
    return f"; products at {text} of OpenBLAS's rate" + ("" if peer["fair"] else ", not fair")
