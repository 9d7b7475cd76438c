"""A start for exercise 6, and for exercise 7 gradient flows of ReLU committees: to run, and recorded.

``python -m regimes_course.lesson03.experiments`` runs the recorded ones again (half a minute) and writes ``relu_flows.json``.
"""

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor

from regimes.flows import RungeKutta4
from regimes.networks import committee
from regimes.population_risk import PopulationGradient
from regimes.problems import orthonormal_units, unit_vectors
from regimes.training import Trace, train
from regimes_course.kit.checking import random

__all__ = ["flow", "recorded", "start"]

D, DT, EVERY = 22, 6.0, 50  # inputs, time step, steps between records
UNITS, STARTS, UNTIL = ((6, 6), (6, 7), (10, 10), (10, 11)), 24, 15000.0
FILE = "relu_flows.json"


def start(p: int = 4, k: int = 2, seed: int = 1) -> tuple[Tensor, Tensor]:
    """``Q`` (p, p) and ``M`` (p, k) of ``p`` units of length one that share ``k + 2`` axes with an orthonormal teacher."""
    W = random(seed, p, k + 2)
    W = W / W.norm(dim=-1, keepdim=True)
    return W @ W.mT, W[:, :k]


def flow(k: int, p: int, seeds: Sequence[int], until: float) -> Trace:
    """Follow the gradient of the population risk from random units of length one, to the time ``until``.

    Args:
        k: units of the teacher, orthonormal, in 22 inputs.
        p: units of the student.
        seeds: of the starts, one a run.
        until: time; recorded every 300.

    Returns:
        a `Trace` whose ``loss`` is the risk, ``(records, len(seeds))``.
    """
    teacher = committee(orthonormal_units(D, k, seed=99), activation="relu")
    student = committee(unit_vectors(D, p, seed=torch.as_tensor(list(seeds))), activation="relu")
    steps = max(1, round(until / DT))
    return train(student, None, None, RungeKutta4(student, PopulationGradient(teacher), DT), steps, every=EVERY)


@cache
def _file() -> dict[str, list[list[float]]]:
    return json.loads((resources.files("regimes_course.lesson03") / FILE).read_text(encoding="utf8"))


def recorded(k: int, p: int, seeds: Sequence[int], until: float) -> Trace:
    """The same from the file: 24 starts, up to t = 15000, held at the last value for longer times.

    Raises:
        ValueError: for units, starts or times that were not recorded.
    """
    seeds = [int(s) for s in seeds]
    if (k, p) not in UNITS or not seeds or not set(seeds) <= set(range(STARTS)) or not until > 0:
        raise ValueError(
            f"recorded are (k, p) = {', '.join(map(str, UNITS))}, seeds 0 to {STARTS - 1} and times above zero; got {k=}, "
            f"{p=}, {seeds=}, {until=}"
        )
    risks = torch.tensor(_file()[f"{k}, {p}"], dtype=torch.float64)[:, seeds]
    records = 1 + max(1, int(min(until / (DT * EVERY), 1000)))
    held = risks[torch.arange(records).clamp(max=len(risks) - 1)]
    step = EVERY * torch.arange(records)
    return Trace(step, DT * step.double(), held)


def _record() -> None:
    def rounded(trace):
        return [[float(f"{r:.3g}") if r > 1e-15 else 0.0 for r in row] for row in trace.loss.tolist()]

    flows = {f"{k}, {p}": rounded(flow(k, p, range(STARTS), UNTIL)) for k, p in UNITS}
    Path(__file__).with_name(FILE).write_text(json.dumps(flows, separators=(",", ":")) + "\n", encoding="utf8")


if __name__ == "__main__":
    _record()
