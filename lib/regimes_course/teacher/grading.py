"""Grade a class: `python3 course.py grade FOLDER`. Nothing is decided in a process that runs a student's code."""

import csv
import hashlib
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path

from tqdm import tqdm

from regimes_course.learner import Unusable
from regimes_course.learner.notebook import contents, parse
from regimes_course.teacher import pages, walls
from regimes_course.teacher.inside import limit
from regimes_course.teacher.submissions import Submission, program, submissions, unpacked

COLUMNS = ("student", "exercise", "points", "status", "mistake", "seconds")
REFEREE = 8 * 10**9  # bytes of memory that a check may take
LEFT_OUT = ("checks", "teacher", "__pycache__")  # of the library, for a student's process
NEEDED = ("__init__.py", "inside.py", "wire.py")  # of this folder, there
INSIDE = ["-m", "regimes_course.teacher.inside"]
NOTHING = '''"""The checks are with the grader."""

EXERCISES: dict = {}


def check(*arguments, **options) -> None:
    """Nothing, here."""


see = check
'''


@dataclass(frozen=True)
class Row:
    """What one exercise of one student came to."""

    student: str
    exercise: str
    points: int
    possible: int
    status: str
    mistake: str = ""
    diagnosis: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Graded:
    """A student's rows, and what went wrong in other cells."""

    student: str
    file: str
    rows: tuple[Row, ...]
    troubles: tuple[tuple[str, str], ...] = ()

    @property
    def points(self) -> int:
        """All points."""
        return sum(row.points for row in self.rows)

    @property
    def possible(self) -> int:
        """What there was to reach."""
        return sum(row.possible for row in self.rows)


def grade(place: Path, root: Path, out: Path, jobs: int, seconds: int, seed: int | None = None, warn=print) -> list[Graded]:
    """Grade all notebooks in a folder or archive; write scores.csv, a page per student and one of the class into `out`.

    root: the course folder; seconds: limit of an exercise and of a cell; seed: of the hidden cases, drawn if not given.
    warn: told that it begins, and what the system cannot keep apart.
    Raises Unusable for a place without notebooks, and where a student's code has changed the course.
    """
    seed = secrets.randbelow(10**6) + 1 if seed is None else seed
    with tempfile.TemporaryDirectory() as scratch:
        library = student_library(root, Path(scratch))
        (Path(scratch) / "handed_in").mkdir()
        found = submissions(unpacked(place, Path(scratch) / "handed_in"), root)
        if says := walls.missing(library):
            warn(says)
        warn(f"Grading {len(found)} notebooks, {min(jobs, len(found))} at a time.")
        one = partial(grade_one, root=root, library=library, walled=not says, seconds=seconds, seed=seed)
        with referees(min(jobs, len(found))) as pool:
            graded = list(tqdm(pool.imap(one, found), total=len(found), desc="grading", unit="notebook", disable=None))
    out.mkdir(parents=True, exist_ok=True)
    write(graded, out)
    pages.write(graded, out, seed)
    return graded


@contextmanager
def referees(count: int) -> Iterator[Pool]:
    """Processes that grade. Ctrl-C is for the one that waits for them; it ends them, and they end what they have started."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        pool = get_context("spawn").Pool(count, prepare)
    finally:
        signal.signal(signal.SIGINT, before)
    with pool:
        try:
            yield pool
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # once is enough: what follows is cleaning up
            raise


def prepare() -> None:
    """Make a process a referee: one thread, since several notebooks are graded at a time, and an end that cleans up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    limit(REFEREE)
    import torch

    torch.set_num_threads(1)


def student_library(root: Path, scratch: Path) -> Path:
    """A copy of the library without checks and references."""
    library = scratch / "lib"
    shutil.copytree(root / "lib", library, ignore=shutil.ignore_patterns(*LEFT_OUT))
    (library / "regimes_course/exercises.py").write_text(NOTHING, "utf-8")
    for name in NEEDED:
        (library / "regimes_course/teacher").mkdir(exist_ok=True)
        shutil.copy(Path(__file__).with_name(name), library / "regimes_course/teacher" / name)
    (scratch / "root").mkdir()
    return library


def grade_one(submission: Submission, root: Path, library: Path, walled: bool, seconds: int, seed: int) -> Graded:
    """Grade one notebook, whatever is in it."""
    if submission.notebook is None:
        row = Row(submission.student, "", 0, 0, "unreadable", diagnosis=submission.trouble)
        return Graded(submission.student, submission.path.name, (row,))
    from regimes_course.exercises import EXERCISES
    from regimes_course.teacher.referee import Attempt, Limits, Student, hidden

    lesson = submission.master.name[:2]
    cells = program(parse(submission.master.read_bytes()), submission.notebook, lesson)
    worth = {exercise.key: exercise.stars for exercise in contents(submission.master, root)}
    with tempfile.TemporaryDirectory() as private:
        if not walled:  # a copy of its own: what it writes there concerns nobody else
            library = Path(shutil.copytree(library, Path(private) / "lib"))
        before = "" if walled else fingerprint(root)
        words = walls.command(library, INSIDE) if walled else [sys.executable, *INSIDE]
        student = Student(words, walls.environment(library), Limits(seconds))
        try:
            results, troubles = Attempt(student, cells).all([hidden(EXERCISES[key], seed) for key in worth])
        finally:
            student.stop()
        if not walled and fingerprint(root) != before:
            raise Unusable(f"{submission.path} has changed the course in {root}: take a fresh copy, and grade in a container")
    rows = []
    for key, stars in worth.items():
        result, took = results[key]
        points = stars if result.status == "passed" else 0
        diagnosis = result.diagnosis if result.status != "passed" else ""
        rows.append(Row(submission.student, key, points, stars, result.status, result.mistake or "", diagnosis, took))
    return Graded(submission.student, submission.path.name, tuple(rows), tuple(troubles))


def fingerprint(root: Path) -> str:
    """Of all that the grader uses of the course."""
    files = sorted(
        path for name in ("lib", "exercises") for path in (root / name).rglob("*") if path.suffix in (".py", ".ipynb")
    )
    return hashlib.sha256(b"".join(str(path).encode() + path.read_bytes() for path in files)).hexdigest()


def write(graded: list[Graded], out: Path) -> None:
    """scores.csv, for a spreadsheet: no name there is taken for a formula."""
    with open(out / "scores.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for row in (row for one in graded for row in one.rows):
            values = [getattr(row, column) for column in COLUMNS]
            table.writerow([f"{v:.1f}" if isinstance(v, float) else harmless(v) for v in values])


def harmless(value):
    """A text that no spreadsheet computes."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
