"""Draw the figures of ``benchmarks/*.json``, two pictures of the performance page: ``python docs/tools/peers.py``.

The first shows each front end beside its strongest peer, the one that takes the least time; the second the time of a
step by the size of a model.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[2]

#: File -> what a reader calls the front end, its color, its marker. Markers tell them apart in black and white.
FRONT_ENDS = {
    "numpy": ("NumPy", "#1b4f8a", "o"),
    "torch": ("PyTorch", "#c8641e", "s"),
    "jax": ("JAX", "#3f8f5b", "^"),
    "tf_keras": ("tf_keras", "#7a4fa3", "D"),
    "keras_torch": ("Keras 3 on torch", "#8c5a2b", "P"),
    "keras_jax": ("Keras 3 on JAX", "#4d9aa8", "v"),
    "keras_tensorflow": ("Keras 3 on TensorFlow", "#a03050", "X"),
}
MODELS = {"mlp": "MLP, 5 k", "dqn": "DQN, 1.7 M", "resnet50": "ResNet-50, 25.6 M", "flat25m": "one tensor, 25 M"}
VARIANTS = ("plain", "everything")


def steps(name):
    """Return the rows of steps of a file: (model, variant) -> peer -> row."""
    found = {}
    for row in json.loads((ROOT / "benchmarks" / f"{name}.json").read_text())["rows"]:
        if row["kind"] == "step":
            found.setdefault((row["model"], row["variant"]), {})[row["peer"]] = row
    return found


def strongest(peers):
    """Return the row of the peer that takes the least time; None where there is no peer.

    A floor, which is ours without its work, is none.
    """
    others = [row for peer, row in peers.items() if not peer.startswith(("rmsprop", "floor-"))]
    return min(others, key=lambda row: row["ratio"], default=None)


def finish(panel):
    """Take away what says nothing."""
    panel.grid(alpha=0.25, which="major")
    panel.spines[["top", "right"]].set_visible(False)


def draw_strongest(path):
    """Draw how many times as long the strongest peer takes."""
    figure, panels = plt.subplots(1, 2, figsize=(9.6, 4.6), sharex=True, sharey=True, layout="constrained")
    for panel, variant in zip(panels, VARIANTS, strict=True):
        for name, (label, color, marker) in FRONT_ENDS.items():
            rows = {model: strongest(steps(name).get((model, variant), {})) for model in MODELS}
            places = [place for place, model in enumerate(MODELS) if rows[model]]
            ratios = [row["ratio"] for row in rows.values() if row]
            offset = (list(FRONT_ENDS).index(name) - len(FRONT_ENDS) / 2) * 0.09
            panel.plot(ratios, [place + offset for place in places], marker, color=color, markersize=7, label=label)
        panel.axvline(1, color="black", linewidth=1)
        panel.set_xscale("log")
        panel.set_xticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
        panel.set_title(variant)
        panel.set_yticks(range(len(MODELS)), MODELS.values())
        finish(panel)
    panels[0].invert_yaxis()
    figure.supxlabel("time of the strongest peer's step, as a multiple of ours: right of 1 ours is faster", fontsize=10)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    figure.savefig(path, dpi=150, facecolor="white")


def draw_sizes(path):
    """Draw the time of a plain step by the number of parameters, in ten tensors: ours and the strongest peer's."""
    figure, panels = plt.subplots(1, 3, figsize=(9.6, 3.6), sharex=True, sharey=True, layout="constrained")
    for panel, name in zip(panels, ("numpy", "torch", "jax"), strict=True):
        label, color, marker = FRONT_ENDS[name]
        found = {}
        for row in json.loads((ROOT / "benchmarks" / f"scaling_{name}.json").read_text())["rows"]:
            if row["kind"] == "scaling" and row["axis"] == "numbers":
                found.setdefault(row["numbers"], {})[row["peer"]] = row
        ours = [1e3 * peers["rmsprop"]["seconds"] for peers in found.values()]
        others = [1e3 * strongest(peers)["seconds"] for peers in found.values()]
        panel.plot(list(found), ours, f"{marker}-", color=color, label="ours")
        panel.plot(
            list(found), others, "--", marker=marker, markerfacecolor="white", color="#444444", label="strongest peer"
        )
        panel.set(xscale="log", yscale="log", title=label)
        panel.legend(frameon=False)
        finish(panel)
    figure.supxlabel("parameters", fontsize=10)
    figure.supylabel("milliseconds a step, plain", fontsize=10)
    figure.savefig(path, dpi=150, facecolor="white")


if __name__ == "__main__":
    draw_strongest(ROOT / "docs" / "assets" / "strongest.png")
    draw_sizes(ROOT / "docs" / "assets" / "sizes.png")
