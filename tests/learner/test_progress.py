"""What is checked in work/ is kept, whatever happens to the record; `progress` tells it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from regimes_course import __main__ as command
from regimes_course.learner import Unusable, progress
from regimes_course.learner.progress import collect, place, read, record

ROOT = Path(__file__).resolve().parents[2]
DAY = "2026-01-03T10:00:00+01:00"


def line(key, status="passed", mistake=None, when=DAY):
    return json.dumps({"when": when, "key": key, "status": status, "mistake": mistake})


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with the exercises 01/a, 01/b and 02/c; `course(*lines)` writes its record."""
    for path, names in {"exercises/01_descent.ipynb": "ab", "exercises/02_cloud.ipynb": "c"}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        heads = [(f"## Exercise: {name}\n\ntext", {"exercise": name, "stars": 2, "minutes": 15}) for name in names]
        cells = [new_markdown_cell(text, metadata=metadata) for text, metadata in heads]
        header = {"regimes": {"title": f"Exercises {path[10:12]}: steps and <clouds>"}}
        nbformat.write(new_notebook(cells=cells, metadata=header), tmp_path / path)
    (tmp_path / "work").mkdir()
    for module in (progress, command):
        monkeypatch.setattr(module, "course_folder", lambda: tmp_path)
    monkeypatch.delenv("REGIMES_PROGRESS", raising=False)

    def write(*lines):
        (tmp_path / "work/progress.jsonl").write_text("\n".join(lines))
        return collect(tmp_path)

    write.root = tmp_path
    return write


def standing(found, key):
    return next(one for lesson in found.lessons for one in lesson.exercises if one.key == key)


# ---- what is kept


def test_a_check_in_work_is_kept_and_one_elsewhere_is_not(tmp_path):
    """With the real package in a real course folder, in a Python of its own as in a kernel."""
    shutil.copytree(ROOT / "lib", tmp_path / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("lessons", "exercises", "work/mine"):
        (tmp_path / folder).mkdir(parents=True)
    script = "import os, sys; from regimes_course.exercises import EXERCISES, check; one = EXERCISES['01/gn_direction']\n"
    script += "for folder in sys.argv[1:]:\n    os.chdir(folder)\n"
    script += "    for answer in (one.mistakes[0].example, one.reference): assert check(one.key, answer).key == one.key"
    env = {key: value for key, value in os.environ.items() if key != "REGIMES_PROGRESS"}
    env["PYTHONPATH"] = str(tmp_path / "lib")
    folders = [tmp_path, tmp_path / "lessons", tmp_path / "work/mine"]
    subprocess.run([sys.executable, "-c", script, *folders], env=env, check=True)
    assert [path for path in tmp_path.rglob("*.jsonl")] == [tmp_path / "work/progress.jsonl"]
    verdicts, damaged = read(tmp_path / "work/progress.jsonl")
    assert damaged == 0 and [(one.key, one.status) for one in verdicts] == [
        ("01/gn_direction", "wrong"),
        ("01/gn_direction", "passed"),
    ]
    assert verdicts[0].mistake and verdicts[1].mistake is None and verdicts[0].when[-6] in "+-"


def test_a_check_command_keeps_news_only(course):
    lesson = course.root / "exercises/01_descent.ipynb"
    notebook = nbformat.read(lesson, 4)
    say = f"from IPython.display import display\ndef check(key, status): display({{'{'application/vnd.regimes.check+json'}': "
    say += "dict(key=key, status=status, diagnosis='', mistake=None)}, raw=True)"
    notebook.cells += [new_code_cell(say), new_code_cell("check('01/a', 'passed')"), new_code_cell("check('01/b', 'wrong')")]
    for path in ("work/01_descent.ipynb", "anna.ipynb"):
        nbformat.write(notebook, course.root / path)
        for _ in range(2):
            assert command.main(["check", str(course.root / path), "--json"]) == 1
    verdicts, _ = read(course.root / "work/progress.jsonl")
    assert [(one.key, one.status) for one in verdicts] == [("01/a", "passed"), ("01/b", "wrong")]


def test_many_kernels_write_at_once_and_no_line_is_lost(course):
    file = course.root / "work/progress.jsonl"
    script = "import sys; from regimes_course.learner.progress import record\n"
    script += "for k in range(200): record(sys.argv[1], 'wrong', 'm' * k)"
    env = os.environ | {"REGIMES_PROGRESS": str(file)}
    kernels = [subprocess.Popen([sys.executable, "-c", script, f"01/{name}"], env=env) for name in "abcd"]
    assert [kernel.wait(60) for kernel in kernels] == [0] * 4
    verdicts, damaged = read(file)
    assert damaged == 0 and len(verdicts) == 800
    assert [len(one.mistake) for one in verdicts if one.key == "01/c"] == list(range(200))


def test_a_record_that_cannot_be_written_stops_no_check(course, monkeypatch):
    (course.root / "work/progress.jsonl").mkdir()
    record("01/a", "passed", None, course.root / "work")
    monkeypatch.setattr(progress, "course_folder", lambda: (_ for _ in ()).throw(Unusable("no course")))
    record("01/a", "passed", None, course.root / "work")
    monkeypatch.setenv("REGIMES_PROGRESS", str(course.root / "no such folder/x"))
    record("01/a", "passed", None)


def test_recording_needs_the_standard_library_only():
    script = "import sys, regimes_course.learner.progress; print({'torch', 'numpy', 'IPython', 'nbformat'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "set()\n"


# ---- what is told


def test_first_success_attempts_and_mistakes(course):
    later = "2026-02-01T00:00:00+01:00"
    found = course(
        line("01/a", "not attempted"), line("01/a", "wrong", "sign"), line("01/a", "wrong", "sign"), line("01/a", "wrong"),
        line("01/a"), line("01/a", "wrong", "transposed", later), line("01/a", when=later), line("01/b", "wrong", "no step"),
    )  # fmt: skip
    one = standing(found, "01/a")
    assert (one.passed, one.attempts, one.mistakes) == (DAY, 4, ("sign", "transposed"))
    assert (one.title, one.stars, one.minutes) == ("Exercise: a", 2, 15)
    assert (standing(found, "01/b").passed, standing(found, "01/b").attempts) == ("", 1)
    assert found.next == "01/b: python3 course.py start 01" and (found.passed, found.total) == (1, 3)
    lines = [text.split() for text in str(found).splitlines()]
    assert "01 Steps and <clouds> 1 of 2".split() in lines and "passed a 2026-01-03 4 tries".split() in lines
    assert "tried b 1 try".split() in lines and "open c 15 minutes".split() in lines
    assert "recognised: sign; transposed".split() in lines


def test_what_is_next(course):
    assert course().next.startswith("01/a: ")
    assert course(line("02/c", "wrong")).next.startswith("02/c: ")
    (course.root / "work/01_descent.ipynb").touch()
    assert course(line("02/c")).next == "01/a: open work/01_descent.ipynb (python3 course.py lab)"
    done = course(line("01/a"), line("01/b"), line("02/c"))
    assert done.next is None and "That is all of them." in str(done)


def test_a_damaged_record_keeps_what_can_be_read(course):
    damaged = ["{", line("01/b")[:-9], "[]", "7", '"x"', line("01/b", "great"), line(["01/b"]), line("01/b", when="today")]
    found = course(*damaged, line("01/a"), "", line("01/b", "passed", 7))
    file = course.root / "work/progress.jsonl"
    file.write_bytes(file.read_bytes() + b"\n\xff\xfe")
    found = collect(course.root)
    assert (found.passed, found.damaged) == (1, 10) and str(found).count("cannot be read and were left out: 10.") == 1
    file.write_bytes(file.read_bytes() + b'\n{"when": "2026')
    record("01/b", "passed", None, file.parent)  # after a line that was broken off
    assert collect(course.root).passed == 2


def test_an_exercise_with_a_new_name_and_one_that_is_gone(course, monkeypatch):
    monkeypatch.setitem(progress.RENAMED, "01/old", "01/b")
    found = course(line("01/old"), line("01/gone", "wrong", "sign"), line("07/gone"), line("01/x", "not attempted"))
    assert standing(found, "01/b").passed == DAY
    assert [(one.key, one.passed, one.mistakes) for one in found.earlier] == [("01/gone", "", ("sign",)), ("07/gone", DAY, ())]
    assert found.total == 3 and "passed  07/gone" in str(found)


def test_renamed_exercises_exist():
    ours = {one.key for lesson in collect(ROOT, Path(os.devnull)).lessons for one in lesson.exercises}
    from regimes_course.exercises import EXERCISES

    assert ours == set(EXERCISES) and set(progress.RENAMED.values()) <= ours and not ours & set(progress.RENAMED)


def test_the_command(course, capsys, monkeypatch):
    course(line("01/a", "wrong", "Größe κ"))
    assert command.main(["progress", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["passed"], told["total"], told["damaged"]) == (0, 3, 0)
    assert told["lessons"][0]["exercises"][0]["mistakes"] == ["Größe κ"]
    (course.root / "work/progress.jsonl").unlink()
    (course.root / "work/progress.jsonl").mkdir()
    assert command.main(["progress"]) == 2 and "where your progress is kept, cannot be read" in capsys.readouterr().err


def test_it_fits_eighty_columns_and_a_terminal_without_unicode(tmp_path):
    file = tmp_path / "record.jsonl"
    mistakes = [f"{'a rather long name of a mistake '}κ{k}" for k in range(5)]
    file.write_text("\n".join(line("03/fluctuations", "wrong", name) for name in mistakes))
    env = os.environ | {"PYTHONIOENCODING": "cp1252", "REGIMES_PROGRESS": str(file)}
    command = [sys.executable, "-m", "regimes_course", "progress"]
    done = subprocess.run(command, env=env, capture_output=True, encoding="cp1252", check=True)
    assert "mistake ?4" in done.stdout and max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_reader_that_has_seen_enough_gets_no_traceback(tmp_path):
    env = os.environ | {"REGIMES_PROGRESS": str(tmp_path / "record.jsonl")}
    command = [sys.executable, "-m", "regimes_course", "progress"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait() == 1


def test_in_a_lesson(course, capsys, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    course(line("01/a", "wrong"))
    progress.progress()
    assert capsys.readouterr().out == progress.NOTHING + "\n" and not shown
    course(line("01/a"))
    progress.progress()
    (data,) = shown
    assert "01 Steps and <clouds>" in data["text/plain"] and "01 Steps and &lt;clouds&gt;" in data["text/html"]
    assert "Next: 01/b: " in data["text/plain"] and "<td>1 of 2</td>" in data["text/html"]


def test_what_the_author_solved_is_in_no_built_notebook():
    from tools.execute import ENVIRONMENT

    assert ENVIRONMENT["REGIMES_PROGRESS"] == os.devnull and read(Path(os.devnull)) == ([], 0)


def test_only_what_lies_in_work_has_a_place(course):
    work = course.root / "work"
    assert place(work / "sub") == place(work) == work / "progress.jsonl"
    assert place(course.root) is None and place(course.root / "work2") is None and place(work / "../lessons") is None
