"""Figures of lesson 01. Each function returns the figure and the sentence that says what it shows.

The lesson's own pictures, from `hero` to `breaks`, show the plane of two outputs: a point is what a network answers at two
inputs. Those of its deeper notebook follow.
"""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

from regimes.theory.gauss_newton import step_loss, steps_to
from regimes.training import Trace
from regimes_course.kit.plotting import (
    GREEN,
    GREY,
    LOOKS,
    LOSS,
    PINK,
    curve,
    eigenvalues,
    legend,
    new_figure,
    panels,
    predicted,
    style,
)
from regimes_course.kit.words import digits3, span
from regimes_course.lesson01.experiments import Path, descent, follow, gauss_newton, initial, newton, outputs, two_points

__all__ = ["breaks", "circle", "damping", "fan", "hero", "images", "modes", "newtons_plane", "race", "spectra"]

GN, GD = LOOKS["Gauss-Newton"][0], LOOKS["gradient descent"][0]
NEWTON = GREEN
MODES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"))
SHOWN = {"gradient descent": (1, 10, 50, 250), "Gauss-Newton": (1, 5, 10, 40)}  # steps at which the hero draws the function
ENOUGH = 1e-3


def plane(ax: Axes, y: Tensor, reach: tuple[float, float, float, float] = (-0.22, 1.25, -0.62, 0.78)) -> Axes:
    """The plane of two outputs: circles of equal loss around the labels (a star), and the diagonal of equal answers."""
    for radius in (0.25, 0.5, 0.75, 1.0, 1.25):
        ax.add_patch(Circle(y.tolist(), radius, fill=False, edgecolor="0.86", linewidth=0.9, zorder=0))
    ax.plot([-1, 2], [-1, 2], ":", color=GREY, linewidth=1, label="_both say the same")
    ax.plot(*y[:, None], "*", color="black", markersize=13, zorder=6, label="_labels")
    ax.set(xlim=reach[:2], ylim=reach[2:], aspect="equal", xlabel="output at the first point")
    ax.grid(False)
    return ax


def dots(ax: Axes, f: Tensor, colour: str, marker: str = "o", label: str = "_", **kwargs) -> None:
    """A dot per step, ``f`` of shape ``(k + 1, 2)``."""
    ax.plot(*f.T, marker, color=colour, markersize=3.6, label=label, **kwargs)


def both(distance: float = 0.3) -> dict[str, Path]:
    """Gradient descent and Gauss-Newton on frozen random features, 400 steps each, by name."""
    x, y = two_points(distance)
    rules = {"gradient descent": descent, "Gauss-Newton": gauss_newton(0.1)}
    return {name: follow(rule, initial(), x, y, 400, features=False) for name, rule in rules.items()}


def hero(runs: Mapping[str, Path] | None = None) -> tuple[Figure, str]:
    """Left, the plane of two outputs; right, the functions behind some of its dots. `both` unless given."""
    runs, (x, y), fig = both() if runs is None else runs, two_points(), new_figure((7.4, 4.3))
    with style():
        grid = fig.add_gridspec(2, 2, width_ratios=(1.5, 1))
        left = fig.add_subplot(grid[:, 0])
        right = [fig.add_subplot(grid[row, 1]) for row in range(2)]
    plane(left, y).set_ylabel("output at the second point")
    left.text(0.62, 0.66, "dotted: both say the same", color=GREY, ha="right", fontsize=9)
    left.text(-0.18, -0.57, "grey circles: equal loss", color=GREY, fontsize=9)
    left.text(1.0, -0.53, "the data", ha="center")
    descending, straight = runs["gradient descent"].f, runs["Gauss-Newton"].f
    dots(left, descending, GD, "s")
    dots(left, straight, GN)
    arrow = {"arrowstyle": "->", "color": GD, "shrinkB": 4}
    left.annotate("step 1: nearly the mean", descending[1], (0.3, 0.53), color=GD, ha="center", arrowprops=arrow)
    for k in (10, 50, 100):
        if k < len(descending):
            line = {"arrowstyle": "-", "color": GD, "linewidth": 0.7}
            left.annotate(f"step {k}", descending[k], descending[k] + torch.tensor([0.1, 0.04]), color=GD, arrowprops=line)
    if len(straight) > 10:
        line = {"arrowstyle": "-", "color": GN, "linewidth": 0.7}
        left.annotate("step 10", straight[10], straight[10] + torch.tensor([-0.3, -0.14]), color=GN, arrowprops=line)
    left.text(0.62, 0.3, "gradient descent", color=GD, fontweight="bold")
    left.text(-0.18, -0.27, "Gauss-Newton", color=GN, fontweight="bold")
    wide = torch.linspace(-0.1, 1.1, 61, dtype=torch.float64)[:, None]
    for ax, (name, path) in zip(right, runs.items(), strict=True):
        steps = [k for k in SHOWN[name] if k < len(path.theta)]
        for i, k in enumerate(steps):
            f = outputs(path.theta[k], wide)[0]
            ax.plot(wide[:, 0], f, color=LOOKS[name][0], alpha=(i + 1) / len(steps), linewidth=1.4, label=f"_{name} {k}")
            ax.annotate(f"k = {k}", (wide[0], f[0]), (-3, 0), textcoords="offset points", ha="right", va="center", fontsize=8)
        ax.plot(x[:, 0], y, "*", color="black", markersize=11, zorder=6, label="_labels")
        ax.set(xlim=(-0.6, 1.1), xlabel="input" if ax is right[-1] else "", ylabel="output")
        ax.set_title(f"the function after k steps,\n{name}", fontsize=10, color=LOOKS[name][0])
    fig.suptitle(
        "Gradient descent has nearly the mean after 1 step, the difference after over 100;\nGauss-Newton goes straight.",
        fontsize=11,
    )
    took = {name: [path.steps_to(tolerance) for tolerance in (0.1, 0.01, ENOUGH)] for name, path in runs.items()}
    told = "; ".join(f"{name} {', '.join(map(str, steps))}" for name, steps in took.items())
    return fig, (
        f"One dot per step. After its first, gradient descent answers {descending[1].mean():.2f} on average, nearly the "
        f"right {y.mean():.2f}, and has {100 * runs['gradient descent'].loss[1]:.0f} % of the loss left. "
        f"Steps to a tenth, a hundredth, a thousandth of the loss: {told}."
    )


def circle(t: Tensor, kernel: Tensor, descent: Tensor, gauss_newton: Tensor, ripple: int = 6) -> tuple[Figure, str]:
    """Left, eigenvectors of a kernel on a circle; right, what two methods have learned of a wave with ripples.

    Args:
        t: ``(n,)``, angles.
        kernel: ``(n, n)``.
        descent, gauss_newton: outputs ``(k + 1, n)`` after each step.
        ripple: how many ripples go round.
    """
    lam, Q = (part.flip(-1) for part in torch.linalg.eigh(kernel))
    wave, ripples, drawn = t.cos(), (ripple * t).cos(), ([3, 300, 3000], [3, 10, 30])
    labels, fig = wave + 0.5 * ripples, new_figure((7.4, 4.4))
    with style():
        grid = fig.add_gridspec(2, 4, width_ratios=(1.25, 1, 1, 1))
        modes, axes = fig.add_subplot(grid[:, 0]), [[fig.add_subplot(grid[i, j + 1]) for j in range(3)] for i in range(2)]
    rippled = 1 + int((ripples @ Q).abs().argmax())  # the mode in which most of the ripples lies
    for place, index in enumerate(sorted({1, 2, 6, rippled})):
        mode = Q[:, index - 1]
        mode = mode * (1 if mode[mode.abs().argmax()] > 0 else -1)
        modes.plot(
            t, 0.42 * mode / mode.abs().max() - 1.35 * place, color=MODES[place][0], linewidth=1.3, label=f"_mode {index}"
        )
        named = (" (ripples)" if index == rippled else "") + f", λ = {lam[index - 1]:.2g}"
        modes.text(0, 0.5 - 1.35 * place, f"mode {index}{named}", fontsize=9)
    modes.set(xlabel="angle", yticks=[])
    modes.set_title("eigenvectors of K", fontsize=10)
    for row, (name, path, steps) in enumerate(
        (("gradient descent", descent, drawn[0]), ("Gauss-Newton", gauss_newton, drawn[1]))
    ):
        for ax, k in zip(axes[row], steps, strict=True):
            ax.plot(t, labels, "*", color="black", markersize=3.5, label="_labels")
            ax.plot(t, path[min(k, len(path) - 1)], color=LOOKS[name][0], label=f"_{name}")
            ax.set(ylim=(-1.6, 1.75), xticks=[0, 3, 6], yticks=[-1, 0, 1])
            ax.set_title(f"{k} steps", fontsize=10)
            ax.set(xlabel="angle" if row else "", xticklabels=[0, 3, 6] if row else [])
            ax.tick_params(labelleft=ax is axes[row][0])
        axes[row][0].set_ylabel(name, color=LOOKS[name][0], fontweight="bold")
    fig.suptitle(
        "Gradient descent draws the wave first and the ripples much later;\n"
        "Gauss-Newton draws both at once, if its outputs go straight.",
        fontsize=11,
    )

    def learned(path: Tensor, shape: Tensor, k: int) -> float:
        return (path[k] @ shape / (labels @ shape)).item()

    last, some = len(descent) - 1, min(30, len(gauss_newton) - 1)
    return fig, (
        f"Shares learned by gradient descent: of the wave {learned(descent, wave, 3):.2f} after 3 steps, of the ripples "
        f"{learned(descent, ripples, last):.2f} after {last} (mode {rippled}, λ = {lam[rippled - 1]:.2g}). By Gauss-Newton, if "
        f"its outputs go straight, after {some} steps "
        f"{learned(gauss_newton, wave, some):.2f} of the wave and {learned(gauss_newton, ripples, some):.2f} of the ripples."
    )


def saddle(seeds: Sequence[int] = (1, 3, 7), m: int = 30) -> list[dict[str, Path]]:
    """From some starts, all weights trained: 60 steps of Newton, and Gauss-Newton and gradient descent until they fit."""
    (x, y), found = two_points(), []
    for seed in seeds:
        theta = initial(m, seed, output_std=1.0)
        found.append(
            {
                "Newton": follow(newton(0.1, x, y), theta, x, y, 60),
                "Gauss-Newton": follow(gauss_newton(0.1), theta, x, y, 300, enough=ENOUGH),
                "gradient descent": follow(descent, theta, x, y, 2000, enough=ENOUGH),
            }
        )
    return found


def newtons_plane(runs: Sequence[Mapping[str, Path]] | None = None) -> tuple[Figure, str]:
    """Newton, Gauss-Newton and gradient descent in the plane of two outputs, from several starts. `saddle` unless given."""
    runs, (_, y), fig = saddle() if runs is None else runs, two_points(), new_figure((7.0, 4.7))
    with style():
        ax = plane(fig.subplots(), y, (-0.45, 1.2, -0.55, 0.55))
    ax.set_ylabel("output at the second point")
    for number, run in enumerate(runs):
        f = {name: path.f for name, path in run.items()}
        if number == 0:
            dots(ax, f["gradient descent"], GD, "s")
        dots(ax, f["Gauss-Newton"], GN, zorder=3)
        dots(ax, f["Newton"], NEWTON, "^", zorder=4)
        ax.plot(*f["Newton"][0], "o", color=NEWTON, markersize=9, fillstyle="none", label="_start")
    mean = y.mean().item()
    for place in ([mean, mean], [0.0, 0.0]):
        ax.plot(*place, "s", color="black", fillstyle="none", markersize=12, label="_saddle")
    ax.annotate("saddle: both answers\nare the mean", (mean, mean), (0.55, 0.33), arrowprops={"arrowstyle": "->", "shrinkB": 8})
    ax.annotate("saddle: all is zero", (0, 0), (-0.42, 0.3), arrowprops={"arrowstyle": "->", "shrinkB": 8})
    ax.text(0.97, -0.49, "the data", ha="center")
    for word, place, colour in (
        ("Newton", (0.1, 0.42), NEWTON),
        ("Gauss-Newton", (0.05, -0.31), GN),
        ("gradient descent", (0.72, 0.03), GD),
    ):
        ax.text(*place, word, color=colour, fontweight="bold")
    ax.set_title("Newton looks for a zero gradient and finds a saddle;\nGauss-Newton looks for the data.", fontsize=11)
    left = [run["Newton"].loss[-1] / run["Newton"].loss[0] for run in runs]
    counts = {name: [len(run[name].f) - 1 for run in runs] for name in ("Gauss-Newton", "gradient descent")}
    told = {name: f"{min(steps)} to {max(steps)}" for name, steps in counts.items()}
    return fig, (
        f"From {len(runs)} random starts (circles), all weights trained: after {len(runs[0]['Newton'].f) - 1} steps "
        f"Newton rests at a saddle (squares) with {span(torch.stack(left))} of its first loss. Gauss-Newton needs "
        f"{told['Gauss-Newton']} steps to a thousandth, gradient descent (drawn for one start) {told['gradient descent']}."
    )


def fan(paths: Mapping[float, Tensor], limit: Tensor, y: Tensor, angles: Mapping[float, float]) -> tuple[Figure, str]:
    """Flows of damped Gauss-Newton in the plane of two outputs.

    Args:
        paths: ``(k, 2)`` by damping, smallest first.
        limit: ``(k, 2)``, the flow of gradient descent.
        y: ``(2,)``, labels.
        angles: of each first move to that without damping, in degrees.
    """
    fig = new_figure((7.0, 4.5))
    with style():
        ax = plane(fig.subplots(), y, (-0.2, 1.25, -0.55, 0.45))
    ax.set_ylabel("output at the second point")
    colours = mpl.colormaps["viridis"](torch.linspace(0, 0.86, len(paths)).numpy())
    for (eps, f), colour in zip(paths.items(), map(tuple, colours), strict=True):
        ax.plot(*f.T, color=colour, linewidth=2.2, label=f"ε = {eps:g}, {angles[eps]:.0f}°")
    predicted(ax, *limit.T, "gradient descent")
    with style():
        ax.legend(loc="upper right", title="first move, angle to ε = 0", fontsize=9.5)
    ax.text(1.0, -0.48, "the data", ha="center")
    ax.set_title("Damping bends Gauss-Newton into gradient descent.", fontsize=11)
    told = ", ".join(f"{angle:.0f}° at ε = {eps:g}" for eps, angle in angles.items() if eps)
    return fig, f"The first move turns away from the straight one by {told}: towards that of gradient descent (dashed)."


def close(distances: Sequence[float] = (0.3, 0.03, 0.01)) -> dict[float, dict[float, Path]]:
    """Gauss-Newton on points ever closer, all weights trained: by distance, 60 steps of 0.1 and 600 of 0.01."""
    return {
        distance: {eta: follow(gauss_newton(eta), initial(), *two_points(distance), round(6 / eta)) for eta in (0.1, 0.01)}
        for distance in distances
    }


def closest(dampings: Sequence[float] = (0.0, 0.001, 0.01), distance: float = 0.01) -> dict[float, Path]:
    """By damping, 400 steps of 0.1 on the closest of those points, all weights trained."""
    return {eps: follow(gauss_newton(0.1, eps), initial(), *two_points(distance), 400) for eps in dampings}


def arrivals(ax: Axes, damped: Mapping[float, Path], looks: Mapping[float, tuple[str, str]], eta: float) -> list[str]:
    """Losses by damping, each until it has fallen to a thousandth, and the law of a step ``eta``; in words, when it has."""
    told = []
    for eps, path in damped.items():
        (colour, marker), arrives = looks[eps], path.steps_to(ENOUGH)
        shown = path.loss[: arrives + 1 if arrives else None]
        ax.plot(shown, color=colour, marker=marker, markevery=0.3, markersize=4, linewidth=1.2, label=f"ε = {eps:g}")
        told.append(f"{f'at step {arrives}' if arrives else f'not within {len(path.f) - 1} steps'} with ε = {eps:g}")
    k = torch.arange(steps_to(ENOUGH, eta) + 1)
    predicted(ax, k, step_loss(k, eta), "law")
    ax.set(xlabel="step k", yscale="log", ylim=(ENOUGH / 2, 300), xticks=[0, 200, 400])
    ax.yaxis.tick_right()
    ax.spines["right"].set_visible(True)
    ax.spines["left"].set_visible(False)
    legend(ax, loc="upper right", ncols=2, fontsize=8.5, columnspacing=1, handlelength=1.5)
    return told


def breaks(
    runs: Mapping[float, Mapping[float, Path]] | None = None, damped: Mapping[float, Path] | None = None
) -> tuple[Figure, str]:
    """Above, undamped Gauss-Newton on points ever closer, with a step and with a smaller one (`close` unless given); below, the
    larger step with two dampings, and the losses without and with them (`closest` unless given). Three runs of each kind."""
    runs, damped, (_, y) = runs or close(), damped or closest(), two_points()
    fig, axes = panels(len(runs), 2, size=(7.5 / len(runs), 2.9))
    lengths, nearest = [], min(runs)
    for ax, (distance, run) in zip(axes, runs.items(), strict=False):
        (large, coarse), (small, fine) = run.items()
        ax.plot(*coarse.f.T, "o-", color=GN, markersize=3.2, linewidth=0.9, label=f"η = {large:g}")
        ax.plot(*fine.f.T, color=GREY, linewidth=2.2, zorder=1, label=f"η = {small:g}")
        ax.set_title(f"distance {distance:g}", fontsize=10)
        units = (coarse.theta[1] - coarse.theta[0]) / large
        lengths.append(f"{float(f'{units.norm().item():.3g}'):g} at distance {distance:g}")
    looks = dict(zip(damped, ((GN, "o"), (PINK, "D"), (GREEN, "^")), strict=True))
    for ax, eps in zip(axes[len(runs) :], list(damped)[1:], strict=False):
        colour, marker = looks[eps]
        ax.plot(*damped[eps].f.T, f"{marker}-", color=colour, markersize=3.2, linewidth=0.9, label=f"_ε = {eps:g}")
        ax.set_title(f"distance {nearest:g}, ε = {eps:g}", fontsize=10)
    for ax in axes[:-1]:
        plane(ax, y, (-0.5, 2.4, -0.8, 1.8))
        ax.set(xlabel="first output", ylabel="second output" if ax in (axes[0], axes[len(runs)]) else "")
        ax.tick_params(labelleft=bool(ax.get_ylabel()))
    told = arrivals(axes[-1], damped, looks, large)
    axes[-1].set_title(f"loss, distance {nearest:g}", fontsize=10)
    legend(axes[0], loc="upper left")
    fig.suptitle(
        "Close inputs: a long step leaves the line. A little damping\nstrands the run; more of it brings it home.",
        fontsize=11,
    )
    fitted = [run[small].steps_to(ENOUGH) for run in runs.values()]
    within = "not all fit" if None in fitted else f"all fit within {-(-max(fitted) // 100) * 100} steps"
    return fig, (
        f"Above, no damping: δ has length {', '.join(lengths)}. With η = {small:g} {within} (law: {steps_to(ENOUGH, small)}). "
        f"Below, at distance {nearest:g} with η = {large:g}, a thousandth of the loss is reached {', '.join(told)} "
        f"(law without damping: {steps_to(ENOUGH, large)}). Without damping the loss first rises to "
        f"{digits3(damped[0.0].loss.max().item())} times its start."
    )


def all_steps(ax: Axes, trace: Trace, which, shown: int) -> None:
    """A step axis up to ``shown``, and in an inset the whole of a run's losses ``(k, *which, runs)``."""
    end = trace.step[-1].item()
    ax.set(xlabel="step k", xlim=(0, min(shown, end)))
    inset = ax.inset_axes((0.62, 0.52, 0.36, 0.2))
    curve(inset, trace.step, trace.relative[:, which], "_to the end", look="gradient descent", markevery=0.25, markersize=3)
    inset.set(yscale="log", ylim=ax.get_ylim(), xlim=(0, end), xticks=[0, end], yticks=[1, 1e-6])
    inset.set_title(f"to step {end}", fontsize=8)
    inset.tick_params(labelsize=7.5)


def spectra(lam: Tensor, kappa: Tensor) -> tuple[Figure, str]:
    """Eigenvalues ``(conditionings, seeds, n)`` of the kernels at the start; the first seed of each is drawn."""
    fig, (ax,) = panels(size=(5.4, 3.2))
    eigenvalues(ax, lam[:, 0], [f"κ = {k:.0f}" for k in kappa.flatten()])
    legend(ax)
    condition = lam[..., 0] / lam[..., -1]
    return fig, (
        "Eigenvalues of K at the start, first seed, for inputs of condition number κ. "
        f"The condition number of K is {span(condition, '.0e')} in the {condition.numel()} runs."
    )


def modes(K: Tensor, measured: Tensor, theirs: Tensor, indices=(1, 5, 10, 20)) -> tuple[Figure, str]:
    """Residuals ``(k, n)`` along eigenvectors of ``K``, as a share of the start: measured as markers, predicted dashed."""
    Q = torch.linalg.eigh(K)[1].flip(-1)
    measured, theirs = (residual @ Q for residual in (measured, theirs))
    step = torch.arange(len(measured))
    fig, (ax,) = panels(size=(6.0, 3.2))
    for index, (colour, marker) in zip(indices, MODES, strict=True):
        share, line = ((a[:, index - 1] / measured[0, index - 1]).abs() for a in (measured, theirs))
        style = {"color": colour, "marker": marker, "linestyle": "", "markevery": 20, "zorder": 10 - index / 10}
        curve(ax, step, share, f"mode {index}", **style)
        predicted(ax, step, line, "predicted" if index == indices[-1] else None)
    ax.set(xlabel="step k", ylabel="share of the mode that is left", yscale="log", ylim=(1e-6, 3))
    legend(ax, loc="center left", bbox_to_anchor=(1, 0.5))
    return fig, (
        "Gradient descent on frozen features, mode by mode, markers on their dashed predictions. "
        f"After {step[-1]} steps {share[-1]:.2g} of mode {indices[-1]} is left."
    )


def race(gauss_newton: Mapping[float, Trace], descent: Trace, kappa: Tensor) -> tuple[Figure, str]:
    """A panel per conditioning: losses ``(k, conditionings, seeds)`` of gradient descent and of Gauss-Newton by step size."""
    fig, axes = panels(len(kappa), size=(2.6, 3.2), sharey=True)
    for i, (ax, k) in enumerate(zip(axes, kappa.flatten(), strict=True)):
        curve(ax, descent.step, descent.relative[:, i], "gradient descent")
        for (eta, trace), marker in zip(gauss_newton.items(), "o^", strict=True):
            curve(ax, trace.step, trace.relative[:, i], f"GN, η = {eta}", look="Gauss-Newton", marker=marker)
            label = "predicted" if marker == "^" else None
            predicted(ax, trace.step, step_loss(trace.step, eta), label)
        ax.set(title=f"κ = {k:.0f}", yscale="log", ylim=(1e-8, 3))
        all_steps(ax, descent, i, 400)
    axes[0].set_ylabel(LOSS)
    legend(axes[0], loc="lower left", fontsize=8, frameon=True, framealpha=0.9, edgecolor="none")
    left, large = descent.relative[-1], max(gauss_newton)
    worst = gauss_newton[large].relative[:, -1].max()
    return fig, (
        f"With η = {min(gauss_newton):g} Gauss-Newton follows its dashed prediction at every conditioning; "
        "gradient descent does not keep up (median and range of the seeds). "
        f"After {descent.step[-1]} steps it has {span(left[0])} of its loss left at "
        f"κ = {kappa.flatten()[0]:.0f}, and {span(left[-1])} at κ = {kappa.flatten()[-1]:.0f}. "
        f"With η = {large:g} the loss first rises to as much as {worst:.2g} times its start at κ = {kappa.flatten()[-1]:.0f}."
    )


def damping(damped: Trace, envelope: tuple[Tensor, Tensor], eps: Tensor, error: Tensor, bound: Tensor) -> tuple[Figure, str]:
    """Left: damped losses in their envelope. Right: distance of the damped step from the gradient, and its bound."""
    fig, (left, right) = panels(2, size=(4.4, 3.1))
    curve(left, damped.time, damped.relative, "damped Gauss-Newton")
    for line, label in zip(envelope, ("predicted envelope", None), strict=True):
        predicted(left, damped.time, line, label)
    left.set(xlabel="time t = ηk", ylabel="relative loss $L/L_0$", yscale="log", ylim=(1e-6, 3))
    curve(right, eps, error, "measured", look="damped Gauss-Newton")
    predicted(right, eps, bound, r"bound $\lambda_{\max}/\varepsilon$")
    right.set(xlabel="damping ε", ylabel="distance of εδ from the gradient", xscale="log", yscale="log", ylim=(1e-5, 9))
    for ax in (left, right):
        legend(ax, loc="lower left")
    return fig, (
        f"Left: with the smallest eigenvalue as damping the {damped.loss[0].numel()} losses stay in the envelope; "
        f"at time {damped.time[-1]:.1g} they "
        f"are {span(damped.relative[-1], '.1e')} of the start. Right: with large damping the step turns into the gradient, "
        "at least as fast as the bound."
    )


def images(runs: Mapping[str, Trace], step: Tensor, line: Tensor) -> tuple[Figure, str]:
    """Training loss and test accuracy (measured as ``accuracy``) of runs by method; a predicted loss dashed."""
    fig, (left, right) = panels(2, size=(4.4, 3.1))
    ends = []
    for name, trace in runs.items():
        curve(left, trace.step, trace.relative, name)
        curve(right, trace.step, trace.measured["accuracy"], name)
        ends.append(f"{name} {span(trace.measured['accuracy'][-1], '.3f')}")
        left.set_xlabel("step k")
        right.set(xlabel="step k", xlim=(0, trace.step[-1].item()))
    predicted(left, step, line)
    left.set(ylabel=LOSS, yscale="log", ylim=(1e-8, 3))
    all_steps(left, trace, ..., 200)
    right.set(ylabel="test accuracy", ylim=(0.5, 1.02))
    legend(left, loc="lower left")
    return fig, (
        f"Threes against eights. Left: {next(iter(runs))} on its dashed prediction; after {trace.step[-1]} steps {name} has "
        f"{span(trace.relative[-1])} of its loss left. Right: test accuracy at the end, {' and '.join(ends)}."
    )
