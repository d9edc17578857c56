"""How a table of series is plotted: axes and marks, as plain data, so that figures are built without matplotlib."""

from typing import NamedTuple


class Axis(NamedTuple):
    """One axis of a plot."""

    label: str
    kind: str = "linear"  # "linear", "log", "counts" (whole numbers), "frames" (10M) or "names" (one per series)


class PlotSpec(NamedTuple):
    """How a table of series is plotted."""

    x: Axis
    y: Axis
    marks: str = "lines"  # "lines" with bands, "points", "both", or "intervals" along x


FRAMES = Axis("frames", "frames")
SCORE = Axis("mean score of an evaluation")
THREADS = Axis("threads", "counts")
