"""Copies of the course's notebooks in work/, where a learner runs, edits and annotates them.

The originals stay as they came, so that an update by `git pull` never meets a learner's changes. A copy that was not edited
follows the update; an edited one is kept beside the new one.
"""

import datetime
import hashlib
import json
import os
import re
from pathlib import Path

LINK = re.compile(r"(?<=\]\()[^()\s:#]+(?=[#)])")  # the address in [text](address#place), where it is no web address
RECORD = ".handed_out.json"


def hand_out_lessons(root: Path) -> list[str]:
    """Bring root/work/lessons up to date with root/lessons; returns what a learner should be told."""
    folder, told = root / "work/lessons", []
    folder.mkdir(parents=True, exist_ok=True)
    record = _read_record(folder / RECORD)
    for source in sorted((root / "lessons").rglob("[0-9][0-9]_*.ipynb")):
        if source.parent.name.startswith("."):
            continue  # JupyterLab's checkpoints
        name = source.relative_to(root / "lessons").as_posix()
        target, edition = folder / name, hashlib.sha256(source.read_bytes()).hexdigest()
        if target.exists() and record.get(name, {}).get("edition") == edition:
            continue
        notebook = copied(source, root, target)
        untouched = {record.get(name, {}).get("text"), fingerprint(notebook)} - {None}
        if target.exists() and _written(target) not in untouched:
            kept = keep(target).relative_to(root).as_posix()
            told.append(f"Lesson {source.stem} has been updated; the copy you edited is kept as {kept}.")
        write(notebook, target)
        record[name] = {"edition": edition, "text": fingerprint(notebook)}
        _write_text(json.dumps(record, indent=1), folder / RECORD)
    return told


def copied(source: Path, root: Path, target: Path) -> dict:
    """The notebook at `source` for a copy at `target`: its links lead where they led, but to lessons in root/work."""
    notebook = json.loads(source.read_bytes())

    def lead(link: re.Match) -> str:
        place = Path(os.path.normpath(source.parent / link[0]))
        if not place.exists():
            return link[0]  # a formula such as [f](x), not a link
        if place.is_relative_to(root / "lessons"):
            place = root / "work" / place.relative_to(root)
        return Path(os.path.relpath(place, target.parent)).as_posix()

    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = LINK.sub(lead, "".join(cell["source"])).splitlines(keepends=True)
    return notebook


def fingerprint(notebook: dict) -> str:
    """A hash of what is written in the cells; outputs and empty cells, which running leaves behind, do not count."""
    written = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    return hashlib.sha256(repr([cell for cell in written if cell[1].strip()]).encode()).hexdigest()


def write(notebook: dict, target: Path) -> None:
    """Write a copy, and sign it: to Jupyter its outputs are then as trustworthy as those the learner makes."""
    import nbformat
    from nbformat.sign import NotebookNotary

    target.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    _write_text(text, target)
    try:
        NotebookNotary().sign(nbformat.reads(text, 4))
    except Exception:  # no home to keep signatures in: JupyterLab then says that the notebook is not trusted
        pass


def keep(path: Path) -> Path:
    """Move `path` to a dated name that no file has yet; return the new path."""
    day = datetime.date.today().isoformat()
    number = 1
    while (kept := path.with_name(f"{path.stem}.kept-{day}-{number}{path.suffix}")).exists():
        number += 1
    return path.rename(kept)


def _written(path: Path) -> str | None:
    """The `fingerprint` of a file; None if it is no notebook, which then counts as edited."""
    try:
        return fingerprint(json.loads(path.read_bytes()))  # with a mark at the start, too
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read_record(path: Path) -> dict:
    """What was handed out, by name; nothing if the record is lost or damaged: every copy then counts as edited."""
    try:
        record = json.loads(path.read_text("utf-8"))
        return {name: one for name, one in record.items() if isinstance(one, dict)}
    except (OSError, ValueError, AttributeError):
        return {}


def _write_text(text: str, target: Path) -> None:
    """Write a file in one move: whoever stops us never finds half of it."""
    draft = target.with_name(target.name + ".draft")
    draft.write_text(text, "utf-8", newline="\n")
    os.replace(draft, target)
