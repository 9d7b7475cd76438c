"""Writes docs/CLAIMS.md from the ledgers in the executed lessons: `python -m tools.claims [--check]`."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import reads

KINDS = {
    "law": "laws (a number that theory gives)",
    "bound": "bounds (an inequality that theory gives)",
    "sanity bound": "sanity bounds (a number that we chose to test against)",
}
MIME = "application/vnd.regimes.claims+json"
PAGE = "docs/CLAIMS.md"
ROOT = Path(__file__).resolve().parents[1]
VERDICTS = ("reproduced", "qualitative", "outside our scale", "contradicts")
KEYS = set("id lesson paper place statement setting kind predicted measured spread tolerance verdict note".split())
COLUMNS = ("claim", "predicted", "measured (spread)", "verdict")  # few, so that a page has room for the words
TOP = """\
# What we measured against what was predicted

<!-- Generated from the executed lessons by `python3 course.py claims`. Do not edit. -->
This page is generated from the executed lessons; `python3 course.py claims` writes it anew.
"""


def claims(notebook: NotebookNode) -> list[dict]:
    """The ledger entries stored in the outputs of a notebook, in their order."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    return [claim for output in outputs for claim in output.get("data", {}).get(MIME, [])]


def page(root: Path) -> str:
    """The text of docs/CLAIMS.md; raises ValueError, naming the lesson, for an entry that is not complete."""
    seen, sections, others = Counter(), [], []
    verdicts, kinds = Counter(), Counter()
    for path in ledgers(root):
        notebook = reads(path.read_bytes())
        if not (entries := claims(notebook)):
            continue
        for claim in entries:
            _complete(claim, path.name)
        seen.update(claim["id"] for claim in entries)
        verdicts.update(claim["verdict"] for claim in entries)
        kinds.update(claim["kind"] for claim in entries)
        title = f"[{path.name[:2]} {notebook.metadata['regimes']['title']}](../{path.relative_to(root).as_posix()})"
        rows = [_row(entry) for entry in entries]
        sections.append(f"## {title}\n\n" + _table(rows))
        others += [(f"{title}: {claim}", *rest) for claim, *rest in rows if rest[-1] != VERDICTS[0]]
    if twice := [name for name, count in seen.items() if count > 1]:
        raise ValueError(f"claims with the same id: {', '.join(twice)}; show each lesson's ledger once, at its end")
    total = ", ".join(f"{verdicts[v]} {v}" for v in VERDICTS if verdicts[v])
    what = "; ".join(f"{kinds[kind]} {told}" for kind, told in KINDS.items() if kinds[kind])
    count = f"{sum(verdicts.values())} claims{': ' if total else ''}{total}.\n"
    differs = [f"## Where we disagree, or could not follow\n\n{_table(others)}"] if others else []
    return "\n".join([TOP, count, *([f"By kind: {what}.\n"] if what else []), *differs, *sections])


def ledgers(root: Path) -> list[Path]:
    """The notebooks that may hold a ledger, by lesson: what goes deeper, and lessons without such a notebook."""
    return sorted((root / "lessons").rglob("[0-9][0-9]_*.ipynb"), key=lambda path: (path.name, len(path.parts)))


def keep(root: Path, notebook: Path) -> None:
    """Write what a notebook's ledger holds to where `regimes_course.kit.stored` reads it: the lesson shows part of it."""
    entries = claims(reads(notebook.read_bytes()))
    if entries and (place := kept(root, entries)).parent.exists():
        place.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


def kept(root: Path, entries: list[dict]) -> Path:
    """The file that holds what a lesson's ledger measured."""
    return root / f"lib/regimes_course/lesson{entries[0]['lesson']}/measured.json"


def _complete(claim, name):
    if claim.keys() != KEYS:
        raise ValueError(f"{name}: claim {claim.get('id', '?')} must have the keys {', '.join(sorted(KEYS))}")
    if claim["verdict"] not in VERDICTS:
        raise ValueError(f"{name}: verdict {claim['verdict']!r} of {claim['id']}; allowed: {', '.join(VERDICTS)}")


def _row(c: dict) -> tuple[str, ...]:
    """An entry in four cells: what is claimed, and beside it where it comes from and with what it was tried."""
    parts = (", ".join(filter(None, (c["paper"], c["place"]))), c["setting"], c["note"])
    words = (part if part[1:2] in " =" else part[0].upper() + part[1:] for part in parts if part)  # n is not N
    about = ". ".join(word.rstrip(".") for word in words)
    measured = f"{c['measured']} ({c['spread']})" if c["spread"] else c["measured"]
    tolerance = "" if c["tolerance"] in ("", "none") else f" {c['tolerance']}"
    cells = (f"{c['statement']} *{about}.*", f"{c['predicted']}{tolerance} ({c['kind']})", measured, c["verdict"])
    return tuple(" ".join(text.replace("|", r"\|").split()) for text in cells)


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in (COLUMNS, ("---",) * len(COLUMNS), *rows))


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    """Writes the page, or with --check says whether it is the one the lessons give; 0 if all is well."""
    parser = argparse.ArgumentParser(prog="python -m tools.claims", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    args = parser.parse_args(argv)
    path = root / PAGE
    try:
        text = page(root)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if not args.check:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        print(f"{PAGE} is written.")
    elif not path.exists() or path.read_text(encoding="utf-8") != text:
        print(f"{PAGE} is stale; mend it with: python3 course.py claims", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
