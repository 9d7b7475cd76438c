"""How far from the min-norm solution networks end, against their width: the law, the theorem, and twenty draws a width."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from matplotlib.axes import Axes
from torch import Tensor

from regimes.linear_network import draw_gram, follow_gram, gauss_newton_factor, gradient_factor
from regimes.theory.min_norm import distance_law, exponent, full_step_law, random_init_bound, smallest_width
from regimes_course.kit.plotting import GREEN, GREY, LOOKS
from regimes_course.kit.weight_scatter import BELOW
from regimes_course.kit.widget import Choice, Widget, put, side_by_side

__all__ = ["Distances", "width_dial"]

D, R, Q, DRAWS = 25, 5, 2, 20  # inputs, rank of the data, outputs, draws a width
S = torch.ones(R, dtype=torch.float64)
SIGMA = torch.tensor([1.0, 0.8], dtype=torch.float64)
TARGET = torch.eye(R, Q, dtype=torch.float64) * SIGMA
WIDTHS = tuple(2**k for k in range(6, 21, 2))
FLOW, STEPS = "gradient flow", {f"Gauss-Newton, η = {eta:g}": eta for eta in (0.1, 0.3, 1.0)}
LOW, HIGH = 1e-6, 1e3  # the part of the distance axis that is drawn

CHOICES = {
    "alpha": Choice("start: α, for std m^(−α)", (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.75, 0.9, 1.0), 1.0),
    "method": Choice("method", (FLOW, *STEPS), "Gauss-Newton, η = 1"),
    "width": Choice("width that is told, m", WIDTHS, 2**16, "{:,}".format),
}
FRAMES = {
    "α = 0.5, gradient flow": {"alpha": 0.5, "method": FLOW, "width": 2**16},
    "α = 1, gradient flow": {"alpha": 1.0, "method": FLOW, "width": 2**16},
    "α = 1, full steps of Gauss-Newton": {"alpha": 1.0, "method": "Gauss-Newton, η = 1", "width": 2**16},
}


@dataclass(frozen=True)
class Distances:
    """Distances to the min-norm solution.

    Attributes:
        alpha, method, width: the setting.
        drawn: ``(w, 20)``, where networks of the widths `WIDTHS` ended.
        flow, full: ``(w,)``, the laws of the flow and of one full Gauss-Newton step, root mean squares.
        bound: ``(2, b)``, widths that the theorem covers, and its bound there; ``b`` may be zero.
        begins: the first width that it covers, or ``None`` if it does not cover ``alpha``.
    """

    alpha: float
    method: str
    width: int
    drawn: Tensor
    flow: Tensor
    full: Tensor
    bound: Tensor
    begins: int | None

    @property
    def law(self) -> Tensor:
        """``(w,)``, the law of the method: that of the flow unless it takes full steps."""
        return self.full if STEPS.get(self.method) == 1 else self.flow

    @property
    def slopes(self) -> tuple[float, float]:
        """The exponent of the distance in the width, as drawn and by the law, fitted over `WIDTHS`."""
        return _slope(self.drawn.square().mean(-1).sqrt()).item(), _slope(self.law).item()


def compute(alpha: float, method: str, width: int) -> Distances:
    """Train 20 networks of each width on 5 samples of d = 25 inputs and q = 2 outputs, with weights from N(0, m^(-2 alpha)).

    Neither the time nor the memory depends on the width: what is followed is the Gram matrix, of 7 rows. The data are
    whitened. The flow takes steps of at most a tenth of the stability limit.
    """
    begins = smallest_width(alpha, d=D, q=Q, s=S) if exponent(alpha)[0] is not None else None
    covered = [m for m in (begins, *WIDTHS) if begins and begins <= m <= WIDTHS[-1]]
    bounds = [random_init_bound(m, alpha, d=D, q=Q, s=S, target=TARGET) for m in covered]
    flow, full = _laws(torch.tensor(alpha))
    bound = torch.tensor([covered, bounds], dtype=torch.float64)
    return Distances(alpha, method, width, _drawn(alpha, method), flow, full, bound, begins)


def _laws(alpha: Tensor) -> tuple[Tensor, Tensor]:
    """The laws of the flow and of a full step at `WIDTHS`, ``(..., w)`` for ``alpha`` ``(...)``."""
    m, alpha = torch.tensor(WIDTHS, dtype=torch.float64), alpha.double()[..., None]
    return distance_law(m, alpha, SIGMA, D - R), full_step_law(m, alpha, SIGMA.norm(), Q, D - R)


def _slope(values: Tensor) -> Tensor:
    """Least-squares slope of ``log values`` in ``log m``, over the last axis."""
    x = torch.tensor(WIDTHS, dtype=torch.float64).log()
    x = x - x.mean()
    return (values.log() * x).sum(-1) / x.square().sum()


@lru_cache
def _drawn(alpha: float, method: str) -> Tensor:
    """Where 20 networks of each width end: ``(w, 20)``. U2 never moves and is independent of the last layer."""
    G = torch.stack([draw_gram(m, alpha, Q + R, DRAWS, seed=k) for k, m in enumerate(WIDTHS)])
    last = torch.linalg.cholesky(_follow(G, method)[..., :Q, :Q])
    noise = torch.randn(len(WIDTHS), DRAWS, D - R, Q, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    std = torch.tensor(WIDTHS, dtype=torch.float64) ** -alpha
    return std[:, None] * torch.linalg.matrix_norm(noise @ last.mT)


def _follow(G: Tensor, method: str) -> Tensor:
    """The Gram matrices when the error is less than a thousandth of what it was, for every network."""
    factor = gradient_factor(S, TARGET) if method == FLOW else gauss_newton_factor(S, TARGET)
    goal = _error(G) / 1000
    while (_error(G) > goal).any():
        limit = 1 / (torch.linalg.matrix_norm(G) + 1)  # below 2 / the largest eigenvalue of the kernel
        G = follow_gram(G, factor, Q, 0.2 * limit[..., None, None] if method == FLOW else STEPS[method], 5)
    return G


def _error(G: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(G[..., Q:, :Q] - TARGET)


def draw(figure):
    """Left: distances against the width. Right: their exponents against alpha."""
    axes = figure.subplots(1, 2, width_ratios=(1.2, 1))
    return side_by_side(axes, _distances, _exponents)


def _predictions(ax: Axes):
    """Empty lines for what is predicted: by the two laws, and by the theorem."""
    (theorem,) = ax.plot([], [], color=GREEN, linewidth=6, alpha=0.4, label="bound of the theorem")
    (flow,) = ax.plot([], [], "--", color="black", linewidth=1.5, label="law of the flow")
    (full,) = ax.plot([], [], "-.", color="black", linewidth=1.2, label="law of one full step")
    return [theorem, flow, full]


def _dots(ax: Axes, size: float):
    """Empty dots for what was drawn: with the flow, and with Gauss-Newton."""
    looks = {"drawn, gradient flow": LOOKS["gradient descent"], "drawn, Gauss-Newton": LOOKS["Gauss-Newton"]}
    return [ax.plot([], [], marker, color=c, markersize=size, label=label)[0] for label, (c, marker) in looks.items()]


def _choose(dots, found: Distances, x, y) -> None:
    """Give one of the two kinds of dots its places, and the other none."""
    for some, mine in zip(dots, (found.method == FLOW, found.method != FLOW), strict=True):
        put(some, x if mine else [], y if mine else [])


def _distances(ax: Axes):
    """Distances against the width, with both axes logarithmic."""
    ax.set(xlabel="width m", ylabel="distance to min-norm", xscale="log", yscale="log")
    ax.set(xlim=(WIDTHS[0] / 2, WIDTHS[-1] * 2), ylim=(LOW, HIGH))
    told = ax.axvline(1, color=GREY, linestyle=":", linewidth=1.2, label="width that is told")
    dots, lines = _dots(ax, 3), _predictions(ax)
    ax.legend(**BELOW, ncols=2)

    def show(found: Distances) -> None:
        told.set_xdata([found.width, found.width])
        _choose(dots, found, torch.tensor(WIDTHS).repeat_interleave(DRAWS), found.drawn.flatten())
        for line, curve in zip(lines, (found.bound, (WIDTHS, found.flow), (WIDTHS, found.full)), strict=True):
            put(line, *curve)

    return [told, *dots, *lines], show


def _exponents(ax: Axes):
    """Exponents against alpha; the laws' stand still."""
    ax.set(xlabel="α", ylabel="exponent of m", xlim=(0.1, 1.05), ylim=(-1.1, 0.3))
    (theorem, *laws), dots = _predictions(ax), _dots(ax, 8)
    put(theorem, (0.2501, 0.5), [exponent(a)[0] for a in (0.2501, 0.5)])
    alphas = torch.linspace(0.12, 1.03, 60)
    for line, law in zip(laws, _laws(alphas), strict=True):
        put(line, alphas, _slope(law))

    def show(found: Distances) -> None:
        _choose(dots, found, [found.alpha], found.slopes[:1])

    return dots, show


def sentence(found: Distances) -> str:
    """What the picture shows, with its numbers."""
    measured, law = found.slopes
    k = WIDTHS.index(found.width)
    drawn = found.drawn[k]
    rms, flow, own = drawn.square().mean().sqrt(), found.flow[k], found.law[k]
    told = (
        f"α = {found.alpha:g}, {found.method}: the distance goes like m^{_signed(measured)} "
        f"({_name(found)}: m^{_signed(law)}). At m = {found.width:,} it is {rms:.2g} "
        f"(20 draws, {drawn.min():.2g} to {drawn.max():.2g}; {_name(found)}: {own:.2g})"
    )
    if found.method != FLOW:
        told += f", {rms / flow:.3g} times the law of the flow"
    return f"{told}. {_theorem(found)}"


def _name(found: Distances) -> str:
    return "law of one full step" if found.law is found.full else "law of the flow"


def _theorem(found: Distances) -> str:
    """What the theorem says at the width, or why it does not."""
    if found.begins is None:
        return "<b>The theorem says nothing here</b>: it covers α above 1/4 up to 1/2."
    if found.width < found.begins:
        return f"<b>The theorem says nothing at this width</b>: for this α it begins at m = {_large(found.begins)}."
    at = random_init_bound(found.width, found.alpha, d=D, q=Q, s=S, target=TARGET)
    return f"The theorem says: below {at:.3g} (the flow, with probability 0.95)."


def _large(m: int) -> str:
    return f"{m:,}" if m < 1e7 else f"{m:.1e}"


def _signed(power: float) -> str:
    return f"{power:.2f}".replace("-", "−")


width_dial = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(8.8, 4.2))
