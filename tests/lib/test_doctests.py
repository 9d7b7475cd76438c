"""The examples in docstrings run."""

import doctest
import importlib
from pathlib import Path

import pytest

import regimes

HOUSE = Path(regimes.__file__).parent
WITH_EXAMPLES = [p for p in sorted(HOUSE.rglob("*.py")) if ">>> " in p.read_text(encoding="utf-8")]


PARAMS = [pytest.param(p, id=str(p.relative_to(HOUSE))) for p in WITH_EXAMPLES]


@pytest.mark.parametrize("path", PARAMS)
def test_examples(path):
    name = ".".join(["regimes", *path.relative_to(HOUSE).with_suffix("").parts]).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted and not result.failed
