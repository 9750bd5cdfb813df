"""The demonstration, with fake engines in the place of the real ones."""

import pytest

from bridge import demo, doctor
from bridge.errors import EngineFailed, EngineNotInstalled


def statuses(*ready):
    return [
        doctor.EngineStatus(e, ready=e in ready, missing="R", mend="apt-get …")
        for e in ("agq", "lme4", "nlme", "brms", "stan", "nuts", "fake")
    ]


@pytest.fixture
def said(monkeypatch):
    """Let every engine be the fake one, and keep what is said."""
    real = demo.fit

    def fake(spec, data, engine, **options):
        return real(spec, data, "fake", draws=50, chains=2, seed=1)

    monkeypatch.setattr(demo, "fit", fake)
    return []


def test_all_engines_in_one_table_with_print(said, monkeypatch):
    monkeypatch.setattr(
        doctor, "check", lambda: statuses("agq", "lme4", "nlme", "brms", "stan", "nuts")
    )
    found = demo.run_demo(seed=1, say=said.append)
    assert list(found.results) == [
        "standard\nagq", "standard\nlme4", "standard\nnlme", "log-variance\nagq",
        "log-variance\nnlme", "Model 1\nagq", "Model 1\nnuts", "Model 1\nstan", "Model 1\nbrms",
    ]  # fmt: skip
    assert "published" in found.comparison.table.columns
    assert any("spurious precision" in s for s in found.meaning)
    assert found.failed == []


def test_without_r_it_says_so_and_runs_what_it_can(said, monkeypatch):
    monkeypatch.setattr(doctor, "check", lambda: statuses("stan"))
    found = demo.run_demo(seed=1, say=said.append)
    assert list(found.results) == ["Model 1\nstan"]
    assert sum("left out: R. To mend it: apt-get" in text for text in said) == 8


def test_a_failing_engine_is_reported_not_hidden(said, monkeypatch):
    monkeypatch.setattr(doctor, "check", lambda: statuses("stan", "brms"))
    quick = demo.fit

    def fit(spec, data, engine, **options):
        if engine == "brms":
            raise EngineFailed("no memory")
        return quick(spec, data, engine, **options)

    monkeypatch.setattr(demo, "fit", fit)
    found = demo.run_demo(seed=1, say=said.append)
    assert found.failed == ["brms"]
    assert any("brms failed: no memory" in text for text in said)


def test_nothing_ready_is_an_error_that_names_the_doctor(said, monkeypatch):
    monkeypatch.setattr(doctor, "check", statuses)
    with pytest.raises(EngineNotInstalled, match="bridge doctor"):
        demo.run_demo(seed=1, say=said.append)
