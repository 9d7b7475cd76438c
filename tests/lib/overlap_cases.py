"""Overlaps of students and teachers, and the Gaussian integrals written out as in the literature, pair by pair.

The library has one idea, tilting; here are the formulas of Saad and Solla 1995 instead, so that the two can be compared.
"""

import math

import numpy as np


def start(p, k, seed=0, d=13):
    """``Q`` and ``M`` of random units that are not of length one, with an orthonormal teacher."""
    rng = np.random.default_rng(seed)
    W = rng.uniform(0.6, 1.5, (p, 1)) * rng.standard_normal((p, d)) / math.sqrt(d)
    return W @ W.T, W[:, :k]


def fields(p, k, seed=0):
    """The covariance ``Omega`` of ``p`` student and ``k`` teacher units, all of them of different lengths."""
    rng = np.random.default_rng(seed + 50)
    W = rng.uniform(0.6, 1.5, (p + k, 1)) * rng.standard_normal((p + k, p + k + 4)) / math.sqrt(p + k + 4)
    return W @ W.T


def i2(C, a, b):
    """``E[g g]``."""
    return 2 / math.pi * math.asin(C[a, b] / math.sqrt((1 + C[a, a]) * (1 + C[b, b])))


def j2(C, i, j):
    """``E[g' g']``."""
    return 2 / math.pi / math.sqrt((1 + C[i, i]) * (1 + C[j, j]) - C[i, j] ** 2)


def i3(C, j, b, a):
    """``E[g'(u_j) u_b g(u_a)]``."""
    root = math.sqrt((1 + C[j, j]) * (1 + C[a, a]) - C[j, a] ** 2)
    return 2 / math.pi * (C[b, a] * (1 + C[j, j]) - C[j, b] * C[j, a]) / ((1 + C[j, j]) * root)


def i4(C, i, j, a, b):
    """``E[g'(u_i) g'(u_j) g(u_a) g(u_b)]``."""
    x, y, z = 1 + C[i, i], 1 + C[j, j], C[i, j]
    L4 = x * y - z * z
    L0 = L4 * C[a, b] - C[j, a] * C[j, b] * x - C[i, a] * C[i, b] * y + z * (C[i, a] * C[j, b] + C[i, b] * C[j, a])

    def own(a):
        return L4 * (1 + C[a, a]) - C[j, a] ** 2 * x - C[i, a] ** 2 * y + 2 * z * C[i, a] * C[j, a]

    return 4 / math.pi**2 / math.sqrt(L4) * math.asin(L0 / math.sqrt(own(a) * own(b)))


def drift_by_loops(C, c, p):
    """``J``, one integral at a time."""
    return np.array([[sum(c[a] * i3(C, j, b, a) for a in range(len(C))) for b in range(len(C))] for j in range(p)])


def noise_by_loops(C, c, p, label_noise):
    """``N``, one integral at a time."""
    n = range(len(C))
    return np.array(
        [
            [sum(c[a] * c[b] * i4(C, i, j, a, b) for a in n for b in n) + label_noise * j2(C, i, j) for j in range(p)]
            for i in range(p)
        ]
    )
