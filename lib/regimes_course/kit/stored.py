"""What a lesson shows of the measurements in its deeper notebook: a few rows, read from what the build stored."""

import json
from importlib import resources

from IPython.display import display

__all__ = ["evidence", "measured"]

ROWS = 6


def measured(lesson: str) -> dict[str, dict]:
    """The claims of a lesson as its deeper notebook measured them, by id.

    Raises:
        ValueError: for a lesson that has measured nothing yet.
    """
    file = resources.files("regimes_course") / f"lesson{lesson}" / "measured.json"
    if not file.is_file():
        raise ValueError(f"lesson {lesson} has measured nothing yet: build its deeper notebook first")
    return {claim["id"]: claim for claim in json.loads(file.read_text(encoding="utf8"))}


def evidence(lesson: str, *ids: str) -> None:
    """Show what was measured of some claims, at most six: a table of claim, prediction, measurement with spread, verdict.

    Args:
        lesson: its number, ``"01"``.
        ids: of the claims, as in the lesson's ``claims.toml``.

    Raises:
        ValueError: for more rows than a reader takes in, or a claim that was not measured.
    """
    claims = measured(lesson)
    if not 0 < len(ids) <= ROWS or (unknown := [name for name in ids if name not in claims]):
        what = f"no claim is called {', '.join(unknown)}" if 0 < len(ids) <= ROWS else f"{len(ids)} claims are asked for"
        raise ValueError(f"evidence shows one to {ROWS} claims of lesson {lesson}; {what}. There are: {', '.join(claims)}")
    rows = [claims[name] for name in ids]
    table = ["| claim | predicted | measured (smallest to largest) | verdict |", "|---|---|---|---|"]
    for c in rows:
        verdict = c["verdict"] + (f": {c['note']}" if c["note"] else "")
        table.append(f"| {c['statement']} | {c['predicted']} ({c['kind']}) | {c['measured']} ({c['spread']}) | {verdict} |")
    plain = [f"{c['id']}: {c['kind']} {c['predicted']}, measured {c['measured']} ({c['spread']}): {c['verdict']}" for c in rows]
    display({"text/plain": "\n".join(plain), "text/markdown": "\n".join(table)}, raw=True)
