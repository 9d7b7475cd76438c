"""What a step does to the loss of its own batch and of the next one."""

import pytest
import torch

from regimes.metrics import loss_on
from regimes.optimizers import GaussNewton, GradientDescent
from regimes_course.lesson07.experiments import batch_changes
from tests.lib.cases import D, N, normal, two_layer

BATCHES = [(normal(N, D, seed=k), normal(N, seed=k + 50, mean=-0.4)) for k in range(8)]


def test_changes_of_own_and_next_batch():
    net, twin = two_layer(), two_layer()
    changes = batch_changes(GradientDescent(net, 0.2), iter(BATCHES), 5)
    table, mover = [], GradientDescent(twin, 0.2)
    for k in range(6):
        table.append([loss_on(twin, *batch).item() for batch in BATCHES])
        mover.step(*BATCHES[k])
    for k in range(5):
        for row, b in enumerate((k, k + 1)):
            assert changes[row, k].item() == pytest.approx(table[k + 1][b] / table[k][b] - 1, rel=1e-10)
    assert changes.shape == (2, 5) and (changes[0] < 0).all()


def test_changes_of_each_run():
    stack = two_layer(runs=(3,), seed=torch.arange(3))
    changes = batch_changes(GaussNewton(stack, 0.01, damping=0.1), iter(BATCHES), 4)
    assert changes.shape == (2, 4, 3) and len(changes[0, 0].unique()) == 3
