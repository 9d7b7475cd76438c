"""What a sweep costs from ten to ten thousand runs, and whether the formulas of docs/SCALE.md hold for time and memory.

Run it from the root: ``python -m benchmarks.scale`` (minutes); ``--draw`` writes docs/scale.png as well. Nothing is judged: the
numbers depend on the machine, and the page says which ones were measured where.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

import torch

from benchmarks.clock import peak
from regimes import GaussNewton, GradientDescent, TwoLayer, gauss_newton, gradient, sweep, train
from regimes.problems import teacher_student
from regimes.sweeps import stack_size

FIGURE = Path(__file__).resolve().parent.parent / "docs" / "scale.png"
RUNS, STEPS, D = (10, 100, 1000, 10_000), 10, 5
STACKS, NETWORKS, ROUNDS = (1, 4, 16, 64), [(20, 40), (50, 100), (100, 100), (200, 200)], 2
RULES = {"Gauss-Newton": lambda net, lr: GaussNewton(net, lr, damping=1e-3), "gradient descent": GradientDescent}


class Work:
    """A grid of small trainings, for workers as well: they import this class."""

    def __init__(self, n: int, m: int, rule: str, steps: int):
        self.problem, self.m, self.rule, self.steps = teacher_student(n, D, teacher_width=3, seed=0), m, rule, steps

    def __call__(self, seed, lr):
        """A stack of trainings, recorded at its ends."""
        net = TwoLayer(D, self.m, runs=seed.shape, seed=seed)
        trace = train(net, self.problem.x, self.problem.y, RULES[self.rule](net, lr), self.steps, every=self.steps)
        return {"loss": trace.loss[-1]}


def cpu(call, *arguments, **options) -> float:
    """CPU seconds of this process."""
    start = time.process_time()
    call(*arguments, **options)
    return time.process_time() - start


def by_runs(runs) -> dict[str, list[tuple[int, float]]]:
    """CPU seconds of a sweep of small networks, by the number of runs: one at a time (a thousand at most) and in stacks."""
    n, m = 20, 40
    found = {}
    sweep(Work(n, m, "gradient descent", STEPS), {"seed": [0], "lr": [0.1]})  # the first call imports and warms up
    for name, stack in {"one at a time": 1, f"stacks of {stack_size(n, m)}, as advised": stack_size(n, m)}.items():
        work, most = Work(n, m, "gradient descent", STEPS), 1000 if stack == 1 else max(runs)
        found[name] = [
            (count, cpu(sweep, work, {"seed": range(count), "lr": [0.1]}, stack=stack)) for count in runs if count <= most
        ]
    return found


def by_stack(networks, rounds) -> dict[tuple, list[tuple[int, float]]]:
    """CPU seconds per run and step, by the size of the stacks: the shortest of some rounds."""
    found = {}
    for rule in RULES:
        for n, m in networks:
            work, best = Work(n, m, rule, 5), {stack: float("inf") for stack in STACKS}
            for _ in range(rounds):
                for stack in STACKS:
                    grid = {"seed": range(max(stack, 16)), "lr": [0.1]}
                    best[stack] = min(best[stack], cpu(sweep, work, grid, stack=stack) / len(grid["seed"]) / 5)
            found[rule, n, m] = [*best.items()]
    return found


def start_of_workers() -> float:
    """CPU seconds until two new processes have done nothing: what ``jobs=2`` has to win back."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    sweep(Work(5, 2, "gradient descent", 1), {"seed": range(2), "lr": [0.1]}, stack=1, jobs=2)
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(getattr(after, name) - getattr(before, name) for name in ("ru_utime", "ru_stime"))


# Numbers of eight bytes that a step holds at its peak, and its floating-point operations: the formulas of docs/SCALE.md.
ROUTES = {
    "gradient": (lambda n, d, m, p: 4 * n * m + 3 * p, lambda n, d, m, p: 4 * n * m * d, [(4000, 500), (8000, 500)]),
    "sample": (
        lambda n, d, m, p: 3 * n * n + 4 * n * m + 3 * p,
        lambda n, d, m, p: 4 * n * n * m + n**3 / 3,
        [(1000, 500), (2000, 500)],
    ),
    "parameter": (
        lambda n, d, m, p: 3 * n * p + 2 * p * p,
        lambda n, d, m, p: 2 * n * p * p + p**3 / 3,
        [(4000, 50), (8000, 50)],
    ),
    "cg": (lambda n, d, m, p: 4 * n * m + 5 * p, lambda n, d, m, p: 4 * n * m * d, [(1000, 200), (2000, 200)]),
}


def by_route(routes) -> list[tuple]:
    """Each route to a step at two sizes: peak memory beside its formula, and the operations a second that its time means."""
    rows = []
    for name, (numbers, operations, sizes) in routes.items():
        for n, m in sizes:
            problem, net = teacher_student(n, D, teacher_width=3, seed=0), TwoLayer(D, m, output_std=1.0)
            sizes_of = (n, D, m, m * (D + 2))

            def step(net=net, problem=problem, name=name):
                if name == "gradient":
                    return gradient(net, problem.x, problem.y)
                return gauss_newton(net, problem.x, problem.y, damping=10.0, solver=name)

            held, how = peak(step), step().solve
            products = how.iterations if name == "cg" else 1
            seconds = min(cpu(step) for _ in range(2))
            rate = operations(*sizes_of) * products / seconds
            rows.append((name, *sizes_of, held, 8 * numbers(*sizes_of), seconds, rate))
    return rows


def draw(runs, stacks) -> None:
    """The figure of docs/SCALE.md."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, *others) = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    for name, points in runs.items():
        left.loglog(*zip(*points, strict=True), "o-", label=name)
    left.set(xlabel="runs", ylabel="CPU seconds", title=f"gradient descent, n = 20, m = 40, {STEPS} steps")
    left.legend(frameon=False)
    for ax, rule in zip(others, RULES, strict=True):
        for (name, n, m), points in stacks.items():
            if name == rule:
                best = min(seconds for _, seconds in points)
                (line,) = ax.plot([s for s, _ in points], [t / best for _, t in points], "o-", label=f"n = {n}, m = {m}")
                ax.axvline(min(stack_size(n, m), max(STACKS) * 1.2), color=line.get_color(), linestyle=":", linewidth=1)
        ax.set(xlabel="runs in a stack (dotted: advised)", ylabel="time a run and step / best", title=rule)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.legend(frameon=False, fontsize="small")
    figure.savefig(FIGURE, dpi=100)


def main(arguments=None):
    """Print the tables, and draw the figure if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="small sizes, one round: does it run at all?")
    parser.add_argument("--draw", action="store_true", help="write docs/scale.png")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    tiny = {name: (a, b, [(30, 4), (60, 4)]) for name, (a, b, _) in ROUTES.items()}
    runs = by_runs(RUNS[:1] if options.tiny else RUNS)
    stacks = by_stack(*((NETWORKS[:1], 1) if options.tiny else (NETWORKS, ROUNDS)))
    print("# Sweeps\n\n| | runs | CPU s |\n|---|---|---|")
    print("\n".join(f"| {name} | {count} | {seconds:.3g} |" for name, points in runs.items() for count, seconds in points))
    print(f"\n| rule, n, m (advised) | {' | '.join(f'stack {s}' for s in STACKS)} |\n|---|{'---|' * len(STACKS)}")
    for (rule, n, m), points in stacks.items():
        best, cells = min(t for _, t in points), " | ".join(f"{1e3 * t:.3g}" for _, t in points)
        print(f"| {rule}, {n}, {m} ({stack_size(n, m)}) | {cells} | best {1e3 * best:.3g} ms a run and step")
    if not options.tiny:
        print(f"\nTwo new workers start: {start_of_workers():.1f} CPU s")
    print("\n# Routes to a step\n")
    print("| route | n | d | m | p | peak MB | formula MB | CPU ms | Gflop/s |")
    print(f"|{'---|' * 9}")
    for name, n, d, m, p, held, formula, seconds, rate in by_route(tiny if options.tiny else ROUTES):
        told = "" if held is None else f"{held / 1e6:.0f}"
        print(f"| {name} | {n} | {d} | {m} | {p} | {told} | {formula / 1e6:.0f} | {1e3 * seconds:.3g} | {rate / 1e9:.3g} |")
    if options.draw:
        draw(runs, stacks)
    return 0


if __name__ == "__main__":
    sys.exit(main())
