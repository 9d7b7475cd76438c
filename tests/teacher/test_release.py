"""What a class gets: it works, and no answer is in it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from regimes_course.exercises import EXERCISES
from regimes_course.kit.checking import Function
from regimes_course.learner import Unusable
from regimes_course.learner.notebook import code_cells, load
from regimes_course.teacher.release import release

ROOT = Path(__file__).resolve().parents[2]
TEXTS = (".py", ".ipynb", ".md", ".toml", ".json", ".txt")


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """The course for a class."""
    folder = tmp_path_factory.mktemp("class") / "course"
    said = release(folder, ROOT)
    assert "without solutions" in said
    return folder


def python(folder, *words):
    env = {**os.environ, "PYTHONPATH": str(folder / "lib"), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run([sys.executable, *map(str, words)], cwd=folder, env=env, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def lines(cell):
    return [line.strip() for line in cell["source"].splitlines()]


def answers():
    """The lines that a solution has and its exercise has not."""
    for path in sorted((ROOT / "solutions").glob("*.ipynb")):
        stub = {line for cell in code_cells(load(ROOT / "exercises" / path.name, ROOT)) for line in lines(cell)}
        for cell in code_cells(load(path, ROOT)):
            if "exercise" in cell["metadata"]:
                yield from (line for line in lines(cell) if len(line) > 40 and line not in stub)


def test_no_line_of_a_solution_is_in_it(released):
    """Where a class would look. (Lessons and library teach what the exercises ask for.)"""
    folders = [released / "lib/regimes_course", released / "exercises", released / "docs"]
    text = "\n".join(path.read_text("utf-8") for folder in folders for path in folder.rglob("*") if path.suffix in TEXTS)
    text = text.replace('\\"', '"')
    sought = list(answers())
    assert len(sought) > 40
    assert not [line for line in sought if line in text]


def test_there_are_no_solutions_sources_or_tests(released):
    names = {path.relative_to(released).as_posix() for path in released.rglob("*")}
    assert not [name for name in names if re.match(r"(solutions|sources|tests|\.git)\b", name) or "BEGIN SOLUTION" in name]
    assert not [name for name in names if re.search(r"lesson\d\d/checks/(?!__init__|keys)|teacher", name)]


TRY_ALL = """
import inspect, sys
from regimes_course.exercises import EXERCISES
for key, exercise in EXERCISES.items():
    things = [getattr(exercise, name, None) for name in ("reference", "draw", "cases", "form", "wanted", "made_by")]
    things += [*exercise.alternatives, *(mistake.example for mistake in exercise.mistakes)]
    passed = [thing for thing in things if callable(thing) and exercise.examine(thing).status == "passed"]
    print(key, len(exercise.mistakes), "passed" if passed else "nothing", file=sys.stdout)
"""


def test_nothing_that_can_be_called_passes(released):
    rows = [line.split() for line in python(released, "-c", TRY_ALL).stdout.splitlines()]
    assert {row[0] for row in rows} == set(EXERCISES) and {row[2] for row in rows} == {"nothing"}
    known = [int(row[1]) for row in rows if isinstance(EXERCISES[row[0]], Function)]
    assert sum(count >= 4 for count in known) > 20  # mistakes that are still known by name


SAYS = """
import torch
from regimes_course.exercises import check, see
right = lambda J, r, damping: J.T @ torch.linalg.solve(J @ J.T + damping * torch.eye(len(r), dtype=J.dtype), r)
for answer in (right, lambda J, r, damping: J.T @ r, lambda J, r, damping: r):
    print(check("01/gn_direction", answer))
print(check("01/find_the_bug", right))
see("01/gn_direction", lambda J, r, damping: r)
see("01/find_the_bug", right)
see("01/gn_direction", right)
"""


def test_its_checks_answer_as_ever_where_they_can(released):
    right, named, other, later, *pictures = python(released, "-c", SAYS).stdout.splitlines()
    assert "passed" in right and "the solve with the Gram matrix is missing" in named
    assert "shape" in other and "your teacher" in later
    assert [("only with a function that has passed" in line) for line in pictures[:2]] == [True, True]
    assert len(pictures) > 2  # that one is drawn


def test_a_student_can_work_with_it(released):
    assert "Copied work/01" in python(released, "-m", "regimes_course", "start", "01").stdout
    done = python(released, "-m", "regimes_course", "check", "work/01_gradient_descent_and_gauss_newton.ipynb")
    assert done.returncode == 1 and "0 of 4 passed" in done.stdout
    commands = python(released, "course.py", "help").stdout
    assert " lab " in commands and " grade " not in commands and " test " not in commands


def test_only_the_lessons_named(tmp_path):
    release(tmp_path / "new", ROOT, ["1", "05"])
    assert [path.name[:2] for path in sorted((tmp_path / "new/exercises").glob("*.ipynb"))] == ["01", "05"]
    with pytest.raises(Unusable, match="there already"):
        release(tmp_path / "new", ROOT)
    with pytest.raises(Unusable, match="99"):
        release(tmp_path / "other", ROOT, ["99"])
