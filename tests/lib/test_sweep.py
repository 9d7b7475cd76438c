"""Many runs at once are the same runs one by one, in the place that their settings say."""

import threading

import joblib
import pytest
import torch
from cases import D, relative, two_layer

from regimes.linalg import Singular
from regimes.optimizers import GaussNewton
from regimes.problems import teacher_student
from regimes.sweep import CACHE, Sweep, stack_size, sweep
from regimes.training import Diverged, Trace, train

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
    net = two_layer(runs=runs, std=s["std"], output_std=0.0, seed=s["seed"])
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


def test_another_error_is_not_taken_for_a_divergence():
    with pytest.raises(ZeroDivisionError):
        sweep(lambda a: {"a": 1 / 0 if (a == 2).any() else a}, {"a": [1, 2, 3]})


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


def test_two_processes_give_the_same_also_of_runs_that_diverge():
    settings = {"a": [-3, 1, -7, 2]}
    result, alone = sweep(stopping, settings, stack=2, jobs=2), sweep(stopping, settings)
    assert torch.equal(result.diverged, alone.diverged)
    assert torch.equal(result["a"].nan_to_num(-9), alone["a"].nan_to_num(-9))


# ---- what it refuses


@pytest.mark.parametrize(
    ("grid", "stack"), [({}, None), ({"a": []}, None), ({"a": [1], "b": []}, 1), ({"a": [1]}, 0), ({"a": [1]}, -2)]
)
def test_refuses_a_grid_without_values_and_empty_stacks(grid, stack):
    with pytest.raises(ValueError, match=r"a grid with values and stacks of at least one run; got .*stack="):
        sweep(digits, grid, stack=stack)


@pytest.mark.parametrize("rows", [torch.ones(2), torch.ones(4, 3), torch.ones(1, 3), torch.tensor(1.0)])
def test_refuses_results_without_a_row_a_run(rows):
    with pytest.raises(ValueError, match=r"a row a run, 3 rows; 'b' has shape"):
        sweep(lambda a: {"a": a, "b": rows}, {"a": [1, 2, 3]})


def test_an_unknown_measurement_is_named_with_those_there_are():
    result = Sweep({"a": torch.ones(1)}, {"train": torch.ones(1), "test": torch.ones(1)}, -torch.ones(1))
    with pytest.raises(KeyError, match="did not measure 'tset'; it measured train, test"):
        result["tset"]


# ---- how many to stack


@pytest.mark.parametrize(("n", "m"), [(8, 20), (50, 100), (100, 200), (333, 150), (5000, 5000)])
def test_as_many_as_the_cache_holds_and_at_least_one(n, m):
    size = stack_size(n, m)
    assert size >= 1 and 8 * n * m * (size + 1) > CACHE
    assert size == 1 or 8 * n * m * size <= CACHE


def test_what_was_measured_to_pay():
    assert (stack_size(20, 40), stack_size(50, 100), stack_size(500, 1000)) == (62, 10, 1)
    assert 3e5 <= CACHE <= 5e5


def test_an_accelerator_takes_the_whole_grid():
    assert all(stack_size(500, 1000, device) is None for device in ("cuda", torch.device("cuda:1"), "mps"))
