"""What remembers something: optimizers that are stopped, looked at, copied or saved go on as if nothing had happened."""

import copy
import io
import itertools
import pickle

import joblib
import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR

from regimes.directions import gradient
from regimes.flows import Adaptive, Lorentz, RungeKutta4
from regimes.linalg import SmallestEigenvalue
from regimes.losses import CrossEntropy
from regimes.networks import ACTIVATIONS, Activation, Reversible, TwoLayer, TwoLayerLinear, committee, leaky
from regimes.optimizers import (
    DirectionOptimizer,
    EdgeFraction,
    GaussNewton,
    GradientDescent,
    ReversibleGaussNewton,
    TorchOptimizer,
)
from regimes.training import train
from tests.lib.cases import D, N, linear, normal, perceptron, reversible, two_layer, weights

X, Y = normal(N, D, seed=1), normal(N, seed=2, mean=-0.4)
BATCHES = [(normal(4, D, seed=k), normal(4, seed=k + 50)) for k in range(30)]


class Momentum(DirectionOptimizer):
    """Its memory is an attribute."""

    velocity = None

    def direction(self, x, y):
        d, old = gradient(self.net, x, y), self.velocity
        self.velocity = d.tensors if old is None else tuple(0.9 * v + t for v, t in zip(old, d.tensors, strict=True))
        return d._replace(tensors=self.velocity)


class Stateful(DirectionOptimizer):
    """Its memory is where torch's optimizers have it, and is changed in place."""

    def direction(self, x, y):
        d = gradient(self.net, x, y)
        for p, t in zip(self.param_groups[0]["params"], d.tensors, strict=True):
            velocity = self.state[p].setdefault("velocity", torch.zeros_like(p))
            velocity.mul_(0.9).add_(t)
        return d._replace(tensors=tuple(self.state[p]["velocity"].clone() for p in self.param_groups[0]["params"]))


class Noisy(DirectionOptimizer):
    """Gradient noise from torch's global generator; and things that cannot be copied."""

    def __init__(self, net, lr):
        super().__init__(net, lr)
        self.log, self.count = (line for line in "endless"), itertools.count()

    def direction(self, x, y):
        d = gradient(self.net, x, y)
        return d._replace(tensors=tuple(t + 0.1 * torch.randn_like(t) for t in d.tensors))


class Decaying:
    """No class of the library: it only has what `train` asks for."""

    def __init__(self, net):
        self.net, self.dt, self.taken = net, 0.0, [0]

    def direction(self, x, y):
        self.taken[0] += 1
        return gradient(self.net, x, y)

    def step(self, x, y, direction=None):
        d = direction or self.direction(x, y)
        self.dt = 0.3 / self.taken[0]
        GradientDescent(self.net, self.dt).step(x, y, d)
        return d.loss


class OwnTorch(torch.optim.SGD):
    """Of torch, with a direction: `pickle` and `copy` would keep its state and forget its network."""

    def __init__(self, net):
        super().__init__(net.parameters(), 0.05, momentum=0.9)
        self.net, self.dt, self.calls = net, 0.05, 0

    def direction(self, x, y):
        self.calls += 1
        return gradient(self.net, x, y)

    def step(self, x, y, direction=None):
        for p, t in zip(self.net.parameters(), direction.tensors, strict=True):
            p.grad = t * (1 + self.calls % 3)
        super().step()
        return direction.loss


MOVERS = {
    "momentum": lambda net: Momentum(net, 0.05),
    "state in place": lambda net: Stateful(net, 0.05),
    "noise": lambda net: Noisy(net, 0.05),
    "duck": Decaying,
    "own class of torch": OwnTorch,
    "edge fraction": lambda net: GradientDescent(net, EdgeFraction(0.4, every=3)),
    "smallest eigenvalue": lambda net: GaussNewton(net, 0.1, damping=SmallestEigenvalue()),
    "adam": lambda net: torch.optim.Adam(net.parameters(), 0.01),
    "adam, wrapped": lambda net: TorchOptimizer(net, torch.optim.Adam(net.parameters(), 0.01)),
    "momentum of torch": lambda net: torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, nesterov=True, weight_decay=0.1),
    "lbfgs": lambda net: torch.optim.LBFGS(net.parameters(), 0.1, max_iter=3),
    "runge-kutta": lambda net: RungeKutta4(net, gradient, 0.05),
    "adaptive": lambda net: Adaptive(net, gradient, 0.05),
}
OPTIMIZERS = [name for name in MOVERS if isinstance(MOVERS[name](two_layer()), DirectionOptimizer) and name != "noise"]


@pytest.mark.parametrize("fed", [False, True], ids=["full batch", "iterator"])
@pytest.mark.parametrize("make", [two_layer, perceptron])
@pytest.mark.parametrize("name", MOVERS)
def test_training_twice_is_training_once_for_as_long(name, make, fed):
    ends = []
    for parts in ([10], [4, 6], [1, 0, 9]):
        torch.manual_seed(7)
        net, feed = make(), iter(BATCHES) if fed else None
        mover = MOVERS[name](net)
        traces = [train(net, X, Y, mover, steps, batches=feed) for steps in parts]
        loss = torch.cat([traces[0].loss[:1], *(trace.loss[1:] for trace in traces)])
        ends.append((weights(net), loss, torch.rand(1)))
    for other in ends[1:]:
        assert all(torch.equal(a, b) for a, b in zip(ends[0], other, strict=True))


def test_momentum_in_a_direction_is_momentum():
    """Also over several trainings: torch's own loop is the oracle."""
    net, twin = perceptron(), perceptron()
    mover, alone = Momentum(net, 0.05), torch.optim.SGD(twin.parameters(), 0.05, momentum=0.9)
    for steps in (3, 4):
        train(net, X, Y, mover, steps)
    for _ in range(7):
        alone.zero_grad()
        ((twin(X) - Y).square().mean() / 2).backward()
        alone.step()
    assert torch.allclose(weights(net), weights(twin), rtol=1e-10)


# ---- measurements now and then


def test_a_measurement_with_a_period_is_made_at_its_steps_in_every_training():
    net, seen = two_layer(), []
    looks = {"s": (lambda net: seen.append(1) or torch.tensor([len(seen), 7]), 4), "all": lambda net: net.W.sum()}
    for steps, at in ((10, [0, 4, 8, 10]), (8, [0, 4, 8])):
        trace = train(net, X, Y, GradientDescent(net, 0.05), steps, measure=looks)
        made = ~trace.measured["s"][:, 0].isnan()
        assert made.nonzero()[:, 0].tolist() == at and trace.measured["s"].shape == (steps + 1, 2)
        assert (trace.measured["s"][made][:, 1] == 7).all() and trace.measured["s"][~made].isnan().all()
        assert trace.measured["all"].isfinite().all()
    assert len(seen) == 7


@pytest.mark.parametrize(
    "value", [3, 2.5, True, np.float32(1.5), torch.arange(3), [1.0, 2.0], torch.ones(2, 3, dtype=torch.float32)]
)
def test_a_measurement_with_a_period_keeps_its_numbers(value):
    net = two_layer()
    got = train(net, X, Y, GradientDescent(net, 0.05), 4, every=2, measure={"s": (lambda net: value, 4)}).measured["s"]
    assert got.shape == (3, *torch.as_tensor(value).shape) and got[1].isnan().all()
    assert torch.equal(got[[0, 2]].double(), torch.as_tensor(value).double().expand(2, *got.shape[1:]))


# ---- copies


def by_torch(thing):
    file = io.BytesIO()
    torch.save(thing, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def by_joblib(thing):
    file = io.BytesIO()
    joblib.dump(thing, file)
    file.seek(0)
    return joblib.load(file)


WAYS = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "torch": by_torch,
    "joblib": by_joblib,
}


def cubed(z):
    return z**3 / 10


NETWORKS = {
    **{name: (lambda name=name: two_layer(activation=name)) for name in ACTIVATIONS},
    "leaky": lambda: two_layer(activation=leaky("erf", 0.3)),
    "torch.sin": lambda: two_layer(activation=torch.sin),
    "nn.ELU": lambda: two_layer(activation=nn.ELU(0.7)),
    "function": lambda: two_layer(activation=cubed, scaling="ntk", runs=(2,)),
    "pair": lambda: two_layer(activation=Activation("pair", ACTIVATIONS["tanh"])),
    "committee": lambda: committee(normal(4, D), activation="relu"),
    "linear": linear,
    "reversible": lambda: reversible(activation=torch.cos),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_copied_in_every_way(name, way):
    net = NETWORKS[name]()
    x = normal(N, net.inputs, seed=1)
    before, other = net(x).detach(), WAYS[way](net)
    assert torch.equal(other(x), before) and repr(other) == repr(net) and type(other) is type(net)
    with torch.no_grad():
        for p in other.parameters():
            p += 1
    assert torch.equal(net(x), before)
    assert [p.requires_grad for p in other.parameters()] == [p.requires_grad for p in net.parameters()]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("steps", [0, 4])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_copied_optimizer_moves_the_copied_network_as_the_original_would(name, steps, way):
    net = perceptron()
    optimizer = MOVERS[name](net)
    for _ in range(steps):
        optimizer.step(X, Y)
    before = weights(net)
    other, twin = WAYS[way]((net, optimizer))
    assert (
        twin.net is other
        and type(twin) is type(optimizer)
        and torch.equal(torch.as_tensor(twin.dt), torch.as_tensor(optimizer.dt))
    )
    losses = [twin.step(X, Y) for _ in range(5)]
    assert torch.equal(weights(net), before)
    assert losses == [optimizer.step(X, Y) for _ in range(5)] and torch.equal(weights(net), weights(other))
    alone = copy.deepcopy(optimizer)
    alone.step(X, Y)
    assert alone.net is not net and not torch.equal(weights(alone.net), weights(net))


@pytest.mark.parametrize("way", WAYS)
def test_reversible_and_linear_movers_are_copied(way):
    for net, make in (
        (reversible(), lambda net: ReversibleGaussNewton(net, 0.3, loss=CrossEntropy(3))),
        (linear(), lambda net: Lorentz(net, 0.05)),
    ):
        x, y = normal(5, net.inputs, seed=1), nn.functional.one_hot(torch.arange(5) % 3, 3).double()
        mover = make(net)
        other, twin = WAYS[way]((net, mover))
        assert torch.equal(twin.step(x, y), mover.step(x, y)) and torch.equal(weights(other), weights(net))


@pytest.mark.filterwarnings("ignore:Seems like `optimizer.step")  # torch says so of copies of its own optimizers, too
@pytest.mark.parametrize(
    "make", [lambda net: GradientDescent(net, 0.1), lambda net: TorchOptimizer(net, torch.optim.SGD(net.parameters(), 0.1))]
)
def test_a_scheduler_and_its_optimizer_are_copied_together(make):
    net = perceptron()
    optimizer = make(net)
    scheduler = StepLR(optimizer, 1, 0.5)
    other, twin, steps = copy.deepcopy((net, optimizer, scheduler))
    before = weights(net)
    for _ in range(2):
        twin.step(X, Y)
        steps.step()
    assert twin.dt == 0.05 and optimizer.param_groups[0]["lr"] == 0.1
    assert torch.equal(weights(net), before) and not torch.equal(weights(other), before)


# ---- state_dict

SAVED = {
    **{name: MOVERS[name] for name in (*OPTIMIZERS, "adam")},
    "numpy numbers": lambda net: GaussNewton(net, np.float64(0.1), damping=np.float32(0.1)),
    "edge fraction with a cap": lambda net: GradientDescent(net, EdgeFraction(0.4, every=4, at_most=2.0)),
}


@pytest.mark.parametrize("done", [0, 1, 5, 6])
@pytest.mark.parametrize("name", [name for name in SAVED if name != "momentum"])
def test_a_run_continued_from_a_file_is_the_same_run(name, done):
    """The file is read with torch's default settings, by an optimizer with other ones."""
    net, twin = perceptron(), perceptron()
    optimizer = SAVED[name](net)
    train(net, X, Y, optimizer, done)
    file = io.BytesIO()
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    wanted = train(net, X, Y, optimizer, 7)
    saved = torch.load(file)
    twin.load_state_dict(saved["net"])
    other = SAVED[name](twin)
    if type(other) in (GaussNewton, GradientDescent):
        other = type(other)(twin, 0.9)
    other.load_state_dict(saved["optimizer"])
    got = train(twin, X, Y, other, 7)
    assert (
        torch.equal(got.loss, wanted.loss) and torch.equal(got.time, wanted.time) and torch.equal(weights(net), weights(twin))
    )


def test_a_state_in_memory_is_that_of_its_moment():
    net = perceptron()
    optimizer = GradientDescent(net, EdgeFraction(0.4, every=3))
    optimizer.step(X, Y)
    saved, start = optimizer.state_dict(), copy.deepcopy(net.state_dict())
    times = []
    for _ in range(2):  # twice from the same state
        net.load_state_dict(start)
        optimizer.load_state_dict(saved)
        times.append(train(net, X, Y, optimizer, 6).time)
    assert torch.equal(*times) and len(set(times[0].diff().numpy().round(12))) == 3


def test_a_state_of_an_earlier_version_still_loads():
    """It held the rule itself."""
    net = perceptron()
    optimizer = GradientDescent(net, 0.1)
    saved = GradientDescent(net, 0.2).state_dict()
    saved["param_groups"][0]["lr"] = EdgeFraction(0.3)
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == EdgeFraction(0.3)


def test_these_cover_every_network():
    assert {type(make()) for make in NETWORKS.values()} == {TwoLayer, TwoLayerLinear, Reversible}
