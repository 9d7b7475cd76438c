"""`check` runs a copy of the learner's notebook and reports what its checks say."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from regimes_course import __main__ as command
from regimes_course.learner import Unusable, grade, kernel, watched

ROOT = Path(__file__).resolve().parents[2]
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
    cells = [new_code_cell("import torch")]
    for name in "abc":
        cells.append(new_markdown_cell(f"## Exercise {name}", metadata={"exercise": name, "stars": 1, "minutes": 5}))
        cells.append(new_code_cell("raise NotImplementedError()", metadata={"exercise": name}))
        cells.append(new_code_cell(f"check('01/{name}', {name})", metadata={"check": name}))
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
    assert lines[5] == "not attempted  01/c" and "The check cell is missing" in lines[6]
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


def test_a_copy_is_known_by_its_metadata_whatever_its_name(root, checked):
    path = write(root / "work/02_anna.ipynb", SAYS, "check('01/b', 'passed')")
    notebook = nbformat.read(path, 4)
    notebook.cells[2].metadata["check"] = "b"
    nbformat.write(notebook, path)
    code, shown = checked(path)
    assert code == 1 and "1 of 3 passed" in shown.out


def trouble(report):
    """{first line of a cell: everything said of it}."""
    return {one.cell: f"{one.error} {one.advice}" for one in report.troubles}


def test_slow_cells_are_stopped_and_stale_answers_do_not_count(root):
    sources = ["import torch", "import time; time.sleep(60)", SAYS, "check('01/b', 'passed')", "import os; os._exit(1)"]
    path = write(root / "work/01_x.ipynb", *sources, "check('01/a', 1)")
    notebook = nbformat.read(path, 4)
    notebook.cells[-1].outputs = [answered("01/a", "passed")]
    nbformat.write(notebook, path)
    report = grade.grade(path, root, seconds=5, progress=False)
    assert [outcome.status for outcome in report.outcomes] == ["not attempted", "passed", "not attempted"]
    assert "Python ended before this check" in report.outcomes[0].diagnosis
    assert list(trouble(report)) == ["import time; time.sleep(60)", "import os; os._exit(1)"]
    slow, ended = trouble(report).values()
    assert "after 5 s" in slow and "loop without an end" in slow and "--seconds 15" in slow and "No cell below" not in slow
    assert "memory ran out" in ended and "No cell below it ran" in ended


def test_a_cell_that_heeds_nothing_is_ended(root, monkeypatch):
    monkeypatch.setattr(watched, "PATIENCE", 1)
    deaf = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: time.sleep(1)"
    report = grade.grade(write(root / "work/01_x.ipynb", deaf, "check('01/a', 1)"), root, seconds=3, progress=False)
    (said,) = trouble(report).values()
    assert "after 3 s" in said and "No cell below it ran" in said and report.passed == 0


def test_the_course_s_own_set_up_is_not_blamed_on_the_learner(root):
    slow = "import time; time.sleep(60)"
    notebook = nbformat.read(root / "exercises/01_x.ipynb", 4)
    notebook.cells[0].source = slow
    for place in ("exercises", "work"):
        (root / place).mkdir(exist_ok=True)
        nbformat.write(notebook, root / place / "01_x.ipynb")
    report = grade.grade(root / "work/01_x.ipynb", root, seconds=1, progress=False)
    said = trouble(report)[slow]
    assert "came with the course" in said and "slow or busy" in said and "without an end" not in said


@pytest.mark.parametrize("flood", ["print('x' * 1000)", "display('x')", "os.write(1, b'x' * 1000)"])
def test_output_without_an_end_is_stopped_and_the_rest_goes_on(root, monkeypatch, flood):
    monkeypatch.setattr(watched, "OUTPUT", 1_000_000)
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # under it a kernel does not listen to its file descriptors
    sources = [f"import os\nwhile True: {flood}", SAYS, "check('01/b', 'passed')"]
    report = grade.grade(write(root / "work/01_x.ipynb", *sources), root, seconds=100, progress=False)
    assert report.passed == 1
    assert "it showed more than" in trouble(report)["import os"] and "that prints" in trouble(report)["import os"]


def test_a_cell_may_end_python_and_the_rest_goes_on(root):
    ends = ["import sys; sys.exit(3)", "raise SystemExit", "exit()", "quit(1)"]
    report = grade.grade(write(root / "work/01_x.ipynb", *ends, SAYS, "check('01/b', 'passed')"), root, progress=False)
    assert report.passed == 1 and list(trouble(report)) == ends
    assert all("a function ends with return" in said for said in trouble(report).values())


@pytest.mark.parametrize("cell", ["RESULT\n1", "r = RESULT", "for _ in 'a': RESULT", "print(RESULT)", "RESULT;"])
def test_a_result_that_was_not_shown_is_said_to_be_so(root, cell):
    """In JupyterLab, too, such a cell shows no verdict."""
    say = "class Said:\n    def _repr_mimebundle_(self, **_): return {'text/plain': 'passed'}\ndef check(*_): return Said()"
    path = write(root / "work/other.ipynb", say, cell.replace("RESULT", "check('01/b', print)"))
    (outcome,) = grade.grade(path, root, progress=False).outcomes
    assert (outcome.key, outcome.status) == ("01/b", "not attempted") and "must be the last line" in outcome.diagnosis


def test_what_only_looks_like_a_result_does_not_count(root):
    show = f"from IPython.display import display\ndef forge(record): display({{'{grade.MIME}': record}}, raw=True)"
    forged = ["forge({})", "forge([1])", "forge({'key': 1})"]
    forged += [f"forge(dict(key='01/{key}', diagnosis=''))" for key in ("a', status='great", "bonus', status='passed")]
    report = grade.grade(write(root / "work/01_x.ipynb", show, *forged), root, progress=False)
    assert (report.passed, len(report.outcomes)) == (0, 3) and list(trouble(report)) == forged
    assert all("no check of the course wrote" in said for said in trouble(report).values())
    assert "'01/bonus'" in trouble(report)[forged[-1]]


# ---- what it refuses


BAD = {
    "an empty file": (b"", "the file is empty"),
    "text": (b"not json", "line 1 is not"),
    "half a notebook": (b'{\n"cells": [', "it is damaged or of another kind (all should be JSON, and line 2 is not)"),
    "a list": (b"[]", "it has no list of cells"),
    "other JSON": (b"{}", "it has no list of cells"),
    "a strange cell": (b'{"cells": [{"cell_type": "code"}]}', "its cell 1 has no source"),
    "bytes": (b"\x00\x01\xff\xfe", "is not a Jupyter notebook"),
    "an abyss": (b"[" * 100_000, "is not a Jupyter notebook"),
}


@pytest.mark.parametrize(("raw", "says"), BAD.values(), ids=BAD)
def test_what_is_not_a_notebook(root, checked, raw, says):
    path = root / "x.ipynb"
    path.write_bytes(raw)
    code, shown = checked(path)
    assert code == 2 and says in shown.err and shown.err.count("\n") == 1
    assert shown.err.startswith(f"course.py: {path} is not a Jupyter notebook: ") and "start NN --again" in shown.err


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_notebook_that_an_editor_has_saved_its_own_way(root, checked, encoding):
    path = write(root / "work/01_x.ipynb", SAYS, "check('01/a', 'passed')")
    path.write_text(path.read_text(), encoding)
    assert "1 of 3 passed" in checked(path)[1].out


def test_a_missing_file_a_folder_and_a_notebook_without_checks(root, checked):
    write(root / "work/01_x.ipynb", "1 + 1")
    for given in ("work/01_y.ipynb", "01_x.ipynb", "work/01", "1"):
        code, shown = checked(root / given)
        assert code == 2 and f"there is no file {root / given}. Did you mean {root / 'work/01_x.ipynb'}?" in shown.err
    code, shown = checked(root / "gone.ipynb")
    assert code == 2 and "there is no file" in shown.err and "course.py start NN" in shown.err
    assert checked("x" * 5000)[0] == 2
    code, shown = checked(root / "work")
    assert code == 2 and "is a folder; name one notebook. In it: 01_x.ipynb." in shown.err
    assert "No notebook is in it" in checked(root)[1].err
    code, shown = checked(write(root / "lessons/01_lesson.ipynb", "1 + 1"))
    assert code == 2 and "has no checks" in shown.err and "course.py start 01" in shown.err


@pytest.mark.parametrize("seconds", ["-5", "0", "abc", "1.5", "²"])
def test_a_limit_of_time_that_is_none_is_refused(root, checked, capsys, seconds):
    with pytest.raises(SystemExit) as end:
        checked(root / "x.ipynb", f"--seconds={seconds}")
    assert end.value.code == 2 and "choose a whole number of seconds, 1 or more" in capsys.readouterr().err


REFUSED = {
    "a missing file": (["check", "gone.ipynb"], "there is no file gone.ipynb"),
    "a folder": (["check", "lessons"], "In it: 00_start_here.ipynb, "),
    "another file": (["check", "README.md"], "is not a Jupyter notebook"),
    "a lesson": (["check", "lessons/01_gradient_descent_and_gauss_newton.ipynb"], "has no checks"),
    "no lesson to start": (["start", "ü"], "no exercises for lesson 'ü'"),
    "no lesson for a paper": (["paper", "ü"], "lesson 'ü' does not run at the size of a paper"),
}


@pytest.mark.parametrize(("words", "says"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_waits_for_no_slow_import_and_needs_no_unicode(words, says):
    script = "import sys; from regimes_course.__main__ import main; code = main(sys.argv[1:]); "
    script += "print({'torch', 'numpy', 'nbclient', 'nbformat', 'zmq'} & set(sys.modules)); sys.exit(code)"
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", script, *words], cwd=ROOT, env=env, capture_output=True, encoding="ascii")
    assert done.returncode == 2 and done.stdout == "set()\n" and "Traceback" not in done.stderr
    assert says.replace("ü", "?") in done.stderr


def test_no_lesson_calls_a_check(root):
    """So none is run before it is said that it has none."""
    for path in (ROOT / "lessons").rglob("[0-9]*.ipynb"):
        with pytest.raises(Unusable, match="has no checks"):
            grade.grade(path, ROOT)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_being_stopped_is_one_sentence_and_leaves_no_orphan(tmp_path, how):
    begun = f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)  # check("
    path = write(tmp_path / "x.ipynb", begun)
    command = [sys.executable, "-m", "regimes_course", "check", path.name]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    limit = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < limit and process.poll() is None
        time.sleep(0.05)
    process.send_signal(how)
    said = process.communicate(timeout=20)[0]
    assert process.returncode == 130 and said == "course.py: stopped; your files are as they were.\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_report_fits_a_terminal_without_unicode(tmp_path):
    write(tmp_path / "mine.ipynb", SAYS, "check('01/gn_direction', 'wrong', 'κ → ∞')", "raise ValueError('∞')")
    env = os.environ | {"PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, "-m", "regimes_course", "check", "mine.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, encoding="cp1252")
    assert done.returncode == 1 and "0 of 1 passed" in done.stdout and "? ? ?" in done.stdout
    assert "ValueError: ?" in done.stdout and done.stderr == ""


def test_the_kernel_is_this_python_whatever_is_registered(tmp_path, monkeypatch):
    folder = tmp_path / "kernels/python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text('{"argv": ["/other/python"], "display_name": "x", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    assert kernel.KernelSpecManager().get_kernel_spec("python3").argv == ["/other/python"]
    assert kernel.ThisPython().get_kernel_spec("python3").argv[0] == sys.executable


def test_a_copy_without_the_course_folders_says_so(tmp_path):
    with pytest.raises(Unusable, match="no lessons and no exercises"):
        command.course_folder(tmp_path / "lib/regimes_course/learner/__init__.py")
