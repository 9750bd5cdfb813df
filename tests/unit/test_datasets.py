"""The data sets are what print says they are."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bridge import datasets, resources
from bridge.errors import DataFileError

GROUPS = {"exam": ("school", 65), "hsb": ("school", 160), "reisby": ("id", 66)}


@pytest.mark.parametrize("name", datasets.names())
def test_description_agrees_with_the_file(name: str) -> None:
    frame = datasets.load(name)
    text = datasets.describe(name)
    column, groups = GROUPS[name]
    assert frame[column].nunique() == groups
    assert f"{len(frame):,} rows in {groups} groups ({column})" in text
    described = [line.split()[0] for line in text.splitlines() if line.startswith("  ")]
    assert sorted(described) == sorted(frame.columns)
    assert "Licence: " in text and "Source: " in text
    assert f"{name}.csv" in resources.path("validation/data/PROVENANCE.md").read_text()


def test_hsb_is_the_sample_of_leckie_2014() -> None:
    frame = datasets.load("hsb")
    assert frame.shape == (7185, 11)
    assert round(frame["mathach"].mean(), 3) == 12.748
    assert round(frame["mathach"].std(), 3) == 6.878
    assert round(frame["ses"].std(), 3) == 0.779
    assert round(frame["ses"].corr(frame["mathach"]), 3) == 0.361
    assert (frame["mathach"] == frame["mathach"].max()).sum() == 42
    schools = frame.groupby("school")["sector"].agg(["nunique", "first", "size"])
    assert (schools["nunique"] == 1).all()
    assert schools["first"].value_counts().to_dict() == {0: 90, 1: 70}
    assert (schools["size"].min(), schools["size"].max()) == (14, 67)
    assert pd.api.types.is_integer_dtype(frame["school"])


def test_the_forty_schools_are_schools_of_hsb() -> None:
    text = resources.path("validation/data/hs_schools.txt").read_text()
    chosen = [int(line) for line in text.split()]
    frame = datasets.load("hsb")
    frame = frame[frame["school"].isin(chosen)]
    assert len(frame) == 1977
    assert frame.groupby("sector")["school"].nunique().to_dict() == {0: 19, 1: 21}


def test_reisby_has_its_missing_ratings() -> None:
    frame = datasets.load("reisby")
    assert frame.shape == (396, 4)
    assert int(frame["hamdep"].notna().sum()) == 375
    assert sorted(frame["week"].unique()) == [0, 1, 2, 3, 4, 5]


def test_exam_is_standardised_and_its_bands_are_where_described() -> None:
    frame = datasets.load("exam")
    assert frame.shape == (4059, 9)
    assert abs(frame["normexam"].mean()) < 0.001
    assert round(frame["normexam"].std(), 2) == 1.0
    within = frame.groupby("school")[["schgend", "schavg", "vr", "intake"]].nunique().max()
    assert within.to_dict() == {"schgend": 1, "schavg": 1, "vr": 1, "intake": 3}


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(DataFileError, match=r"no data set 'hbs'.*Did you mean 'hsb'"):
        datasets.load("hbs")
    with pytest.raises(DataFileError, match="there are exam, hsb, reisby"):
        datasets.describe("x")


def test_an_installed_wheel_never_reads_beside_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "bridge"
    (package / "_assets" / "stan").mkdir(parents=True)
    (tmp_path / "stan").mkdir()
    (tmp_path / "stan" / "a.stan").write_text("")
    monkeypatch.setattr(resources, "_PACKAGE", package)
    with pytest.raises(DataFileError, match=r"'stan/a\.stan' is not in .*_assets"):
        resources.path("stan/a.stan")
    (package / "_assets" / "stan" / "a.stan").write_text("")
    assert resources.path("stan/a.stan") == package / "_assets" / "stan" / "a.stan"
