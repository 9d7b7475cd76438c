"""One thread, one seed, and the tests that need more than every machine has."""

import pytest
import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)

# The same examples in every run, few of them, and no clock: a slow machine is not a failure.
settings.register_profile(
    "course",
    derandomize=True,
    deadline=None,
    max_examples=25,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("course")


def pytest_configure(config):
    """Warnings are errors, but for one: torch's forward mode loads a module of its own that torch has deprecated."""
    config.addinivalue_line("filterwarnings", "ignore:.torch.jit.script. is deprecated:DeprecationWarning")


def pytest_collection_modifyitems(config, items):
    """Skip what needs a GPU without one, and what takes minutes unless it is asked for with ``-m long`` or ``-m site``."""
    no_gpu = pytest.mark.skip(reason="needs an NVIDIA GPU; this machine has none")
    on_demand = {name: pytest.mark.skip(reason=f"takes minutes; run it with -m {name}") for name in ("long", "site")}
    for item in items:
        if "cuda" in item.keywords and not torch.cuda.is_available():
            item.add_marker(no_gpu)
        for name, skip in on_demand.items():
            if item.get_closest_marker(name) and name not in config.option.markexpr:
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def _seeded():
    """The global generator starts from the same state in each test, whatever ran before."""
    torch.manual_seed(0)
