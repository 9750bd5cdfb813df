"""Results: kept to the last bit, refused with a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bridge
from bridge import arviz_compat, result
from bridge.engines import registry
from bridge.engines.base import RawFit
from bridge.errors import DataFileError, NotAvailable, OutputError, ResultVersionError
from bridge.result import Result
from bridge.spec import ModelSpec

GROUPS = ["01", "1", "ä", "a/b", 'q"\n']


def frame(**columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(6)
    group = np.resize(GROUPS, 20)
    made = pd.DataFrame({"y": rng.normal(size=20), "x": rng.normal(size=20) / 3, "g": group})
    return made.assign(**columns)


def posterior(**options: Any) -> Result:
    spec = ModelSpec(
        "y ~ x + (1 | s | g)", "~ x + (1 | s | g)", priors={"gamma[x]": "normal(0, 0.1)"}
    )
    data = frame(x=frame()["x"].mask(frame().index == 3))
    return bridge.fit(spec, data, "fake", **({"chains": 2, "draws": 30, "seed": 3} | options))


def maximum() -> Result:
    made = ModelSpec("y ~ x + (1 | g)").translate("lme4", frame())
    values = {
        "X": made.design.mean.matrix, "fixef": np.array([1 / 3, -0.1]),
        "fixef_vcov": np.array([[0.04, 0.01], [0.01, 0.09]]), "Z": [made.design.Z],
        "covariance": [np.array([[0.7]])], "effects": [np.arange(5.0)[:, None] / 7],
        "levels": [["1", "2", "3", "4", "5"]],
        "effects_cov": [np.full((1, 1, 5), 0.3)], "sigma": 1.1, "loglik": -31.25, "df": 4,
        "converged": True, "singular": False, "optimizer_messages": [],
    }  # fmt: skip
    raw = RawFit(values, {"R": "4.2.2", "lme4": "1.1-31"}, seconds={"total": 0.1 + 0.2})
    return registry.get("lme4").harmonise(raw, made)


MAKERS = {"posterior": posterior, "maximum": maximum}


def same_dataset(one: xr.Dataset, other: xr.Dataset) -> None:
    assert set(one.variables) == set(other.variables)
    assert one.sizes == other.sizes
    for name in one.variables:
        left, right = one[name], other[name]
        assert left.dims == right.dims
        assert left.attrs.get("scale") == right.attrs.get("scale")
        if left.dtype.kind in "OUT":
            assert [str(v) for v in left.values] == [str(v) for v in right.values]
            assert left.dtype.kind in "OUT" and right.dtype.kind in "OUT"
            continue
        assert left.dtype == right.dtype
        assert left.values.tobytes() == right.values.tobytes()


@pytest.mark.parametrize("kind", MAKERS)
def test_saved_and_read_again_it_is_the_same_to_the_last_bit(kind: str, tmp_path: Path) -> None:
    made = MAKERS[kind]()
    path = made.save(tmp_path / "r.nc")
    again = bridge.load(path)
    for name in (
        "spec", "engine", "method", "effects", "n_obs", "n_groups", "dropped_rows", "versions",
        "seed", "warnings", "native", "seconds", "ml",
    ):  # fmt: skip
        assert getattr(again, name) == getattr(made, name), name
    assert json.dumps(again.settings) == json.dumps(made.settings)
    pd.testing.assert_frame_equal(again.estimates, made.estimates, check_exact=True)
    pd.testing.assert_frame_equal(again.group_effects, made.group_effects, check_exact=True)
    if made.parameter_covariance is None:
        assert again.parameter_covariance is None
    else:
        pd.testing.assert_frame_equal(
            again.parameter_covariance, made.parameter_covariance, check_exact=True
        )
    ours, theirs = arviz_compat.groups_of(made.idata), arviz_compat.groups_of(again.idata)
    assert set(ours) == set(theirs)
    for name in ours:
        same_dataset(ours[name], theirs[name])
    assert dict(made.idata.attrs) == dict(again.idata.attrs)
    assert again.summary() == made.summary()


def test_saved_twice_it_is_still_the_same(tmp_path: Path) -> None:
    once = bridge.load(posterior().save(tmp_path / "a.nc"))
    twice = bridge.load(once.save(tmp_path / "b.nc"))
    pd.testing.assert_frame_equal(once.estimates, twice.estimates, check_exact=True)
    assert dict(once.idata.attrs) == dict(twice.idata.attrs)


def test_all_groups_that_were_asked_for_are_kept(tmp_path: Path) -> None:
    made = posterior(include=("log_likelihood", "log_prior", "posterior_predictive"))
    again = bridge.load(made.save(tmp_path / "r.nc"))
    for name in ("log_likelihood", "log_prior", "posterior_predictive"):
        same_dataset(made.idata[name], again.idata[name])


@pytest.mark.parametrize(
    "index",
    [pd.RangeIndex(20), pd.Index([f"r{i}" for i in range(20)]), pd.date_range("2020", periods=20)],
)
def test_the_users_index_is_kept(index: pd.Index, tmp_path: Path) -> None:
    data = frame().set_axis(index)
    made = bridge.fit(ModelSpec("y ~ x"), data, "fake", draws=10, chains=1, seed=1)
    again = bridge.load(made.save(tmp_path / "r.nc"))
    kept = again.idata["observed_data"]["obs"].values
    assert [str(v) for v in kept] == [str(v) for v in index]
    assert again.group_effects.empty
    assert list(again.group_effects.columns) == list(made.group_effects.columns)


# --- what cannot be written or read --------------------------------------------------------------
@pytest.mark.parametrize("where", ["missing/r.nc", "file/r.nc", "folder"])
def test_where_it_cannot_be_written_nothing_is_left(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match="cannot be written") as caught:
        maximum().save(tmp_path / where)
    assert str(tmp_path / where) in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_write_that_breaks_off_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = maximum().save(tmp_path / "r.nc")
    old = path.read_bytes()

    def full(self: object, target: str, **more: object) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(xr.DataTree, "to_netcdf", full)
    with pytest.raises(OutputError, match="No space left"):
        posterior().save(path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_label_that_no_file_can_hold(tmp_path: Path) -> None:
    made = bridge.fit(
        ModelSpec("y ~ x + (1 | g)"),
        frame(g=np.resize(["a\0b", "c"], 20)),
        "fake",
        draws=10,
        seed=1,
    )
    with pytest.raises(OutputError, match="cannot be written"):
        made.save(tmp_path / "r.nc")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"not a result", b"\x89HDF\r\n\x1a\n" + b"\0" * 100])
def test_what_is_no_result(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "r.nc"
    path.write_bytes(content)
    with pytest.raises(DataFileError, match="is not a result saved by bridge"):
        bridge.load(path)


@pytest.mark.parametrize(
    "attrs", [{}, {"bridge": "no JSON"}, {"bridge": "{}"}, {"bridge": "[1]"}, {"bridge": "3"}]
)
def test_a_netcdf_file_of_something_else(attrs: dict, tmp_path: Path) -> None:
    path = tmp_path / "r.nc"
    xr.Dataset({"a": ("x", [1.0])}, attrs=attrs).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(DataFileError, match="is not a result saved by bridge"):
        bridge.load(path)


def test_a_folder_and_nothing_are_no_result(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.nc"):
        with pytest.raises(DataFileError, match="no saved result"):
            bridge.load(path)


def test_a_result_of_a_newer_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Callable[[str, str], None]
) -> None:
    monkeypatch.setattr(result, "FORMAT", result.FORMAT + 1)
    monkeypatch.setattr(bridge, "__version__", "9.9")
    path = maximum().save(tmp_path / "r.nc")
    monkeypatch.undo()
    with pytest.raises(ResultVersionError) as caught:
        bridge.load(path)
    golden("messages/saved_by_a_newer_version.txt", str(caught.value).replace(str(path), "r.nc"))


# --- what a result does not have ---------------------------------------------------------------
@pytest.mark.parametrize("name", ["loglik", "deviance", "aic", "bic"])
def test_a_posterior_has_no_likelihood(name: str) -> None:
    with pytest.raises(NotAvailable, match="belongs to maximum likelihood"):
        getattr(posterior(), name)


def test_messages_of_what_is_not_there(golden: Callable[[str, str], None]) -> None:
    for case, act in (
        ("posterior loglik", lambda: posterior().loglik),
        ("posterior asymptotic draws", lambda: posterior().asymptotic_draws()),
        ("no such parameter", lambda: maximum().estimate("gamma[xx]")),
    ):
        with pytest.raises(NotAvailable) as caught:
            act()
        golden(f"messages/{case.replace(' ', '_')}.txt", str(caught.value))


def test_likelihood_and_criteria() -> None:
    made = maximum()
    assert made.loglik == -31.25
    assert made.deviance == 62.5
    assert made.aic == 70.5
    assert made.bic == pytest.approx(62.5 + 4 * np.log(20))


def test_estimates_by_name() -> None:
    made = maximum()
    assert made.estimate("gamma[Intercept]") == 1 / 3
    assert made.estimate("tau[u:Intercept,u:Intercept]") == 0.7
    with pytest.raises(NotAvailable, match=r"Did you mean 'gamma\[x\]'"):
        made.estimate("gamma[xx]")


def test_the_covariance_is_symmetric_and_zero_where_the_spec_says_so() -> None:
    spec = ModelSpec("y ~ x + (1 + x | s | g)", "~ 1 + (1 | s | g) + (0 + x | g)")
    made = bridge.fit(spec, frame(), "fake", draws=20, seed=2)
    matrix = made.covariance()
    assert list(matrix.index) == list(matrix.columns) == list(made.effects)
    pd.testing.assert_frame_equal(matrix, matrix.T)
    assert (matrix.loc["v:x", ["u:Intercept", "u:x", "v:Intercept"]] == 0).all()
    for a, b in (("u:Intercept", "u:x"), ("u:x", "v:Intercept"), ("v:x", "v:x")):
        assert matrix.loc[a, b] == made.estimate(f"tau[{a},{b}]") != 0


def test_asymptotic_draws() -> None:
    made = maximum()
    draws = made.asymptotic_draws(20000, seed=4)
    assert list(draws.columns) == ["gamma[Intercept]", "gamma[x]"]
    assert "asymptotic normal draws around ML estimates of lme4" in draws.attrs["kind"]
    np.testing.assert_allclose(draws.mean(), [1 / 3, -0.1], atol=4 * 0.3 / np.sqrt(20000))
    np.testing.assert_allclose(draws.cov(), made.parameter_covariance, atol=0.004)
    pd.testing.assert_frame_equal(draws, made.asymptotic_draws(20000, seed=4))
    assert not draws.equals(made.asymptotic_draws(20000, seed=5))
    with pytest.raises(NotAvailable, match="has draws in idata"):
        posterior().asymptotic_draws()
    with pytest.raises(NotAvailable):
        replace(made, parameter_covariance=None).asymptotic_draws()


def test_a_result_shows_itself_in_a_line() -> None:
    assert repr(posterior()) == (
        "<Result of fake (posterior): 8 parameters, 19 rows, 5 groups; "
        "print(result.summary()) shows it>"
    )


def test_asymptotic_draws_of_variances_are_covariance_matrices() -> None:
    effects = ("u:Intercept", "u:x")
    labels = [
        "gamma[Intercept]",
        "tau[u:Intercept,u:Intercept]", "tau[u:Intercept,u:x]", "tau[u:x,u:x]",
        "rho[u:Intercept,u:x]",
    ]  # fmt: skip
    values = [3.0, 4.0, 1.2, 1.0, 0.6]
    # standard errors so wide that draws on the natural scale would be below zero or above one
    covariance = pd.DataFrame(np.diag([0.1, 3.0, 1.0, 0.8, 0.4]) ** 2, labels, labels)
    made = replace(
        maximum(),
        estimates=pd.DataFrame({"parameter": labels, "estimate": values}),
        effects=effects,
        parameter_covariance=covariance,
    )
    draws = made.asymptotic_draws(5000, seed=1)
    assert list(draws.columns) == labels
    assert (draws[[labels[1], labels[3]]] > 0).all(axis=None)
    assert (draws[labels[4]].abs() < 1).all()
    product = draws[labels[4]] * np.sqrt(draws[labels[1]] * draws[labels[3]])
    np.testing.assert_allclose(draws[labels[2]], product)
    np.testing.assert_allclose(np.log(draws[labels[1]]).std(), 3.0 / 4.0, rtol=0.03)
    np.testing.assert_allclose(np.arctanh(draws[labels[4]]).std(), 0.4 / 0.64, rtol=0.03)
    np.testing.assert_allclose(draws.median()[labels[1]], 4.0, rtol=0.05)
