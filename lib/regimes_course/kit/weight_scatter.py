"""Hidden weights as a cloud of dots, with the directions of the teacher."""

import math
from collections.abc import Callable

import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from torch import Tensor

from regimes.networks import TwoLayer
from regimes_course.kit.plotting import GREEN, GREY, ORANGE

__all__ = ["BELOW", "cloud"]

SIGNS = ((1, "v > 0", GREEN, "o"), (-1, "v < 0", ORANGE, "D"))
BELOW = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "borderaxespad": 4.5, "fontsize": 8}  # a legend's place
LARGEST = 90  # the area of the largest dot, in points squared


def cloud(ax: Axes) -> tuple[list[Artist], Callable]:
    """Put an empty cloud into ``ax``.

    Returns:
        The artists that move, and a function ``update(W, v, largest, start, teacher, reach)``: weights ``(m, d + 1)`` of which
        the first two coordinates are drawn, in dots of an area proportional to ``|v|``, which is ``largest`` at most; faint
        dots at ``start``; a dashed ray along each unit of ``teacher``, with the sign of its output weight at its end; axes
        from ``-reach`` to ``reach``.
    """
    ax.set(xlabel="$w_1$ (area of a dot: |v|)", ylabel="$w_2$", aspect="equal")
    ax.yaxis.set_label_coords(-0.07, 0.95)  # above the ticks, whatever they say
    (before,) = ax.plot([], [], "o", color=GREY, alpha=0.5, markersize=2, label="start")
    (rays,) = ax.plot([], [], "--", color="black", linewidth=1, label="teacher")
    look = {"alpha": 0.7, "linewidths": 0, "zorder": 2}  # the height of lines: drawn whole, they cover as in a widget's move
    dots = [ax.scatter([], [], label=label, color=c, marker=k, **look) for _, label, c, k in SIGNS]
    ends = [ax.plot([], [], k, color=c, markeredgecolor="black", markersize=8)[0] for *_, c, k in SIGNS]
    ax.legend(**BELOW, ncols=2)

    def update(W: Tensor, v: Tensor, largest: float, start: Tensor, teacher: TwoLayer, reach: float) -> None:
        reach = 2 * math.ceil(1.05 * reach / 2)
        ticks = (-reach // 2, 0, reach // 2)  # none in a corner, where a long number would be cut off
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=ticks, yticks=ticks)
        before.set_data(*start[:, :2].T)
        tips = teacher.W.detach()[:, :2]
        tips = 0.92 * reach * tips / tips.abs().amax(1, keepdim=True)  # just inside the frame
        zero, gap = torch.zeros_like(tips), torch.full_like(tips, torch.nan)
        rays.set_data(*torch.stack([zero, tips, gap], 1).reshape(-1, 2).T)
        for (sign, *_), dot, end in zip(SIGNS, dots, ends, strict=True):
            here = sign * v > 0
            dot.set_offsets(W[here, :2])
            dot.set_sizes(LARGEST * v[here].abs() / largest)
            end.set_data(*tips[sign * teacher.v.detach() > 0].T)

    return [ax.xaxis, ax.yaxis, before, rays, *dots, *ends], update
