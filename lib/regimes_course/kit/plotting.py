"""What the figures of all lessons share: data and an Axes in, the Axes out.

One convention in all lessons: what was measured is solid and coloured, what was predicted is dashed and black. Colours are
the Okabe-Ito palette, and every series has a line style or marker of its own besides.
"""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

__all__ = [
    "LOOKS",
    "STYLE",
    "curve",
    "eigenvalues",
    "installed_font",
    "legend",
    "new_figure",
    "panels",
    "predicted",
    "step_axis",
    "style",
]

BLUE, ORANGE, GREEN, PINK, SKY, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#666666"

LOSS = "relative loss $L_k/L_0$"

# A colour and a marker for each thing that recurs in the lessons.
LOOKS = {
    "Gauss-Newton": (BLUE, "o"),
    "gradient descent": (ORANGE, "s"),
    "damped Gauss-Newton": (GREEN, "^"),
    "feature learning": (BLUE, "o"),
    "lazy": (PINK, "D"),
    "edge of stability": (ORANGE, "s"),
    "random features": (GREY, "v"),
}

STYLE = {
    "figure.dpi": 100,
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "svg.hashsalt": "regimes",
}


def installed_font() -> None:
    """Take matplotlib's own font where a matplotlibrc asks for one that is not installed: it would complain at every word."""
    there = font_manager.get_font_names()
    for family in mpl.rcParams["font.family"]:
        names = mpl.rcParams.get(f"font.{family}", [family])  # those of a generic family, such as sans-serif
        if not set(there) & set(names):
            mpl.rcParams["font.family"] = "DejaVu Sans"


installed_font()


def style():
    """The course's style, as a context: ``with style(): figure.subplots(...)``."""
    return mpl.rc_context(STYLE)


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure of ``size`` inches. Made without pyplot, so that a notebook shows it once, when it is asked to."""
    with style():
        figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panels(columns: int = 1, rows: int = 1, *, size: tuple[float, float] = (3.6, 3.0), **kwargs) -> tuple[Figure, np.ndarray]:
    """A figure and a flat array of its axes; ``size`` is of one panel, in inches."""
    figure = new_figure((columns * size[0], rows * size[1]))
    with style():
        return figure, figure.subplots(rows, columns, squeeze=False, **kwargs).ravel()


def curve(ax: Axes, t: Tensor, values: Tensor, label: str, *, look: str | None = None, **kwargs) -> Axes:
    """A measured curve: the median over runs, and a band from the smallest to the largest run.

    Args:
        ax: where to draw.
        t: ``(k,)``, or with run axes that agree (the first run's are drawn).
        values: ``(k, ...)``.
        label: for the legend.
        look: a key of `LOOKS`; ``label`` itself if it is one.
    """
    t, values = _array(t), _array(values)
    t, values = t.reshape(len(t), -1)[:, 0], values.reshape(len(values), -1)
    colour, marker = LOOKS.get(look or label, (BLUE, "o"))
    style = {"color": colour, "marker": marker, "markevery": (0.05, 0.2), "markersize": 5, **kwargs}
    ax.plot(t, np.median(values, 1), label=label, **style)
    if values.shape[1] > 1:
        ax.fill_between(t, values.min(1), values.max(1), color=style["color"], alpha=0.2, linewidth=0)
    return ax


def predicted(ax: Axes, t: Tensor, values: Tensor, label: str = "predicted", **kwargs) -> Axes:
    """A theory curve: dashed and black."""
    ax.plot(
        _array(t),
        _array(values),
        **{"color": "black", "linestyle": "--", "linewidth": 1.3, "label": label, "zorder": 5, **kwargs},
    )
    return ax


def eigenvalues(ax: Axes, spectra: Sequence[Tensor], labels: Sequence[str]) -> Axes:
    """Eigenvalues of kernels, largest first, on a logarithmic axis."""
    looks = [(BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (PINK, "D")]
    for lam, label, (colour, marker) in zip(spectra, labels, looks, strict=False):
        lam = _array(lam)
        ax.semilogy(np.arange(1, len(lam) + 1), lam, marker, color=colour, markersize=4, label=label)
    ax.set(xlabel="index", ylabel="eigenvalue of the kernel K")
    return ax


def legend(ax: Axes, **kwargs) -> Axes:
    """A legend in the course's style."""
    with style():
        ax.legend(**kwargs)
    return ax


def step_axis(ax: Axes, step: Tensor) -> None:
    """A step axis that is linear up to ten and logarithmic from there, so that the start and the end are both seen."""
    ax.set_xscale("symlog", linthresh=10)
    ax.set_xlim(0, step[-1].item())
    ax.set_xticks([t for t in (0, 5, 10, 100, 1000) if t <= step[-1]], minor=False)
    ax.xaxis.set_major_formatter("{x:.0f}")
    ax.set_xlabel("step k (logarithmic from 10)")


def _array(t) -> np.ndarray:
    return np.asarray(t.detach().cpu() if isinstance(t, torch.Tensor) else t)
