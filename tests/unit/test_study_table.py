"""The table of a study: its numbers, denominators, Monte Carlo errors and layout."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bridge.study_result import Study
from bridge.study_table import fits_table, study_table

sys.path.insert(0, str(Path(__file__).parent))
from study_cases import V, known, row


@pytest.fixture(scope="module")
def table():
    return known().table().set_index(["model", "parameter"])


def estimates(model, parameter):
    frame = known().estimates
    return frame[(frame["model"] == model) & (frame["parameter"] == parameter)]


def test_means_and_spreads_are_those_of_the_estimates(table) -> None:
    own, found = estimates("A", "gamma[x]"), table.loc["A", "gamma[x]"]
    x, n = own["estimate"], 200
    assert found[["n", "failed", "replications"]].tolist() == [n, 0, n]
    assert found["mean"] == pytest.approx(x.mean()) and found["sd"] == pytest.approx(x.std())
    assert found["bias"] == pytest.approx(x.mean() - 0.5)
    assert found["mean_mc"] == found["bias_mc"] == pytest.approx(x.std() / np.sqrt(n))
    assert found["sd_mc"] == pytest.approx(x.std() / np.sqrt(2 * (n - 1)))
    assert found["mean_se"] == pytest.approx(0.05) and found["mean_se_mc"] == pytest.approx(0)
    assert found["se_ratio"] == pytest.approx(0.05 / x.std())
    assert found["se_ratio_mc"] == pytest.approx(0.05 / x.std() / np.sqrt(2 * (n - 1)))


def test_coverage_and_its_error(table) -> None:
    own, found = estimates("A", "gamma[x]"), table.loc["A", "gamma[x]"]
    k = int(((own["lower"] <= 0.5) & (own["upper"] >= 0.5)).sum())
    p = (k + 1) / 202
    assert found["coverage"] == found["coverage_given"] == k / 200
    assert found["coverage_mc"] == pytest.approx(np.sqrt(p * (1 - p) / 200))


def test_failed_fits_and_missing_intervals_are_in_the_denominators(table) -> None:
    found, own = table.loc["B", V], estimates("B", V)
    assert found[["replications", "failed", "n"]].tolist() == [200, 5, 195]
    assert found[["n_se", "n_interval"]].tolist() == [175, 175]
    inside = int(((own["lower"] <= 0.2) & (own["upper"] >= 0.2)).sum())
    assert found["coverage"] == inside / 195 and found["coverage_given"] == inside / 175
    assert found["mean"] == pytest.approx(own["estimate"].mean())
    fits = known().fits().set_index("model")
    assert fits.loc["B", ["ok", "failed", "replications"]].tolist() == [195, 5, 200]
    failures = known().failures()
    assert failures["replication"].tolist() == [0, 40, 80, 120, 160]
    assert set(failures["why"]) == {"EngineFailed: no"}


def test_a_parameter_absent_from_a_model_has_no_row(table) -> None:
    assert ("A", V) not in table.index and ("B", V) in table.index


def test_estimates_that_did_not_converge_are_kept_and_not_counted() -> None:
    rows = [row(k, "A", "gamma[x]", float(k), 1.0, k - 2.0, k + 2.0) for k in range(3)]
    rows[2] |= {"status": "failed", "estimate": 1e9, "why": "agq did not converge"}
    found = study_table(pd.DataFrame(rows), {"gamma[x]": 0.5}, 3).iloc[0]
    assert found[["n", "failed"]].tolist() == [2, 1] and found["mean"] == 0.5


def test_without_a_true_value_there_is_no_bias_and_no_coverage() -> None:
    found = study_table(known().estimates, {}, 200)
    assert (
        found[["true", "bias", "coverage", "coverage_mc", "coverage_given"]].isna().all(axis=None)
    )
    assert found["sd"].notna().all()


def test_one_replication_has_no_spread() -> None:
    rows = pd.DataFrame([row(0, "A", "gamma[x]", 0.4, 0.1, 0.2, 0.6)])
    found = study_table(rows, {"gamma[x]": 0.5}, 1).iloc[0]
    assert found["coverage"] == 1 and 0 < found["coverage_mc"] < 1
    assert found[["sd", "mean_mc", "sd_mc", "se_ratio"]].isna().all()
    assert "gamma[x]" in Study(rows, {"gamma[x]": 0.5}, 1, 1).text()


def test_warnings_are_counted() -> None:
    rows = pd.DataFrame([row(k, "A", "gamma[x]", 0.4, 0.1, 0.2, 0.6) for k in range(3)])
    rows.loc[1, "why"] = "3 of 1000 draws diverged"
    assert fits_table(rows, 3)[["ok", "failed", "warned"]].to_numpy().tolist() == [[3, 0, 1]]
    assert "A: 3 of 3 fits, 1 with warnings" in Study(rows, {}, 3, 1).text()


def test_the_layout_is_that_of_table_1(table) -> None:
    text = known().text()
    found = table.loc["B", V]
    assert "200 replications, seed 1" in text
    line = next(line for line in text.splitlines() if line.startswith("gamma[x]"))
    mean, sd = table.loc[("A", "gamma[x]"), ["mean", "sd"]]
    cover = 100 * table.loc["A", "gamma[x]"]["coverage"]
    assert line.split()[:6] == ["gamma[x]", "outcome", "0.5", f"{mean:.3f}", f"{sd:.3f}", "0.050"]
    assert line.split()[6] == f"{cover:.0f}"
    line = next(line for line in text.splitlines() if line.startswith(V))
    assert len(line.split()) == 7  # nothing under Model A
    assert line.split()[3] == f"{found['mean']:.2f}"  # of an SE of 0.10
    assert "B: 195 of 200 fits, 5 failed" in text
    assert f"B: 20 of 195 fits give no interval of {V}; they count as not covering." in text
    assert "Monte Carlo errors, at most: mean 0.008," in text


def test_markdown_has_the_same_cells() -> None:
    lines = known().markdown().splitlines()
    heads = next(line for line in lines if line.startswith("| parameter"))
    assert "A: cover %" in heads and "B: mean SE" in heads
    assert {line.count("|") for line in lines if line.startswith("|")} == {heads.count("|")}


def test_nothing_but_failures_is_a_table_without_rows() -> None:
    stopped = {"status": "failed", "why": "EngineFailed: no"}
    rows = pd.DataFrame([row(0, "A", None, np.nan, np.nan, np.nan, np.nan, **stopped)])
    study = Study(rows, {"gamma[x]": 0.5}, 1, 1)
    assert study.table().empty and "A: 0 of 1 fits, 1 failed" in study.text()
    assert "0 of 1 fits" in study.markdown()
