import pickle

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from regimes.directions import Direction
from regimes.linalg import Singular
from regimes.metrics import loss_on
from regimes.optimizers import GaussNewton, GradientDescent
from regimes.training import Diverged, Trace, train
from tests.lib.cases import D, N, normal, perceptron, relative, runs_of, two_layer, weights

X, Y = normal(N, D, seed=1), normal(N, seed=2, mean=-0.4)


def geometric(rates, steps=60, dt=0.1):
    """A trace of losses that decay at known rates, one a run."""
    k = torch.arange(steps, dtype=torch.float64)
    rates = torch.as_tensor(rates, dtype=torch.float64)
    return Trace(k.int(), dt * k, 3.0 * torch.exp(-dt * k.reshape(-1, *[1] * rates.ndim) * rates))


def test_records_are_the_losses_before_each_step():
    net, twin = two_layer(), two_layer()
    trace = train(net, X, Y, GaussNewton(net, 0.1), 5)
    optimizer = GaussNewton(twin, 0.1)
    losses = torch.stack([optimizer.step(X, Y) for _ in range(5)] + [loss_on(twin, X, Y)])
    assert trace.step.tolist() == list(range(6)) and trace.loss.shape == (6,)
    assert trace.time.tolist() == pytest.approx([0.1 * k for k in range(6)])
    assert relative(trace.loss, losses) < 1e-12
    assert relative(trace.relative, losses / losses[0]) < 1e-12
    assert torch.equal(weights(net), weights(twin))


def test_time_is_float64():
    net = two_layer()
    trace = train(net, X, Y, GaussNewton(net, 0.1), 300, every=100)
    assert trace.time.dtype == torch.float64
    assert trace.time.tolist() == pytest.approx([0.0, 10.0, 20.0, 30.0], abs=1e-12)


@pytest.mark.parametrize("make", [lambda net: GaussNewton(net, 0.1), lambda net: GradientDescent(net, 0.1)])
def test_the_direction_is_computed_once_a_step(make):
    net, count = two_layer(), []
    optimizer = make(net)
    direction = optimizer.direction
    optimizer.direction = lambda x, y: count.append(1) or direction(x, y)
    train(net, X, Y, optimizer, 5)
    assert len(count) == 6


def test_no_steps_is_one_record_and_no_movement():
    net = two_layer()
    before = weights(net)
    trace = train(net, X, Y, GaussNewton(net, 0.1), 0, measure={"first": lambda net: net.W[0, 0]})
    assert trace.step.tolist() == [0] and trace.time.tolist() == [0.0] and torch.equal(weights(net), before)
    assert trace.measured["first"].tolist() == [before[0].item()]


@pytest.mark.parametrize(("steps", "every", "wanted"), [(10, 4, [0, 4, 8, 10]), (8, 4, [0, 4, 8]), (3, 5, [0, 3])])
def test_every_so_many_steps_and_the_last(steps, every, wanted):
    net, twin = two_layer(), two_layer()
    trace = train(net, X, Y, GaussNewton(net, 0.1), steps, every=every)
    full = train(twin, X, Y, GaussNewton(twin, 0.1), steps)
    assert trace.step.tolist() == wanted
    assert torch.equal(trace.loss, full.loss[wanted]) and torch.equal(trace.time, full.time[wanted])


@pytest.mark.parametrize("every", [1, 7])
def test_until_stops_one_step_after(every):
    net, twin = two_layer(), two_layer()
    full = train(twin, X, Y, GaussNewton(twin, 0.1), 60)
    trace = train(net, X, Y, GaussNewton(net, 0.1), 60, until=1e-2, every=every)
    first = int((full.relative <= 1e-2).int().argmax())
    assert 5 < first < 50 and trace.step[-1] == first + 1
    assert trace.loss[-1] == full.loss[first + 1]


def test_until_waits_for_all_runs():
    net = two_layer(runs=(2,), seed=torch.arange(2))
    trace = train(net, X, Y, GaussNewton(net, torch.tensor([0.2, 0.05])), 200, until=1e-2)
    assert trace.relative[-2].max() <= 1e-2 < trace.relative[-3].max()
    assert trace.relative[-3].min() <= 1e-2


def test_time_of_each_run():
    net = two_layer(runs=(2,), seed=torch.arange(2))
    trace = train(net, X, Y, GaussNewton(net, torch.tensor([0.2, 0.05])), 4)
    assert trace.time.shape == trace.loss.shape == (5, 2)
    assert trace.time[-1].tolist() == pytest.approx([0.8, 0.2])


def test_measures_see_the_network_of_the_record():
    net, twin = two_layer(runs=(2,), seed=torch.arange(2)), two_layer(runs=(2,), seed=torch.arange(2))
    x, y = normal(5, D, seed=8), normal(5, seed=9)
    seen = []
    trace = train(
        net, X, Y, GaussNewton(net, 0.1), 6, every=3,
        measure={"test": lambda net: loss_on(net, x, y), "grad": lambda net: seen.append(torch.is_grad_enabled()) or 1},
    )  # fmt: skip
    optimizer = GaussNewton(twin, 0.1)
    for row in range(3):
        assert relative(trace.measured["test"][row], loss_on(twin, x, y)) < 1e-13
        for _ in range(3):
            optimizer.step(X, Y)
    assert trace.measured["test"].shape == (3, 2) and trace.measured["grad"].tolist() == [1, 1, 1]
    assert seen == [False] * 3


def test_a_measured_tensor_is_not_changed_by_later_steps():
    net = two_layer()
    trace = train(net, X, Y, GaussNewton(net, 0.1), 3, measure={"W": lambda net: net.W})
    assert trace.measured["W"].shape == (4, *net.W.shape)
    assert len({w.sum().item() for w in trace.measured["W"]}) == 4 and not trace.measured["W"].requires_grad


def test_steps_to():
    trace = geometric([2.0, 0.5, 4.0])
    assert trace.steps_to(1e-2).tolist() == [24, -1, 12]
    assert geometric(2.0).steps_to(1e-2) == 24


def test_steps_to_uses_the_number_of_steps_not_of_records():
    full = geometric(2.0)
    assert Trace(full.step[::5], full.time[::5], full.loss[::5]).steps_to(1e-2) == 25


def test_rate():
    assert geometric([2.0, 3.5]).rate().tolist() == pytest.approx([2.0, 3.5], rel=1e-12)
    assert geometric([[2.0], [3.5]]).rate().tolist() == [pytest.approx([2.0]), pytest.approx([3.5])]
    assert geometric(2.0).rate().item() == pytest.approx(2.0, rel=1e-12)


def test_rate_is_fitted_between_the_given_losses():
    fast, slow = geometric(4.0, 10), geometric(1.0, 60)
    loss = torch.cat([fast.loss, fast.loss[-1] * slow.loss[1:] / slow.loss[0]])
    t = 0.1 * torch.arange(len(loss), dtype=torch.float64)
    trace = Trace(torch.arange(len(loss)), t, loss)
    assert trace.rate((1.0, 0.03)).item() == pytest.approx(4.0)
    assert trace.rate((0.02, 1e-4)).item() == pytest.approx(1.0)


def test_rate_with_a_time_of_each_run():
    a = geometric([2.0, 2.0])
    assert Trace(a.step, torch.stack([a.time, 2 * a.time], 1), a.loss).rate().tolist() == pytest.approx([2.0, 1.0])


def test_rate_refuses_too_few_records():
    with pytest.raises(ValueError, match=r"a run has only 2 records with a relative loss in \[0.05, 0.1\]"):
        geometric([0.5, 3.5]).rate((0.1, 0.05))


class Scripted:
    """An optimizer whose losses are written down."""

    def __init__(self, net, losses):
        self.net, self.losses, self.taken, self.dt = net, losses, 0, 0.5

    def direction(self, x, y):
        return Direction((), torch.as_tensor(self.losses[self.taken], dtype=torch.float64))

    def step(self, x, y, direction=None):
        self.taken += 1
        return self.losses[self.taken - 1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_diverged_at_the_step_where_the_loss_is_not_finite(bad):
    net = two_layer()
    with pytest.raises(Diverged, match="at step 3, after a loss of 5: the loss is no longer finite. Use a smaller") as caught:
        train(net, X, Y, Scripted(net, [1.0, 2.0, 5.0, bad, 1.0]), 4)
    assert caught.value.step == 3 and caught.value.runs
    assert caught.value.trace.step.tolist() == [0, 1, 2] and caught.value.trace.loss.tolist() == [1.0, 2.0, 5.0]
    assert caught.value.trace.time.tolist() == [0.0, 0.5, 1.0]
    assert isinstance(caught.value, ArithmeticError)


def test_diverged_names_the_runs():
    net = two_layer()
    with pytest.raises(Diverged, match="at step 1 in 2 of 3 runs, after a loss of 4") as caught:
        train(net, X, Y, Scripted(net, [[1.0, 2.0, 4.0], [1.0, torch.inf, torch.nan]]), 1)
    assert caught.value.runs.tolist() == [False, True, True]


def test_diverged_at_the_start_has_no_records():
    net = two_layer()
    with pytest.raises(Diverged, match="at step 0: the loss is no longer finite. Use a smaller step") as caught:
        train(net, X, Y, Scripted(net, [torch.nan, 1.0]), 1)
    assert len(caught.value.trace.step) == len(caught.value.trace.loss) == 0 and caught.value.trace.measured == {}


@pytest.mark.parametrize("make", [two_layer, perceptron])
def test_gradient_descent_with_a_huge_step_diverges(make):
    net = make()
    with pytest.raises(Diverged) as caught:
        train(net, X, Y, GradientDescent(net, 1e3), 100)
    trace = caught.value.trace
    assert torch.isfinite(trace.loss).all() and trace.loss[-1] > trace.loss[0] and len(trace.step) == caught.value.step


def test_gauss_newton_beyond_its_limit_diverges():
    net = two_layer()
    with pytest.raises(Diverged):
        train(net, X, Y, GaussNewton(net, 50.0), 400)


def test_damped_gauss_newton_beyond_its_limit_diverges():
    net = two_layer()
    with pytest.raises(Diverged):
        train(net, X, Y, GaussNewton(net, 50.0, damping=1e-2), 400)


def test_each_run_of_a_stack_trains_as_alone():
    net = two_layer(runs=(3,), seed=torch.arange(3))
    singles = runs_of(net)
    trace = train(net, X, Y, GaussNewton(net, 0.1, damping=0.1), 20)
    for i, one in enumerate(singles):
        assert relative(trace.loss[:, i], train(one, X, Y, GaussNewton(one, 0.1, damping=0.1), 20).loss) < 1e-10


def test_refuses_an_optimizer_of_another_network():
    with pytest.raises(ValueError, match="this optimizer moves another network"):
        train(two_layer(), X, Y, GaussNewton(two_layer()), 3)


BAD_COUNTS = [
    ({"steps": -1}, "steps >= 0 and every >= 1; got steps="),
    ({"steps": 3, "every": 0}, "steps >= 0 and every >= 1; got steps="),
    ({"steps": 3, "until": "a"}, "until must be a finite number >= 0; got 'a'"),
    ({"steps": 3, "until": -1.0}, "until must be a finite number >= 0; got -1.0"),
]


@pytest.mark.parametrize("options, message", BAD_COUNTS)
def test_refuses_what_is_no_number_of_steps(options, message):
    net = two_layer()
    with pytest.raises(ValueError, match=message):
        train(net, X, Y, GaussNewton(net), **options)


def test_a_run_that_outgrows_its_damping_diverges_at_the_step_itself():
    """Also between two records, where the trace does not tell the step."""
    steps = []
    for every in (1, 7):
        net = two_layer()
        with pytest.raises(Diverged, match="outgrown") as caught:
            train(net, X, Y, GaussNewton(net, 30.0, damping=1e-3), 500, every=every)
        steps.append(caught.value.step)
    assert steps[0] == steps[1] > caught.value.trace.step[-1]


class Collapsing(GaussNewton):
    """After three steps all units of the second run are one."""

    taken = 0

    def step(self, x, y, direction=None):
        loss = super().step(x, y, direction)
        self.taken += 1
        if self.taken == 3:
            with torch.no_grad():
                self.net.W[1] = self.net.W[1, :1].clone()
        return loss


@pytest.mark.parametrize("every", [1, 2])
def test_a_kernel_that_becomes_singular_during_training_is_a_divergence(every):
    net = two_layer(runs=(2,), seed=torch.arange(2))
    with pytest.raises(Diverged, match="at step 3 in 1 of 2 runs, .*: the kernel has become singular.* damping") as caught:
        train(net, X, Y, Collapsing(net, 0.1), 9, every=every)
    assert caught.value.step == 3 and caught.value.runs.tolist() == [False, True]
    assert caught.value.trace.step.tolist() == {1: [0, 1, 2], 2: [0, 2]}[every]
    assert isinstance(caught.value.__cause__, Singular)


def test_singular_eigenvalues_may_be_dropped_during_training():
    net = two_layer(runs=(2,), seed=torch.arange(2))
    trace = train(net, X, Y, Collapsing(net, 0.1, singular="drop"), 9)
    assert torch.isfinite(trace.loss).all() and len(trace.step) == 10


def test_a_step_of_five_undamped_ends_on_a_singular_kernel():
    """Not made up: beyond the limit of two the weights grow until float64 no longer resolves the kernel."""
    net = two_layer(output_std=0.0)
    with pytest.raises(Diverged, match="the kernel has become singular") as caught:
        train(net, X, Y, GaussNewton(net, 5.0), 200)
    trace = caught.value.trace
    assert caught.value.step == len(trace.step) > 3 and trace.loss[-1] > 1e3 * trace.loss[0]


def test_a_kernel_that_is_singular_at_the_start_is_no_divergence():
    net = two_layer(std=1e-3, output_std=0.0)
    with pytest.raises(Singular, match="the kernel is singular: .* Use a positive damping"):
        train(net, X, Y, GaussNewton(net, 0.1), 9)
    assert issubclass(Singular, ValueError) and not issubclass(Singular, Diverged)


def test_a_divergence_survives_the_way_between_processes():
    net = two_layer()
    with pytest.raises(Diverged) as caught:
        train(net, X, Y, Scripted(net, [1.0, 2.0, torch.nan]), 2)
    there = pickle.loads(pickle.dumps(caught.value))
    assert str(there) == str(caught.value) and there.step == 2 and there.trace.loss.tolist() == [1.0, 2.0]


class Reads(TorchDispatchMode):
    """Counts how often Python asks for the value of a number: on a GPU each time it waits for all that was started."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


READS = {
    "gradient descent": (0, lambda net: GradientDescent(net, 0.1)),
    "gauss-newton, damped": (1, lambda net: GaussNewton(net, 0.1, damping=0.1)),  # whether it could be solved
    "gauss-newton": (1, lambda net: GaussNewton(net, 0.1)),
}


@pytest.mark.parametrize("runs", [(), (2,)])
@pytest.mark.parametrize("name", READS)
def test_a_step_waits_for_its_loss_and_for_nothing_else_but_a_solution(name, runs):
    """The loss is copied to the CPU once a step, which is no such read."""
    (wanted, make), counts = READS[name], []
    for steps in (2, 12):
        net = two_layer(runs=runs)
        with Reads() as reads:
            train(net, X, Y, make(net), steps)
        counts.append(reads.count)
    assert counts[1] - counts[0] == 10 * wanted
