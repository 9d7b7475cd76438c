"""The figure of lesson 00. The function returns the figure and the sentence that says what it shows."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from torch import Tensor

from regimes.problems import Problem
from regimes.training import Trace
from regimes_course.kit.plotting import BLUE, panels

__all__ = ["regimes"]


def regimes(problem: Problem, runs: Mapping[str, tuple[Tensor, Trace, float]], chaotic: str) -> tuple[Figure, str]:
    """A column a run: the learned function above, the training loss below.

    Args:
        problem: one-dimensional data.
        runs: by name, outputs on the test inputs, the trace, and how far the hidden weights moved relative to their length.
        chaotic: the run whose numbers differ from machine to machine; the sentence leaves them out.
    """
    fig, axes = panels(len(runs), 2, size=(2.7, 2.2))
    grid = problem.x_test[:, 0]
    for (name, (f, trace, _)), top, bottom in zip(runs.items(), axes[: len(runs)], axes[len(runs) :], strict=True):
        top.plot(grid, f.detach(), color=BLUE)
        top.plot(grid, problem.y_test, ":", color="black")
        top.plot(problem.x[:, 0], problem.y, "o", color="black", markersize=4)
        top.set(title=name, xlabel="input x", ylim=(-2.5, 2.5))
        bottom.semilogy(trace.step, trace.relative, color=BLUE)
        bottom.set(xlabel="step k", ylim=(1e-10, 10))
    axes[0].set_ylabel("output f(x)")
    axes[len(runs)].set_ylabel("relative loss $L_k/L_0$")
    moved = ", ".join(f"{100 * far:.0f} % ({name})" for name, (_, _, far) in runs.items() if name != chaotic)
    return fig, (
        "Above: the learned function (solid), the wave (dotted) and the eight points. Below: the training loss. All runs "
        f"come to fit the points. Relative to their length the hidden weights moved by {moved}."
    )
