"""What a teacher reads after grading: a page per student, and one with the mistakes of the class."""

import re
from collections import Counter
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True, trim_blocks=True)


def write(graded: list, out: Path, seed: int) -> None:
    """feedback/NAME.html for each student, and class.html. graded: of `grading.Graded`; seed: of the hidden cases."""
    folder = out / "feedback"
    folder.mkdir(exist_ok=True)
    students: dict[str, list] = {}
    for one in graded:
        students.setdefault(one.student, []).append(one)
    files = file_names(list(students))
    for name, theirs in students.items():
        (folder / files[name]).write_text(
            TEMPLATES.get_template("student.html").render(title=name, name=name, graded=theirs), "utf-8"
        )
    rows = [row for one in graded for row in one.rows]
    exercises = {
        key: Counter(row.status for row in rows if row.exercise == key) for key in sorted({row.exercise for row in rows})
    }
    mistakes = Counter((row.exercise, row.mistake, row.diagnosis) for row in rows if row.mistake).most_common()
    totals = [
        (name, sum(one.points for one in theirs), sum(one.possible for one in theirs), f"feedback/{files[name]}")
        for name, theirs in students.items()
    ]
    page = TEMPLATES.get_template("class.html").render(
        title="The class",
        students=len(students),
        notebooks=len(graded),
        seed=seed,
        exercises=exercises,
        mistakes=mistakes,
        rows=totals,
    )
    (out / "class.html").write_text(page, "utf-8")


def file_names(students: list[str]) -> dict[str, str]:
    """A file name for each student, safe on every system; no two are equal, in small letters either."""
    names: dict[str, str] = {}
    for student in students:
        plain = re.sub(r"[^\w.-]+", "_", student).strip("._")[:80] or "student"
        taken = {name.lower() for name in names.values()}
        number = next(n for n in range(1, len(students) + 2) if f"{plain}{'' if n == 1 else f'-{n}'}.html".lower() not in taken)
        names[student] = f"{plain}{'' if number == 1 else f'-{number}'}.html"
    return names
