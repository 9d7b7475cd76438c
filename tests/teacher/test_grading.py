"""A class is graded by the real command: right scores for honest work, and for attacks no more than was earned."""

import csv
import json
import os
import shutil
import subprocess
import sys
import zipfile
from copy import deepcopy
from pathlib import Path

import pytest

from regimes_course.learner import Unusable
from regimes_course.learner.notebook import parse
from regimes_course.teacher import grading, walls
from regimes_course.teacher.submissions import before, program, students, submissions

ROOT = Path(__file__).resolve().parents[2]
NAME = "01_gradient_descent_and_gauss_newton.ipynb"
KEYS = ["gn_direction", "two_layer_gram", "steps_to"]
TITLE = "application/vnd.regimes.check+json"

BONUS = "from regimes_course.exercises import check\nfor i in range(5): check(f'01/bonus{i}', abs)"
FORGED = f"""
from IPython.display import display
for key in {KEYS}:
    display({{"{TITLE}": {{"key": "01/" + key, "status": "passed", "diagnosis": "", "mistake": None}}}}, raw=True)
"""
REDEFINED = """
from regimes_course.kit.checking import Result
check = lambda key, answer, **options: Result(key, "passed", "")
"""
THIEF = "from regimes_course.exercises import EXERCISES\ngn_direction = EXERCISES['01/gn_direction'].reference"
VANDAL = """
import os, pathlib, shutil
for folder in {folders}:
    for path in pathlib.Path(folder).rglob("*.py"):
        try: path.write_text("raise SystemExit")
        except OSError: pass
    shutil.rmtree(folder, ignore_errors=True)
def gn_direction(J, r, damping): return J[0]
"""
LOOP = """
def gn_direction(J, r, damping):
    while True:
        try:
            while True: pass
        except BaseException: pass
"""
MEMORY = "def gn_direction(J, r, damping):\n    kept = []\n    while True: kept.append(bytearray(10**10))"
FLOOD = "def gn_direction(J, r, damping):\n    while True: print('x' * 10**5)"
EXIT = "import os\ndef gn_direction(J, r, damping): os._exit(0)"
TALKS = """
import socket
def gn_direction(J, r, damping):
    socket.create_connection(("127.0.0.1", {port}), 5)
"""
SMUGGLED = """
import gc, io, os, torch
from regimes_course.teacher import wire
(peer,) = (o for o in gc.get_objects() if isinstance(o, wire.Peer))
class Evil:
    def __reduce__(self): return os.mkdir, ({file!r},)
def gn_direction(J, r, damping):
    buffer = io.BytesIO(); torch.save(Evil(), buffer); peer.connection.send_bytes(buffer.getvalue())
"""
ESCAPE = """
import os
from pathlib import Path
seen = [str(path) for path in ({files}) if Path(path).exists()]
def gn_direction(J, r, damping): raise ValueError(f"sees {{seen}}, is {{os.getppid()}}")
"""


def load(kind):
    """The exercises or solutions of lesson 01, down to its third exercise: the last one trains for seconds."""
    notebook = parse((ROOT / kind / NAME).read_bytes())
    cells = notebook["cells"]
    last = next(i for i, cell in enumerate(cells) if cell["metadata"].get("check") == "two_layer_gram")
    return notebook | {"cells": cells[: last + 1]}


def with_answer(notebook, source, key="gn_direction"):
    notebook = deepcopy(notebook)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and cell["metadata"].get("exercise") == key:
            cell["source"] = source
    return notebook


def with_cell(notebook, source, at=None):
    notebook = deepcopy(notebook)
    cell = {"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": None}
    notebook["cells"].insert(len(notebook["cells"]) if at is None else at, cell)
    return notebook


def without(notebook, part):
    notebook = deepcopy(notebook)
    notebook["cells"] = [cell for cell in notebook["cells"] if part not in cell["metadata"]]
    return notebook


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A course, a folder beside it that is nobody's business, and a port where somebody listens."""
    import socket

    folder = tmp_path_factory.mktemp("class")
    shutil.copytree(ROOT / "lib", folder / "course/lib", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "course/exercises").mkdir()
    (folder / "course/exercises" / NAME).write_text(json.dumps(load("exercises")))
    (folder / "private").mkdir()
    (folder / "private/diary.txt").write_text("dear diary")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        yield folder, server


@pytest.fixture(scope="module")
def graded(room):
    """Everybody's work, handed in as one archive, graded by the command."""
    folder, server = room
    right, stub = load("solutions"), load("exercises")
    root, private = folder / "course", folder / "private"
    helper = "import torch\ndef solve(K, r): return torch.linalg.solve(K + 0.0, r)"
    uses = "def gn_direction(J, r, damping):\n    return J.T @ solve(J @ J.T + damping * torch.eye(len(r), dtype=J.dtype), r)"
    no_damping = "def gn_direction(J, r, damping):\n    return J.T @ torch.linalg.solve(J @ J.T, r)"
    work = {
        "Right Rita": right,
        "Stub Stan": stub,
        "Wrong_Wei_17_assignsubmission_file": with_answer(right, no_damping),
        "Helper Hal": with_cell(with_answer(right, uses), helper, 3),
        "Typo Tom": with_answer(right, "def gn_direction(J, r, damping:\n    return"),
        "Bare Bo": without(right, "check"),
        "Forger": with_cell(stub, FORGED),
        "Redefiner": with_cell(stub, REDEFINED, 3),
        "Thief": with_answer(stub, THIEF),
        "Vandal": with_answer(right, VANDAL.format(folders=[str(root), str(private)])),
        "Looper": with_answer(right, LOOP),
        "Hoarder": with_answer(right, MEMORY),
        "Flooder": with_answer(right, FLOOD),
        "Leaver": with_answer(right, EXIT),
        "Talker": with_answer(right, TALKS.format(port=server.getsockname()[1])),
        "Smuggler": with_answer(right, SMUGGLED.format(file=str(private / "smuggled"))),
        "Escaper": with_answer(right, ESCAPE.format(files=f"{str(private / 'diary.txt')!r}, {str(ROOT / 'solutions')!r}")),
        "=SUM(A1)": with_cell(stub, BONUS),
    }
    if sys.platform != "linux" or shutil.which("unshare") is None:
        work["Vandal"] = work["Escaper"]  # the course would really be gone
    with zipfile.ZipFile(folder / "handed in.zip", "w") as archive:
        for student, notebook in work.items():
            archive.writestr(f"{student}/{NAME}", json.dumps(notebook))
        archive.writestr("Renamed Ren/my homework final (2).ipynb", json.dumps(right))
        archive.writestr(f"Broken/{NAME}", '{"cells": [')
        archive.writestr(f"Deep/{NAME}", "[" * 10**5)
        archive.writestr("Tourist/notes.ipynb", json.dumps({"cells": [], "metadata": {}}))
        archive.writestr(f"../../escaped_{NAME}", json.dumps(stub))
    here = "from pathlib import Path; from regimes_course import __main__ as main; "
    here += f"main.course_folder = lambda: Path({str(root)!r})"
    words = ["grade", "handed in.zip", "--out", "out", "--seconds", "25", "--seed", "5"]
    command = [sys.executable, "-c", f"{here}; raise SystemExit(main.main({words}))"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 1, done.stderr  # some files could not be read
    with open(folder / "out/scores.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return folder / "out", {(row["student"], row["exercise"].partition("/")[2]): row for row in rows}, done


@pytest.fixture(scope="module")
def walled(graded):
    """For what only walls can promise."""
    if "WARNING" in graded[2].stderr:
        pytest.skip(graded[2].stderr)


FULL = {"gn_direction": "2", "two_layer_gram": "2", "steps_to": "2"}
REST = {**FULL, "gn_direction": "0"}
NONE = dict.fromkeys(KEYS, "0")
EARNED = {
    **dict.fromkeys(["Right Rita", "Helper Hal", "Bare Bo", "Renamed Ren"], FULL),
    **dict.fromkeys("Wrong_Wei Vandal Looper Hoarder Flooder Leaver Talker Smuggler Escaper".split(), REST),
    "Typo Tom": REST,
    **dict.fromkeys(["Stub Stan", "Forger", "Redefiner", "Thief", "'=SUM(A1)"], NONE),
}


@pytest.mark.parametrize("student", EARNED)
def test_everybody_gets_what_was_earned(graded, student):
    _, rows, _ = graded
    assert {key: rows[student, key]["points"] for key in KEYS} == EARNED[student]
    assert {key for who, key in rows if who == student} == set(KEYS)


def test_the_table_says_why(graded):
    out, rows, _ = graded
    assert rows["Wrong_Wei", "gn_direction"]["mistake"] and rows["Wrong_Wei", "gn_direction"]["status"] == "wrong"
    assert {rows["Stub Stan", key]["status"] for key in KEYS} == {"not attempted"}
    assert {row["status"] for (who, _), row in rows.items() if who in ("Broken", "Deep", "Tourist")} == {"unreadable"}
    pages = {path.stem: path.read_text("utf-8") for path in (out / "feedback").glob("*.html")}
    assert len(pages) == len({who for who, _ in rows})
    assert "the limit" in pages["Looper"] and "emory" in pages["Hoarder"] and "SyntaxError" in pages["Typo_Tom"]
    assert "no answer sends" in pages["Smuggler"] and "none of the course" in pages["Tourist"]
    everybody = (out / "class.html").read_text("utf-8")
    assert rows["Wrong_Wei", "gn_direction"]["mistake"] in everybody and "=SUM(A1)" in everybody


def test_nobody_else_is_harmed(graded, room, walled):
    _, _, done = graded
    folder, server = room
    assert (folder / "private/diary.txt").read_text() == "dear diary" and not (folder / "private/smuggled").exists()
    assert grading.fingerprint(folder / "course") and len(list((folder / "course/lib").rglob("*.py"))) > 100
    with pytest.raises(TimeoutError):
        server.accept()


def test_a_student_sees_neither_solutions_nor_the_teachers_files(graded, walled):
    assert "sees []" in (graded[0] / "feedback/Escaper.html").read_text("utf-8")


def test_nothing_leaves_the_archive(graded, room):
    assert not list(room[0].parent.rglob("escaped_*")) and not list(room[0].parent.parent.glob("escaped_*"))


def test_without_walls_it_says_so_loudly(monkeypatch, tmp_path):
    monkeypatch.setattr(walls.shutil, "which", lambda name: None)
    assert "WARNING" in walls.missing(tmp_path) and "container" in walls.missing(tmp_path)


def test_without_walls_what_changes_the_course_is_found(tmp_path):
    for name in ("lib", "exercises"):
        (tmp_path / name).mkdir()
    (tmp_path / "lib/a.py").write_text("1")
    earlier = grading.fingerprint(tmp_path)
    (tmp_path / "lib/a.py").write_text("2")
    assert grading.fingerprint(tmp_path) != earlier


def test_students_are_found_in_what_platforms_pack():
    paths = [Path(f"Ada L_12_assignsubmission_file_/{NAME}"), Path(f"bert_99_1234_{NAME}"), Path(f"bert_late_7_88_{NAME}")]
    assert students(paths, ROOT) == ["Ada L", "bert_99_1234", "bert_late_7_88"]  # two people called bert are kept apart
    assert before(f"cleo_{Path(NAME).stem} (2)", ROOT) == "cleo"


def test_the_newest_of_several_is_graded(tmp_path):
    for age, name in enumerate(["a.ipynb", "b.ipynb"]):
        (tmp_path / "Ida").mkdir(exist_ok=True)
        (tmp_path / "Ida" / name).write_text(json.dumps(load("exercises")))
        os.utime(tmp_path / "Ida" / name, (age, age))
    (found,) = submissions(tmp_path, ROOT)
    assert found.path.name == "b.ipynb"


def test_an_answer_without_metadata_is_known_by_its_name():
    plain = {"cells": [{"cell_type": "code", "metadata": {}, "source": "def steps_to(*a):\n    return 1, 2"}], "metadata": {}}
    own = [cell.source for cell in program(load("exercises"), plain, "01") if cell.answers == "01/steps_to"]
    assert own == ["def steps_to(*a):\n    return 1, 2"]


@pytest.mark.parametrize(("what", "says"), [("nowhere", "no folder or zip"), ("file.txt", "neither"), ("empty", "no notebook")])
def test_what_cannot_be_graded_is_refused(tmp_path, what, says):
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Unusable, match=says):
        grading.grade(tmp_path / what, ROOT, tmp_path / "out", 1, 10, warn=lambda says: None)
