import pytest
import torch

from regimes import reference
from tests.lib.cases import CASES, normal, perceptron, relative, two_layer

DOUBLE = torch.float64


@pytest.mark.parametrize(
    "name", ["mean field", "perceptron, three outputs", "own module", "two-layer, W frozen", "tied weights"]
)
def test_dense_jacobian_is_that_of_finite_differences(name):
    net, x, _ = CASES[name]()
    J, h, columns = reference.dense_jacobian(net, x), 1e-5, []
    for p in net.parameters():
        for i in range(p.numel() * p.requires_grad):
            ends = []
            for sign in (1, -1):
                with torch.no_grad():
                    p.view(-1)[i] += sign * h
                    ends.append(net(x).flatten())
                    p.view(-1)[i] -= sign * h
            columns.append((ends[0] - ends[1]) / (2 * h))
    assert relative(J, torch.stack(columns, 1)) < 1e-8


def test_minimum_norm_step_by_hand():
    J, r = torch.tensor([[1.0, 0.0, 1.0], [0.0, 2.0, 0.0]], dtype=DOUBLE), torch.tensor([1.0, 2.0], dtype=DOUBLE)
    assert reference.minimum_norm_step(J, r).tolist() == pytest.approx([0.5, 1.0, 0.5])
    assert reference.augmented_step(J, r, 1.0).tolist() == pytest.approx([1 / 3, 0.8, 1 / 3])
    assert reference.parameter_space_step(J, r, 1.0).tolist() == pytest.approx([1 / 3, 0.8, 1 / 3])


@pytest.mark.parametrize("shape", [(5, 20), (20, 5)])
def test_minimum_norm_step_is_the_pseudo_inverse(shape):
    J, r = normal(*shape), normal(shape[0], seed=1)
    assert relative(reference.minimum_norm_step(J, r), torch.linalg.pinv(J) @ r) < 1e-12


@pytest.mark.parametrize("shape", [(5, 20), (20, 5)])
@pytest.mark.parametrize("damping", [1e-3, 0.5, 30.0])
def test_both_damped_forms_agree(shape, damping):
    J, r = normal(*shape), normal(shape[0], seed=1)
    assert relative(reference.augmented_step(J, r, damping), reference.parameter_space_step(J, r, damping)) < 1e-10


def test_networks_come_back_unmodified():
    for net in (two_layer(), perceptron()):
        before = [p.detach().clone() for p in net.parameters()]
        reference.dense_jacobian(net, normal(4, 3))
        assert all(torch.equal(p, b) and p.grad is None for p, b in zip(net.parameters(), before, strict=True))
