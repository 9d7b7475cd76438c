"""The benchmark runs, its numbers are right, and it notices wrong ones. How fast they are is not asked here."""

import json

import pytest
import torch

from benchmarks import clock, online, run, sharpness


def test_tiny_run_with_peers(tmp_path, capsys):
    assert run.main(["--tiny", "--peers", "--json", str(tmp_path / "rows.jsonl")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert {row["task"] for row in rows} == {"kernel", "damped step", "undamped step"}
    ran = [row for row in rows if "failed" not in row]
    assert {row["method"] for row in ran} > {run.CLOSED, run.MODULE, "torch.func vmap(grad)", "published algorithm"}
    assert all(row["error"] < (1e-9 if row["dtype"] == "float64" else 1e-2) for row in ran)
    assert all(row["cpu"] > 0 and row["to_bound"] > 0 for row in ran)
    text = capsys.readouterr().out
    assert "Correctness first" in text and "### kernel, float64, 20 samples, 3 inputs, 30 units" in text


def test_wrong_numbers_stop_the_benchmark(monkeypatch):
    monkeypatch.setattr(run.Setting, "library", lambda self, task: {run.CLOSED: lambda: 1.001 * self.truth(task)})
    with pytest.raises(SystemExit, match="wrong numbers: kernel is off by 1.0e-03"):
        run.main(["--tiny"])


def row(**options):
    return {"task": "damped step", "method": run.CLOSED, "size": (500, 10, 1000), "dtype": "float64"} | options


def test_targets():
    assert not list(run.missed([row(to_bound=1.7)]))
    assert list(run.missed([row(to_bound=1.8)])) == ["damped step, closed form, float64: 1.80 x the product bound, target 1.4"]
    assert not list(run.missed([row(to_bound=9.0, size=(100, 10, 100))]))
    assert list(run.missed([row(method=run.MODULE, to_bound=1.0, to_closed=1.7)]))
    assert list(run.missed([row(method="torch.func vmap(grad)", to_bound=1.0, to_closed=3.9)]))
    assert not list(run.missed([row(method="curvlinops dense J", failed="ModuleNotFoundError")]))


def test_a_peer_that_fails_is_a_row_with_the_reason():
    def absent():
        raise ModuleNotFoundError("No module named 'somebody'")

    timings = clock.measure({"here": lambda: torch.ones(3).sum(), "absent": absent}, rounds=3)
    assert timings["here"].rounds == 3 and timings["here"].low <= timings["here"].cpu <= timings["here"].high
    assert isinstance(timings["absent"], ModuleNotFoundError)


def test_peak_counts_what_a_call_holds():
    grown = clock.peak(lambda: torch.ones(4_000_000, dtype=torch.float64).sum())
    assert grown is None or 30e6 < grown < 50e6


def test_tiny_sharpness_with_peers(tmp_path, capsys):
    assert sharpness.main(["--tiny", "--peers", "--json", str(tmp_path / "rows.jsonl")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    errors = {row["method"]: row["error"] for row in rows}
    assert set(errors) > {sharpness.DENSE, sharpness.LANCZOS, sharpness.MODULE, "torch.func.hessian, eigvalsh"}
    assert all(error < (1e-2 if "power" in name else 1e-6) for name, error in errors.items()) and len(errors) == 6
    text = capsys.readouterr().out
    assert "Correctness first" in text and "### sharpness, float64, 20 samples, 3 inputs, 6 units, 24 parameters" in text


def test_wrong_sharpness_stops_the_benchmark(monkeypatch):
    monkeypatch.setattr(sharpness.Setting, "library", lambda self: {sharpness.DENSE: lambda: 1.001 * self.truth()})
    with pytest.raises(SystemExit, match="all eigenvalues is off by 1.0e-03; nothing was timed"):
        sharpness.main(["--tiny"])


def test_tiny_one_pass_sgd(tmp_path, capsys):
    assert online.main(["--tiny", "--json", str(tmp_path / "rows.jsonl")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["method"] for row in rows] == [online.LOOP, online.BATCH, online.CHAIN, online.ODE]
    assert all(row["cpu"] > 0 for row in rows) and rows[0]["faster"] == 1
    text = capsys.readouterr().out
    assert "on the same samples" in text and "### one-pass SGD, float64, p = 8, k = 4, 20 inputs" in text


def test_wrong_overlaps_stop_the_benchmark(monkeypatch):
    monkeypatch.setattr(online, "plain", lambda W, V, samples: 1.001 * W)
    with pytest.raises(SystemExit, match="wrong numbers: the overlaps are off by"):
        online.main(["--tiny"])


def test_target_of_the_batch():
    missed = {"method": online.BATCH, "inputs": 100, "faster": 3.1}
    assert list(online.missed([missed])) == ["one_pass, batch, d = 100: 3.10 times as fast as the loop, target 4.0"]
    assert not list(online.missed([missed | {"faster": 3.3}, missed | {"inputs": 400}, missed | {"method": online.CHAIN}]))


def test_moves_of_a_widget(tmp_path, capsys):
    assert run.main(["--widgets", "--tiny", "--json", str(tmp_path / "rows.jsonl")]) == 0
    (row,) = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert row["widget"] == "two_points" and row["moves"] == 6 and 0 < row["median"] <= row["worst"]
    assert "| two_points |" in capsys.readouterr().out
