"""What students handed in, a folder or an archive as a learning platform packs it; and what is to be run of each notebook."""

import ast
import re
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path

from regimes_course.learner import Unusable
from regimes_course.learner.notebook import called, code_cells, original, parse

LARGEST = 30_000_000  # bytes of a notebook
UNPACKED = 2_000_000_000  # bytes of an archive
PLATFORM = re.compile(r"(_late)?(_\d+)*(_assignsubmission_\w*)?_*$", re.IGNORECASE)  # what platforms append to a name
COPY = re.compile(r"[ _-]*(\(\d+\)|-\d+| copy|-Copy\d+)*$")  # what browsers and JupyterLab append to a file


@dataclass(frozen=True)
class Submission:
    """One notebook of one student, or why there is none that can be graded."""

    student: str
    path: Path
    notebook: dict | None = None
    master: Path | None = None
    trouble: str = ""


@dataclass(frozen=True)
class Cell:
    """A piece of code to run; `answers` is the key of the exercise it answers."""

    source: str
    answers: str = ""


def unpacked(place: Path, scratch: Path) -> Path:
    """The folder with the submissions; an archive is unpacked into `scratch` first."""
    if place.is_dir():
        return place
    if not place.is_file():
        raise Unusable(f"there is no folder or zip archive {place}")
    if not zipfile.is_zipfile(place):
        raise Unusable(f"{place} is neither a folder nor a zip archive")
    with zipfile.ZipFile(place) as archive:
        files = [one for one in archive.infolist() if not stat.S_ISLNK(one.external_attr >> 16)]
        if sum(one.file_size for one in files) > UNPACKED:
            raise Unusable(f"{place} would unpack to more than {UNPACKED // 10**9} GB")
        archive.extractall(scratch, files)  # which leaves out "..", drives and leading slashes
    return scratch


def submissions(folder: Path, root: Path) -> list[Submission]:
    """One notebook per student and lesson, the newest. root: the course folder, with the masters.

    Raises Unusable for a folder without notebooks.
    """
    paths = [path for path in sorted(folder.rglob("*.ipynb")) if is_handed_in(path.relative_to(folder))]
    if not paths:
        raise Unusable(f"no notebook (.ipynb) is in {folder}")
    names = dict(zip(paths, students([path.relative_to(folder) for path in paths], root), strict=True))
    newest: dict[tuple, Submission] = {}
    for path in sorted(paths, key=lambda path: path.stat().st_mtime):
        one = read(path, names[path], root)
        newest[one.student, one.master or path] = one
    return sorted(newest.values(), key=lambda one: (one.student, str(one.master), str(one.path)))


def is_handed_in(path: Path) -> bool:
    """Whether this is a file of a student's, not one that a system left there."""
    return not any(part.startswith((".", "__MACOSX")) for part in path.parts)


def students(paths: list[Path], root: Path) -> list[str]:
    """Who handed in: the outermost folder, or what stands before the exercise's name; without what a platform appends."""
    full = [path.parts[0] if len(path.parts) > 1 else before(path.stem, root) for path in paths]
    short = {name: PLATFORM.sub("", name) or name for name in full}
    people = list(short.values())
    return [short[name] if people.count(short[name]) == 1 else name for name in full]


def before(stem: str, root: Path) -> str:
    """``anna`` of ``anna_01_gradient_descent_and_gauss_newton-1``."""
    for master in sorted((root / "exercises").glob("*.ipynb")):
        name, found, rest = stem.partition(master.stem)
        if found and COPY.fullmatch(rest):
            return name.rstrip("_- ") or stem
    return stem


def read(path: Path, student: str, root: Path) -> Submission:
    """The notebook of a file, and the course's own that it answers."""
    try:
        if path.is_symlink() or path.stat().st_size > LARGEST:
            raise ValueError(f"it is larger than {LARGEST // 10**6} MB, or a link")
        notebook = parse(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        return Submission(student, path, trouble=f"The file cannot be read as a notebook: {error}.")
    master = original(notebook, path, root)
    if master is None:
        return Submission(student, path, trouble="This is none of the course's exercise notebooks.")
    return Submission(student, path, notebook, master)


def program(master: dict, notebook: dict, lesson: str) -> list[Cell]:
    """What is run of a notebook: the course's own cells as they are in the course, the answers, and cells that a student added.

    An answer is known by the metadata of its cell, or by its name where these are lost. Checks are left out.
    """
    own = [cell for cell in code_cells(master) if not asks(cell)]
    theirs = [cell for cell in code_cells(notebook) if not asks(cell)]
    names = {cell["metadata"]["exercise"] for cell in own if "exercise" in cell["metadata"]}
    ids = {cell.get("id"): index for index, cell in enumerate(own) if "exercise" not in cell["metadata"]}
    sources = {cell["source"].strip(): index for index, cell in enumerate(own) if "exercise" not in cell["metadata"]}
    answers: dict[str, list[str]] = {name: [] for name in names}
    extra: dict[int, list[str]] = {}
    at = 0  # the course's cell before which a cell of the student's is run
    for cell in theirs:
        name = cell["metadata"].get("exercise")
        index = ids.get(cell.get("id"), sources.get(cell["source"].strip()))
        if name not in names and index is None:
            name = next((name for name in names if defines(cell["source"], name)), None)
        if name in names:
            answers[name].append(cell["source"])
            at = next(i for i, one in enumerate(own) if one["metadata"].get("exercise") == name) + 1
        elif index is not None:
            at = index + 1
        else:
            extra.setdefault(at, []).append(cell["source"])
    cells = []
    for index, cell in enumerate([*own, None]):
        cells += [Cell(source) for source in extra.get(index, [])]
        if cell is not None and (name := cell["metadata"].get("exercise")):
            cells += [Cell(source, f"{lesson}/{name}") for source in answers[name] or [cell["source"]]]
        elif cell is not None:
            cells.append(Cell(cell["source"]))
    return cells


def asks(cell: dict) -> bool:
    """Whether a cell is a check, or shows what an answer does."""
    return "check" in cell["metadata"] or "see" in cell["metadata"] or bool(called(cell))


def defines(source: str, name: str) -> bool:
    """Whether a cell gives a value to this name."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    assigned = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    return any(getattr(node, "name", getattr(node, "id", None)) == name for node in (*body, *assigned))
