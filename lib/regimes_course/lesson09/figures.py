"""Figures of lesson 09. Each function returns the figure and the sentence that says what it shows."""

import math
from collections.abc import Mapping, Sequence

import torch
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from regimes.metrics import phase_switch, rises
from regimes.problems import two_points
from regimes.theory import large_steps as theory
from regimes_course.kit.output import movie
from regimes_course.kit.plotting import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    SKY,
    curve,
    legend,
    new_figure,
    panels,
    predicted,
    style,
)
from regimes_course.kit.words import digits3, median, span
from regimes_course.lesson09.experiments import edges, path

__all__ = [
    "activations",
    "bounded",
    "budgets",
    "curves",
    "five",
    "hero",
    "lemma",
    "rates",
    "slopes",
    "switches",
    "widths",
]

GAMMA, TAME, WILD, STEPS = 0.05, 14.0, 256.0, 500  # of the first picture
FRAMES = (*range(61), 100, 200, STEPS)
ARROW = {"arrowstyle": "->", "shrinkA": 2, "shrinkB": 3}


def hero() -> tuple[Figure, str, bytes]:
    """Two runs of equal length: their weights, with the wedge where both points are right, and their risks."""
    (tame, low), (wild, high) = (path(GAMMA, eta, STEPS) for eta in (TAME, WILD))
    fig, k = new_figure((9.4, 4.2)), torch.arange(STEPS + 1)
    with style():
        left, right = fig.subplots(1, 2, width_ratios=(1.35, 1))
    _wedge(left)
    left.plot(*wild[:61].T, "-o", color=ORANGE, linewidth=0.6, markersize=3, label=f"η = {WILD:g}, steps 0 to 60")
    left.plot(*wild[61:].T, "D", color=ORANGE, markersize=2.5, label="_later")
    left.plot(*tame.T, "-", color=BLUE, linewidth=3.5, label=f"η = {TAME:g}")
    landed = int(_outside(wild).nonzero()[-1]) + 1
    left.annotate(f"η = {TAME:g}: {STEPS} steps\nget this far", tame[-1], (85, -75), arrowprops=ARROW, color=BLUE)
    words = f"η = {WILD:g}: after {landed - 1} steps\nof jumping over the wedge\nit lands inside"
    left.annotate(words, wild[landed], (232, -92), arrowprops=ARROW, color=ORANGE)
    left.set_title("The wild run jumps over the wedge until it is wide enough …")
    for losses, eta, colour, place in ((low, TAME, BLUE, (200, 0.24)), (high, WILD, ORANGE, (75, 6))):
        right.plot(k, losses, color=colour, linewidth=1.6, label=f"_{eta:g}")
        ups = int(rises(losses).sum())
        right.text(*place, f"η = {eta:g}, {f'rises {ups} times' if ups else 'never rises'}", color=colour)
    times = digits3(float(f"{(low[-1] / high[-1]).item():.2g}"))
    right.annotate("", (440, low[440]), (440, high[440]), arrowprops={"arrowstyle": "<->", "shrinkA": 0, "shrinkB": 0})
    right.text(430, 2e-3, f"× {times}", ha="right", fontsize=12)
    right.set(xlabel="step k", ylabel="risk L", yscale="log", ylim=(1e-5, 60), xlim=(0, STEPS), title="… and ends far lower")
    ups = rises(high)
    says = (
        f"With a step of η = {TAME:g} the risk, the mean loss, never rises and is {low[-1]:.2g} after {STEPS} steps. "
        f"With {WILD:g} it rises "
        f"{int(ups.sum())} times, for the last time at step {int(ups.nonzero()[-1]) + 1}, to {high.max() / high[0]:.0f} times "
        f"its start, and ends at {high[-1]:.2g}: {times} times lower. The ratio of the steps is {WILD / TAME:.0f}. "
        f"By the margin (section 1) of its last weights it is worse: {_margin(wild[-1]):.2g}, not {_margin(tame[-1]):.2g}."
    )
    return fig, says, movie([_frame(wild, high, k) for k in FRAMES], seconds=5)


def _outside(weights: Tensor) -> Tensor:
    """At which steps a point is on the wrong side."""
    low, high = edges(GAMMA)
    return (weights[:, 1] <= low * weights[:, 0]) | (weights[:, 1] >= high * weights[:, 0])


def _margin(w: Tensor) -> float:
    """The distance of the nearer point from the line that ``w`` draws."""
    return (two_points(GAMMA)[0] @ w).min().item() / w.norm().item()


def _wedge(ax: Axes) -> None:
    end = torch.tensor([0.0, 450.0])
    low, high = edges(GAMMA)
    ax.fill_between(end, low * end, high * end, color=GREEN, alpha=0.18, linewidth=0, label="_wedge")
    ax.text(397, 2, "both\nright", color=GREEN, ha="center", va="center", fontsize=10.5)
    ax.set(xlabel="$w_1$: both points pull to the right", ylabel="$w_2$: one pulls up, one down")
    ax.set(xlim=(-8, 420), ylim=(-115, 115))


def _frame(weights: Tensor, losses: Tensor, k: int) -> Figure:
    fig = Figure(figsize=(4.3, 2.8))  # without the layout of other figures, which takes the most time
    with style():
        ax = fig.add_axes((0.18, 0.17, 0.8, 0.72))
    _wedge(ax)
    ax.set(xlabel="$w_1$", ylabel="$w_2$")
    ax.grid(visible=False)
    ax.plot(*weights[: k + 1].T, "o", color=ORANGE, markersize=3, alpha=0.35)
    ax.plot(*weights[max(k - 1, 0) : k + 1].T, "-", color=ORANGE, linewidth=1.2)
    ax.plot(*weights[k : k + 1].T, "o", color=ORANGE, markersize=7)
    up = k and losses[k] > losses[k - 1]
    ax.set_title(f"step {k}: risk {losses[k]:.2g}{' (rises)' if up else ''}")
    return fig


def curves(q: Tensor, loss: Tensor, slope: Tensor, curvature: Tensor) -> tuple[Figure, str]:
    """The logistic loss at ``q``, the size of its slope, and its curvature: three nested curves."""
    fig, (ax,) = panels(size=(6.0, 3.4))
    named = (
        ("loss $\\ell$", loss, BLUE, (-2.2, 2.6)),
        ("size of the slope $|\\ell'|$", slope, ORANGE, (-3.9, 1.07)),
        ("curvature $\\ell''$", curvature, GREEN, (-2.6, 0.24)),
    )
    for name, values, colour, place in named:
        ax.plot(q, values, color=colour, linewidth=2.2, label=f"_{name}")
        ax.text(*place, name, color=colour)
    ax.set(xlabel="q: how right an answer is", ylim=(0, 4), xlim=(q[0].item(), q[-1].item()))
    ax.set_title("curvature ≤ slope ≤ loss, everywhere")
    right = int((q - 4).abs().argmin())
    return fig, (
        f"At q = {q[right]:.2g} the loss is {loss[right]:.3g}, its slope {slope[right]:.3g} in size, its curvature "
        f"{curvature[right]:.3g}: where the loss is small, it is flat. The curvature is never above {curvature.max():.2g}."
    )


def widths(runs: Mapping[int, Tensor], margin: Tensor, ceiling: float) -> tuple[Figure, str]:
    """Risks ``(k,)`` of one network at several widths, and the normalised margin ``(k,)`` of another beside its ceiling."""
    fig, (left, right) = panels(2, size=(4.5, 3.6))
    for (m, losses), (colour, width, line) in zip(
        runs.items(), ((SKY, 6, "-"), (BLUE, 2.6, "-"), (ORANGE, 1, "-")), strict=True
    ):
        left.plot(torch.arange(len(losses)), losses, line, color=colour, linewidth=width, label=f"width {m}")
    last = [_last_rise(losses) for losses in runs.values()]
    place = {"textcoords": "axes fraction", "arrowprops": ARROW}
    spot = (last[-1], list(runs.values())[-1][last[-1]])
    left.annotate(f"last rise:\nstep {_all(last)}", spot, (0.4, 0.55), **place)
    left.set(xlabel="step k", ylabel="risk L", yscale="log", title="Two phases, alike at every width")
    legend(left, loc="upper right")
    k, top = torch.arange(len(margin)), int(margin.argmax())
    low = top + int(margin[top:].argmin())
    fall = (1 - margin[low] / margin[top]).item()
    right.plot(k, margin, color=BLUE, label="measured")
    predicted(right, [0, len(margin) - 1], [ceiling, ceiling], "predicted ceiling, ¾ γ")
    for at in (top, low):
        right.plot([at], [margin[at]], "o", color=ORANGE, label=f"_{at}")
    words = f"falls by {100 * fall:.2g} %\nfrom step {top} to {low}"
    right.annotate(words, (low, margin[low]), (0.5, 0.5), color=ORANGE, **place)
    right.set(xlabel="step k", ylabel="normalised margin", ylim=(0.4 * ceiling, 1.08 * ceiling), xlim=(0, len(margin) - 1))
    right.set_title("The margin grows, and then it falls")
    legend(right, loc="lower right")
    ends = span(torch.tensor([losses[-1] for losses in runs.values()]))
    return fig, (
        f"Widths {', '.join(map(str, runs))}: last rise at step {_all(last)}, risk after {len(losses) - 1} steps {ends}. "
        f"The margin on the right reaches {margin[top]:.3g} at step {top}, {margin[top] / ceiling:.1%} of its "
        f"ceiling, and then falls to {margin[low]:.3g}."
    )


def _last_rise(losses: Tensor) -> int:
    """The last step that raised the risk, 0 if none."""
    return int(phase_switch(losses, 1.0).last_increase)


def _all(steps: Sequence[int]) -> str:
    return str(steps[0]) if len(set(steps)) == 1 else ", ".join(map(str, steps))


def budgets(T: Sequence[int], runs: Mapping[str, Sequence[float]], laws: Mapping[str, Sequence[float]]) -> tuple[Figure, str]:
    """Risks at the end by the number of steps ``T``, for each rule that chooses a step, and what the law says of it."""
    fig, (ax,) = panels(size=(6.4, 3.7))
    t, told = torch.tensor(T, dtype=torch.float64), []
    for (name, risks), law, colour, marker in zip(runs.items(), laws.values(), (BLUE, ORANGE), "os", strict=True):
        risks = torch.tensor(risks, dtype=torch.float64)
        curve(ax, t, risks, name, color=colour, marker=marker, markevery=1)
        predicted(ax, t, torch.tensor(law, dtype=torch.float64), "predicted, $1/(ηγ^2T)$" if colour == BLUE else None)
        told.append(f"{name}: {risks[0]:.2g} after {T[0]} steps, {risks[-1]:.2g} after {T[-1]:,}")
        power = slopes(t[:-1], risks[:-1]).item()
        told[-1] += f" (slope {power:.2f} without the last point)"
    ax.set(xlabel="number of steps T", ylabel="risk after T steps", xscale="log", yscale="log")
    ax.set_xticks(t, [f"{n:g}" for n in T], minor=False)
    ax.minorticks_off()
    ax.set_title("Twice the steps: half the risk, or a quarter")
    legend(ax, loc="lower left")
    return fig, "; ".join(told) + "."


def bounded(runs: Mapping[str, Tensor], floor: float) -> tuple[Figure, str]:
    """Risk, margin and mean slope ``(3, k)`` of networks, all but the first with bounded outputs and so above a ``floor``."""
    fig, (ax,) = panels(size=(6.4, 3.4))
    told = []
    for (name, (losses, _, slope)), colour in zip(runs.items(), (BLUE, ORANGE, GREEN), strict=False):
        ax.plot(torch.arange(len(losses)), losses, color=colour, linewidth=1.3, label=name)
        last = _last_rise(losses)
        words = f"last rise at step {last}" if last else "no rise"
        told.append(f"{name}: {words}, risk {losses[-1]:.2g} and mean slope of the units {slope[-1]:.2g} at the end")
    predicted(ax, [0, len(losses) - 1], [floor, floor], f"bound for tanh, {floor:.3f}")
    ax.set(xlabel="step k", ylabel="risk L", yscale="log", xlim=(0, len(losses) - 1))
    ax.set_title("With tanh a large step calms down late, and in a bad place")
    legend(ax, loc="center right")
    return fig, f"{'; '.join(told)}. (At the start the slope of tanh is {slope[0]:.2g}; a coin has the risk {math.log(2):.2g}.)"


def lemma(kinds: Mapping[str, tuple[Tensor, Tensor]]) -> tuple[Figure, str]:
    """Steps of random runs: ``L+ / L`` against ``c = eta (lip^2 + beta) L`` before it; ``c`` and ``L`` are ``(k, runs)``."""
    fig, (ax,) = panels(size=(6.4, 3.6))
    said, safe = [], theory.stable_threshold(1.0)
    for (kind, (c, L)), (colour, marker) in zip(kinds.items(), ((BLUE, "o"), (ORANGE, "s")), strict=True):
        c, ratio = c[:-1].flatten(), (L[1:] / L[:-1]).flatten()
        some = slice(None, None, max(1, len(c) // 4000))
        dots = {"color": colour, "markersize": 2, "alpha": 0.35, "label": kind}
        ax.plot(c[some].numpy(), ratio[some].clamp(min=1e-2).numpy(), marker, **dots)
        rising = c[ratio > 1 + 1e-10]
        first = f", the first from c = {rising.min():.2g}" if len(rising) else ""
        said.append(f"{kind}: {len(rising)} of {len(c)} steps do{first}")
    t = torch.logspace(-3, 1, 60)
    predicted(ax, t, t.exp(), "no step is above $e^c$", linestyle=(0, (2, 2)))
    ax.axvline(safe, color="black", linestyle="--", linewidth=1.3, label="predicted: safe left of W(2)")
    ax.axhline(1, color=GREY, linewidth=1, linestyle=":", label="unchanged")
    ax.set(xlabel="$c = η(\\mathrm{Lip}^2+β)L$ before the step", ylabel="$L^+/L$", xscale="log", yscale="log")
    ax.set(xlim=(1e-3, 1e4), ylim=(1e-2, 1e2))
    legend(ax, loc="center left", bbox_to_anchor=(1, 0.5), markerscale=3)
    return fig, f"No step from c below W(2) = {safe:.4f} raises the risk. {'. '.join(s[0].upper() + s[1:] for s in said)}."


def switches(
    gammas: Sequence[float],
    largest: Sequence[float],
    first: Sequence[float],
    etas: Sequence[float],
    last: Tensor,
    perceptron: Sequence[int],
) -> Markdown:
    """Two points, as a table: where the oscillation starts, the last rise ``(gammas, etas)``, and the perceptron's steps."""
    steps = " | ".join(f"last rise, η = {e:g}" for e in etas)
    head = f"| γ | largest η without a rise | the first step rises from η | {steps} | perceptron's last mistake |"
    rows = [head, "|" + "---|" * (4 + len(etas))]
    for gamma, *found, ends, switch in zip(gammas, largest, first, last.tolist(), perceptron, strict=True):
        rows.append(f"| {gamma:g} | " + " | ".join([*(f"{e:.1f}" for e in found), *map(str, ends), str(switch)]) + " |")
    return Markdown("\n".join(rows))


def slopes(T: Tensor, risk: Tensor) -> Tensor:
    """The slope of ``log L`` over ``log T`` by least squares: ``(T, ...)`` to ``(...)``."""
    t = T.double().log()
    t = (t - t.mean()).reshape(-1, *(1,) * (risk.ndim - 1))
    return (t * risk.log()).sum(0) / t.square().sum()


def rates(
    toy: tuple[Tensor, Mapping[str, tuple[Tensor, Tensor]]], digits: tuple[Tensor, Mapping[str, Tensor]]
) -> tuple[Figure, str]:
    """The risk after ``T`` steps with a fixed step and with one proportional to ``T``.

    Args:
        toy: ``T``, and for each rule its risks ``(T,)`` and predicted ones.
        digits: ``T``, and for each rule its risks ``(T, seeds)``; their slopes -1 and -2 are drawn through the last risk.
    """
    fig, (left, right) = panels(2, size=(4.6, 3.5))
    looks, said = ((GREEN, "^"), (BLUE, "o"), (ORANGE, "s")), []
    T, rules = toy
    for (name, (risk, theirs)), (colour, marker) in zip(rules.items(), looks, strict=False):
        curve(left, T, risk, name, color=colour, marker=marker, markevery=1)
        predicted(left, T, theirs, "predicted, $1/(ηγ^2T)$" if colour == GREEN else None)
    T, rules = digits
    for (name, risk), (colour, marker) in zip(rules.items(), looks, strict=False):
        curve(right, T, risk, name, color=colour, marker=marker, markevery=1)
        slope, power = slopes(T, risk), -2 if "T" in name else -1
        predicted(right, T, median(risk)[-1] * (T / T[-1]) ** power, "predicted slopes, −1 and −2" if colour == GREEN else None)
        said.append(f"{span(slope, '.2f')} with {name}")
    for ax, title, x in ((left, "two points, γ = 0.1", toy[0]), (right, "digits 3 and 8", T)):
        ax.set(xlabel="number of steps T", xscale="log", yscale="log", title=title)
        ax.set_xticks(x, [f"{n:.0f}" for n in x], minor=False, fontsize=8)
        ax.minorticks_off()
        legend(ax, loc="lower left", fontsize=8)
    left.set_ylabel("risk after T steps")
    first = ", ".join(f"{slopes(toy[0], risk).item():.2f} with {name}" for name, (risk, _) in toy[1].items())
    return fig, f"Slopes on two points: {first}. On digits, over {risk.shape[-1]} seeds: {'; '.join(said)}."


def five(step: Tensor, margin: Tensor, each: Tensor, crossing: Tensor, plane: float) -> tuple[Figure, str]:
    """The margin of a network of two neurons ``(k, seeds)`` and of each neuron alone ``(k, seeds, 2)``."""
    fig, (left, right) = panels(2, size=(4.4, 3.2))
    curve(left, step, margin, "both neurons", markevery=0.1)
    predicted(left, step[[0, -1]], torch.full((2,), 0.75 * plane), "best plane, ¾γ")
    left.axvline(median(crossing).item(), color=GREEN, linestyle=":", label="margin becomes positive")
    for j, (colour, marker) in enumerate(((ORANGE, "s"), (PINK, "D"))):
        curve(
            right, step, each[..., j], ("neuron of sign +", "neuron of sign −")[j], color=colour, marker=marker, markevery=0.1
        )
    for ax in (left, right):
        ax.axhline(0, color=GREY, linewidth=1, linestyle=":")
        ax.set(xlabel="step t", xlim=(step[0].item(), step[-1].item()))
    left.set(ylabel="normalised margin", ylim=(-0.06, 0.06))
    right.set(ylabel="normalised margin of one neuron", ylim=(-1.0, 0.2))
    legend(left, loc="lower right", fontsize=8)
    legend(right, loc="upper right", fontsize=8)
    return fig, (
        f"The margin of the network becomes positive at step {span(crossing.double(), '.0f')} and ends at "
        f"{span(margin[-1], '.3f')}, while the neurons' own margins end at {span(each[-1, :, 0], '.2f')} and "
        f"{span(each[-1, :, 1], '.2f')}. ({margin.shape[-1]} seeds.)"
    )


def activations(found: Mapping[str, tuple[float, Tensor]]) -> Markdown:
    """For each activation its constants, the largest gap on a grid, and the risk after training ``(seeds,)``, as a table."""
    rows = [
        "| activation | κ, closed form | κ, on a grid | slope from | β | all assumptions | risk on digits |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (grid, risk) in found.items():
        c = theory.CONSTANTS[name]
        kappa, beta, alpha, top = map(_number, (c.kappa, c.beta, c.alpha, grid))
        yes = "yes" if c.suits else "no"
        rows.append(f"| {name.replace('_', ' ')} | {kappa} | {top} | {alpha} | {beta} | {yes} | {span(risk, '.2g')} |")
    return Markdown("\n".join(rows))


def _number(value: float) -> str:
    return "none" if value in (float("inf"), float("-inf")) else f"{value:.3g}".replace("-", "−")
