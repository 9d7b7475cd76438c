"""What is measured of the course's networks, of anybody's: refitting, change from the initialisation, the shortest fit."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from regimes.metrics import change_from_init, min_norm_distance, refit
from tests.lib.cases import relative
from tests.lib.foreign.modules import FLAT, example, numbers, rows

LAST_LINEAR = ["perceptron", "prelu", "layer norm", "own function", "batch norm, evaluating"]


@pytest.mark.parametrize("name", LAST_LINEAR)
def test_refit_is_least_squares_on_what_the_last_layer_reads(name):
    net, x = example(name)
    y = numbers(*net(x.clone()).shape, seed=3)
    last = [m for m in net.modules() if isinstance(m, nn.Linear)][-1]
    read = []
    handle = last.register_forward_hook(lambda layer, inputs, output: read.append(inputs[0].detach()))
    net(x.clone())
    handle.remove()
    Phi = np.hstack([read[0], np.ones((len(x), 1))])
    wanted = Phi @ np.linalg.pinv(Phi, rcond=1e-3) @ y.numpy()
    before = copy.deepcopy(net.state_dict())
    assert relative(refit(net, x, y, cutoff=1e-6)(x.clone()).detach(), torch.from_numpy(wanted)) < 1e-8
    assert all(torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values(), strict=True))


def test_a_network_without_a_last_linear_layer_says_what_to_pass():
    net, x = example("parameters in a list")
    with pytest.raises(ValueError, match="pass features="):
        refit(net, x, numbers(6))
    fitted = refit(net, x, numbers(6, seed=3), features=lambda net, x: torch.tanh(x @ net.w[0]))
    Phi = torch.tanh(x @ net.w[0]).detach().numpy()
    wanted = Phi @ np.linalg.lstsq(Phi, numbers(6, seed=3).numpy(), rcond=None)[0]
    assert relative(fitted(x).detach(), torch.from_numpy(wanted)) < 1e-8


@pytest.mark.parametrize("name", LAST_LINEAR[:3])
def test_change_from_initialisation(name):
    start, x = example(name)
    net = copy.deepcopy(start)
    with torch.no_grad():
        for p in net.parameters():
            p += 0.1 * numbers(*p.shape, seed=5)
    flat = [torch.cat([p.detach().flatten() for p in u.parameters()]) for u in (net, start)]
    kernels = [(J := rows(u, x)) @ J.T for u in (net, start)]
    found = change_from_init(net, x, start)
    assert relative(found["weights"], (flat[0] - flat[1]).norm() / flat[1].norm()) < 1e-12
    assert relative(found["drift"], (kernels[0] - kernels[1]).norm() / kernels[1].norm()) < 1e-10


def test_distance_from_the_shortest_fit():
    x, y = numbers(4, 7), numbers(4, 2, seed=2)
    shortest = torch.from_numpy(np.linalg.pinv(x.numpy()) @ y.numpy())
    deep = nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in ((7, 5), (5, 6), (6, 2)))).double()
    product = deep[2].weight @ deep[1].weight @ deep[0].weight
    assert relative(min_norm_distance(deep, x, y), (product.T.detach() - shortest).norm()) < 1e-10
    assert relative(min_norm_distance(shortest + 1, x, y), torch.tensor(14.0).double().sqrt()) < 1e-10
    assert min_norm_distance(shortest, x, y) < 1e-12


def test_a_predictor_may_be_frozen_and_have_one_output():
    x, y = numbers(4, 7), numbers(4, seed=2)
    net = nn.Sequential(nn.Linear(7, 1, bias=False), nn.Flatten(0)).double().requires_grad_(False)
    wanted = np.linalg.norm(net[0].weight[0].numpy() - np.linalg.pinv(x.numpy()) @ y.numpy())
    assert min_norm_distance(net, x, y).item() == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm1d(5)], ids=["random", "mixing"])
@pytest.mark.parametrize("measure", [refit, min_norm_distance, lambda net, x, y: change_from_init(net, x, net)])
def test_a_network_in_training_mode_is_refused_and_stays(measure, layer):
    net = nn.Sequential(nn.Linear(3, 5), layer, nn.Linear(5, 1)).double()
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=r"in training mode.*call net.eval\(\)"):
        measure(net, numbers(6, 3), numbers(6, 1))
    assert all(torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values(), strict=True))


def test_refit_refuses_a_last_layer_whose_weights_stand_elsewhere_too():
    tied = nn.Linear(3, 3)
    net = nn.Sequential(tied, nn.Tanh(), nn.Linear(3, 3)).double()
    net[2].weight = tied.weight
    normed = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), parametrizations.weight_norm(nn.Linear(4, 3))).double()
    for each in (net, normed):
        with pytest.raises(ValueError, match="pass features="):
            refit(each, numbers(6, 3), numbers(6, 3, seed=2))


@pytest.mark.parametrize(("net", "why"), [(FLAT["perceptron"], "affine|not linear"), (lambda: nn.Linear(3, 1), "affine")])
def test_a_predictor_that_is_not_linear_is_refused(net, why):
    with pytest.raises(ValueError, match=why):
        min_norm_distance(net().double(), numbers(2, 3), numbers(2, 1))
