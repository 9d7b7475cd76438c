"""A network of two inputs as a cloud: a dot for each hidden unit, at its two input weights."""

from collections.abc import Callable

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from torch import Tensor

from regimes.networks import TwoLayer
from regimes_course.kit.plotting import BLUE, ORANGE

__all__ = ["cloud"]

SIGNS = (("v > 0", ORANGE, "o"), ("v < 0", BLUE, "D"))
PATHS = 200  # more of them would only be a grey area


def cloud(ax: Axes, teacher: TwoLayer) -> tuple[list[Artist], Callable]:
    """Put an empty cloud into ``ax``, with a dashed ray from the origin along each unit of ``teacher``.

    Returns:
        The artists that move, and a function ``update(W, v, largest, area)``: the weights ``(k, m, d + 1)`` from the start to
        the moment that is drawn, of which the first two coordinates are seen, and the output weights ``(m,)`` at that moment. A
        dot grows with ``|v|``, to ``area`` points squared at ``largest``; grey paths lead to at most 200 of them.
    """
    paths = ax.add_collection(LineCollection([], colors="0.65", linewidths=0.5, zorder=1))
    far = teacher.W.detach()[:, :2]
    for i, (x, y) in enumerate(100 * far / far.norm(dim=1, keepdim=True)):
        ax.plot([0, x], [0, y], "--", color="black", linewidth=1, label="_" if i else "the teacher's units", zorder=3)
    look = {"linewidths": 0.3, "edgecolors": "white", "zorder": 2}
    dots = [ax.scatter([], [], label=label, color=colour, marker=marker, **look) for label, colour, marker in SIGNS]

    def update(W: Tensor, v: Tensor, largest: float, area: float) -> None:
        paths.set_segments(W[:, :PATHS, :2].transpose(0, 1).numpy())
        for here, dot in zip((v >= 0, v < 0), dots, strict=True):  # before the first step v = 0
            dot.set_offsets(W[-1, here, :2])
            dot.set_sizes(area * (0.25 + 0.75 * v[here].abs() / largest))

    return [paths, *dots], update
