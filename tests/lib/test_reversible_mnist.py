"""The exact step at the paper's size, on MNIST, for readers who have it: minutes on a CPU, seconds on a GPU.

``REGIMES_MNIST=mnist.npz pytest -m long tests/lib/test_reversible_mnist.py``; the file holds ``x`` (n, 28, 28), numbers
from 0 to 255, and ``y`` (n,), the labels. Nothing is downloaded.
"""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from regimes.metrics import accuracy
from regimes.networks import Reversible
from regimes.optimizers import ReversibleGaussNewton
from regimes.training import train

FILE = Path(os.environ.get("REGIMES_MNIST", "no file"))
pytestmark = [pytest.mark.long, pytest.mark.skipif(not FILE.is_file(), reason="REGIMES_MNIST names no file with MNIST")]


def test_two_blocks_of_width_8000_on_1024_images():
    """The setting of the paper's figure 1, with the squared loss and exact steps: the law of the loss, and a test accuracy."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with np.load(FILE) as file:
        x, y = torch.tensor(file["x"]).double().flatten(1).to(device), torch.tensor(file["y"]).long().to(device)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).to(device)
    x, y = x[order[:6024]], torch.nn.functional.one_hot(y[order[:6024]], 10).double()
    x = x - x[:1024].mean(0)
    x = x / x[:1024].std()
    net = Reversible(784, 10, 8000, device=device)
    trace = train(net, x[:1024], y[:1024], rule := ReversibleGaussNewton(net, 0.5), 10)
    slope = (trace.loss[-1] / trace.loss[4]).log().item() / 6
    right = accuracy(net, x[1024:], y[1024:]).item()
    print(f"slope {slope:.3f} (predicted {2 * math.log(0.5):.3f}), test accuracy {right:.3f}")
    assert slope == pytest.approx(2 * math.log(0.5), rel=0.02)
    assert rule.last.solve.residual < 1e-8 and right > 0.2
