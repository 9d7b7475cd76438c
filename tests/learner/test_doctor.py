"""The doctor finds what is off and names what mends it."""

import sys
from pathlib import Path

import pytest
import torch

from regimes_course import __main__ as command
from regimes_course.learner import doctor
from regimes_course.learner.doctor import Finding

BASE = ["numpy>=1.26", "torch>=2.6", "pywinpty; sys_platform == 'nowhere'"]
NEEDS = [*BASE, "matplotlib>=3.8; extra == 'course'", "ruff>=0.6; extra == 'dev'"]
HERE = {"numpy": "2.4.6", "torch": "2.13.0+cpu", "matplotlib": "3.11.2"}


def test_packages_in_order():
    found = doctor.packages(NEEDS, HERE)
    assert found.ok and "torch 2.13.0+cpu" in found.says


@pytest.mark.parametrize(
    ("here", "says"),
    [
        ({**HERE, "torch": None}, "torch is missing (needs >=2.6)"),
        ({**HERE, "matplotlib": None}, "matplotlib is missing (needs >=3.8)"),
        ({**HERE, "numpy": "1.20.3"}, "numpy 1.20.3 (needs >=1.26)"),
    ],
)
def test_a_missing_or_old_package(here, says):
    found = doctor.packages(NEEDS, here)
    assert not found.ok and found.says == says and "course.py lab" in found.mend


def test_package_names_are_compared_as_pip_does():
    assert doctor.unmet(["Scikit_Learn>=1.4"], {"scikit-learn": "1.9.1"}) == []


def test_what_each_device_means():
    assert "float64" in doctor.device(None, False, 2).says and "2 threads" in doctor.device(None, False, 2).says
    assert "some GPU (CUDA)" in doctor.device("some GPU", False, 2).says
    assert "MPS) has no float64" in doctor.device(None, True, 2).says
    assert all(doctor.device(cuda, mps, 1).ok for cuda in (None, "x") for mps in (True, False))


@pytest.mark.parametrize("program", ["python", "python3", "/course/.venv/bin/python", "/course/.venv/bin/python3"])
def test_the_kernel_of_this_environment(program):
    assert doctor.kernel(program, "/course/.venv/bin/python").ok


@pytest.mark.parametrize("program", ["/usr/bin/python3", "/other/.venv/bin/python", "python2"])
def test_a_kernel_of_another_environment(program):
    found = doctor.kernel(program, "/course/.venv/bin/python")
    assert not found.ok and program in found.says
    assert found.mend == '"/course/.venv/bin/python" -m ipykernel install --sys-prefix --name python3'


def test_widgets(tmp_path):
    needs = ["jupyterlab_widgets~=3.0.15"]
    good = {"ipywidgets": "8.1.9", "jupyterlab-widgets": "3.0.17"}
    assert doctor.widgets(needs, good, [tmp_path]).ok
    old = doctor.widgets(needs, {"ipywidgets": "8.1.9", "jupyterlab_widgets": "1.1.1"}, [tmp_path])
    assert not old.ok and "1.1.1 (needs ~=3.0.15)" in old.says and "pip install" in old.mend
    none = doctor.widgets(needs, {"ipywidgets": "8.1.9"}, [tmp_path])
    assert not none.ok and "is missing" in none.says
    gone = doctor.widgets(needs, good, [tmp_path, tmp_path / "gone"])
    assert not gone.ok and "no sliders" in gone.says


def test_disk():
    assert doctor.disk(5e9).ok
    found = doctor.disk(2e8)
    assert not found.ok and "0.2 GB free" in found.says and "free some disk space" in found.mend


def test_the_numerical_check_tells_float64_from_float32():
    assert doctor.numerics(doctor.gauss_newton_error(torch.float64), 30).ok
    found = doctor.numerics(doctor.gauss_newton_error(torch.float32), 30)
    assert not found.ok and "limit 1e-10" in found.says
    assert not doctor.numerics(float("nan"), 30).ok


def test_the_matrix_product_takes_its_time_and_no_more():
    assert 0 < doctor.matmul_rate(64, seconds=0.01) < 1e5


def test_chromium_is_named_but_not_needed(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "BROWSERS", ())
    monkeypatch.setattr(doctor, "APPLICATIONS", ())
    monkeypatch.delenv("CHROMIUM", raising=False)
    found = doctor.chromium(doctor.find_chromium())
    assert not found.ok and not found.needed and "apt install chromium" in str(found)
    program = tmp_path / "browser"
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setenv("CHROMIUM", str(program))
    assert doctor.find_chromium() == str(program) and doctor.chromium(str(program)).ok
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "gone"))
    assert doctor.find_chromium() is None


def test_a_broken_package_is_a_finding():
    found = doctor.attempt("device", lambda: __import__("no_such_package"))
    assert not found.ok and "ModuleNotFoundError" in found.says and found.mend == doctor.REBUILD


def test_nothing_but_the_standard_library_is_imported_at_the_top():
    lines = Path(doctor.__file__).read_text("utf-8").splitlines()
    top = [line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))]
    assert set(top) <= sys.stdlib_module_names


def test_this_environment_is_in_order(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")  # as course.py does
    findings = {found.name: found for found in doctor.examine(tmp_path)}
    assert list(findings) == ["python", "packages", "device", "kernel", "widgets", "disk", "numerics", "chromium"]
    assert [str(found) for found in findings.values() if found.needed and not found.ok] == []


@pytest.mark.parametrize(
    ("finding", "code"),
    [
        (Finding("disk", True, "5 GB free"), 0),
        (Finding("disk", False, "no room", "make some"), 1),
        (Finding("chromium", False, "none", "get one", needed=False), 0),
    ],
)
def test_the_exit_code_is_about_what_is_needed(monkeypatch, capsys, finding, code):
    monkeypatch.setattr(doctor, "examine", lambda root: [finding])
    assert command.main(["doctor"]) == code
    shown = capsys.readouterr().out
    assert ("Off: disk." in shown) == bool(code) and finding.mend in shown
