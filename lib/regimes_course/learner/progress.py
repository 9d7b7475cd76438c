"""What a learner has solved: every check in work/ writes a line to work/progress.jsonl, `course.py progress` reads them.

Standard library only, since `regimes_course.exercises` records through this module each time that somebody checks an answer.
"""

import json
import os
import textwrap
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from html import escape
from pathlib import Path

from regimes_course.learner import Unusable, course_folder
from regimes_course.learner.notebook import Exercise, contents, load, title
from regimes_course.learner.start import exercises

NAMED = "REGIMES_PROGRESS"  # environment variable: another file than work/progress.jsonl
STATUSES = ("passed", "wrong", "not attempted")
RENAMED: dict[str, str] = {}  # old key: new key, for exercises whose name has changed
NOTHING = "Nothing is solved yet. The first exercises: python3 course.py start 01"


# ---- writing


def place(folder: Path) -> Path | None:
    """The file that keeps what is checked in `folder`; None outside work/, where nothing is kept."""
    if named := os.environ.get(NAMED):
        return Path(named)
    work = (course_folder() / "work").resolve()
    return work / "progress.jsonl" if folder.resolve().is_relative_to(work) else None


def record(key: str, status: str, mistake: str | None, folder: Path | None = None) -> None:
    """Keep one verdict, if `folder` (the current one) is in work/. Never raises: a check is worth more than its record."""
    try:
        if (file := place(folder or Path.cwd())) is None:
            return
        when = datetime.now().astimezone().isoformat(timespec="seconds")
        line = json.dumps({"when": when, "key": key, "status": status, "mistake": mistake})
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, f"\n{line}".encode())  # in one piece, and apart from a line that somebody broke off
        finally:
            os.close(descriptor)
    except (OSError, ValueError, RuntimeError):  # Unusable is a ValueError
        pass


def record_run(folder: Path, outcomes: Iterable) -> None:
    """Keep what a run of all checks of a notebook in `folder` found, where it is news: running again is no new attempt."""
    try:
        file = place(folder)
        last = {verdict.key: verdict for verdict in read(file)[0]} if file else {}
    except ValueError:
        return
    for outcome in outcomes:
        before = last.get(outcome.key)
        same = before and (before.status, before.mistake) == (outcome.status, outcome.mistake)
        if outcome.status != "not attempted" and not same:
            record(outcome.key, outcome.status, outcome.mistake, folder)


# ---- reading


@dataclass(frozen=True)
class Verdict:
    """One line of the record."""

    when: str
    key: str
    status: str
    mistake: str | None


@dataclass(frozen=True)
class Standing:
    """How far a learner is with one exercise.

    passed: when it passed first, "" if never; attempts: answers checked until then; mistakes: those recognised, by name.
    """

    key: str
    title: str
    stars: int
    minutes: int
    passed: str
    attempts: int
    mistakes: tuple[str, ...]


@dataclass(frozen=True)
class Lesson:
    """The exercises of one lesson; `start` says how to come to them."""

    number: str
    title: str
    exercises: tuple[Standing, ...]
    start: str

    @property
    def passed(self) -> int:
        """How many exercises passed."""
        return sum(bool(one.passed) for one in self.exercises)


def read(file: Path) -> tuple[list[Verdict], int]:
    """The verdicts of a record in the order in which they were written, and how many of its lines are damaged.

    Raises Unusable for a file that is there and cannot be read.
    """
    try:
        lines = file.read_bytes().decode("utf-8", "replace").splitlines() if file.exists() else []
    except OSError as error:
        raise Unusable(f"{file}, where your progress is kept, cannot be read ({error.strerror})") from error
    parsed = [verdict(line) for line in lines if line.strip()]
    return [one for one in parsed if one], parsed.count(None)


def verdict(line: str) -> Verdict | None:
    """What one line says; None for one that is damaged."""
    try:
        said = json.loads(line)
        one = Verdict(*(said[name] for name in Verdict.__dataclass_fields__))
        datetime.fromisoformat(one.when)
        good = isinstance(one.key, str) and one.status in STATUSES and isinstance(one.mistake, str | None)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return Verdict(one.when, RENAMED.get(one.key, one.key), one.status, one.mistake) if good else None


def standing(exercise: Exercise, verdicts: list[Verdict]) -> Standing:
    """How far the verdicts bring one exercise. A wrong answer after a right one takes nothing away."""
    tries = [one for one in verdicts if one.key == exercise.key and one.status != "not attempted"]
    first = next((number for number, one in enumerate(tries, 1) if one.status == "passed"), None)
    mistakes = dict.fromkeys(one.mistake for one in tries if one.mistake)
    passed = tries[first - 1].when if first else ""
    return Standing(**asdict(exercise), passed=passed, attempts=first or len(tries), mistakes=tuple(mistakes))


@dataclass(frozen=True)
class Progress:
    """All exercises of the course, in order; `earlier` are those answered once that the course no longer has."""

    lessons: tuple[Lesson, ...]
    earlier: tuple[Standing, ...]
    damaged: int
    next: str | None

    @property
    def passed(self) -> int:
        """How many exercises of the course passed."""
        return sum(lesson.passed for lesson in self.lessons)

    @property
    def total(self) -> int:
        """How many exercises the course has."""
        return sum(len(lesson.exercises) for lesson in self.lessons)

    def as_dict(self) -> dict:
        """The progress as plain values, for JSON."""
        return {"passed": self.passed, "total": self.total, **asdict(self)}

    def __str__(self):
        lines = [f"{self.passed} of {self.total} exercises passed."]
        for lesson in self.lessons:
            lines += ["", f"{lesson.number} {lesson.title}".ljust(62) + f"{lesson.passed} of {len(lesson.exercises)}"]
            lines += [line for one in lesson.exercises for line in told(one, one.key.partition("/")[2])]
        if self.earlier:
            lines += ["", "Earlier exercises, which the course no longer has"]
            lines += [line for one in self.earlier for line in told(one, one.key)]
        lines += [f"\nLines of the record that cannot be read and were left out: {self.damaged}."] * bool(self.damaged)
        return "\n".join([*lines, "", f"Next: {self.next}" if self.next else "That is all of them."])


def told(one: Standing, name: str) -> list[str]:
    """One exercise on the terminal, under `name`."""
    tries = f"{one.attempts} {'try' if one.attempts == 1 else 'tries'}"
    mark, note = ("passed", f"{one.passed[:10]}  {tries}") if one.passed else ("tried", tries)
    mark, note = (mark, note) if one.attempts else ("open", f"{one.minutes} minutes")
    mistakes = textwrap.wrap("recognised: " + "; ".join(one.mistakes), 66) if one.mistakes else []
    return [f"   {mark:<8}{name:<32}{note}", *(" " * 11 + line for line in mistakes)]


def collect(root: Path, file: Path | None = None) -> Progress:
    """The progress that a record tells. root: the course folder; file: the record, work/progress.jsonl if not given."""
    verdicts, damaged = read(file or place(root / "work"))
    lessons = []
    for number, path in exercises(root).items():
        name = title(load(path, root)).partition(": ")[2] or path.stem[3:].replace("_", " ")
        copy = root / "work" / path.name
        way = f"open work/{copy.name} (python3 course.py lab)" if copy.exists() else f"python3 course.py start {number}"
        standings = tuple(standing(exercise, verdicts) for exercise in contents(path, root))
        lessons.append(Lesson(number, name[0].upper() + name[1:], standings, way))
    ours = {one.key for lesson in lessons for one in lesson.exercises}
    gone = dict.fromkeys(verdict.key for verdict in verdicts if verdict.key not in ours and verdict.status != "not attempted")
    earlier = tuple(standing(Exercise(key, "", 0, 0), verdicts) for key in gone)
    return Progress(tuple(lessons), earlier, damaged, upcoming(lessons, verdicts))


def upcoming(lessons: list[Lesson], verdicts: list[Verdict]) -> str | None:
    """The first exercise that is open, in the lesson worked on last if there is one, and the way to it."""
    last = verdicts[-1].key[:2] if verdicts else ""
    nearest = sorted(lessons, key=lambda lesson: lesson.number != last)
    return next((f"{one.key}: {lesson.start}" for lesson in nearest for one in lesson.exercises if not one.passed), None)


def progress() -> None:
    """Show in a notebook how far you are: a line a lesson, and what is next."""
    from IPython.display import display

    try:
        found = collect(course_folder())
    except Unusable as error:
        print(error)
        return
    if not found.passed:
        print(NOTHING)
        return
    rows = [(f"{one.number} {one.title}", f"{one.passed} of {len(one.exercises)}") for one in found.lessons]
    head = "<tr><th scope='col'>lesson</th><th scope='col'>exercises passed</th></tr>"
    body = "".join(f"<tr><th scope='row'>{escape(name)}</th><td>{count}</td></tr>" for name, count in rows)
    foot = f"Next: {found.next}" if found.next else "That is all of them."
    text = "\n".join([*(f"{name:<62}{count}" for name, count in rows), foot])
    display({"text/html": f"<table>{head}{body}</table><p>{escape(foot)}</p>", "text/plain": text}, raw=True)
