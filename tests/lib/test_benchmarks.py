"""The benchmark runs, its numbers are right, and it notices wrong ones. How fast the library is, `test_speed.py` asks."""

import json
import platform
from dataclasses import replace
from types import SimpleNamespace

import nbformat
import pytest
import torch

from benchmarks import clock, report, run, scale, startup, waiting
from benchmarks.task import Ratio, Row, Task
from benchmarks.task import run as measure

QUICK = [name for name in run.TABLE if name not in ("growth", "startup")]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Everything but growth and start-up, small, with the peers that are installed."""
    file = tmp_path_factory.mktemp("bench") / "rows.jsonl"
    assert run.main([*QUICK, "--tiny", "--peers", "--json", str(file)]) == 0
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_every_task_runs_with_every_method_and_states_its_numbers(rows):
    assert {row["section"] for row in rows} == {"cpu"} and all(row["now"] > 0 for row in rows)
    stated = {(row["task"], row["what"]) for row in rows}
    for task in run.TASKS:
        mine = [ratio for ratio in task.ratios if ratio.against not in task.peers]
        assert {(task.name, f"{ratio.method} / {ratio.against}") for ratio in mine} <= stated
    assert ("kernel", "closed form / torch.func jacrev of the batch") in stated  # a peer of torch alone
    products = [row["now"] for row in rows if row["what"] == "Hessian products a record"]
    assert len(products) == 1 and 2 <= products[0] < 100


@pytest.mark.parametrize("task", run.TASKS, ids=lambda task: task.name)
def test_a_task_is_whole(task):
    assert {ratio.method for ratio in task.ratios} <= set(task.methods)
    assert {ratio.against for ratio in task.ratios} <= {*task.methods, *task.floors, *task.peers}
    for ratio in task.ratios:
        assert {*ratio.before, *ratio.target} <= {*task.sizes, ratio.guard}
        assert ratio.guard is None or ratio.target[ratio.guard] > 0
    assert all(len(size) == len(task.axes.split()) for size in (*task.sizes, task.tiny))


def toy(**options):
    """A task whose methods are what the test gives it."""
    right = {"ours": lambda p: p.x.clone(), "theirs": lambda p: p.x + 0.0}
    plain = {"methods": right, "ratios": [Ratio("ours", "theirs")], "tolerance": 1e-12} | options
    make = lambda n, device: SimpleNamespace(x=torch.ones(n, dtype=torch.float64, device=device))  # noqa: E731
    return Task("toy", axes="n", sizes=[(3,)], tiny=(2,), make=make, reference=lambda p: p.x, **plain)


@pytest.mark.parametrize("name", ["ours", "theirs"])
def test_wrong_numbers_stop_the_benchmark_before_anything_is_timed(name, monkeypatch):
    monkeypatch.setattr(clock, "measure", lambda *_: pytest.fail("it was timed"))
    task = toy()
    wrong = replace(task, methods=task.methods | {name: lambda p: 1.001 * p.x})
    with pytest.raises(
        SystemExit, match=f"wrong numbers: toy, n = 3, {name}: off by 1.0e-03, allowed 1e-12; nothing was timed"
    ):
        measure(wrong, (3,))


def test_a_number_that_is_none_is_wrong():
    task = toy(methods={"ours": lambda p: p.x * torch.nan, "theirs": lambda p: p.x})
    with pytest.raises(SystemExit, match="off by nan"):
        measure(task, (3,))


def test_a_peer_that_is_absent_or_wrong_is_named_with_the_reason():
    def absent(p):
        raise ModuleNotFoundError("No module named 'somebody'")

    peers = {"absent": absent, "wrong": lambda p: 2 * p.x, "coarse": lambda p: 1.01 * p.x, "good": lambda p: p.x}
    found = measure(toy(peers=peers, loose={"coarse": 0.1}), (3,), peers=True, rounds=1)
    assert found.failed == {"absent": "ModuleNotFoundError: No module named 'somebody'", "wrong": "wrong, its error is 1e+00"}
    assert set(found.timings) == {"ours", "theirs", "coarse", "good"}
    assert [row.what for row in found.rows()] == ["ours / theirs", "ours / coarse", "ours / good"]
    assert "| absent | not timed: ModuleNotFoundError: No module named 'somebody' | | | |" in run.table(found)
    assert not measure(toy(peers=peers), (3,), rounds=1).failed  # not asked for


def test_a_library_method_that_raises_is_an_error():
    with pytest.raises(ZeroDivisionError):
        measure(toy(methods={"ours": lambda p: 1 / 0, "theirs": lambda p: p.x}), (3,))


def test_a_missed_target_is_measured_again(monkeypatch, capsys):
    attempts = iter([{"ours": 3.0, "theirs": 1.0}, {"ours": 1.2, "theirs": 1.0}])
    timing = lambda seconds: clock.Timing(seconds, seconds, seconds, 1)  # noqa: E731
    monkeypatch.setattr(clock, "measure", lambda *_: {name: timing(t) for name, t in next(attempts).items()})
    task = toy(ratios=[Ratio("ours", "theirs", {(3,): 7.0}, {(3,): 1.0})])
    (row,) = run.measured(task, run.parse([]))
    assert (row.now, row.before, row.target, row.missed) == (1.2, 7.0, 1.0, False)
    assert replace(row, now=1.3).missed and not replace(row, now=9.0, target=None).missed


# ---- the clock


def test_rounds_are_interleaved():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    found = clock.measure(calls, rounds=3)
    assert found["a"].rounds == 3 and found["a"].low <= found["a"].seconds <= found["a"].high
    changes = sum(one != other for one, other in zip(order, order[1:], strict=False))
    assert changes == 7  # a b, then a b in each of three rounds


def test_long_calls_get_three_rounds(monkeypatch):
    monkeypatch.setattr(clock, "seconds", lambda call, *_: 2.0)
    assert clock.measure({"long": lambda: None}, rounds=7)["long"].rounds == 3


def test_the_peak_is_exact():
    def call():
        a = torch.ones(1000, 500, dtype=torch.float64)
        b = a + 1
        del a
        return b * b

    call()
    peak = clock.peak(call)
    assert 0 <= peak - 2 * 8 * 500_000 < 100 and clock.peak(call) == peak  # and the numbers 1.0 as tensors


# ---- what else is measured


def test_growth_of_time_and_memory(monkeypatch):
    rows = run.growth.exponents(tiny=True)
    assert [row.what for row in rows] == [f"exponent of {what} in {axis}" for axis in "nm" for what in ("time", "memory")]
    assert all(0 < row.now < 2.5 for row in rows[1::2])  # memory is counted, so it is the same in every run


def test_starting():
    rows = startup.startup(tiny=True)
    assert len(rows) == 2 and all(row.now > 0 for row in rows) and rows[0].now < 1


def test_a_lesson_costs_what_its_kernel_costs(tmp_path):
    cell = "import time\nwhile time.process_time() < 2: pass"
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    nbformat.write(node, tmp_path / "lesson.ipynb")
    assert 2 <= waiting.lesson(tmp_path / "lesson.ipynb") < 20


def test_moves_of_a_widget(tmp_path, capsys):
    assert run.main(["--widgets", "--tiny", "--json", str(tmp_path / "rows.jsonl")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [(row["section"], row["task"], row["what"]) for row in rows] == [
        ("widgets", "two_points", what) for what in ("median", "worst")
    ]
    assert 0 < rows[0]["now"] <= rows[1]["now"]


# ---- the command line


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["train", "swep"], "no task 'swep'; there are: train, kernel"),
        (["--tiny", "--write"], "leave out one of --tiny and --write"),
    ],
)
def test_what_cannot_be_measured_is_refused(words, says, capsys):
    with pytest.raises(SystemExit, match="2"):
        run.main(words)
    assert says in capsys.readouterr().err


def test_a_gpu_that_is_not_there_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="2"):
        run.main(["kernel", "--device", "cuda"])
    assert "--device cuda needs an NVIDIA GPU and a torch that can use it" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--widgets"], ["--lessons"], ["startup"], ["one-pass", "kernel"]])
def test_what_runs_on_the_cpu_only_is_refused_for_a_gpu(words, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(SystemExit, match="2"):
        run.main([*words, "--device", "cuda"])
    assert "are measured on the CPU" in capsys.readouterr().err


@pytest.mark.cuda
def test_tiny_run_on_a_gpu(tmp_path):
    assert run.main(["--tiny", "--peers", "--device", "cuda", "--json", str(tmp_path / "rows.jsonl")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert {row["section"] for row in rows} == {"cuda"} and all(row["target"] is None for row in rows)


# ---- the page

LOST = Row("step", "n = 3", "ours / theirs", 2.345, (6.0, 13.0), 1.0, lost=True)
WON = Row("kernel", "n = 3", "ours / theirs", 0.0123, lost=True)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    (tmp_path / "benchmarks").mkdir()
    monkeypatch.setattr(report, "ROOT", tmp_path)
    return tmp_path


def test_the_page_says_first_what_is_lost(folder):
    report.keep("cpu", "some machine", [WON, LOST])
    page = (folder / report.PAGE).read_text("utf-8")
    lost, numbers = page.split("## All numbers")
    assert "| step | n = 3 | ours / theirs | 6.0 to 13 | **2.3** | 1.0 |" in lost and "kernel" not in lost
    assert "- step (n = 3), ours / theirs: 2.3, target 1.0" in lost
    assert "| kernel | n = 3 | ours / theirs |  | **0.012** |  |" in numbers and "some machine" in numbers
    assert "ours / theirs" in (folder / report.PICTURE).read_text("utf-8")


def test_a_task_measured_again_replaces_its_rows_only(folder):
    report.keep("cpu", "some machine", [WON, LOST])
    report.keep("lessons", "some machine", [Row("00", "all", "CPU seconds", 18.0)])
    report.keep("cpu", "another machine", [replace(LOST, now=0.9)])
    stored = report.read()
    assert stored["cpu"] == {"about": "another machine", "rows": [WON, replace(LOST, now=0.9)]}
    page = (folder / report.PAGE).read_text("utf-8")
    assert "Nothing.\n" in page and "No target is missed.\n" in page and "## Lessons" in page and "| **18** |" in page


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.0456, "0.046"), (0.999, "1.0"), (1.25, "1.2"), (26.4, "26"), (1100, "1100")]
)
def test_numbers_have_two_digits(value, text):
    assert report.number(value) == text


def test_the_committed_page_is_what_was_measured():
    assert (report.ROOT / report.PAGE).read_text("utf-8") == report.page(report.read()), "run: course.py bench --write"


def test_the_page_names_versions_and_no_machine():
    where = report.about()
    assert "torch 2" in where and "jax" not in where and platform.node() not in where


def test_tiny_scale(capsys):
    assert scale.main(["--tiny"]) == 0
    text = capsys.readouterr().out
    assert "| Gauss-Newton, 20, 40 (343) |" in text and all(f"| {route} | 30 | 5 | 4 | 28 |" in text for route in scale.ROUTES)
