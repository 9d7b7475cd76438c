"""The real nbgrader releases, grades and gives feedback. `pip install nbgrader`, then `pytest -m nbgrader`."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tools import nbgrader

ROOT = Path(__file__).resolve().parents[2]
NAME = "01_gradient_descent_and_gauss_newton"
WRONG = "def gn_direction(J, r, damping):\n    return J.T @ r\n\n\nimport regimes\n\nregimes.TwoLayer(0, 0)"
LOOP = "def gn_direction(J, r, damping):\n    while True: pass"


def test_every_exercise_is_an_answer_and_a_test(tmp_path):
    paths = nbgrader.write(tmp_path / "course", [])
    assert len(paths) == 10
    for path in paths:
        marks = [cell.metadata.nbgrader for cell in nbformat.read(path, 4).cells]
        assert len({mark.grade_id for mark in marks}) == len(marks)
        answers, tests = ({m.grade_id for m in marks if m[kind]} for kind in ("solution", "grade"))
        assert tests == {f"check-{name}" for name in answers} and len(tests) >= 2
        assert not [mark for mark in marks if mark.grade and mark.points < 1]
    assert nbgrader.main([str(tmp_path / "course")]) == 2


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The assignment of lesson 01, handed in by four."""
    pytest.importorskip("nbgrader")
    folder = tmp_path_factory.mktemp("nbgrader") / "course"
    nbgrader.write(folder, ["01"])
    say(folder, "generate_assignment", NAME, "--create")
    released = nbformat.read(folder / "release" / NAME / f"{NAME}.ipynb", 4)
    solved = nbformat.read(folder / "source" / NAME / f"{NAME}.ipynb", 4)
    for student, answer in {"right": None, "stub": "", "wrong": WRONG, "looping": LOOP}.items():
        handed_in = nbformat.from_dict(released)
        for cell, solution in zip(handed_in.cells, solved.cells, strict=True):
            if cell.metadata.nbgrader.solution and answer != "":
                first = cell.metadata.nbgrader.grade_id == "gn_direction"
                cell.source = answer if first and answer else solution.source
        path = folder / "submitted" / student / NAME / f"{NAME}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(handed_in, path)
        released = nbformat.read(folder / "release" / NAME / f"{NAME}.ipynb", 4)
    return folder


def say(folder, *words):
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "nbgrader", *words], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.nbgrader
def test_it_validates_scores_and_gives_feedback(course):
    text = (course / "release" / NAME / f"{NAME}.ipynb").read_text("utf-8")
    assert "raise NotImplementedError()" in text and "BEGIN SOLUTION" not in text and "push-through" not in text
    say(course, "autograde", NAME, "--create", "--ExecutePreprocessor.timeout=30")
    say(course, "generate_feedback", NAME)
    say(course, "export")
    with open(course / "grades.csv", newline="") as file:
        scores = {row["student_id"]: (float(row["score"]), float(row["max_score"])) for row in csv.DictReader(file)}
    assert scores == {"right": (9, 9), "stub": (0, 9), "wrong": (7, 9), "looping": (7, 9)}
    pages = {path.parts[-3]: path.read_text("utf-8") for path in (course / "feedback").rglob("*.html")}
    assert set(pages) == set(scores) and "the solve with the Gram matrix is missing" in pages["wrong"]
    assert "ValueError" in pages["wrong"]  # what its cell raised, in the library
    assert not [student for student, page in pages.items() if str(course) in page or str(ROOT) in page]
