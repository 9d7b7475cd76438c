"""`import regimes`: quick, and what the README uses is there."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import regimes


def test_it_loads_torch_when_a_name_is_asked_for_and_not_before():
    script = "import sys, regimes; assert 'torch' not in sys.modules; regimes.TwoLayer(1, 2); assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_what_only_lanczos_needs_is_not_loaded_with_the_metrics():
    """It takes longer than all the rest of them."""
    script = "import sys, regimes.metrics; assert 'scipy.sparse.linalg' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("name", regimes.__all__)
def test_a_name_is_listed_and_is_the_one_of_its_module(name):
    module = importlib.import_module(f"regimes.{regimes._HOME[name]}")
    assert getattr(regimes, name) is getattr(module, name) and name in dir(regimes) and name in module.__all__


def test_modules_and_names_are_not_taken_for_one_another():
    lines = ["import regimes.sweeps", "from regimes import metrics, sweep", "from regimes import *"]
    script = "; ".join([*lines, "assert callable(sweep) and callable(train) and metrics.loss_on"])
    subprocess.run([sys.executable, "-c", script], check=True)
    with pytest.raises(AttributeError, match="'regimes' has no attribute 'GausNewton'"):
        _ = regimes.GausNewton


def test_type_checkers_see_the_same_names():
    folder = Path(regimes.__file__).parent
    assert (folder / "py.typed").exists()
    tree = ast.walk(ast.parse((folder / "__init__.py").read_text("utf-8")))
    told = {
        alias.asname: node.module for node in tree if isinstance(node, ast.ImportFrom) for alias in node.names if alias.asname
    }
    assert told == {name: f"regimes.{home}" for name, home in regimes._HOME.items()}
