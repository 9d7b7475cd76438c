"""The library against the machine's limit, against what a reader would write, and with ``--peers`` against other packages.

``python3 course.py bench`` takes some minutes; names of tasks choose some. Results are checked before anything is timed.
Nothing is gated on absolute times: the run fails when results are wrong, or when a ratio misses its target by more than a
quarter on two attempts in a row. ``--write`` puts what was measured into docs/BENCHMARKS.md.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from itertools import chain
from unittest.mock import patch

import torch
from threadpoolctl import threadpool_limits  # comes with scikit-learn

from benchmarks import curvature, growth, motion, report, startup, steps, waiting
from benchmarks.task import Measured, Row, Task, run
from regimes import training

# By the names that the command line takes: a task is timed, a function measures something else and returns its rows.
TABLE: dict[str, list[Task | Callable[..., list[Row]]]] = {
    "train": [motion.DESCENT, motion.GAUSS_NEWTON],
    "kernel": [steps.KERNEL],
    "step": [steps.DAMPED, steps.UNDAMPED],
    "float32": [steps.FLOAT32],
    "few-parameters": [steps.FEW_PARAMETERS],
    "hessian": [curvature.PRODUCT],
    "sharpness": [curvature.ALONG, curvature.counts],
    "sweep": [motion.MANY],
    "one-pass": [motion.ONLINE],
    "images": [steps.IMAGE_KERNEL, steps.IMAGE_STEP],
    "memory": [growth.memory],
    "growth": [growth.exponents],
    "startup": [startup.startup],
}
CPU_ONLY = ("one-pass", "startup")
TASKS = [one for several in TABLE.values() for one in several if isinstance(one, Task)]


def measured(task: Task, options: argparse.Namespace) -> Iterator[Row]:
    """The rows of a task at each size; measured again where the first attempt misses a target."""
    for size in [task.tiny] if options.tiny else task.sizes:
        attempt = partial(run, task, size, device=options.device, peers=options.peers, rounds=1 if options.tiny else 7)
        found = attempt()
        if options.device == "cpu" and any(row.missed for row in found.rows()):
            found = attempt()
        print(table(found), flush=True)
        yield from found.rows()


def table(found: Measured) -> str:
    """Markdown: every method with its time, relative to the library's, and its error."""
    ours = next(iter(found.task.methods))
    lines = [f"\n### {found.task.name}: {found.task.at(found.size)}\n", "| method | ms | quartiles | ratio | error |"]
    lines.append("|---|---|---|---|---|")
    for name, t in found.timings.items():
        error = f"{found.errors[name]:.0e}" if name in found.errors else ""
        quartiles = f"{1e3 * t.low:.3g}-{1e3 * t.high:.3g}"
        lines.append(f"| {name} | {1e3 * t.seconds:.3g} | {quartiles} | {found.ratio(name, ours):.2f} | {error} |")
    return "\n".join([*lines, *(f"| {name} | not timed: {why} | | | |" for name, why in found.failed.items()), ""])


def chosen(options: argparse.Namespace) -> Iterator[Row]:
    """The rows of the tasks named, of all of them without a name."""
    names = options.tasks or [name for name in TABLE if options.device == "cpu" or name not in CPU_ONLY]
    for one in chain.from_iterable(TABLE[name] for name in names):
        rows = measured(one, options) if isinstance(one, Task) else one(options.tiny, options.device)
        for row in rows:
            yield row if options.device == "cpu" else replace(row, before=None, target=None)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, checked."""
    parser = argparse.ArgumentParser(prog="course.py bench", description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"{', '.join(TABLE)}; all of them without a name")
    parser.add_argument(
        "--peers", action="store_true", help="other packages as well, where installed: pip install -e '.[bench]'"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to compute")
    parser.add_argument("--widgets", action="store_true", help="instead: how long a move of a slider takes (minutes)")
    parser.add_argument("--lessons", action="store_true", help="instead: how long a lesson runs (ten minutes)")
    parser.add_argument("--write", action="store_true", help=f"into {report.PAGE}")
    parser.add_argument("--tiny", action="store_true", help="small sizes, one round: does it run at all?")
    parser.add_argument("--json", metavar="FILE", help="append a JSON object a row to this file")
    options = parser.parse_args(arguments)
    if strange := [name for name in options.tasks if name not in TABLE]:
        parser.error(f"no task {strange[0]!r}; there are: {', '.join(TABLE)}")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error(f"--device cuda needs an NVIDIA GPU and a torch that can use it; torch {torch.__version__} sees none here")
    if options.device == "cuda" and (options.widgets or options.lessons or {*options.tasks} & {*CPU_ONLY}):
        parser.error(f"widgets, lessons, {', '.join(CPU_ONLY)} are measured on the CPU: leave out --device cuda")
    if options.tiny and options.write:
        parser.error("--tiny measures nothing worth writing: leave out one of --tiny and --write")
    return options


def sections(options: argparse.Namespace) -> dict[str, Iterator[Row]]:
    """What is to be measured, by the section of the page."""
    apart = {"widgets": waiting.moves, "lessons": waiting.lessons}
    found = {name: rows(options.tiny) for name, rows in apart.items() if getattr(options, name)}
    return found if found and not options.tasks else {options.device: chosen(options)} | found


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, or 1 where a ratio missed its target twice."""
    options = parse(arguments)
    torch.set_num_threads(1)
    silent = patch.object(training, "tqdm", partial(training.tqdm, disable=True))  # no progress bars between the tables
    with threadpool_limits(1), silent:
        return measure(options)


def measure(options: argparse.Namespace) -> int:
    """Measure, print and keep what the options ask for."""
    where, failed = report.about(options.device, options.peers), False
    print(f"# Benchmark\n\n{where}")
    for section, measuring in sections(options).items():
        rows = []
        for row in measuring:
            missed = f", MISSED: target {row.target}" if row.missed else ""
            print(f"- {row.name}: {report.number(row.now)}{missed}", flush=True)
            rows.append(row)
            failed |= row.missed and section == "cpu" and not options.tiny
        if options.json:
            with open(options.json, "a", encoding="utf-8") as file:
                file.writelines(json.dumps({"section": section} | asdict(row)) + "\n" for row in rows)
        if options.write:
            report.keep(section, where, rows)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
