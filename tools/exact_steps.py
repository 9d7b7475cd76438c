"""``python -m tools.exact_steps``: measure the stored runs of lesson 07 again (about half an hour) and write their files.

With ``rules``, only those of ``rules.json`` (ten minutes).
"""

import json
import sys
from pathlib import Path

import torch

from regimes_course.lesson07.experiments import LONG, key, long_run, measure, positions
from regimes_course.lesson07.rules import measure_all

FOLDER = Path(__file__).resolve().parents[1] / "lib/regimes_course/lesson07"
FILE, RULES = FOLDER / "exact_steps.json", FOLDER / "rules.json"
SEEDS = torch.arange(3)


def short(value):
    """Numbers with four significant digits, at any depth."""
    if isinstance(value, dict):
        return {name: short(v) for name, v in value.items()}
    if isinstance(value, list):
        return [short(v) for v in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def rules() -> None:
    """Measure the runs at full batch."""
    found: dict[str, dict] = {}
    for part, name, run in measure_all():
        print(part, name, file=sys.stderr, flush=True)
        found.setdefault(part, {})[name] = short(run)
    parts = ",\n".join(
        f'"{part}": {{\n' + ",\n".join(f"{json.dumps(name)}: {json.dumps(run)}" for name, run in runs.items()) + "\n}"
        for part, runs in found.items()
    )
    RULES.write_text(f"{{{parts}}}\n", encoding="utf8")


def main() -> None:
    """Measure everything, and say how far it has come."""
    torch.set_num_threads(1)
    rules()
    if "rules" in sys.argv[1:]:
        return
    long = {}
    for name in LONG:
        for data in ("shifted", "20 % label noise"):
            print(name, data, file=sys.stderr, flush=True)
            long[f"{name} | {data}"] = {k: v.T.tolist() for k, v in long_run(name, data, SEEDS).items()}
    grid = {}
    for settings in positions():
        print(key(**settings), file=sys.stderr, flush=True)
        grid[key(**settings)] = measure(**settings)
    lines = [f"{json.dumps(name)}: {json.dumps(short(run))}" for name, run in grid.items()]
    FILE.write_text(f'{{"long": {json.dumps(short(long))},\n"grid": {{\n' + ",\n".join(lines) + "\n}}\n", encoding="utf8")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nStopped; the stored runs are as they were.")
