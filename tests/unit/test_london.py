"""The simulated London data have what is printed, and outcomes that follow the printed models."""

from __future__ import annotations

import tomllib
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.special import digamma, polygamma
from scipy.stats import norm

from bridge import datasets, london, names, resources
from bridge.design import Design, make_design
from bridge.errors import DataFileError, OptionError

MODELS = (1, 2, 3, 4, 5, 6)
COLUMNS = [
    "school",
    "score16",
    "score11",
    "summer_born",
    "girl",
    "ethnicity",
    "eal",
    "sen",
    "fsm",
    "school_type",
    "admissions",
    "school_gender",
    "religious",
]
OF_SCHOOLS = ["school_type", "admissions", "school_gender", "religious"]

#: Tables S1 and S2, typed in from print once more; for 0/1 columns the number of ones.
COUNTS = {
    "summer_born": 18364,
    "girl": 35983,
    "eal": 28532,
    "sen": 10132,
    "fsm": 24821,
    "religious": 116,
    "ethnicity": [28070, 15633, 14987, 447, 5795, 6389],
    "school_type": [151, 93, 184, 37],
    "admissions": [425, 19, 21],
    "school_gender": [340, 50, 75],
}
LEVELS = {
    "ethnicity": ["White", "Black", "Asian", "Chinese", "Mixed", "Other"],
    "school_type": ["Standard", "Sponsored academy", "Converter academy", "Other"],
    "admissions": ["Comprehensive", "Grammar", "Secondary modern"],
    "school_gender": ["Mixed", "Boys", "Girls"],
}
#: (model, name, value): some of Tables 1 and 2, typed in from print once more.
PRINTED = [
    (1, "gamma[score11]", 0.678),
    (1, "delta[Intercept]", -0.870),
    (1, "tau[u:Intercept,u:Intercept]", 0.067),
    (2, "tau[v:Intercept,v:Intercept]", 0.037),
    (2, "rho[u:Intercept,v:Intercept]", -0.472),
    (3, "gamma[Intercept]", -0.011),
    (3, "delta[Intercept]", -0.881),
    (3, "delta[score11]", 0.029),
    (4, "tau[u:score11,u:score11]", 0.004),
    (4, "rho[u:Intercept,u:score11]", 0.229),
    (4, "rho[u:Intercept,v:Intercept]", -0.494),
    (4, "rho[u:score11,v:Intercept]", -0.111),
    (5, "gamma[ethnicity[Chinese]]", 0.296),
    (5, "delta[sen]", 0.204),
    (6, "gamma[admissions[Grammar]]", 0.396),
    (6, "delta[religious]", -0.110),
    (6, "tau[v:Intercept,v:Intercept]", 0.026),
]


@cache
def simulated(model: int) -> pd.DataFrame:
    return datasets.simulate("london", seed=1, model=model)


@cache
def design_of(model: int) -> Design:
    return make_design(london.spec(model), simulated(model))


def under(variable: str, labels: tuple[str, ...], model: int) -> np.ndarray:
    """Return the true values of a variable in the order of labels."""
    return np.array([london.truth(model)[names.flat(variable, label)] for label in labels])


# --- covariates -------------------------------------------------------------------------


def test_shape_columns_and_order() -> None:
    frame = simulated(3)
    assert list(frame.columns) == COLUMNS
    assert frame.shape == (71321, 13)
    assert frame["school"].is_monotonic_increasing
    assert frame["school"].unique().tolist() == list(range(1, 466))
    assert not frame.isna().to_numpy().any()
    assert all(pd.api.types.is_integer_dtype(frame[c]) for c in COUNTS if c not in LEVELS)
    assert pd.api.types.is_integer_dtype(frame["school"])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_school_sizes(seed: int) -> None:
    sizes = datasets.simulate("london", seed)["school"].value_counts()
    assert (sizes.min(), sizes.max(), sizes.sum(), len(sizes)) == (14, 330, 71321, 465)
    assert sizes.sort_values().tolist() == london.school_sizes().tolist()


def test_school_sizes_follow_the_triangular_distribution() -> None:
    sizes = london.school_sizes()
    low, high, mode = 14, 330, 3 * 71321 / 465 - 344
    for q in (0.1, 0.25, 0.5, 0.75, 0.9):
        x = np.quantile(sizes, q)
        area = (x - low) ** 2 / ((high - low) * (mode - low))
        if x > mode:
            area = 1 - (high - x) ** 2 / ((high - low) * (high - mode))
        assert area == pytest.approx(q, abs=0.01)


@pytest.mark.parametrize("column", COUNTS)
def test_categories_are_as_many_as_printed(column: str) -> None:
    frame = simulated(3)
    if column in OF_SCHOOLS:
        assert frame.groupby("school")[column].nunique().max() == 1
        frame = frame.groupby("school").first()
    if column in LEVELS:
        assert frame[column].cat.categories.tolist() == LEVELS[column]
        assert frame[column].value_counts(sort=False).tolist() == COUNTS[column]
    else:
        assert sorted(frame[column].unique()) == [0, 1]
        assert frame[column].sum() == COUNTS[column]


def test_the_counts_add_up_and_agree_with_the_printed_percentages() -> None:
    printed = tomllib.loads(resources.path("validation/data/london.toml").read_text())
    apart = []
    for about in printed["covariates"].values():
        total = 71321 if about["where"] == "Table S1" else 465
        assert sum(n for n, _ in about["counts"].values()) == total
        for level, (n, percent) in about["counts"].items():
            if abs(100 * n / total - percent) > 0.05 + 1e-9:
                apart.append(level)
    assert apart == ["Summer born", "Boy", "Girl", "Yes"]  # the notes of the file name them


def test_score11_is_standardised_and_differs_between_schools_as_printed() -> None:
    within = []
    for seed in range(9):
        frame = datasets.simulate("london", seed)
        assert frame["score11"].mean() == pytest.approx(0, abs=1e-12)
        assert frame["score11"].std() == pytest.approx(1, abs=1e-12)
        within.append(frame.groupby("school")["score11"].var().mean())
        # mean of school means 0.00 in print, SD of a school mean about 0.42
        assert abs(frame.groupby("school")["score11"].mean().mean()) < 4 * 0.42 / 465**0.5
    # the variance between schools, 0.17, is known to 0.17 sqrt(2 / 465) = 0.011 in one draw
    assert np.mean(within) == pytest.approx(0.83, abs=4 * 0.011 / 3)


def test_single_sex_schools_are_and_the_others_are_not() -> None:
    girls = simulated(3).groupby("school_gender", observed=True)["girl"].agg(["mean", "nunique"])
    assert girls["mean"]["Boys"] == 0
    assert girls["mean"]["Girls"] == 1
    assert girls["nunique"]["Mixed"] == 2


def test_grammar_schools_have_the_highest_intake() -> None:
    schools = simulated(3).groupby("school").agg({"score11": "mean", "admissions": "first"})
    grammar = schools["admissions"] == "Grammar"
    assert schools["score11"][grammar].min() > schools["score11"][~grammar].max()


def test_students_do_not_cluster_but_for_what_is_said() -> None:
    frame = simulated(3)
    numbers = ["score11", "summer_born", "eal", "sen", "fsm"]  # girls do cluster, as score11 does
    codes = frame[numbers].assign(black=frame["ethnicity"] == "Black")
    apart = codes.corr().to_numpy()[np.triu_indices(6, 1)]
    assert np.abs(apart).max() < 4 / 71321**0.5
    size = frame["school"].map(frame["school"].value_counts())
    share = frame.groupby("school")["fsm"].mean()
    binomial = frame["fsm"].mean() * (1 - frame["fsm"].mean()) / size.groupby(frame.school).first()
    squared = (share - frame["fsm"].mean()) ** 2 / binomial
    assert squared.mean() == pytest.approx(1, abs=4 * (2 / 465) ** 0.5)


# --- seeds and models ---------------------------------------------------------------------


def test_the_same_seed_gives_the_same_data_and_another_does_not() -> None:
    again = datasets.simulate("london", seed=np.int64(1), model=3)
    pd.testing.assert_frame_equal(simulated(3), again)
    pd.testing.assert_frame_equal(simulated(3), datasets.simulate("london", 1))
    other = datasets.simulate("london", seed=2)
    for column in COLUMNS:
        assert (other[column].to_numpy() != simulated(3)[column].to_numpy()).any(), column


def test_covariates_effects_and_residuals_have_streams_of_their_own() -> None:
    draws = [stream.standard_normal(4) for stream in london._streams(1)]
    assert len({float(x) for draw in draws for x in draw}) == 12


@pytest.mark.parametrize("model", MODELS)
def test_models_differ_in_the_outcome_alone(model: int) -> None:
    pd.testing.assert_frame_equal(
        simulated(model).drop(columns="score16"), simulated(3).drop(columns="score16")
    )
    same = np.array_equal(simulated(model)["score16"], simulated(3)["score16"])
    assert same is (model == 3)


@pytest.mark.parametrize("model", MODELS)
def test_truth_has_the_labels_of_the_design(model: int) -> None:
    design = design_of(model)
    expected = [names.flat("gamma", label) for label in design.mean.labels]
    expected += [names.flat("delta", label) for label in design.variance.labels]
    expected += [names.flat("tau", design.pair_label(pair)) for pair in design.tau_pairs]
    expected += [names.flat("rho", design.pair_label(pair)) for pair in design.rho_pairs]
    assert list(london.truth(model)) == expected
    assert london.covariance(model)[0] == design.effects
    assert (len(design.y), len(design.group_labels)) == (71321, 465)


@pytest.mark.parametrize(("model", "name", "value"), PRINTED)
def test_truth_is_what_is_printed(model: int, name: str, value: float) -> None:
    assert london.truth(model)[name] == value


@pytest.mark.parametrize("model", MODELS)
def test_covariances_are_those_of_the_correlations(model: int) -> None:
    effects, tau = london.covariance(model)
    truth = london.truth(model)
    np.linalg.cholesky(tau)  # raises where print gives no covariance matrix
    for a, first in enumerate(effects):
        for b, second in enumerate(effects[: a + 1]):
            assert truth[f"tau[{second},{first}]"] == tau[a, b] == tau[b, a]
            if b < a:
                root = (tau[a, a] * tau[b, b]) ** 0.5
                assert truth[f"rho[{second},{first}]"] == pytest.approx(tau[a, b] / root)


def test_the_scales_are_those_of_the_text() -> None:
    one, two, four = london.truth(1), london.truth(2), london.truth(4)
    assert round(np.exp(one["delta[Intercept]"]), 3) == 0.419  # section 6.1: a variance
    spread = norm.ppf(0.9) * one["tau[u:Intercept,u:Intercept]"] ** 0.5
    assert np.round(one["gamma[Intercept]"] + spread * np.array([-1, 1]), 2).tolist() == [
        -0.34,
        0.32,
    ]
    alpha, tau_v = two["delta[Intercept]"], two["tau[v:Intercept,v:Intercept]"]
    assert round(np.exp(alpha + tau_v / 2), 3) == 0.422  # section 6.2
    spread = norm.ppf(0.9) * tau_v**0.5
    assert np.round(np.exp(alpha + spread * np.array([-1, 1])), 2).tolist() == [0.32, 0.53]
    spread = norm.ppf(0.9) * four["tau[u:score11,u:score11]"] ** 0.5
    assert np.round(four["gamma[score11]"] + spread * np.array([-1, 1]), 2).tolist() == [0.59, 0.75]


# --- the outcome ----------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_fixed_parts_are_those_of_the_design(model: int) -> None:
    design = design_of(model)
    mean, log_variance = london.fixed_parts(simulated(model), model)
    gamma = under("gamma", design.mean.labels, model)
    delta = under("delta", design.variance.labels, model)
    np.testing.assert_allclose(mean, design.mean.matrix @ gamma, atol=1e-12)
    np.testing.assert_allclose(log_variance, design.variance.matrix @ delta, atol=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_a_regression_recovers_gamma(model: int) -> None:
    design = design_of(model)
    found = np.linalg.lstsq(design.mean.matrix, design.y, rcond=None)[0]
    error = np.abs(found - under("gamma", design.mean.labels, model))
    residual = design.y - design.mean.matrix @ found
    assert (error < 4 * clustered_se(design.mean.matrix, residual, design.group)).all()


@pytest.mark.parametrize("model", MODELS)
def test_a_regression_of_log_squares_recovers_delta(model: int) -> None:
    design = design_of(model)
    residual = design.y - design.mean.matrix @ under("gamma", design.mean.labels, model)
    squares = np.empty(len(design.y))
    for rows in rows_of_groups(design):
        Z = design.Z[rows]
        hat = Z @ np.linalg.solve(Z.T @ Z, Z.T)
        squares[rows] = (residual[rows] - hat @ residual[rows]) ** 2 / (1 - np.diag(hat))
    # the mean of log chi-square(1) is digamma(1/2) + log 2
    outcome = np.log(squares) - digamma(0.5) - np.log(2)
    W = design.variance.matrix
    found = np.linalg.lstsq(W, outcome, rcond=None)[0]
    error = np.abs(found - under("delta", design.variance.labels, model))
    assert (error < 4 * clustered_se(W, outcome - W @ found, design.group)).all()


@pytest.mark.parametrize("model", MODELS)
def test_moments_of_school_means_and_log_variances(model: int) -> None:
    """Weighted by exp(-w'delta), a school's fit and its residual variance have exact moments.

    With k degrees of freedom left, log s2 has mean v + digamma(k/2) + log(2/k) and variance
    trigamma(k/2), and is independent of the fit of u, whose variance is exp(v) (Z'DZ)^-1.
    """
    design = design_of(model)
    effects, tau = london.covariance(model)
    known = [i for i, label in enumerate(effects) if label.startswith("u")]
    u, v, noise_u, noise_v = school_fits(design, model)
    assert_mean(u, np.zeros(len(known)))
    assert_mean(v, 0.0)
    tau_vv = london.truth(model).get("tau[v:Intercept,v:Intercept]", 0.0)
    assert_mean(v**2 - noise_v, tau_vv)
    scale = np.exp(tau_vv / 2)
    products = u[:, :, None] * u[:, None, :] - scale * noise_u
    assert_mean(products, tau[np.ix_(known, known)])
    if len(known) < len(effects):
        assert_mean(u * v[:, None], tau[-1, known])


def test_scores_go_together_as_the_model_says() -> None:
    frame = simulated(3)
    gamma, tau_u, tau_v = 0.679, 0.067, 0.040
    total = gamma**2 + tau_u + np.exp(-0.881 + (0.029**2 + tau_v) / 2)
    assert frame["score16"].var() == pytest.approx(total, rel=0.04)
    correlation = frame["score16"].corr(frame["score11"])
    assert correlation == pytest.approx(gamma / total**0.5, abs=0.02)
    assert round(gamma / total**0.5, 2) == 0.70 and round(total**0.5, 2) == 0.98  # as documented


def rows_of_groups(design: Design) -> list[np.ndarray]:
    return np.split(np.arange(len(design.y)), np.flatnonzero(np.diff(design.group)) + 1)


def clustered_se(X: np.ndarray, residual: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return least-squares standard errors that allow for schools."""
    scores = np.array([np.bincount(group, weights=column * residual) for column in X.T])
    bread = np.linalg.inv(X.T @ X)
    return np.sqrt(np.diag(bread @ (scores @ scores.T) @ bread))


def school_fits(
    design: Design, model: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return by school: u (J, q) and v (J,) as fitted, and their noise given v = 0."""
    residual = design.y - design.mean.matrix @ under("gamma", design.mean.labels, model)
    log_variance = design.variance.matrix @ under("delta", design.variance.labels, model)
    weight = np.exp(-log_variance / 2)
    fits = []
    for rows in rows_of_groups(design):
        X, y = design.Z[rows] * weight[rows, None], residual[rows] * weight[rows]
        spread = np.linalg.inv(X.T @ X)
        u = spread @ X.T @ y
        k = len(rows) - X.shape[1]
        v = np.log(np.sum((y - X @ u) ** 2) / k) - digamma(k / 2) - np.log(2 / k)
        fits.append((u, v, spread, polygamma(1, k / 2)))
    u, v, noise_u, noise_v = (np.array(part) for part in zip(*fits, strict=True))
    return u, v, noise_u, noise_v


def assert_mean(values: np.ndarray, expected: np.ndarray | float) -> None:
    """Check a mean over schools within 4 standard errors."""
    se = values.std(axis=0, ddof=1) / len(values) ** 0.5
    assert (np.abs(values.mean(axis=0) - expected) < 4 * se).all()


# --- requests ---------------------------------------------------------------------------------


def test_description_says_it_is_simulated() -> None:
    text = datasets.describe("london")
    assert "simulated" in text.splitlines()[0]
    assert "71,321 rows in 465 groups (school)" in text
    assert [x.split()[0] for x in text.splitlines() if x.startswith("  ")] == COLUMNS
    assert datasets.names() == ("exam", "hsb", "reisby")


def test_unknown_names_are_refused() -> None:
    with pytest.raises(DataFileError, match=r"no simulated data set 'lodon'.*mean 'london'"):
        datasets.simulate("lodon", 1)
    with pytest.raises(DataFileError, match="no simulated data set 'hsb'; there is london"):
        datasets.simulate("hsb", 1)
    with pytest.raises(DataFileError, match=r"'london' is simulated.*datasets\.simulate"):
        datasets.load("london")


@pytest.mark.parametrize("model", [0, 7, -1, 2.0, "3", True, None])
def test_unknown_models_are_refused(model: object) -> None:
    for ask in (london.spec, london.truth, london.covariance):
        with pytest.raises(OptionError, match="model is a whole number from 1 to 6"):
            ask(model)
    with pytest.raises(OptionError, match="model is a whole number from 1 to 6"):
        datasets.simulate("london", 1, model)


@pytest.mark.parametrize("seed", [-1, 1.0, "1", True, None])
def test_bad_seeds_are_refused(seed: object) -> None:
    with pytest.raises(OptionError, match="seed is a whole number of at least 0, not"):
        datasets.simulate("london", seed)
