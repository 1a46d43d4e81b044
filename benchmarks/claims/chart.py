"""Seconds over length, one pair of axes for each way."""

from pathlib import Path

import matplotlib as mpl
import pandas
import seaborn

from claims.costs import WAYS
from claims.curves import Costs


def draw(costs: Costs, path: Path) -> None:
    """Medians, both axes logarithmic; the same bytes every time."""
    rows = [
        {"way": way, "kind": kind, "tokens": length, "seconds": seconds}
        for way in WAYS
        for kind in costs.kinds
        if (curve := costs.curve(kind, way)) is not None
        for length, seconds in zip(curve.lengths, curve.medians, strict=True)
    ]
    mpl.use("agg")
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "seqprobe"}):
        grid = seaborn.relplot(
            pandas.DataFrame(rows), x="tokens", y="seconds", hue="kind", style="kind",
            col="way", kind="line", markers=True, height=3.2, errorbar=None,
        )  # fmt: skip
        grid.set(xscale="log", yscale="log").set_titles("{col_name}")
        grid.figure.suptitle(costs.title, y=1.03)
        grid.savefig(path, metadata={"Date": None})
