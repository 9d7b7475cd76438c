"""`paper` runs a lesson at the size of its paper, keeps what was run, and never writes over a result."""

import os
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from regimes.course import Unusable, paper
from regimes.course import __main__ as command

SIZES = "from regimes.course.page import at_scale\nn = at_scale(course=dict(n=50), paper=dict(n=500)).n\nn"
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
    assert [path.name for path in (tmp_path / "work/paper").iterdir()] == ["02_cloud.ipynb"]


def test_an_error_ends_the_run_and_what_was_run_is_kept(tmp_path, run):
    lesson(tmp_path, "02_cloud", FAKE, "print('reached')", "1 / 0", "print('not reached')")
    code, shown = run("02")
    assert code == 1 and "cell 3 of 4\nThis cell raised an error: ZeroDivisionError: division by zero. " in shown.out
    assert outputs(tmp_path) == [["{}"], ["reached\n"], ["ZeroDivisionError"], []]


def test_a_kernel_that_dies_is_said(tmp_path, run):
    lesson(tmp_path, "02_cloud", FAKE, "import os; os._exit(1)", "print('not reached')")
    code, shown = run("2")
    assert code == 1 and "cell 2 of 3\nPython ended in this cell, most often because memory ran out. " in shown.out
    assert outputs(tmp_path) == [["{}"], [], []]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_being_stopped_keeps_what_was_run_and_leaves_no_orphan(tmp_path):
    long = f"import os, time; print('begun'); open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    lesson(tmp_path, "02_cloud", FAKE, long, "print('not reached')")
    script = "import signal, sys; from pathlib import Path; from regimes.course.paper import paper; "
    script += "signal.signal(signal.SIGINT, signal.default_int_handler); "  # a shell's background jobs are deaf to it
    script += f"sys.exit(not paper('2', Path({str(tmp_path)!r})))"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    limit = time.monotonic() + 40
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < limit and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=20)[0]
    assert process.returncode == 1 and "cell 2 of 3\nStopped. " in said and "Traceback" not in said
    assert outputs(tmp_path) == [["{}"], ["begun\n", "KeyboardInterrupt"], []]
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


# ---- what it refuses


@pytest.fixture
def quick(monkeypatch):
    """No kernel: what would be run is written at once."""
    monkeypatch.setattr(paper, "run", lambda notebook, target, jobs: paper.save(notebook, target) or "")


def test_a_result_is_never_written_over(tmp_path, run, quick):
    lesson(tmp_path, "02_cloud", FAKE)
    assert run("2")[0] == 0
    result = tmp_path / "work/paper/02_cloud.ipynb"
    result.write_text("mine")
    code, shown = run("2")
    assert code == 2 and result.read_text() == "mine"
    assert "is there already and stays as it is" in shown.err and "course.py paper 2 --again" in shown.err
    code, shown = run("2", "--again")
    (kept,) = result.parent.glob("02_cloud.kept-*.ipynb")
    assert code == 0 and kept.read_text() == "mine" and f"kept as work/paper/{kept.name}" in shown.out
    assert nbformat.read(result, 4).cells[1].source == FAKE


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
