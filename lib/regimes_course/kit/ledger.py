"""The claims ledger: what a paper says, what we predicted, what we measured, and a verdict.

The words and the tolerances of a lesson's claims stand in ``lessonNN/claims.toml``; the lesson measures, and enters
what it found into its `Ledger`. ``docs/CLAIMS.md`` is generated from the executed lessons.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from string import Formatter

import torch
from torch import Tensor

from regimes_course.kit.words import digits3

__all__ = ["VERDICTS", "Claim", "Ledger"]

MIME = "application/vnd.regimes.claims+json"
VERDICTS = ("reproduced", "qualitative", "outside our scale", "contradicts")
NEEDED = {"statement", "paper", "setting"}
WORDS = NEEDED | {"place", "note", "verdict", "statistic"}
KINDS = ("law", "bound", "sanity bound")  # a number that theory gives, an inequality of a theorem, a number that we chose
STATISTICS = {
    "median": lambda runs: runs.quantile(0.5),
    "geometric mean": lambda runs: runs.log().mean().exp(),
}
ROUNDING = 1e-6
BOUNDS = {"within", "within_percent", "low", "high"}
OURS = "ours"  # true for a bound that we chose


@dataclass(frozen=True)
class Claim:
    """One line of the ledger; everything in it is text, ready to print."""

    id: str
    lesson: str
    paper: str
    place: str
    statement: str
    setting: str
    kind: str
    predicted: str
    measured: str
    spread: str
    tolerance: str
    verdict: str
    note: str


class Ledger:
    """The claims of a lesson, filled in as it measures them.

    Args:
        lesson: its number, ``"01"``.
        texts: the claims by id; read from that file unless given.

    Raises:
        ValueError: for a lesson without claims, or a claim that lacks a word, has an unknown one, or has a verdict of its own
            without a note that explains it.
    """

    def __init__(self, lesson: str, texts: Mapping[str, Mapping] | None = None):
        self.lesson, self.claims = lesson, {}
        self.texts = _read(lesson) if texts is None else texts
        for id, text in self.texts.items():
            _well_formed(id, text)

    def claim(
        self,
        id: str,
        measured: Tensor | float,
        predicted: float | None = None,
        *,
        low: float | None = None,
        high: float | None = None,
        **ran: object,
    ) -> Claim:
        """Enter what was measured of one claim.

        The verdict is *reproduced* if every run is as predicted: within the claim's tolerance of ``predicted``, or inside the
        bounds ``low`` and ``high``. A claim about a ``statistic`` of the runs (its text names one of `STATISTICS`) is judged
        by that number instead, and shows it by name. Otherwise it is *contradicts*, unless the claim's text gives another
        verdict with a note.

        Args:
            id: of the claim, as in the lesson's TOML file.
            measured: one number a run.
            predicted: what `regimes.theory` says.
            low, high: bounds that a formula gives; constant ones stand in the file.
            ran: what the setting leaves open: its ``{n}`` is filled with ``n=40``, from the same variable that was run, and
                ``{runs}`` with how many numbers were measured.

        Raises:
            ValueError: for a setting that leaves open what was not given, or the other way round; for an unknown claim, one
                entered before, one with nothing to compare with or with two such things, or a measurement that is not finite.
        """
        measured = torch.as_tensor(measured, dtype=torch.float64).flatten()
        if id not in self.texts or id in self.claims:
            raise ValueError(
                f"claim {id!r} is {'entered already' if id in self.claims else 'not in the file'}: lesson {self.lesson}"
            )
        if not torch.isfinite(measured).all() or not measured.numel():
            raise ValueError(f"claim {id!r} has a measurement that is not finite: {measured.tolist()}")
        text = self.texts[id]
        of = text.get("statistic")
        if of == "geometric mean" and not (measured > 0).all():
            raise ValueError(f"claim {id!r} asks for a geometric mean of numbers that are not positive: {measured.tolist()}")
        judged = STATISTICS[of](measured).reshape(1) if of else measured
        given = {name for name, bound in (("low", low), ("high", high)) if bound is not None}
        if given and (predicted is not None or given & text.keys()):
            raise ValueError(f"claim {id!r} has something to be compared with already: leave out {', '.join(sorted(given))}")
        low, high = text.get("low", low), text.get("high", high)
        if predicted is not None:
            holds, said, tolerance = _near(id, text, judged, predicted)
        elif low is None and high is None:
            raise ValueError(f"claim {id!r} has neither a prediction nor a bound")
        else:
            holds, said, tolerance = _inside(judged, low, high)
        verdict = text.get("verdict", "reproduced" if holds else "contradicts")
        words = {word: text.get(word, "") for word in ("paper", "place", "statement", "note")}
        words |= {"setting": _filled(id, text["setting"], ran, measured.numel()), "kind": _kind(text, predicted)}
        shown = f"{of} {digits3(judged.item())}" if of else digits3(STATISTICS["median"](measured).item())
        outcome = {"predicted": said, "measured": shown, "spread": _spread(measured)}
        self.claims[id] = Claim(id=id, lesson=self.lesson, tolerance=tolerance, verdict=verdict, **words, **outcome)
        return self.claims[id]

    def markdown(self) -> str:
        """The ledger as a Markdown table."""
        rows = [
            "| claim | kind | predicted | measured (smallest to largest) | tolerance | verdict |",
            "|---|---|---|---|---|---|",
        ]
        for c in self.claims.values():
            about = f"{c.statement} *{c.paper}{', ' + c.place if c.place else ''}. {c.setting}.*"
            verdict = f"**{c.verdict}**" + (f": {c.note}" if c.note else "")
            rows.append(f"| {about} | {c.kind} | {c.predicted} | {c.measured} ({c.spread}) | {c.tolerance} | {verdict} |")
        return "\n".join(rows)

    def _repr_mimebundle_(self, include=None, exclude=None):
        if missing := self.texts.keys() - self.claims.keys():
            raise ValueError(f"lesson {self.lesson} never measured its claims {', '.join(sorted(missing))}")
        lines = (
            f"{c.id}: predicted {c.predicted}, measured {c.measured} ({c.spread}): {c.verdict}" for c in self.claims.values()
        )
        records = [asdict(c) for c in self.claims.values()]
        return {"text/plain": "\n".join(lines), "text/markdown": self.markdown(), MIME: records}


def _read(lesson: str) -> dict:
    file = resources.files("regimes_course") / f"lesson{lesson}" / "claims.toml"
    if not file.is_file():
        raise ValueError(f"lesson {lesson} has no claims: there is no regimes_course/lesson{lesson}/{file.name}")
    return tomllib.loads(file.read_text(encoding="utf8"))


def _well_formed(id: str, text: Mapping) -> None:
    missing = NEEDED - text.keys()
    unknown = text.keys() - WORDS - BOUNDS - {OURS}
    if missing or unknown:
        raise ValueError(f"claim {id!r} lacks {sorted(missing) or 'nothing'} and has unknown {sorted(unknown) or 'nothing'}")
    if text.get("statistic", "median") not in STATISTICS:
        raise ValueError(f"claim {id!r}: a statistic is one of {', '.join(STATISTICS)}; got {text['statistic']!r}")
    if "verdict" in text and (text["verdict"] not in VERDICTS or not text.get("note")):
        raise ValueError(f"claim {id!r}: a verdict of its own must be one of {', '.join(VERDICTS)} and come with a note")


def _filled(id: str, setting: str, ran: Mapping, runs: int) -> str:
    """The setting with the numbers that were run."""
    open_ = {name for _, name, _, _ in Formatter().parse(setting) if name}
    if open_ - {"runs"} != ran.keys():
        raise ValueError(f"claim {id!r}: its setting {setting!r} asks for {sorted(open_ - {'runs'})}; got {sorted(ran)}")
    return setting.format(runs=runs, **ran)


def _kind(text: Mapping, predicted: float | None) -> str:
    """A law has a number to be met, or leaves nothing but rounding; a number of our own choice is a sanity bound."""
    if text.get(OURS):
        return "sanity bound"
    rounding = "low" not in text and text.get("high", 1.0) <= ROUNDING
    return "law" if rounding or predicted is not None else "bound"


def _near(id, text, measured, predicted):
    if not text.keys() & {"within", "within_percent"}:
        raise ValueError(f"claim {id!r} has a prediction but no tolerance (within, or within_percent)")
    percent = text.get("within_percent")
    reach = text["within"] if percent is None else percent / 100 * abs(predicted)
    holds = bool(((measured - predicted).abs() <= reach).all())
    return holds, digits3(predicted), f"± {reach:g}" if percent is None else f"± {percent:g} %"


def _inside(measured, low, high):
    holds = (low is None or bool((measured >= low).all())) and (high is None or bool((measured <= high).all()))
    ends = ("" if low is None else f"at least {low:.3g}", "" if high is None else f"at most {high:.3g}")
    return holds, ", ".join(filter(None, ends)), "none"


def _spread(measured):
    if measured.numel() == 1:
        return "one run"
    first, last = (digits3(end.item()) for end in (measured.min(), measured.max()))
    return f"{first} in all {measured.numel()} runs" if first == last else f"{first} to {last} in {measured.numel()} runs"
