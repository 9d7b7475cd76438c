"""The claims ledger: what a paper says, what we predicted, what we measured, and a verdict.

A lesson makes one `Ledger`, enters a claim where it measures it, and shows the ledger at its end. ``docs/CLAIMS.md`` is
generated from the executed lessons.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

__all__ = ["Claim", "Ledger", "digits3"]

MIME = "application/vnd.regimes.claims+json"
VERDICTS = ("reproduced", "qualitative", "outside our scale", "contradicts")


@dataclass(frozen=True)
class Claim:
    """One line of the ledger; everything in it is text, ready to print."""

    id: str
    lesson: str
    paper: str
    place: str
    statement: str
    setting: str
    predicted: str
    measured: str
    spread: str
    tolerance: str
    verdict: str
    note: str


class Ledger:
    """The claims of a lesson.

    Args:
        lesson: its number, ``"01"``.
        paper: the paper that claims are from unless they say otherwise.
    """

    def __init__(self, lesson: str, paper: str):
        self.lesson, self.paper, self.claims = lesson, paper, []

    def equal(self, id: str, statement: str, measured: Tensor, predicted: float, *, within: float, **about) -> Claim:
        """Enter a claim that a number is as predicted: every run ``within`` this relative deviation (absolute for zero).

        Args:
            id: short and unique.
            statement: the claim, in our words.
            measured: one number a run.
            predicted: from `regimes.theory`, or the paper.
            within: relative tolerance, or an absolute one if ``predicted`` is zero.
            about: ``setting`` (needed), ``place``, ``paper``, ``note``, ``verdict``: see `Ledger.enter`.
        """
        measured = torch.as_tensor(measured, dtype=torch.float64)
        scale = abs(predicted) or 1.0
        holds = ((measured - predicted).abs() <= within * scale).all()
        tolerance = f"{within:.2g}" if predicted == 0 else f"{100 * within:.2g} %"
        return self.enter(id, statement, measured, bool(holds), predicted=digits3(predicted), tolerance=tolerance, **about)

    def between(
        self, id: str, statement: str, measured: Tensor, *, low: float | None = None, high: float | None = None, **about
    ) -> Claim:
        """Enter a claim that a number stays above ``low``, or below ``high``, or between them, in every run."""
        if low is None and high is None:
            raise ValueError(f"claim {id!r} needs a bound: low, high or both")
        measured = torch.as_tensor(measured, dtype=torch.float64)
        holds = (low is None or (measured >= low).all()) and (high is None or (measured <= high).all())
        below, above = ("" if low is None else f"at least {digits3(low)}"), ("" if high is None else f"at most {digits3(high)}")
        predicted = ", ".join(filter(None, (below, above)))
        return self.enter(id, statement, measured, bool(holds), predicted=predicted, tolerance="none", **about)

    def enter(
        self,
        id: str,
        statement: str,
        measured: Tensor,
        holds: bool,
        *,
        predicted: str,
        tolerance: str,
        setting: str,
        place: str = "",
        paper: str = "",
        note: str = "",
        verdict: str | None = None,
    ) -> Claim:
        """Enter a claim whose test you made yourself. What does not hold *contradicts*, unless a note explains another verdict.

        Raises:
            ValueError: for an ``id`` used before, an unknown verdict, a verdict without a note, or a measurement that is
                not finite.
        """
        measured = torch.as_tensor(measured, dtype=torch.float64)
        if id in {c.id for c in self.claims}:
            raise ValueError(f"the ledger of lesson {self.lesson} already has a claim {id!r}")
        if not torch.isfinite(measured).all() or not measured.numel():
            raise ValueError(f"claim {id!r} has a measurement that is not finite: {measured.tolist()}")
        if verdict is not None and (verdict not in VERDICTS or not note):
            raise ValueError(
                f"a verdict of your own must be one of {', '.join(VERDICTS)} and come with a note; got {verdict!r}"
            )
        verdict = verdict or ("reproduced" if holds else "contradicts")
        middle = digits3(measured.median().item())
        spread = f"{digits3(measured.min().item())} to {digits3(measured.max().item())} in {measured.numel()} runs"
        spread = spread if measured.numel() > 1 else "one run"
        claim = Claim(
            id, self.lesson, paper or self.paper, place, statement, setting, predicted, middle, spread, tolerance, verdict, note
        )
        self.claims.append(claim)
        return claim

    def markdown(self) -> str:
        """The ledger as a Markdown table."""
        return table(self.claims)

    def _repr_mimebundle_(self, include=None, exclude=None):
        plain = "\n".join(
            f"{c.id}: predicted {c.predicted}; measured {c.measured} ({c.spread}); {c.verdict}" for c in self.claims
        )
        return {"text/plain": plain, "text/markdown": self.markdown(), MIME: [asdict(c) for c in self.claims]}


def table(claims: Iterable[Claim]) -> str:
    """Claims as a Markdown table."""
    rows = ["| claim | predicted | measured (median; smallest to largest) | tolerance | verdict |", "|---|---|---|---|---|"]
    for c in claims:
        about = f"{c.statement} *{c.paper}{', ' + c.place if c.place else ''}. {c.setting}.*"
        verdict = f"**{c.verdict}**" + (f": {c.note}" if c.note else "")
        rows.append(f"| {about} | {c.predicted} | {c.measured}; {c.spread} | {c.tolerance} | {verdict} |")
    return "\n".join(rows)


def digits3(value: float) -> str:
    """A number with three significant digits, and rounding errors as the bound they respect.

    >>> digits3(2.02031), digits3(170.6), digits3(3.2e-14), digits3(0), digits3(123456.0)
    ('2.02', '171', '< 1e-10', '0', '1.23e+05')
    """
    if 0 < abs(value) < 1e-10:
        return "< 1e-10"
    if float(value).is_integer() and abs(value) < 1e4:
        return f"{value:.0f}"
    return f"{value:.3g}"
