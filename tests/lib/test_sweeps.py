"""Many runs at once are the same runs one by one, in the place that their settings say."""

import hashlib
import importlib
import io
import json
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch

from regimes.linalg import Singular
from regimes.optimizers import GaussNewton
from regimes.problems import teacher_student
from regimes.store import Store, fingerprint
from regimes.sweeps import CACHE, Sweep, stack_size, sweep
from regimes.training import Diverged, Trace, _quiet, progress, train
from tests.lib.cases import D, relative, two_layer

DEFAULT = {"std": 0.9, "lr": 0.1, "damping": 5e-3, "seed": 3}
GRIDS = {
    "std": {"std": [0.1, 1.0, 10.0, 0.5]},
    "step": {"lr": [0.02, 0.3, 0.1, 0.7]},
    "damping": {"damping": [1e-3, 0.1, 5.0, 0.02]},
    "seed": {"seed": [0, 7, 3, 11]},
    "all": {"seed": [4, 1], "std": [0.3, 3.0], "lr": [0.05, 0.2], "damping": [5e-4, 0.5]},
}


def train_one_or_many(runs, steps=20, **settings):
    """Gauss-Newton on data of the same seed as the network: what it saw at each step, and where it went."""
    s = DEFAULT | settings
    problem = teacher_student(13, D, teacher_width=2, n_test=5, seed=s["seed"])
    net = two_layer(runs=runs, std=s["std"], output_std=0.0, seed=torch.as_tensor(s["seed"]).expand(runs))
    trace = train(net, problem.x, problem.y, GaussNewton(net, s["lr"], damping=s["damping"]), steps)
    return {"path": trace.loss.movedim(0, -1), "W": net.W, "final": trace.loss[-1]}


def many(**settings):
    (shape,) = {tuple(value.shape) for value in settings.values()}
    return train_one_or_many(shape, **settings)


def looped(grid):
    """The settings of each cell as plain numbers, and the run alone."""
    cells = torch.cartesian_prod(*(torch.arange(len(values)) for values in grid.values())).reshape(-1, len(grid))
    for cell in cells.tolist():
        settings = {name: values[i] for (name, values), i in zip(grid.items(), cell, strict=True)}
        yield tuple(cell), train_one_or_many((), **settings)


@pytest.mark.parametrize("stack", [1, 3, None])
@pytest.mark.parametrize("name", GRIDS)
def test_a_sweep_is_a_loop_over_single_runs(name, stack):
    result = sweep(many, GRIDS[name], stack=stack)
    assert result["path"].shape == (*(len(values) for values in GRIDS[name].values()), 21)
    for cell, alone in looped(GRIDS[name]):
        for measured, value in alone.items():
            assert relative(result[measured][cell], value.detach()) < 1e-10, (cell, measured)
    assert (result.diverged == -1).all() and not result["W"].requires_grad


def digits(**settings):
    return {"digits": 100 * settings["a"] + 10 * settings["b"] + settings["c"]}


@pytest.mark.parametrize("stack", [1, 5, None])
def test_axes_are_the_settings_in_their_order(stack):
    result = sweep(digits, {"b": [1, 2, 3], "a": [4, 5], "c": [6, 7, 8, 9]}, stack=stack)
    wanted = [[[100 * a + 10 * b + c for c in (6, 7, 8, 9)] for a in (4, 5)] for b in (1, 2, 3)]
    assert result["digits"].tolist() == wanted and result.diverged.shape == (3, 2, 4)
    assert {name: values.tolist() for name, values in result.grid.items()} == {"b": [1, 2, 3], "a": [4, 5], "c": [6, 7, 8, 9]}


def test_further_axes_of_what_is_measured_come_last():
    table = torch.arange(6.0).reshape(2, 3)
    result = sweep(lambda a, b: {"table": (a + b)[:, None, None] + table}, {"a": [0, 10], "b": range(4)})
    assert result["table"].shape == (2, 4, 2, 3) and torch.equal(result["table"][1, 2], 12 + table)


def test_settings_keep_what_they_are():
    """Numbers arrive in float64, where claimed numbers live, and seeds as integers; a range or a tensor will do as a list."""
    seen = {}
    sweep(lambda **s: seen.update(s) or {"one": s["std"]}, {"std": [0.1], "seed": range(2), "eps": torch.tensor([0.5])})
    assert {name: value.dtype for name, value in seen.items()} == {
        "std": torch.float64, "seed": torch.int64, "eps": torch.float32,
    }  # fmt: skip
    assert seen["std"].tolist() == [0.1, 0.1]


@pytest.mark.parametrize(("stack", "sizes"), [(1, [1] * 7), (3, [3, 3, 1]), (20, [7]), (None, [7])])
def test_stacks_are_of_the_size_asked_for(stack, sizes):
    seen = []
    sweep(lambda a: seen.append(len(a)) or {"a": a}, {"a": range(7)}, stack=stack)
    assert seen == sizes


# ---- runs that diverge

HEALTHY, WILD = [0.04, 0.01, 0.02, 0.03], 1e3  # step sizes of Gauss-Newton; two is its limit


@pytest.mark.parametrize("stack", [1, 3, None])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_run_that_diverges_is_taken_out_and_the_others_stay_what_they_are(place, stack):
    def long(lr):
        return train_one_or_many(lr.shape, 60, lr=lr)

    with pytest.raises(Diverged) as alone:
        train_one_or_many((), 60, lr=WILD)
    result = sweep(long, {"lr": [*HEALTHY[:place], WILD, *HEALTHY[place:]]}, stack=stack)
    others = [i for i in range(5) if i != place]
    assert result.diverged.tolist() == [alone.value.step if i == place else -1 for i in range(5)]
    for name, value in sweep(long, {"lr": HEALTHY}, stack=stack).measured.items():
        assert torch.isnan(result[name][place]).all()
        assert relative(result[name][others], value) < 1e-10


def stopping(a):
    """Runs with a negative setting diverge at the step that it names."""
    if (a < 0).any():
        raise Diverged(int(-a.min()), a < 0, Trace(*torch.empty(3, 0)))
    return {"a": a, "seen": a > 1}


@pytest.mark.parametrize("stack", [1, 2, 4, None])
def test_several_runs_diverge_each_at_its_step(stack):
    result = sweep(stopping, {"a": [-3, 1, -7, -2, 2, 5, -4, 6]}, stack=stack)
    assert result.diverged.tolist() == [3, -1, 7, 2, -1, -1, 4, -1]
    assert torch.equal(result["a"].isnan(), result.diverged >= 0)
    assert result["a"][~result["a"].isnan()].tolist() == [1, 2, 5, 6]
    assert result["seen"][[1, 4, 5, 7]].tolist() == [0, 1, 1, 1]


def test_a_run_whose_first_step_cannot_be_computed_is_taken_out_as_well():
    def undamped(std):
        return train_one_or_many(std.shape, 3, std=std, damping=0.0)

    result = sweep(undamped, {"std": [1e-3, 1.0]})
    assert result.diverged.tolist() == [0, -1] and result["final"].isnan().tolist() == [True, False]
    with pytest.raises(Singular):
        sweep(undamped, {"std": [1e-3, 1e-4]})


def test_when_all_diverge_the_first_one_is_raised():
    with pytest.raises(Diverged, match="at step 5") as caught:
        sweep(stopping, {"a": [-5, -6, -7]})
    assert caught.value.step == 5


# ---- runs that fail otherwise


class Awkward(Exception):
    """Cannot be made again from its message, as many exceptions of other libraries."""

    def __init__(self, what, where):
        super().__init__(f"{what} at {where}")


def failing(a, b):
    """Fails in one way at a = 2, in another at a = 5, and diverges at a = 3."""
    if (a == 2).any():
        raise ZeroDivisionError("two")
    if (a == 5).any():
        raise Awkward("five", "home")
    return stopping(torch.where(a == 3, -7, a) + 0 * b)


@pytest.mark.parametrize(("stack", "jobs"), [(1, None), (4, None), (None, None), (3, 2)])
def test_a_run_that_fails_is_a_row_with_its_error_and_said_once(stack, jobs):
    grid = {"a": [1, 2, 3, 4, 5], "b": [0.5, 0.25]}
    with pytest.warns(
        RuntimeWarning, match=r"^4 of 10 runs failed .* first, a=2, b=0.5, raised ZeroDivisionError: two$"
    ) as said:
        result = sweep(failing, grid, stack=stack, jobs=jobs)
    assert len(said) == 1 and "test_sweeps" in said[0].filename
    assert {place: str(error) for place, error in result.errors.items()} == {
        (2, 0.5): "two", (2, 0.25): "two", (5, 0.5): "Awkward: five at home", (5, 0.25): "Awkward: five at home",
    }  # fmt: skip
    assert isinstance(result.errors[2, 0.5], ZeroDivisionError) and result.errors[2, 0.5].__traceback__ is None
    assert result["a"].isnan().all(1).tolist() == [False, True, True, False, True]
    assert result["a"][[0, 3]].tolist() == [[1, 1], [4, 4]] and result.diverged[:, 0].tolist() == [-1, -1, 7, -1, -1]


def test_an_error_of_every_run_is_raised_as_it_was():
    with pytest.raises(NameError, match="a_typo") as caught:
        sweep(lambda a: {"a": a_typo}, {"a": [1, 2, 3]})  # noqa: F821
    assert caught.traceback[-1].path.name == "test_sweeps.py"  # it leads to the line


def test_an_error_says_where_the_finished_stacks_are(tmp_path):
    with pytest.raises(ValueError, match="one row per run") as caught:
        sweep(lambda a: {"a": a if a < 2 else torch.ones(2)}, {"a": [1, 2]}, stack=1, store=tmp_path)
    (note,) = caught.value.__notes__
    assert note == f"What was finished is kept in {tmp_path}: the same call of sweep() goes on from there."


def test_an_interrupt_ends_the_sweep():
    def interrupted(a):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(interrupted, {"a": [1, 2]})


def test_arrays_lists_and_the_number_of_a_single_run_will_do():
    def run(a):
        return {"array": a.numpy() ** 2, "list": [[x, 1] for x in a.tolist()], "tensors": [(x * 2).numpy() for x in a]}

    result = sweep(run, {"a": [0.1, 2.0]})
    assert result["array"].tolist() == [0.1**2, 4] and result["list"].tolist() == [[0.1, 1], [2, 1]]
    assert result["tensors"].tolist() == [0.2, 4] and result["list"].dtype == torch.float64
    assert sweep(lambda a: {"a": a.item(), "b": a.sum()}, {"a": [0.1, 2.0]}, stack=1)["a"].tolist() == [0.1, 2.0]


# ---- kept in a store


@pytest.fixture
def logged(tmp_path):
    """`logged(run)` notes its calls in a file; `logged.calls()` says how many there were since the last time."""
    path = tmp_path / "calls"

    def logged(run):
        def noting(**settings):
            with path.open("a") as file:
                file.write("called\n")
            return run(**settings)

        return noting

    def calls():
        count = len(path.read_text().splitlines()) if path.exists() else 0
        path.unlink(missing_ok=True)
        return count

    logged.calls = calls
    return logged


def same(one, other):
    """Whether two sweeps hold the same, bit by bit."""
    pairs = [(one[name], other[name]) for name in one.measured] + [(one.diverged, other.diverged)]
    return all(torch.equal(a.nan_to_num(-9), b.nan_to_num(-9)) for a, b in pairs)


@pytest.mark.parametrize("jobs", [None, 2])
def test_what_is_in_the_store_is_not_run_again(tmp_path, logged, jobs):
    grid, store = {"a": [-3, 1, -7, 2, 5]}, tmp_path / "new/store"
    first = sweep(logged(stopping), grid, stack=1, jobs=jobs, store=store)
    assert logged.calls() == 5 and same(first, sweep(stopping, grid, stack=1))
    assert same(first, sweep(logged(stopping), grid, stack=1, store=store)) and logged.calls() == 0
    longer = {"a": [*grid["a"], 6]}
    assert same(sweep(logged(stopping), longer, stack=1, store=store), sweep(stopping, longer, stack=1)) and logged.calls() == 1
    assert {path.suffix for path in store.iterdir()} == {".pt"}


def test_the_environment_names_a_store_too(tmp_path, logged, monkeypatch):
    monkeypatch.setenv("REGIMES_STORE", str(tmp_path / "store"))
    for expected in (1, 0):
        sweep(logged(stopping), {"a": [1, 2]})
        assert logged.calls() == expected
    once = iter([1, 2])
    assert sweep(lambda a: {"a": a * next(once)}, {"a": [1]})["a"] == 1  # of this it cannot be told what it is: it just runs
    with pytest.raises(ValueError, match=r"must know what run\(\) depends on; it depends on <generator"):
        rows = (row for row in [1, 2])
        sweep(lambda a: {"a": a * next(rows)}, {"a": [1]}, store=tmp_path)


def test_the_progress_bar_says_what_was_found(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("regimes.sweeps.progress", lambda work, what, total: said.append((what, total)) or work)
    sweep(stopping, {"a": [1, 2]}, stack=1, store=tmp_path)
    sweep(stopping, {"a": [1, 2, 3, 4, 5]}, stack=1, store=tmp_path)
    assert said == [("sweep", 2), ("sweep (2 of 5 stacks from the store)", 3)]


def test_divergence_is_kept_and_raised_as_it_was(tmp_path, logged):
    raised = []
    for expected in (5, 0):
        with pytest.raises(Diverged) as caught:
            sweep(logged(stopping), {"a": [-5, -6, -7]}, store=tmp_path)
        raised.append(caught.value)
        assert logged.calls() == expected
    one, other = raised
    assert str(one) == str(other) and one.step == other.step == 5 and one.runs == other.runs
    assert torch.equal(one.trace.loss, other.trace.loss)


@pytest.mark.filterwarnings("ignore:1 of 3 runs failed")
def test_a_failure_is_tried_again(tmp_path, logged):
    for expected in (3, 1):
        sweep(logged(failing), {"a": [1, 2, 3], "b": [0]}, stack=1, store=tmp_path)
        assert logged.calls() == expected


FACTOR = [2]


def scaled(a):
    return {"a": a * FACTOR[0]}


def reads_scaled(a, plus=0):
    return {"a": scaled(a)["a"] + plus}


class Adds:
    def __init__(self, what):
        self.what = what

    def __call__(self, a):
        return {"a": a + self.what}


def test_different_work_never_mixes(tmp_path, monkeypatch):
    """One folder for all; each is what it is without a store, and each is another one than all before."""
    number, net = torch.tensor(4.0), torch.nn.Linear(1, 1)
    runs = [scaled, reads_scaled, partial(reads_scaled, plus=3), Adds(5), Adds(np.float64(6)), Adds({7}.pop())]
    runs += [lambda a: {"a": a * 8}, lambda a: {"a": a * 9}]  # one line, two functions
    runs += [lambda a: {"a": a * number}, lambda a: {"a": net(a[:, None].float())[:, 0].double()}]

    def all_of_them():
        return [sweep(run, {"a": [1.0, 2.0]}, store=tmp_path)["a"].tolist() for run in runs]

    def count():
        return len([*tmp_path.glob("*.pt")])

    assert all_of_them() == [sweep(run, {"a": [1.0, 2.0]})["a"].tolist() for run in runs] and count() == 10
    assert sweep(scaled, {"a": [1.0, 3.0]}, store=tmp_path)["a"].tolist() == [2, 6] and count() == 11
    monkeypatch.setitem(globals(), "FACTOR", [10])  # read by a function that is read by two others
    number.add_(1)
    with torch.no_grad():
        net.weight.add_(1)
    assert all_of_them() == [sweep(run, {"a": [1.0, 2.0]})["a"].tolist() for run in runs] and count() == 11 + 5
    monkeypatch.setattr("regimes.sweeps.library", lambda: "a later version")
    all_of_them()
    assert count() == 16 + 10


def test_the_fingerprint_is_the_same_in_another_process(tmp_path, monkeypatch):
    """Sets come in another order there, and code is compiled anew."""
    (tmp_path / "its_run.py").write_text(
        "import functools, torch\nfrom regimes.store import fingerprint\nwords = {'a', 'b', 'c'}\n"
        "@functools.cache\ndef g(x): return x in {'d', 'e', 'f'} or x in words\n"
        "def run(a): return {'a': torch.tensor([g(x) for x in a]), 'f': (lambda: run)}\n"
    )
    there = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import its_run; print(its_run.fingerprint(its_run.run))"
    told = subprocess.check_output([sys.executable, "-c", there], text=True)
    monkeypatch.syspath_prepend(tmp_path)
    assert told.strip() == fingerprint(importlib.import_module("its_run").run)


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:-9], lambda b: b[:500] + b"?" + b[501:], lambda b: b"\n" + b])
def test_a_damaged_entry_is_run_again(tmp_path, logged, damage):
    whole = sweep(logged(stopping), {"a": [1, -2, 3]}, stack=1, store=tmp_path / "store")
    broken = sorted((tmp_path / "store").iterdir())[1]
    broken.write_bytes(damage(broken.read_bytes()))
    logged.calls()
    for expected in (1, 0):
        assert same(sweep(logged(stopping), {"a": [1, -2, 3]}, stack=1, store=tmp_path / "store"), whole)
        assert logged.calls() == expected


def test_what_lies_in_a_store_cannot_run_code(tmp_path):
    packed = io.BytesIO()
    torch.save([("row", partial(print))], packed)
    (tmp_path / "key.pt").write_bytes(hashlib.sha256(packed.getbuffer()).hexdigest().encode() + b"\n" + packed.getvalue())
    assert Store(tmp_path).load("key") is None


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_twenty_kills_cost_each_worker_a_stack_at_most(tmp_path):
    """See kills.py; half of the sweeps have one worker, half two."""
    script = Path(__file__).with_name("kills.py")
    told = json.loads(subprocess.check_output([sys.executable, script, tmp_path], timeout=300))
    assert told["killed"] == 20 and told["same"]
    assert 20 <= told["kept"] < 200 and 0 < told["lost"] <= told["workers"]


# ---- in parallel


@pytest.mark.parametrize(("configured", "asked"), [(2, None), (1, 2)])
def test_two_threads_give_the_same(configured, asked):
    grid, barrier = {"std": [0.1, 1.0], "seed": [5, 2]}, threading.Barrier(2, timeout=20)

    def together(**settings):
        barrier.wait()  # nobody goes on until two stacks are at work
        return many(**settings)

    with joblib.parallel_config(backend="threading", n_jobs=configured):
        result = sweep(together, grid, stack=1, jobs=asked)
    for name, value in sweep(many, grid, stack=1).measured.items():
        assert torch.equal(result[name], value)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals, and a server that forks")
def test_a_dask_cluster_whose_workers_are_killed(tmp_path):
    """See cluster.py: once a worker is left, once none is."""
    script = Path(__file__).with_name("cluster.py")
    done = subprocess.run([sys.executable, script, tmp_path], timeout=300, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["same"] and seen["resumed"] and seen["threads"] == [1] and seen["survivors"] >= 1
    assert 0 < seen["lost"] <= 2  # a stack a worker
    assert seen["error"].startswith("no worker of the Dask cluster is left (it is running, and patience=2 seconds). What was ")
    assert f"is kept in {tmp_path / 'dead'}: the same call of sweep() goes on from there, with a new" in seen["error"]
    assert 2 <= seen["kept"] < 8 and seen["kept"] + seen["run again"] == 8
    assert "training" not in done.stderr  # of all bars only the sweep's is drawn


# ---- what it refuses


@pytest.mark.parametrize(
    ("grid", "stack"), [({}, None), ({"a": []}, None), ({"a": [1], "b": []}, 1), ({"a": [1]}, 0), ({"a": [1]}, -2)]
)
def test_refuses_a_grid_without_values_and_empty_stacks(grid, stack):
    with pytest.raises(ValueError, match=r"a grid with values and stacks of at least one run; got .*stack="):
        sweep(digits, grid, stack=stack)


@pytest.mark.parametrize("rows", [torch.ones(2), torch.ones(4, 3), torch.ones(1, 3), torch.tensor(1.0)])
def test_refuses_results_without_a_row_a_run(rows):
    with pytest.raises(ValueError, match=r"one row per run, 3 rows; 'b' has shape"):
        sweep(lambda a: {"a": a, "b": rows}, {"a": [1, 2, 3]})


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (lambda a: a, "must return what it measured by name, in a dictionary; it returned a Tensor"),
        (lambda a: {"word": "x"}, "arrays or lists of numbers; 'word' is a str"),
        (lambda a: {"mean": 1.5}, r"one row per run, 3 rows; 'mean' has shape \(\)"),
        (lambda a: {"none": None}, "'none' is a NoneType"),
    ],
)
def test_refuses_what_is_no_measurement(run, says):
    with pytest.raises(ValueError, match=says):
        sweep(run, {"a": [1, 2, 3]})


def test_refuses_runs_that_measure_different_things():
    with pytest.raises(
        ValueError, match=r"the same in all runs; the shapes are {'b': \(1,\)} in one and {'b': \(2,\)} in another"
    ):
        sweep(lambda a: {"b": torch.ones(1, int(a))}, {"a": [1, 2]}, stack=1)


@pytest.mark.parametrize("values", ["GD", None, print])
def test_refuses_an_axis_without_a_list_of_values(values):
    with pytest.raises(ValueError, match="values of 'rule' in the grid must be a list, a tensor or an array; got"):
        sweep(digits, {"rule": values})


def test_an_unknown_measurement_is_named_with_those_there_are():
    result = Sweep({"a": torch.ones(1)}, {"train": torch.ones(1), "test": torch.ones(1)}, -torch.ones(1))
    with pytest.raises(KeyError, match="did not measure 'tset'; it measured train, test"):
        result["tset"]


# ---- how many to stack


@pytest.mark.parametrize(("n", "m"), [(8, 20), (50, 100), (100, 200), (333, 150), (5000, 5000)])
def test_as_many_as_the_cache_holds_and_at_least_one(n, m):
    """The largest arrays of a step are (runs, n, m), and (runs, n, n) for Gauss-Newton."""
    size, each = stack_size(n, m), 8 * n * max(n, m)
    assert size >= 1 and each * (size + 1) > CACHE
    assert size == 1 or each * size <= CACHE


def test_what_was_measured_to_pay():
    """On two cores with 1 MB of cache each and 32 MB together: docs/SCALE.md has the figure."""
    advised = {(20, 40): 343, (50, 100): 55, (100, 100): 27, (200, 200): 6, (100, 500): 5, (300, 100): 3, (500, 1000): 1}
    assert {size: stack_size(*size) for size in advised} == advised


def test_an_accelerator_takes_what_fits_its_memory():
    assert {stack_size(500, 1000, device) for device in ("cuda", torch.device("cuda:1"), "mps")} == {80}


def test_a_large_grid_is_cut_by_itself():
    seen = []
    sweep(lambda a: seen.append(len(a)) or {"a": a}, {"a": range(150)})
    assert seen == [64, 64, 22]


# ---- memory


@pytest.mark.parametrize(
    "fail",
    [
        lambda: torch.empty(10**16),
        lambda: np.empty(10**16),
        lambda: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory")),
    ],
    ids=["torch on a CPU", "NumPy", "torch on a GPU"],
)
@pytest.mark.parametrize("jobs", [None, 2])
def test_a_stack_that_does_not_fit_is_run_in_halves_which_is_said_once(fail, jobs):
    def large(a):
        if len(a) > 3:
            fail()
        return {"a": a * 2, "together": torch.full((len(a),), len(a))}

    with (
        joblib.parallel_config(backend="threading"),
        pytest.warns(RuntimeWarning, match=r"^memory ran out: 2 stacks of up to 10 runs .* down to 3. With stack=3 ") as said,
    ):
        result = sweep(large, {"a": range(20)}, stack=10, jobs=jobs)
    assert len(said) == 1 and "test_sweeps" in said[0].filename
    assert result["a"].tolist() == [2 * a for a in range(20)] and result["together"].max() == 3 and not result.errors


@pytest.mark.filterwarnings("ignore:1 of 4 runs failed")
def test_a_divergence_is_no_lack_of_memory_and_a_run_too_large_alone_is_an_error():
    def run(a):
        if (a == 3).any():
            np.empty(10**16)
        return stopping(a)

    with pytest.warns(RuntimeWarning, match="memory ran out: 1 stacks of up to 4 runs .* down to 1"):
        result = sweep(run, {"a": [1, -2, 2, 3]})
    assert [*result.errors] == [(3,)] and isinstance(result.errors[3,], MemoryError)
    assert result.diverged.tolist() == [-1, 2, -1, -1]


# ---- what a worker is


def test_joblib_is_imported_by_the_first_sweep():
    script = "import sys, regimes.sweeps as s; assert 'joblib' not in sys.modules; s.sweep(lambda a: {'a': a}, {'a': [1.]})"
    subprocess.run([sys.executable, "-c", f"{script}; assert 'joblib' in sys.modules"], check=True)


def test_a_worker_uses_one_thread_and_draws_no_bar():
    def run(a):
        threads = torch.full(a.shape, torch.get_num_threads())
        return {"threads": threads, "quiet": torch.full(a.shape, list(progress([7], "inside")) == [7] and _quiet.get())}

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with joblib.parallel_config(backend="threading"):
            beside, alone = (sweep(run, {"a": range(4)}, stack=1, jobs=jobs) for jobs in (2, 1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert beside["threads"].tolist() == [1] * 4 and beside["quiet"].all()
    assert alone["threads"].tolist() == [2] * 4 and not alone["quiet"].any()
