"""Criteria with latent classes, each class summed over, against brute force."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).parent))
from class_cases import MEAN, VARIANCE, result, simulated, spec

import bridge
from bridge import class_criteria
from bridge import class_likelihood as cl
from bridge.design import make_design
from bridge.design_of import design_of


def test_criteria_are_marginal_over_the_classes() -> None:
    found = result()
    criteria = bridge.criteria(found)
    kinds = criteria.table[["criterion", "likelihood", "unit"]].drop_duplicates()
    marginal = "marginal over the effects"
    assert kinds.to_numpy().tolist() == [
        ["dic", marginal, "group"],
        ["waic", marginal, "group"],
        ["loo", marginal, "row"],
        ["logo", marginal, "group"],
    ]
    design, of = design_of(found), cl.draws_of(found.idata["posterior"])
    loglik = cl.marginal_loglik(design, of)
    rows = criteria.table.set_index(["criterion", "scale"])
    lppd = logsumexp(loglik, axis=0) - np.log(len(of))
    expected = (lppd - loglik.var(axis=0)).sum()
    assert rows.loc[("waic", "elpd"), "estimate"] == pytest.approx(expected)
    means = cl.ClassDraws(*(x.mean(axis=0)[None] for x in (of.gamma, of.delta, of.pi, of.points)))
    at_means = -2 * cl.marginal_loglik(design, means).sum()
    mean = -2 * loglik.sum(axis=1).mean()
    assert rows.loc[("dic", "deviance"), "estimate"] == pytest.approx(2 * mean - at_means)
    assert rows.loc[("dic", "deviance"), "effective_parameters"] == pytest.approx(mean - at_means)
    assert list(criteria.pointwise.query("criterion == 'loo'")["label"]) == list(design.index)
    assert list(criteria.pointwise.query("criterion == 'logo'")["label"]) == list(
        design.group_labels
    )
    assert "loo (marginal over the effects, by row)" in criteria.text()


def test_a_row_given_the_others_by_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    design = make_design(spec(3), simulated(6, 4))
    of = cl.draws_of(result(data=simulated(6, 4)).idata["posterior"])[:9]
    told: list[float] = []
    caught = {}
    monkeypatch.setattr(class_criteria, "CELLS", 70)  # two groups at a time

    def keep(loglik: np.ndarray, efficiency: float) -> Any:
        caught[len(caught)] = loglik
        return real(loglik, efficiency)

    real = class_criteria.leave_out
    monkeypatch.setattr(class_criteria, "leave_out", keep)
    elpd = class_criteria.class_loo(design, of, 1.0, told.append)
    assert told[-1] == 1.0 and len(told) > 1
    order = np.argsort(design.group, kind="stable")
    found = np.concatenate(list(caught.values()))[np.argsort(order)]
    whole = cl.marginal_loglik(design, of)
    for i in (0, 5, 23):
        kept = np.delete(np.arange(24), i)
        rest = class_criteria.part_of(design, kept)
        without = cl.marginal_loglik(rest, of)
        j = design.group[i]
        np.testing.assert_allclose(found[i], (whole - without)[:, j], rtol=1e-9, atol=1e-9)
    # units in the user's order
    alone = real(found, 1.0)
    np.testing.assert_allclose(elpd.elpd, alone.elpd)
    np.testing.assert_allclose(elpd.influence, alone.influence)


def test_the_monte_carlo_error_of_the_dic_is_about_the_spread_of_repeated_ones() -> None:
    # draws close together, so that the first-order error is all of it
    design = make_design(spec(3), simulated(12, 5))
    rng = np.random.default_rng(4)
    centre = cl.draws_of(result().idata["posterior"])[:1]
    found = []
    for _ in range(200):
        some = cl.ClassDraws(
            *(
                np.repeat(x, 100, axis=0) + 0.02 * rng.normal(size=(100, *x.shape[1:]))
                for x in (centre.gamma, centre.delta)
            ),
            np.repeat(centre.pi, 100, axis=0),
            np.repeat(centre.points, 100, axis=0)
            + 0.02 * rng.normal(size=(100, *centre.points.shape[1:])),
        )
        dic = class_criteria.class_dic(design, some, cl.marginal_loglik(design, some))
        found.append((dic.value, dic.influence.std() / 10))
    values, errors = np.transpose(found)
    assert abs(dic.influence.mean()) < 1e-9
    assert errors.mean() == pytest.approx(values.std(), rel=0.25)


def test_differences_between_numbers_of_classes() -> None:
    data = simulated(12, 5)
    first, second = (bridge.criteria(result(spec(k), data)) for k in (2, 3))
    found = bridge.criteria_difference(first, second)
    assert list(found["criterion"]) == ["dic", "waic", "waic", "loo", "loo", "logo", "logo"]
    normal = bridge.fit(bridge.ModelSpec(MEAN, VARIANCE), data, "fake", chains=2, draws=40, seed=1)
    both = bridge.criteria_difference(first, bridge.criteria(normal))
    assert list(both["criterion"].unique()) == ["logo"]  # the rest is of another likelihood
