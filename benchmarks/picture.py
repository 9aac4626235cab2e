"""A picture of the ratios in a file of results.

python benchmarks/picture.py benchmarks/loop.json
"""

import sys
from pathlib import Path

from _report import HERE, stored
from _turns import geometric_mean

COLOURS = {"RNN": "#4c9f70", "LSTM": "#2b6ca3", "GRU": "#d08a2e"}
TITLES = {"layers": "layers, forward and backward", "training": "whole training steps"}


def draw(path: Path) -> None:
    """Writes the picture beside the JSON file, or says in a line why not."""
    found = {title: s for title, s in stored(path).items() if title in TITLES and s["entries"]}
    if not found:
        return
    try:
        import matplotlib
    except ImportError:
        print("no picture: matplotlib is not installed (pip install matplotlib)")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FormatStrFormatter, NullFormatter

    ratios = [entry["ratio"] for section in found.values() for entry in section["entries"]]
    count = max(len(section["entries"]) for section in found.values())
    figure, all_axes = plt.subplots(
        1, len(found), figsize=(6.4 * len(found), 1.6 + 0.27 * count), sharex=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axes, (title, section) in zip(all_axes[0], found.items(), strict=True):
        names = [entry["name"] for entry in section["entries"]]
        values = [entry["ratio"] for entry in section["entries"]]
        colours = [COLOURS[name.split()[0]] for name in names]
        # bars start at 1: to the right we are faster, to the left torch is
        axes.barh(names, [v - 1 for v in values], left=1, color=colours, height=0.72)
        for y, value in enumerate(values):
            bold = "bold" if value == min(values) else "normal"
            beside = (4, "left") if value >= 1 else (-4, "right")
            axes.annotate(
                f"{value:.2f}", (value, y), (beside[0], 0), textcoords="offset points",
                va="center", ha=beside[1], fontsize=8, fontweight=bold,
            )  # fmt: skip
        mean = geometric_mean(values)
        axes.axvline(1, color="black", linewidth=1)
        axes.axvline(mean, color="black", linewidth=1, linestyle=":")
        axes.set_title(
            f"{TITLES[title]}\ngeometric mean {mean:.2f} (dotted), worst {min(values):.2f} (bold)",
            fontsize=10,
        )
        axes.set_xscale("log")
        axes.set_xticks([0.25, 0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24])
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(min(0.8, min(ratios) / 1.6), max(ratios) * 1.3)
        axes.margins(y=0.01)
        axes.set_xlabel("torch time / our time", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    about = next(iter(found.values()))
    versions = about["versions"]
    figure.suptitle(
        f"tinygrad_rnn {versions['tinygrad_rnn']} beside torch {versions['torch']}, "
        f"{about['settings']['threads']} threads, {about['machine']}: "
        f"geometric mean {geometric_mean(ratios):.2f}",
        fontsize=11,
    )
    target = path.with_suffix(".png")
    figure.savefig(target, dpi=130)
    plt.close(figure)
    print(f"wrote {target}")


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "loop.json")
