"""The two rests of one-pass SGD, as the equations for the overlaps give them, with a change of the step size on the way."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy import ndarray

from regimes.theory.online_sgd import Path, integrate
from regimes.theory.sgd_phases import critical_eta, unspecialised_plateau
from regimes_course.kit.plotting import BLUE, GREY, ORANGE, PINK, SKY
from regimes_course.kit.widget import Choice, Widget, put
from regimes_course.kit.words import digits3

__all__ = ["Run", "two_rests"]

END = 700  # steps over d
RECORDS = 80  # in each part
FLOOR, CEILING = 1e-7, 1.0  # what is drawn of risks
R1, POLE = unspecialised_plateau(2), critical_eta(2)
NEVER = "never"

CHOICES = {
    "d": Choice("inputs, d", (50, 1_000, 100_000), 50, "{:,}".format),
    "eta": Choice("step size, η", (0.1, 0.3, 1.0, 2.0, 3.0, 4.0), 1.0, "{:g}".format),
    "noise": Choice("label noise, Δ", (1e-4, 1e-3, 4e-3, 1e-2), 4e-3, "{:g}".format),
    "cut": Choice("change it at step", (NEVER, "40 d", "240 d"), "40 d"),
    "by": Choice("divide it by", (0.5, 2.0, 10.0), 10.0, {0.5: "½ (doubled)", 2.0: "2", 10.0: "10"}.__getitem__),
}
START = {name: choice.start for name, choice in CHOICES.items()}
FRAMES = {
    "never changed": START | {"cut": NEVER},
    "divided by 10 at rest 1": START,
    "divided by 10 at rest 2": START | {"cut": "240 d"},
}


@dataclass(frozen=True)
class Run:
    """A run of the equations and the same run with its step size changed.

    Attributes:
        plain, changed: risks and overlaps; ``changed`` begins at the change and is ``None`` without one.
        steps, then: ``(RECORDS + 1,)`` each, their numbers of steps over d.
        setting: of the sliders, in words.
        eta, later: the step size before and after.
    """

    plain: Path
    changed: Path | None
    steps: ndarray
    then: ndarray
    setting: str
    eta: float
    later: float

    def leaves(self) -> tuple[float | None, float | None]:
        """When the risk falls below half of R1, in steps over d: of the plain run and of the changed one."""
        changed = None
        if self.changed:
            before = _first(self.steps, self.plain.risk)
            changed = before if before is not None and before < self.then[0] else _first(self.then, self.changed.risk)
        return _first(self.steps, self.plain.risk), changed


def _first(steps: ndarray, risk: ndarray) -> float | None:
    below = risk < R1 / 2
    return float(steps[below.argmax()]) if below.any() else None


def compute(d: int, eta: float, noise: float, cut: str, by: float) -> Run:
    """Two units that know ``0.3, 1`` and ``1, -0.2`` times ``d^(-1/2)`` of two teacher units, to 700 d steps."""
    steps, plain = _plain(d, eta, noise)
    setting = f"d = {d:,}, η = {eta:g}, Δ = {noise:g}"
    if cut == NEVER:
        return Run(plain, None, steps, steps[:0], setting, eta, eta)
    at = float(cut.split()[0])
    later = eta / by
    here = int(np.flatnonzero(steps == at)[0])
    then = np.linspace(at, END, RECORDS + 1)
    changed = integrate(plain.Q[here], plain.M[here], (then - at) * later, eta=later, label_noise=noise, rtol=1e-5)
    return Run(plain, changed, steps, then, f"{setting}, then {later:g} from step {cut}", eta, later)


@lru_cache(maxsize=128)
def _plain(d: int, eta: float, noise: float) -> tuple[ndarray, Path]:
    steps = np.unique(np.concatenate([np.linspace(0, 40, 33), np.linspace(40, END, 133)]))
    M = np.array([[0.3, 1.0], [1.0, -0.2]]) / d**0.5
    return steps, integrate(np.eye(2), M, steps * eta, eta=eta, label_noise=noise, rtol=1e-5)


def draw(figure):
    """The risk over the steps, and the overlaps with the teacher in their plane."""
    left, right = figure.subplots(1, 2, width_ratios=(1.75, 1))
    left.set(xlabel="steps / d", ylabel="risk R", yscale="log", xlim=(0, END), ylim=(FLOOR, CEILING))
    left.axhline(R1, color=GREY, linestyle=":", linewidth=1.4, label="R₁: all units equal")
    (plain,) = left.plot([], [], color=BLUE, linewidth=2, label="step size as it was")
    (changed,) = left.plot([], [], color=ORANGE, linewidth=2, label="step size changed")
    (mark,) = left.plot([], [], "v", color=ORANGE, markersize=10, label="_change")
    left.legend(loc="upper right", fontsize=9).set_in_layout(False)
    right.plot([1, 0], [0, 1], "*", color="black", markersize=14, label="_teacher")
    right.set(xlabel="overlap with teacher unit 1", ylabel="with teacher unit 2", aspect="equal")
    right.set(xlim=(-0.4, 1.4), ylim=(-0.4, 1.4))
    first = [right.plot([], [], color=c, marker="o", markersize=2.5, linewidth=1)[0] for c in (BLUE, SKY)]
    second = [right.plot([], [], color=c, marker="s", markersize=2.5, linewidth=1)[0] for c in (ORANGE, PINK)]

    def update(run: Run) -> None:
        put(plain, run.steps, run.plain.risk.clip(FLOOR / 10, CEILING * 10))
        if run.changed:
            put(changed, run.then, run.changed.risk.clip(FLOOR / 10, CEILING * 10))
            put(mark, run.then[:1], run.changed.risk[:1].clip(FLOOR, CEILING))
        else:
            put(changed, [], [])
            put(mark, [], [])
        for j in range(2):
            put(first[j], *run.plain.M[:, j].T)
            put(second[j], *(run.changed.M[:, j].T if run.changed else ([], [])))

    return [plain, changed, mark, *first, *second], update


def sentence(run: Run) -> str:
    """What the picture shows, with its numbers."""
    before, after = run.leaves()
    end = run.changed or run.plain
    told = f"{run.setting}: {_left(before)}, and the risk is {digits3(run.plain.risk[-1])} at step {END} d"
    if run.changed:
        told += f"; with the change <b>{_left(after)}</b>, and it is <b>{digits3(end.risk[-1])}</b>"
    largest = max(run.eta, run.later)
    pole = f" The step {largest:g} is beyond the pole of two units, {POLE:.2f}." if largest > POLE else ""
    return f"{told}.{pole}"


def _left(when: float | None) -> str:
    return f"the risk is not below half of R₁ by step {END} d" if when is None else f"rest 1 ends at step {when:.0f} d"


two_rests = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(7.4, 3.6), columns=2)
