"""The examples in docstrings run."""

import doctest
import importlib
from pathlib import Path

import pytest

import regimes

LIB = Path(regimes.__file__).parents[1]
WITH_EXAMPLES = [p for p in sorted(LIB.rglob("*.py")) if ">>> " in p.read_text(encoding="utf-8")]


PARAMS = [pytest.param(p, id=str(p.relative_to(LIB))) for p in WITH_EXAMPLES]


@pytest.mark.parametrize("path", PARAMS)
def test_examples(path):
    name = ".".join(path.relative_to(LIB).with_suffix("").parts).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted and not result.failed
