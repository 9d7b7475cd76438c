"""A task of the benchmark: one thing to compute, at some sizes, by several methods. Right first, then fast."""

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks import clock
from benchmarks.clock import Timing

Size = tuple[int, ...]
Method = Callable[[Any], Tensor]  # from the problem to the result
Span = float | tuple[float, float]  # a number, or the smallest and the largest of several

SLACK = 1.25  # a target is missed where a ratio is larger by more than this, on two attempts


@dataclass(frozen=True)
class Ratio:
    """The time of a method over that of another one: what is stated, in each size.

    Attributes:
        method, against: names of methods of the task.
        before: what it was when the library was measured for the first time, by size.
        target: what it should be at most, by size.
        guard: the size in which the tests hold it to twice its target there; none if they do not.
        rival: whether ``against`` does the same, as a reader, another package or another choice would; a part that everybody
            has to compute is no rival, nor the library's own special case.
    """

    method: str
    against: str
    before: Mapping[Size, Span] = field(default_factory=dict)
    target: Mapping[Size, float] = field(default_factory=dict)
    guard: Size | None = None
    rival: bool = True


@dataclass(frozen=True)
class Task:
    """One thing to compute.

    Attributes:
        name: of the task.
        axes: what the numbers of a size count, such as ``"n d m"``.
        sizes: which sizes are timed; ``tiny`` is the one of a trial.
        make: from a size and a device to the problem, an object that all methods receive.
        reference: the right result, float64, by a slow and dense route that shares nothing with the methods.
        methods: by name, the library's first; they need what the library needs.
        ratios: what is stated.
        tolerance: how far a result may be from the reference, relative to its norm; ``loose`` holds exceptions by name.
        floors: what no method can avoid: timed, but without a result.
        peers: methods of other packages, which may be absent or fail.
    """

    name: str
    axes: str
    sizes: Sequence[Size]
    tiny: Size
    make: Callable[..., Any]
    reference: Method
    methods: Mapping[str, Method]
    ratios: Sequence[Ratio]
    tolerance: float = 1e-10
    loose: Mapping[str, float] = field(default_factory=dict)
    floors: Mapping[str, Method] = field(default_factory=dict)
    peers: Mapping[str, Method] = field(default_factory=dict)

    def at(self, size: Size) -> str:
        """The size in words."""
        return ", ".join(f"{axis} = {number}" for axis, number in zip(self.axes.split(), size, strict=True))


@dataclass(frozen=True)
class Row:
    """A number that is stated.

    Attributes:
        task: what was computed.
        setting: at which size, in words.
        what: the number in words.
        now: the number.
        before, target: see `Ratio`.
        lost: whether a ``now`` above one means that others do the same faster.
    """

    task: str
    setting: str
    what: str
    now: float
    before: Span | None = None
    target: float | None = None
    lost: bool = False

    @property
    def name(self) -> str:
        """Of what the number is."""
        return f"{self.task} ({self.setting}), {self.what}"

    @property
    def missed(self) -> bool:
        """Whether it is worse than its target by more than the slack."""
        return self.target is not None and self.now > SLACK * self.target


@dataclass(frozen=True)
class Measured:
    """A task at one size: timings and errors by method, why others are missing, and what is stated."""

    task: Task
    size: Size
    timings: dict[str, Timing]
    errors: dict[str, float]
    failed: dict[str, str]

    def ratio(self, method: str, against: str) -> float:
        """The time of one over the time of the other."""
        return self.timings[method].seconds / self.timings[against].seconds

    def rows(self) -> list[Row]:
        """What is stated: the ratios of the task, and the library against every peer that has none."""
        task, (ours, *_) = self.task, self.task.methods
        listed = {ratio.against for ratio in task.ratios}
        ratios = [*task.ratios, *(Ratio(ours, peer) for peer in task.peers if peer not in listed)]
        return [
            Row(
                task.name,
                task.at(self.size),
                f"{ratio.method} / {ratio.against}",
                self.ratio(ratio.method, ratio.against),
                ratio.before.get(self.size),
                ratio.target.get(self.size),
                ratio.rival,
            )
            for ratio in ratios
            if ratio.against in self.timings
        ]


def run(task: Task, size: Size, *, device: str = "cpu", peers: bool = False, rounds: int = 7) -> Measured:
    """Check every method against the reference, then time them all.

    Raises:
        SystemExit: if a method that is no peer is wrong: then nothing was timed.
    """
    problem = task.make(*size, device=device)
    truth = task.reference(problem)
    right, errors, failed = {}, {}, {}
    with warnings.catch_warnings():
        if peers:
            warnings.simplefilter("ignore")  # what other packages say to their users
        for name, method in (task.methods | (task.peers if peers else {})).items():
            try:
                errors[name] = relative(method(problem), truth)
            except Exception as error:  # an absent or failing peer is a row of the table, with the reason
                if name not in task.peers:
                    raise
                failed[name] = f"{type(error).__name__}: {error}".splitlines()[0][:80]
                continue
            tolerance = task.loose.get(name, task.tolerance)
            if name in task.peers and errors[name] > tolerance:
                failed[name] = f"wrong, its error is {errors[name]:.0e}"
            else:
                stop_if_wrong(f"{task.name}, {task.at(size)}, {name}", errors[name], tolerance)
                right[name] = method
        calls = {name: partial(method, problem) for name, method in (right | task.floors).items()}
        return Measured(task, size, clock.measure(calls, rounds, device), errors, failed)


def best(task: Task, ratio: Ratio, enough: float, attempts: int = 5) -> float:
    """The smallest of several measurements of a guarded ratio; no further ones once it is small enough."""
    both = (ratio.method, ratio.against)
    methods, floors = ({k: v for k, v in named.items() if k in both} for named in (task.methods, task.floors))
    task, smallest = replace(task, methods=methods, floors=floors), float("inf")
    for _ in range(attempts):
        smallest = min(smallest, run(task, ratio.guard, rounds=3).ratio(*both))
        if smallest <= enough:
            break
    return smallest


def stop_if_wrong(what: str, error: float, tolerance: float) -> None:
    """End the program where a number of the library, or one that it is compared with, is wrong."""
    if not error <= tolerance:
        sys.exit(f"wrong numbers: {what}: off by {error:.1e}, allowed {tolerance:.0e}; nothing was timed")


def relative(got: Tensor, truth: Tensor) -> float:
    """``|got - truth| / |truth|``."""
    return ((got.detach().double() - truth).norm() / truth.norm()).item()


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """All of them as one vector."""
    return torch.cat([t.detach().flatten() for t in tensors])
