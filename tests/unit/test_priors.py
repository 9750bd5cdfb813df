"""Priors: reading, defaults, elements, and how they move with the scale."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate

from bridge.errors import PriorError
from bridge.priors import Prior, Priors, parse, resolve

ROW = (["Intercept", "x"], ["Intercept"], ["Intercept", "x"], ["Intercept"], 2.0)


@pytest.mark.parametrize(
    ("text", "target", "read"),
    [
        ("normal(0, 2.5)", "gamma", Prior("normal", (0.0, 2.5))),
        (" student_t( 3,0 , 1e1 ) ", "delta", Prior("student_t", (3.0, 0.0, 10.0))),
        ("flat", "gamma", Prior("flat")),
        ("flat()", "sd_u", Prior("flat")),
        ("half_normal(2)", "sd_v", Prior("half_normal", (0.0, 2.0))),
        ("half_normal(0, 2)", "sd_v", Prior("half_normal", (0.0, 2.0))),
        ("half_t(3, 0, 1)", "sd_u", Prior("half_t", (3.0, 0.0, 1.0))),
        ("exponential(.5)", "sd_u", Prior("exponential", (0.5,))),
        ("lkj(2)", "rho", Prior("lkj", (2.0,))),
        ("gamma(2, 0.1)", "nu", Prior("gamma", (2.0, 0.1))),
        (Prior("normal", (1.0, 2.0)), "gamma", Prior("normal", (1.0, 2.0))),
    ],
)
def test_reading(text: str | Prior, target: str, read: Prior) -> None:
    assert parse(text, target) == read
    assert parse(str(read), target) == read


@pytest.mark.parametrize(
    ("text", "target", "part"),
    [
        ("nromal(0, 1)", "gamma", "Did you mean 'normal'?"),
        ("normal(0, 1)", "sd_u", "Did you mean 'half_normal'?"),
        ("student_t(3, 0, 1)", "sd_v", "Did you mean 'half_t'?"),
        ("half_t(3, 0, 1)", "gamma", "There are: flat, normal, student_t."),
        ("lkj(1)", "gamma", "not a prior for mean coefficients"),
        ("normal(0)", "gamma", "takes 2 number(s): mean, sd"),
        ("normal(0, 1, 2)", "gamma", "takes 2 number(s)"),
        ("normal(0, -1)", "gamma", "the sd of normal must be a number above zero"),
        ("normal(0, 0)", "gamma", "above zero"),
        ("normal(0, nan)", "gamma", "above zero"),
        ("normal(inf, 1)", "gamma", "the mean of normal must be a finite number"),
        ("normal(a, 1)", "gamma", "are numbers"),
        ("half_t(3, 1, 1)", "sd_u", "location 0"),
        ("half_normal(1, 1)", "sd_u", "location 0"),
        ("normal(0, 1", "gamma", "is not a prior; write it like"),
        ("normal(0, 1)); target += 1; //", "gamma", "is not a prior"),
        ('normal(0, 1)")', "gamma", "is not a prior"),
        (3, "gamma", "3 is not a prior"),
    ],
)
def test_what_cannot_be_read(text: str, target: str, part: str) -> None:
    with pytest.raises(PriorError) as caught:
        Priors({target: text})
    assert part in str(caught.value)
    assert str(caught.value).startswith(target)


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("gama", "Did you mean 'gamma'?"),
        ("sd", "There are: gamma, delta"),
        ("kapa", "Did you mean 'kappa'?"),
        ("rho[u:Intercept,u:x]", "write rho, not"),
        ("nu[g]", "write nu, not"),
        ("gamma[x]\nsystem('x')", "no parameter called"),
    ],
)
def test_keys_that_are_no_parameter(key: str, part: str) -> None:
    with pytest.raises(PriorError) as caught:
        Priors({key: "flat"})
    assert part in str(caught.value)


# prior of a log-variance parameter -> prior of the same thing on the log SD
CARRIED = {
    "normal(0, 3)": "normal(0, 1.5)",
    "normal(1, 3)": "normal(0.5, 1.5)",
    "student_t(3, 1, 2)": "student_t(3, 0.5, 1)",
    "half_t(3, 0, 1)": "half_t(3, 0, 0.5)",
    "half_normal(0, 2)": "half_normal(0, 1)",
    "exponential(2)": "exponential(4)",
    "flat": "flat",
}


@pytest.mark.parametrize(("canonical", "native"), CARRIED.items())
def test_priors_move_to_the_log_sd(canonical: str, native: str) -> None:
    target = "sd_v" if canonical.startswith(("half", "exp")) else "delta"
    prior = parse(canonical, target)
    moved = prior.divided(2.0)
    assert str(moved) == native
    if canonical != "flat":  # p(x/2) dx/2 = p(x) dx
        x = np.linspace(0.1, 4, 9)
        np.testing.assert_allclose(
            moved.log_density(x / 2) - np.log(2), prior.log_density(x), rtol=1e-12
        )


@pytest.mark.parametrize(
    ("prior", "lower"),
    [
        (Prior("normal", (1.0, 2.0)), -np.inf),
        (Prior("student_t", (3.0, 1.0, 2.0)), -np.inf),
        (Prior("half_normal", (0.0, 2.0)), 0),
        (Prior("half_t", (3.0, 0.0, 2.0)), 0),
        (Prior("exponential", (0.5,)), 0),
        (Prior("gamma", (2.0, 0.1)), 0),
    ],
)
def test_densities_integrate_to_one(prior: Prior, lower: float) -> None:
    total, _ = integrate.quad(
        lambda x: float(np.exp(prior.log_density(np.array(x)))), lower, np.inf
    )
    assert total == pytest.approx(1.0, abs=1e-6)
    if lower == 0:
        assert prior.log_density(np.array([-0.1]))[0] == -np.inf


def test_densities_that_are_none() -> None:
    assert (Prior("flat").log_density(np.array([-3.0, 5.0])) == 0).all()
    with pytest.raises(ValueError, match="single numbers"):
        Prior("lkj", (1.0,)).log_density(np.array([0.5]))


def test_defaults() -> None:
    found = resolve(Priors(), *ROW)
    assert [str(p) for p in found.gamma] == ["flat", "flat"]
    assert [str(p) for p in found.delta] == ["flat"]
    assert [str(p) for p in found.sd] == ["half_t(3, 0, 5)", "half_t(3, 0, 5)", "half_t(3, 0, 1)"]
    assert found.lkj == 1.0
    assert str(found.nu) == "gamma(2, 0.1)"
    assert not found.set_by_user


def test_elements_override_their_kind() -> None:
    priors = Priors(
        {"gamma[x]": "normal(0, 1)"},
        gamma="normal(0, 9)",
        rho="lkj(4)",
        **{"sd_u[x]": "exponential(1)", "sd_v": "half_normal(3)"},
    )
    found = resolve(priors, *ROW)
    assert [str(p) for p in found.gamma] == ["normal(0, 9)", "normal(0, 1)"]
    assert [str(p) for p in found.sd] == ["half_t(3, 0, 5)", "exponential(1)", "half_normal(0, 3)"]
    assert found.lkj == 4.0
    assert found.set_by_user == {"gamma", "gamma[x]", "rho", "sd_u[x]", "sd_v"}


def test_priors_of_associations_and_level2_functions() -> None:
    labels = ["tau(u:Intercept,u:Intercept),w", "rho(u:Intercept,v:Intercept),w"]
    more: dict = {"latent_terms": ["u:Intercept", "u:Intercept^2"], "kappa_terms": labels}
    found = resolve(Priors(), *ROW, **more)
    assert [str(p) for p in found.lambda_ + found.kappa] == ["flat"] * 4
    priors = Priors(
        {"lambda_[u:Intercept^2]": "normal(0, 1)", f"kappa[{labels[1]}]": "student_t(3, 0, 1)"},
        kappa="normal(0, 2)",
    )
    found = resolve(priors, *ROW, **more)
    assert [str(p) for p in found.lambda_] == ["flat", "normal(0, 1)"]
    assert [str(p) for p in found.kappa] == ["normal(0, 2)", "student_t(3, 0, 1)"]
    with pytest.raises(PriorError, match="kappa, which this model does not have"):
        resolve(Priors(kappa="flat"), *ROW)


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("gamma[xx]", "Did you mean 'gamma[x]'?"),
        ("delta[x]", "It has: gamma, gamma[Intercept], gamma[x], delta, delta[Intercept], sd_u,"),
        ("sd_v[x]", "which this model does not have"),
    ],
)
def test_a_prior_on_what_is_not_there(key: str, part: str) -> None:
    with pytest.raises(PriorError) as caught:
        resolve(Priors({key: "flat"}), *ROW)
    assert part in str(caught.value)


def test_a_mapping_that_compares_hashes_and_prints() -> None:
    one = Priors(delta="normal(0,2)", sd_v="exponential(2)")
    other = Priors({"sd_v": "exponential(2.0)", "delta": "normal(0, 2)"})
    assert one == other
    assert hash(one) == hash(other)
    assert repr(one) == "Priors(delta='normal(0, 2)', sd_v='exponential(2)')"
    assert eval(repr(one)) == one
    with_element = Priors({"gamma[f[b]]": "flat"})
    assert eval(repr(with_element)) == with_element
    assert dict(one) == {"delta": "normal(0, 2)", "sd_v": "exponential(2)"}
    assert not Priors()
