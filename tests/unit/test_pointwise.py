"""Log-likelihoods, replicated outcomes and log priors against scipy, cell by cell."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bridge
from bridge.design import make_design
from bridge.errors import OptionError
from bridge.pointwise import INCLUDES, make_groups, part_of, predictors, row_loglik

#: What is made here; tests/unit/test_by_draw.py has the marginal log-likelihood.
OF_ROWS = tuple(name for name in INCLUDES if name != "marginal_log_likelihood")

SPEC = bridge.ModelSpec(
    "mathach ~ 1 + ses + (1 + ses | s | school)",
    "~ 1 + sector + (1 | s | school)",
    priors={"gamma": "normal(0, 20)", "delta[sector]": "student_t(4, 0, 2)"},
)


@pytest.fixture(scope="module")
def data():
    # rows of several schools, not in the order of the schools
    frame = bridge.datasets.load("hsb").iloc[::45].head(120)
    return frame.sample(frac=1, random_state=3)


@pytest.fixture(scope="module")
def fitted(data):
    return bridge.fit(SPEC, data, "fake", chains=2, draws=400, seed=1, include=OF_ROWS)


def test_log_likelihood_is_that_of_each_row_given_its_group(data, fitted):
    posterior, found = fitted.idata["posterior"], fitted.idata["log_likelihood"]["mathach"]
    assert found.dims == ("chain", "draw", "obs")
    assert list(found["obs"].values) == list(data.index)
    for chain, draw, row in ((0, 0, 0), (1, 7, 50), (1, 399, 119)):
        at = {"chain": chain, "draw": draw}
        student, p = data.iloc[row], posterior.isel(at)
        school = str(int(student["school"]))
        u, v = p["u"].sel(school=school).values, p["v"].sel(school=school).values
        mean = p["gamma"].values @ [1, student["ses"]] + u @ [1, student["ses"]]
        log_variance = p["delta"].values @ [1, student["sector"]] + v[0]
        expected = stats.norm.logpdf(student["mathach"], mean, np.exp(log_variance / 2))
        assert found.isel(**at, obs=row).item() == pytest.approx(expected, rel=1e-10)


def test_replicated_outcomes_have_the_model_s_mean_and_variance(data, fitted):
    design, p = make_design(SPEC, data), fitted.idata["posterior"]
    effects = np.concatenate([p["u"].values, p["v"].values], axis=-1)
    mean, log_variance = predictors(design, p["gamma"].values, p["delta"].values, effects)
    drawn = fitted.idata["posterior_predictive"]["mathach"].values
    z = (drawn - mean) / np.exp(log_variance / 2)
    assert z.mean() == pytest.approx(0, abs=5 / np.sqrt(z.size))
    assert z.var() == pytest.approx(1, abs=8 / np.sqrt(z.size))


def test_replicated_outcomes_repeat_with_the_seed(data, fitted):
    again = bridge.fit(SPEC, data, "fake", chains=2, draws=400, seed=1, include=OF_ROWS)
    first, second = (r.idata["posterior_predictive"]["mathach"].values for r in (fitted, again))
    np.testing.assert_array_equal(first, second)


def test_log_prior_is_by_element_on_the_canonical_scale(fitted):
    found, p = fitted.idata["log_prior"], fitted.idata["posterior"]
    np.testing.assert_allclose(found["gamma"], stats.norm.logpdf(p["gamma"], 0, 20))
    assert (found["delta"].sel(variance_term="Intercept") == 0).all()
    slope = p["delta"].sel(variance_term="sector")
    np.testing.assert_allclose(
        found["delta"].sel(variance_term="sector"), stats.t.logpdf(slope, 4, 0, 2)
    )
    sd = np.sqrt(p["tau"].sel(tau_pair="v:Intercept,v:Intercept"))
    expected = np.log(2) + stats.t.logpdf(sd, 3, 0, 1)
    np.testing.assert_allclose(found["sd"].sel(effect="v:Intercept"), expected)


def test_groups_are_there_only_on_request(data, tmp_path):
    plain = bridge.fit(SPEC, data, "fake", chains=1, draws=20, seed=1)
    assert "log_likelihood" not in plain.idata
    one = bridge.fit(SPEC, data, "fake", chains=1, draws=20, seed=1, include="log_likelihood")
    assert "log_likelihood" in one.idata
    assert "log_prior" not in one.idata
    again = bridge.load(one.save(tmp_path / "one.nc"))
    np.testing.assert_array_equal(
        again.idata["log_likelihood"]["mathach"], one.idata["log_likelihood"]["mathach"]
    )


def test_a_misspelt_group_is_an_error(data):
    with pytest.raises(OptionError, match="Did you mean 'log_likelihood'"):
        bridge.fit(SPEC, data, "fake", include=("log_lik",))


def test_a_model_without_effects(data):
    fitted = bridge.fit(
        bridge.ModelSpec("mathach ~ ses"), data, "fake", draws=50, seed=1, include=OF_ROWS
    )
    assert fitted.idata["log_likelihood"]["mathach"].shape == (4, 50, 120)
    assert "sd" not in fitted.idata["log_prior"]


def test_log_prior_of_correlations_and_degrees_of_freedom(data):
    spec = bridge.ModelSpec(
        "mathach ~ 1 + (1 + ses | s | school)",
        "~ 1 + (1 | s | school)",
        random_effects="student_t",
        priors={"rho": "lkj(3)", "nu": "gamma(2, 0.2)"},
    )
    made = bridge.fit(spec, data, "fake", chains=1, draws=20, seed=1, include="log_prior").idata
    found, p = made["log_prior"], made["posterior"]
    rho = p["rho"].isel(chain=0, draw=4).values
    matrix = np.array([[1, rho[0], rho[1]], [rho[0], 1, rho[2]], [rho[1], rho[2], 1]])
    # the constant by integration over the partial correlations (Lewandowski et al. 2009)
    from scipy.special import betaln

    shapes = [3.5, 3.5, 3.0]
    constant = sum(betaln(a, a) + (2 * a - 1) * np.log(2) for a in shapes)
    expected = 2 * np.linalg.slogdet(matrix)[1] - constant
    assert found["rho"].isel(chain=0, draw=4).item() == pytest.approx(expected)
    nu = p["nu"].isel(chain=0, draw=4).item()
    law = stats.gamma(2, scale=5)
    assert found["nu"].isel(chain=0, draw=4).item() == pytest.approx(
        law.logpdf(nu) - np.log(law.sf(1))
    )


@pytest.mark.parametrize("scale", ["standardised", "raw"])
@pytest.mark.parametrize("level2", [None, {"tau[u:ses,u:ses]": "~ sector"}])
def test_a_latent_association_is_in_the_log_variance(data, scale, level2):
    spec = bridge.ModelSpec(
        "mathach ~ 1 + ses + (1 + ses | school)", association="quadratic", latent_scale=scale,
        level2=level2,
    )  # fmt: skip
    design, rng = make_design(spec, data), np.random.default_rng(7)
    J = len(design.group_labels)
    draws = xr.Dataset(
        {
            "gamma": (("chain", "draw", "mean_term"), rng.normal(12, 1, (1, 3, 2))),
            "delta": (("chain", "draw", "variance_term"), rng.normal(3.5, 0.1, (1, 3, 1))),
            "lambda_": (("chain", "draw", "latent_term"), rng.normal(0, 0.2, (1, 3, 4))),
            "tau": (("chain", "draw", "tau_pair"), rng.uniform(1, 3, (1, 3, 2))),
            "kappa": (("chain", "draw", "kappa_term"), rng.normal(0, 0.5, (1, 3, 2))),
            "u": (("chain", "draw", "school", "mean_effect"), rng.normal(size=(1, 3, J, 2))),
        },
        {
            "tau_pair": ["u:Intercept,u:Intercept", "u:ses,u:ses"],
            "kappa_term": ["tau(u:ses,u:ses),Intercept", "tau(u:ses,u:ses),sector"],
        },
    )
    found = row_loglik(design, draws)
    rows = slice(30, 70)
    np.testing.assert_array_equal(row_loglik(part_of(design, rows), draws), found[..., rows])
    for draw, row in ((0, 0), (2, 119)):
        at, student = draws.isel(chain=0, draw=draw), data.iloc[row]
        u = at["u"].values[design.group[row]]
        variance = at["tau"].values.copy()
        if level2:
            variance[1] = np.exp(at["kappa"].values @ [1, student["sector"]])
        latent = u / np.sqrt(variance) if scale == "standardised" else u
        log_variance = at["delta"].values[0] + at["lambda_"].values @ [*latent, *latent**2]
        mean = (at["gamma"].values + u) @ [1, student["ses"]]
        expected = stats.norm.logpdf(student["mathach"], mean, np.exp(log_variance / 2))
        assert found[0, draw, row] == pytest.approx(expected, rel=1e-10)


def drawn(design, rng, count=3):
    """Draws of every parameter of a design, as a sampler's posterior holds them."""
    import xarray as xr

    from bridge import names

    shape, J = (1, count), len(design.group_labels)
    dims = {
        "gamma": design.mean.labels,
        "delta": design.variance.labels,
        "lambda_": design.latent_terms,
        "kappa": [names.kappa_label(*term) for term in design.kappa_terms],
        "tau": [design.pair_label(pair) for pair in design.constant_tau_pairs],
        "rho": [design.pair_label(pair) for pair in design.constant_rho_pairs],
    }
    data, coords = {}, {"chain": [0], "draw": np.arange(count)}
    for name, labels in dims.items():
        dim = names.VARIABLES[name][0]
        values = 0.3 * rng.normal(size=(*shape, len(labels)))
        data[name] = (("chain", "draw", dim), np.abs(values) + 0.1 if name == "tau" else values)
        coords[dim] = list(labels)
    for name, labels in (("u", design.mean_effects), ("v", design.variance_effects)):
        dim = names.VARIABLES[name][1]
        values = rng.normal(size=(*shape, J, len(labels)))
        data[name] = (("chain", "draw", "school", dim), values)
        coords |= {dim: list(labels), "school": list(design.group_labels)}
    return xr.Dataset(data, coords)


@pytest.mark.parametrize("latent_scale", ["standardised", "raw"])
def test_an_association_enters_the_log_likelihood(data, latent_scale):
    spec = bridge.ModelSpec(
        "mathach ~ 1 + (1 + ses | school)", "~ 1 + (1 | school)",
        association="quadratic", latent_scale=latent_scale,
        level2={"tau[u:ses,u:ses]": "~ sector"},
    )  # fmt: skip
    design = make_design(spec, data)
    posterior = drawn(design, np.random.default_rng(1))
    found = make_groups(design, posterior, ("log_likelihood",), 1)["log_likelihood"]["mathach"]
    for draw, row in ((0, 3), (2, 60)):
        student, p = data.iloc[row], posterior.isel(chain=0, draw=draw)
        school = str(int(student["school"]))
        u, v = p["u"].sel(school=school).values, p["v"].sel(school=school).values
        kappa = p["kappa"].values
        sd = np.sqrt([p["tau"].values[0], np.exp(kappa[0] + kappa[1] * student["sector"])])
        star = u / sd if latent_scale == "standardised" else u
        mean = p["gamma"].values[0] + u @ [1, student["ses"]]
        log_variance = p["delta"].values[0] + v[0] + p["lambda_"].values @ [*star, *star**2]
        expected = stats.norm.logpdf(student["mathach"], mean, np.exp(log_variance / 2))
        assert found.isel(chain=0, draw=draw, obs=row).item() == pytest.approx(expected)


def test_log_prior_beside_level2_functions(data):
    rho = "rho[u:Intercept,u:ses]"
    spec = bridge.ModelSpec(
        "mathach ~ 1 + (1 + ses | s | school)", "~ 1 + (1 | s | school)",
        level2={rho: "~ sector", "tau[u:ses,u:ses]": "~ sector"},
        priors={"rho": "lkj(2)", "kappa": "normal(0, 2)"},
    )  # fmt: skip
    design = make_design(spec, data)
    posterior = drawn(design, np.random.default_rng(2))
    found = make_groups(design, posterior, ("log_prior",), 1)["log_prior"]
    assert list(found["effect"].values) == ["u:Intercept", "v:Intercept"]
    np.testing.assert_allclose(found["kappa"], stats.norm.logpdf(posterior["kappa"], 0, 2))
    # the marginal of LKJ(2) for three effects is beta(2.5, 2.5) on (-1, 1)
    marginal = stats.beta(2.5, 2.5, loc=-1, scale=2).logpdf(posterior["rho"])
    assert marginal.shape == (1, 3, 2)
    np.testing.assert_allclose(found["rho"], marginal.sum(axis=-1))


def test_the_table_of_priors_has_what_the_model_has(data):
    spec = bridge.ModelSpec(
        "mathach ~ 1 + (1 | school)", "~ 1 + (1 | school)", association="linear",
        level2={"tau[u:Intercept,u:Intercept]": "~ sector"}, priors={"lambda_": "normal(0, 1)"},
    )  # fmt: skip
    table = spec.priors_in_use(data).set_index("parameter")
    assert list(table.index) == [
        "gamma[Intercept]", "delta[Intercept]", "lambda_[u:Intercept]", "sd[v:Intercept]",
        "kappa[tau(u:Intercept,u:Intercept),Intercept]",
        "kappa[tau(u:Intercept,u:Intercept),sector]",
    ]  # fmt: skip
    assert table.loc["lambda_[u:Intercept]"].tolist() == [
        "normal(0, 1)", "log variance per SD of u", "user",
    ]  # fmt: skip
