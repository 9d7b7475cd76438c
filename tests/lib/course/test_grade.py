"""`check` runs a copy of the learner's notebook and reports what its checks say."""

import json
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from regimes.course import Unusable, grade
from regimes.course import __main__ as command

SAYS = """from IPython.display import display
def check(key, status, diagnosis=""):
    data = {"key": key, "status": status, "diagnosis": diagnosis, "mistake": None}
    display({"application/vnd.regimes.check+json": data, "text/plain": status}, raw=True)
"""


def write(path, *sources):
    path.parent.mkdir(exist_ok=True)
    cells = [new_markdown_cell("text"), *map(new_code_cell, sources)]
    nbformat.write(new_notebook(cells=cells), path)
    return path


def answered(key, status):
    data = {"key": key, "status": status, "diagnosis": "", "mistake": None}
    return new_output("display_data", data={grade.MIME: data, "text/plain": status})


@pytest.fixture
def root(tmp_path):
    """A course whose exercise 01 has the checks 01/a, 01/b, 01/c."""
    cells = [new_code_cell("", outputs=[answered(f"01/{name}", "not attempted")]) for name in "abc"]
    (tmp_path / "exercises").mkdir()
    nbformat.write(new_notebook(cells=cells), tmp_path / "exercises/01_x.ipynb")
    return tmp_path


@pytest.fixture
def checked(root, monkeypatch, capsys):
    """Run the command; its exit code and what it printed."""
    monkeypatch.setattr(command, "course_folder", lambda: root)

    def check(*words):
        code = command.main(["check", *map(str, words)])
        return code, capsys.readouterr()

    return check


def test_score_diagnoses_and_errors(root, checked):
    path = write(
        root / "work/01_x.ipynb", SAYS, "\n\nvalue = missing + 1", "check('01/b', 'wrong', 'J is transposed')",
        "check('01/a', 'wrong')", "check('01/a', 'passed')", "def f(:",
    )  # fmt: skip
    before = path.read_bytes()
    code, shown = checked(path)
    assert code == 1 and path.read_bytes() == before
    lines = [line.strip() for line in shown.out.splitlines()]
    assert lines[0].endswith("01_x.ipynb: 1 of 3 passed")
    assert lines[2:5] == ["passed         01/a", "wrong          01/b", "J is transposed"]
    assert lines[5] == "not attempted  01/c" and "the check cell is missing" in lines[6]
    at = lines.index("value = missing + 1")
    assert lines[at + 1] == "NameError: name 'missing' is not defined" and "before it has a value" in lines[at + 2]
    assert "SyntaxError" in shown.out and "Python cannot read this cell" in shown.out


def test_all_passed_and_json(root, checked):
    path = write(root / "work/01_x_anna.ipynb", SAYS, *(f"check('01/{name}', 'passed')" for name in "abc"))
    code, shown = checked(path, "--json")
    data = json.loads(shown.out)
    assert code == 0 and (data["passed"], data["total"]) == (3, 3) and data["troubles"] == []
    assert data["outcomes"][1] == {"key": "01/b", "status": "passed", "diagnosis": "", "mistake": None}


def test_a_renamed_copy_still_owes_the_checks_that_were_deleted_from_it(root, checked):
    code, shown = checked(write(root / "work/01_x_anna.ipynb", SAYS, "check('01/a', 'passed')"))
    assert code == 1 and "1 of 3 passed" in shown.out


def test_slow_cells_are_stopped_and_stale_answers_do_not_count(root):
    sources = ["import time; time.sleep(60)", SAYS, "check('01/b', 'passed')", "import os; os._exit(1)", "check('01/a', 1)"]
    path = write(root / "work/01_x.ipynb", *sources)
    notebook = nbformat.read(path, 4)
    notebook.cells[-1].outputs = [answered("01/a", "passed")]
    nbformat.write(notebook, path)
    report = grade.grade(path, root, seconds=2, progress=False)
    assert [outcome.status for outcome in report.outcomes] == ["not attempted", "passed", "not attempted"]
    assert [trouble.cell for trouble in report.troubles] == ["import time; time.sleep(60)", "import os; os._exit(1)"]
    assert "loop without an end" in str(report) and "memory ran out" in str(report)


@pytest.mark.parametrize("text", ["", "not json", "[]", "{}", "\x00\x01"])
def test_what_is_not_a_notebook(root, checked, text):
    path = root / "x.ipynb"
    path.write_text(text)
    code, shown = checked(path)
    assert code == 2 and "is not a Jupyter notebook" in shown.err and "Traceback" not in shown.err


def test_a_missing_file_a_folder_and_a_notebook_without_checks(root, checked):
    code, shown = checked(root / "gone.ipynb")
    assert code == 2 and "there is no file" in shown.err and "course.py start NN" in shown.err
    assert checked(root)[0] == 2
    code, shown = checked(write(root / "other.ipynb", "1 + 1"))
    assert code == 2 and "has no checks" in shown.err


def test_the_kernel_is_this_python_whatever_is_registered(tmp_path, monkeypatch):
    folder = tmp_path / "kernels/python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text('{"argv": ["/other/python"], "display_name": "x", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    assert grade.KernelSpecManager().get_kernel_spec("python3").argv == ["/other/python"]
    assert grade.ThisPython().get_kernel_spec("python3").argv[0] == sys.executable


def test_a_copy_without_the_course_folders_says_so(tmp_path):
    with pytest.raises(Unusable, match="no lessons and no exercises"):
        command.course_folder(tmp_path / "lib/regimes/course/__main__.py")
