"""`paper` runs a lesson at the size of its paper, keeps what was run, and never writes over a result."""

import os
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from regimes_course import __main__ as command
from regimes_course.learner import Unusable, long_run, paper

SIZES = "from regimes_course.kit.page import at_scale\nn = at_scale(course=dict(n=50), paper=dict(n=500)).n\nn"
FAKE = "at_scale = dict\nat_scale()"  # counts as a lesson with two sizes, and loads nothing
LEDGER = """from IPython.display import display
display({"application/vnd.regimes.claims+json": [], "text/plain": "a: predicted 2, measured 2.01: reproduced"}, raw=True)"""


def lesson(root, name, *sources):
    """A lesson as a course keeps it: executed, with outputs of the size of the course."""
    cells = [new_markdown_cell("# A lesson with at_scale(...) in its text")]
    for source in sources:
        tags = ["widget"] if source.startswith("# sliders") else []
        stored = new_output("stream", name="stdout", text="at the size of the course")
        cells.append(new_code_cell(source, outputs=[stored], execution_count=7, metadata={"tags": tags}))
    (root / "lessons").mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=cells), root / f"lessons/{name}.ipynb")


def outputs(root, name="02_cloud"):
    """What the cells of the result show, as text."""
    cells = nbformat.read(root / f"work/paper/{name}.ipynb", 4).cells[1:]
    return [[out.get("text") or out.get("ename") or out["data"]["text/plain"] for out in cell.outputs] for cell in cells]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the command in the course folder tmp_path; its exit code and what it printed."""
    monkeypatch.setattr(command, "course_folder", lambda: tmp_path)
    for name in ("REGIMES_SCALE", "TQDM_DISABLE"):
        monkeypatch.delenv(name, raising=False)

    def run(*words):
        code = command.main(["paper", *words])
        return code, capsys.readouterr()

    return run


def test_the_cells_run_at_the_size_of_the_paper(tmp_path, run):
    probe = "import joblib, os\nprint(joblib.Parallel().n_jobs, os.environ['TQDM_DISABLE'], os.getcwd())"
    saved = "import json\njson.load(open('02_cloud.ipynb'))['cells'][1]['outputs'][0]['data']['text/plain']"
    lesson(tmp_path, "02_cloud", SIZES, "# sliders\nraise SystemError", probe, saved, LEDGER)
    source = (tmp_path / "lessons/02_cloud.ipynb").read_bytes()
    (tmp_path / "work/paper").mkdir(parents=True)
    (tmp_path / "work/paper/02_cloud.draft").write_text('{"cells": [')  # somebody was killed while writing
    code, shown = run("2", "--jobs", "3")
    lines = shown.out.splitlines()
    assert code == 0 and [line.split(",")[0] for line in lines[:4]] == [f"cell {k} of 4" for k in (1, 2, 3, 4)]
    assert all(line.endswith(" s") for line in lines[:4])
    assert lines[4:6] == ["", "a: predicted 2, measured 2.01: reproduced"]
    assert lines[6].startswith("Done. ") and lines[6].endswith("s in all; work/paper/02_cloud.ipynb holds what was run.")
    first, sliders, (told,), saved, _ = outputs(tmp_path)
    assert first == ["500"] and sliders == ["at the size of the course"]
    assert told.split() == ["3", "1", str(tmp_path / "work/paper")]
    assert saved == ["['500']"]  # what the first cell showed was on the disk by then
    assert (tmp_path / "lessons/02_cloud.ipynb").read_bytes() == source
    result = nbformat.read(tmp_path / "work/paper/02_cloud.ipynb", 4)
    assert [cell.source for cell in result.cells] == [cell.source for cell in nbformat.reads(source, 4).cells]
    assert [path.name for path in (tmp_path / "work/paper").iterdir()] == ["02_cloud.ipynb"]


def test_an_error_ends_the_run_and_what_was_run_is_kept(tmp_path, run):
    """Twice more it goes on: from before a generator, which is lost with its process, and with the variables lost as well."""
    lesson(tmp_path, "02_cloud", FAKE, "print('reached')", "rows = (row for row in [1])", "1 / 0", "print('not reached')")
    for begun in ("cell 1 of 5", "2 of 5 cells done\ncell 3 of 5", "The variables of the finished cells cannot be read"):
        code, shown = run("02")
        assert (
            code == 1 and shown.out.startswith(begun) and "cell 3 of 5, 0 s; will run again if you stop now, as " in shown.out
        )
        assert "cell 4 of 5\nThis cell raised an error: ZeroDivisionError: division by zero. " in shown.out
        assert outputs(tmp_path) == [["{}"], ["reached\n"], [], ["ZeroDivisionError"], []]
        if "cell 1 of 5" not in shown.out:
            (tmp_path / "work/paper/02_cloud.unfinished/2.state").write_bytes(b"damaged")


def test_a_kernel_that_dies_is_said(tmp_path, run):
    lesson(tmp_path, "02_cloud", FAKE, "import os; os._exit(1)", "print('not reached')")
    code, shown = run("2")
    assert code == 1 and "cell 2 of 3\nPython ended in this cell, most often because memory ran out. " in shown.out
    assert outputs(tmp_path) == [["{}"], [], []]


def begin(root):
    """Start the command in a process of its own."""
    script = "import signal, sys; from pathlib import Path; from regimes_course.learner.paper import paper; "
    script += "signal.signal(signal.SIGINT, signal.default_int_handler); "  # a shell's background jobs are deaf to it
    script += f"sys.exit(not paper('2', Path({str(root)!r})))"
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def kernel(process, path):
    """Wait until a cell has written the id of its kernel into the file `path`; return the id."""
    limit = time.monotonic() + 60
    while not path.exists() or not path.read_text():
        assert time.monotonic() < limit and process.poll() is None
        time.sleep(0.05)
    return int(path.read_text())


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_being_stopped_keeps_what_was_run_and_leaves_no_orphan(tmp_path):
    long = f"import os, time; print('begun'); open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    lesson(tmp_path, "02_cloud", FAKE, long, "print('not reached')")
    process = begin(tmp_path)
    pid = kernel(process, tmp_path / "pid")
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=20)[0]
    assert process.returncode == 1 and "cell 2 of 3\nStopped. " in said and "Traceback" not in said
    assert said.endswith("The same command goes on from there.\n")
    assert outputs(tmp_path) == [["{}"], ["begun\n", "KeyboardInterrupt"], []]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


KEPT = """import torch
print('one', file=open('log', 'a'))
_ = torch.manual_seed(3)
factor, x = 2, torch.zeros(3)
view, same = x[:2], x
def scaled(a): return a * factor
def counter():
    count = [0]
    def add(): count[0] += 1; return count[0]
    return add, lambda: count[0]
add, look = counter()
add()"""
SWEEP = """import os, time
from regimes.sweeps import sweep
def run(a):
    print('stack', int(a), file=open('log', 'a'))
    while int(a) == 2 and os.path.exists('hold'):
        open('pid', 'w').write(str(os.getpid()))
        time.sleep(0.01)
    return {"twice": scaled(a)}
print('two', file=open('log', 'a'))
result = sweep(run, {"a": [0., 1., 2., 3.]}, stack=1)
result["twice"]"""
USED = """x[0], factor = 7, 5
view, same is x, scaled(1), add(), look(), torch.rand(2), result["twice"]"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_run_that_was_killed_goes_on_and_ends_as_if_nothing_had_happened(tmp_path, run, monkeypatch):
    """Killed in the third stack of a sweep. Later cells find one tensor under two names, functions that see new values, and
    the random numbers that come next."""
    killed, quiet = tmp_path / "killed", tmp_path / "quiet"
    (killed / "work/paper").mkdir(parents=True)
    lesson(killed, "02_cloud", FAKE, KEPT, SWEEP, USED)
    shutil.copytree(killed, quiet)
    folder = killed / "work/paper"
    (folder / "hold").touch()
    process = begin(killed)
    pid = kernel(process, folder / "pid")
    process.kill()
    os.kill(pid, signal.SIGKILL)
    process.communicate()
    (folder / "hold").unlink()
    (folder / "02_cloud.draft").write_text("{")
    assert (folder / "log").read_text().split("\n")[:-1] == ["one", "two", "stack 0", "stack 1", "stack 2"]
    (folder / "log").unlink()
    said = {}
    for root in (killed, quiet):
        monkeypatch.setattr(command, "course_folder", lambda root=root: root)
        code, shown = run("2")
        assert code == 0
        said[root] = shown.out.splitlines()[0]
    assert said[killed] == "2 of 4 cells done" and said[quiet].startswith("cell 1 of 4")
    assert (folder / "log").read_text().split("\n")[:-1] == ["two", "stack 2", "stack 3"]
    one, other = ((root / "work/paper/02_cloud.ipynb").read_bytes() for root in (killed, quiet))
    assert one == other and outputs(killed)[3][0].startswith("(tensor([7., 0.]),\n True,\n 5,\n 2,\n 2,\n tensor(")
    assert {path.name for path in folder.iterdir()} == {"02_cloud.ipynb", "log", "pid"}


# ---- what it refuses


@pytest.fixture
def quick(monkeypatch):
    """No kernel: all the cells but `quick.left` are done at once."""

    def quick(notebook, target, jobs):
        notebook.metadata.paper["done"] = len(long_run.to_run(notebook)) - quick.left
        long_run.save(notebook, target)
        return "Stopped." if quick.left else ""

    quick.left = 0
    monkeypatch.setattr(long_run, "run", quick)
    return quick


def test_a_result_is_never_written_over(tmp_path, run, quick):
    lesson(tmp_path, "02_cloud", FAKE)
    result = tmp_path / "work/paper/02_cloud.ipynb"
    assert run("2")[0] == 0
    for text in (result.read_text(), "mine"):
        result.write_text(text)
        code, shown = run("2")
        assert code == 2 and result.read_text() == text
        assert "is there already and stays as it is" in shown.err and "course.py paper 02 --again" in shown.err
    code, shown = run("2", "--again")
    (kept,) = result.parent.glob("02_cloud.kept-*.ipynb")
    assert code == 0 and kept.read_text() == "mine" and f"kept as work/paper/{kept.name}" in shown.out
    assert nbformat.read(result, 4).cells[1].source == FAKE


@pytest.mark.parametrize("change", ["nothing", "lesson", "library", "seeds", "notebook", "again"])
def test_only_a_run_of_this_very_lesson_is_taken_up(tmp_path, run, quick, monkeypatch, change):
    lesson(tmp_path, "02_cloud", FAKE, "print('old')")
    result, quick.left = tmp_path / "work/paper/02_cloud.ipynb", 1
    assert run("2")[0] == 1
    before, state = result.read_text(), result.with_suffix(".unfinished") / "1.state"
    state.touch()
    if change == "lesson":
        lesson(tmp_path, "02_cloud", FAKE, "print('new')")
    elif change == "library":
        monkeypatch.setattr(long_run, "library", lambda *beside: "a later version")
    elif change == "seeds":
        monkeypatch.setenv("REGIMES_FIRST_SEED", "100")
    elif change == "notebook":
        before = before.replace("old", "my own")
        result.write_text(before)
    _, shown = run("2", *["--again"] * (change == "again"))
    kept = [path.read_text() for path in result.parent.glob("02_cloud.kept-*.ipynb")]
    assert kept == ([] if change == "nothing" else [before]) and state.exists() == (change == "nothing")
    assert ("has changed since this run began, so it starts anew" in shown.out) == (change not in ("nothing", "again"))


def test_a_lesson_runs_once_at_a_time(tmp_path, run, quick):
    lesson(tmp_path, "02_cloud", FAKE)
    with long_run.alone(tmp_path / "lessons/02_cloud.ipynb"):
        code, shown = run("2")
    assert code == 2 and "02_cloud is running already" in shown.err
    assert run("2")[0] == 0


@pytest.mark.parametrize("number", ["01", "7", "cloud", "../02"])
def test_a_lesson_of_one_size_gets_the_list_of_those_with_two(tmp_path, run, quick, number):
    for name, source in {"01_descent": "n = 50", "02_cloud": FAKE, "05_hidden": SIZES}.items():
        lesson(tmp_path, name, source)
    code, shown = run(number)
    assert code == 2 and f"lesson {number!r} does not run at the size of a paper" in shown.err
    assert "Those that do: 02_cloud, 05_hidden\n" in shown.err and not (tmp_path / "work").exists()


def test_a_course_without_such_lessons(tmp_path):
    with pytest.raises(Unusable, match="Those that do: none in this copy of the course"):
        paper.paper("2", tmp_path)


@pytest.mark.parametrize("jobs", ["0", "-1", "two", "1.5"])
def test_a_number_of_processes_that_is_none_is_refused(run, capsys, jobs):
    with pytest.raises(SystemExit) as end:
        run("2", f"--jobs={jobs}")
    assert end.value.code == 2 and "choose 1 or more" in capsys.readouterr().err
