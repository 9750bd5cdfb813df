"""nlme's variance parameters carried to delta, tau and rho, and their covariance.

The delta method is checked against a numerical Jacobian of the whole map, and the map against
nlme's own definition of the SD of a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from bridge.engines import nlme, registry
from bridge.engines.base import Plan, RawFit
from bridge.errors import HarmoniseError
from bridge.result import Result
from bridge.spec import ModelSpec

ROWS, J = 24, 4


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    return pd.DataFrame(
        {
            "y": rng.normal(size=ROWS),
            "x": rng.normal(size=ROWS),
            "w": rng.normal(size=ROWS),
            "f": np.resize(["a", "b", "c"], ROWS),
            "k": np.resize(["p", "q"], ROWS),
            "g": np.repeat(range(J), ROWS // J),
        }
    )


def plan(mean: str, variance: str) -> Plan:
    return ModelSpec(mean, variance).translate("nlme", frame())


def components(made: Plan, references: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Return what nlme says of each component, the coefficients all different."""
    found = []
    for position, (kind, what) in enumerate(nlme.variance_components(made.design)):
        if kind == "varExp":
            found.append({"class": kind, "coef": np.array([0.3 + 0.1 * position]), "groups": None})
        else:
            groups = references[what]
            coef = 0.2 + 0.15 * np.arange(1, len(groups)) * (-1) ** position
            found.append({"class": kind, "coef": coef, "groups": groups})
    return found


def row_log_sd(made: Plan, said: list[dict[str, Any]], sigma: float) -> np.ndarray:
    """Return log SD by row as nlme defines it: sigma times each component's factor."""
    total = np.full(ROWS, np.log(sigma))
    for (kind, what), component in zip(nlme.variance_components(made.design), said, strict=True):
        if kind == "varExp":
            total += component["coef"][0] * made.design.variance.matrix[:, what]
            continue
        ratio = dict(zip(component["groups"], [0.0, *component["coef"]], strict=True))
        total += np.array([ratio[level] for level in frame()[what]])
    return total


def answer(
    made: Plan,
    said: list[dict[str, Any]],
    tau: list[np.ndarray],
    classes: list[str],
    sigma: float = 1.7,
) -> dict[str, Any]:
    """Return nlme's answer with a covariance of its parameters, blocks in the order of `tau`."""
    design = made.design
    sizes = [len(block) for block in tau]
    places = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    rng = np.random.default_rng(2)
    count = sum(sizes) + sum(len(c["coef"]) for c in said) + 1
    count += sum(
        n * (n - 1) // 2 for n, kind in zip(sizes, classes, strict=True) if kind != "pdDiag"
    )
    root = rng.normal(size=(count, count)) / 10
    size = len(design.mean.labels)
    return {
        "X": design.mean.matrix,
        "fixef": np.arange(1.0, size + 1),
        "fixef_vcov": np.eye(size),
        "Z": [design.Z[:, place] for place in places],
        "covariance": tau,
        "block_class": classes,
        "levels": [str(j + 1) for j in range(J)],
        "effects": [
            np.arange(float(J * len(p))).reshape(J, -1) + 10 * i for i, p in enumerate(places)
        ],
        "sigma": sigma,
        "variance_coef": said,
        "loglik": -12.5,
        "df": count + size,
        "apvar": root @ root.T,
        "apvar_message": None,
    }


def harmonised(made: Plan, values: dict[str, Any]) -> Result:
    return registry.get("nlme").harmonise(RawFit(values, {"nlme": "3.1"}), made)


ONE = [np.array([[2.5]])]
# formula -> nlme's groups of each factor, its reference first
MAPS: list[tuple[str, dict[str, list[str]]]] = [
    ("~ 1", {}),
    ("~ 1 + x", {}),
    ("~ 1 + f", {"f": ["a", "b", "c"]}),
    ("~ 1 + f", {"f": ["c", "a", "b"]}),
    ("~ 1 + f", {"f": ["b", "c", "a"]}),
    ("~ 0 + f", {"f": ["a", "b", "c"]}),
    ("~ 0 + f", {"f": ["c", "b", "a"]}),
    ("~ 1 + x + f + w", {"f": ["b", "a", "c"]}),
    ("~ 1 + f + k", {"f": ["c", "a", "b"], "k": ["q", "p"]}),
    ("~ 0 + f + k", {"f": ["c", "a", "b"], "k": ["q", "p"]}),
    ("~ 0 + f + k + x", {"f": ["b", "a", "c"], "k": ["p", "q"]}),
    ("~ 1 + x * k", {"k": ["q", "p"]}),
    ("~ 1 + f * k", {"f": ["b", "a", "c"], "k": ["q", "p"]}),
    ("~ 1 + x:k", {}),
    ("~ 1 + poly(x, 2)", {}),
]


@pytest.mark.parametrize(("variance", "references"), MAPS)
def test_delta_gives_every_row_the_variance_nlme_gave(variance: str, references: dict) -> None:
    made = plan("y ~ 1 + (1 | g)", variance)
    said = components(made, references)
    result = harmonised(made, answer(made, said, ONE, ["pdLogChol"]))
    delta = result.estimates.loc[result.estimates["component"] == "variance", "estimate"]
    ours = made.design.variance.matrix @ delta.to_numpy(dtype=float)
    np.testing.assert_allclose(ours, 2 * row_log_sd(made, said, 1.7), rtol=1e-12)


def test_without_a_level_sigma_is_one() -> None:
    made = plan("y ~ 1 + (1 | g)", "~ 0 + x")
    said = components(made, {})
    values = answer(made, said, ONE, ["pdLogChol"], sigma=1.0)
    values |= {"apvar": None, "apvar_message": ["wrong when sigma is fixed"]}
    result = harmonised(made, values)
    assert result.estimate("delta[x]") == pytest.approx(0.6)
    assert "wrong when sigma is fixed" in result.warnings[0]
    rows = result.estimates.set_index("parameter")
    assert rows.loc["delta[x]", "se"] is pd.NA
    assert "apVar is not available" in rows.loc["delta[x]", "note"]
    assert list(result.parameter_covariance.index) == ["gamma[Intercept]"]


# (random terms, variance, nlme's groups, tau by block, classes)
TWO = np.array([[2.0, 0.6], [0.6, 0.9]])
SPREADS = {
    "intercept": ("(1 | g)", "~ 1 + x", {}, ONE, ["pdLogChol"]),
    "slope": ("(1 + x | g)", "~ 1 + f", {"f": ["b", "a", "c"]}, [TWO], ["pdLogChol"]),
    "slope, no level": ("(1 + x | g)", "~ 0 + f", {"f": ["c", "a", "b"]}, [TWO], ["pdLogChol"]),
    "independent": ("(1 + x || g)", "~ 1", {}, [np.diag([2.0, 0.5])], ["pdDiag"]),
    "three": (
        "(1 + x + w | g)",
        "~ 1 + x + f",
        {"f": ["c", "b", "a"]},
        [np.array([[2.0, 0.3, -0.2], [0.3, 1.0, 0.1], [-0.2, 0.1, 0.5]])],
        ["pdLogChol"],
    ),
    "two blocks": (
        "(1 + x | g) + (0 + w | g)",
        "~ 1 + k",
        {"k": ["q", "p"]},
        [TWO, np.array([[0.7]])],
        ["pdSymm", "pdSymm"],
    ),
}


def parameters(values: dict[str, Any]) -> np.ndarray:
    """Return the parameters of apVar: log SDs and 2 atanh of each block, coefs, log sigma."""
    found: list[float] = []
    for block, kind in zip(values["covariance"], values["block_class"], strict=True):
        sd = np.sqrt(np.diag(block))
        found += list(np.log(sd))
        if kind != "pdDiag":
            rho = block / np.outer(sd, sd)
            size = len(sd)
            found += [2 * np.arctanh(rho[i, j]) for i in range(size) for j in range(i + 1, size)]
    for component in values["variance_coef"]:
        found += list(component["coef"])
    return np.array([*found, np.log(values["sigma"])])


def moved(made: Plan, values: dict[str, Any], theta: np.ndarray) -> np.ndarray:
    """Return (delta, tau, rho) at other parameters of apVar."""
    at, blocks, said = 0, [], []
    for block, kind in zip(values["covariance"], values["block_class"], strict=True):
        size = len(block)
        sd = np.exp(theta[at : at + size])
        at += size
        rho = np.eye(size)
        if kind != "pdDiag":
            for i in range(size):
                for j in range(i + 1, size):
                    rho[i, j] = rho[j, i] = np.tanh(theta[at] / 2)
                    at += 1
        blocks.append(rho * np.outer(sd, sd))
    for component in values["variance_coef"]:
        size = len(component["coef"])
        said.append(component | {"coef": theta[at : at + size]})
        at += size
    changed = values | {
        "covariance": blocks,
        "variance_coef": said,
        "sigma": float(np.exp(theta[at])),
    }
    rows = harmonised(made, changed).estimates
    return rows.loc[rows["component"] != "mean", "estimate"].to_numpy(dtype=float)


@pytest.mark.parametrize("name", SPREADS)
def test_the_delta_method_against_a_numerical_jacobian(name: str) -> None:
    random, variance, references, tau, classes = SPREADS[name]
    made = plan(f"y ~ 1 + x + {random}", variance)
    values = answer(made, components(made, references), tau, classes)
    theta, step = parameters(values), 1e-5
    columns = []
    for position in range(len(theta)):
        by = np.zeros(len(theta))
        by[position] = step
        columns.append(
            (moved(made, values, theta + by) - moved(made, values, theta - by)) / (2 * step)
        )
    jacobian = np.column_stack(columns)
    expected = jacobian @ values["apvar"] @ jacobian.T
    result = harmonised(made, values)
    size = len(made.design.mean.labels)
    found = result.parameter_covariance.to_numpy()
    np.testing.assert_allclose(found[size:, size:], expected, rtol=1e-6, atol=1e-8)
    assert (found[:size, size:] == 0).all()
    rows = result.estimates.iloc[size:]
    np.testing.assert_allclose(rows["se"].to_numpy(dtype=float) ** 2, np.diag(expected), rtol=1e-6)
    assert list(result.parameter_covariance.index) == list(result.estimates["parameter"])


def test_blocks_in_another_order_than_ours() -> None:
    made = plan("y ~ 1 + (1 + x | g) + (0 + w | g)", "~ 1")
    tau = [TWO, np.array([[0.7]])]
    values = answer(made, [], tau, ["pdSymm", "pdSymm"])
    design = made.design
    turned = values | {
        "Z": [design.Z[:, [2]], design.Z[:, [1, 0]]],
        "covariance": [tau[1], TWO[::-1, ::-1]],
        "effects": [values["effects"][1], values["effects"][0][:, ::-1]],
    }
    # apVar's order follows the blocks: w; x, intercept; their correlation; log sigma
    order = [3, 1, 0, 2, 4]
    turned["apvar"] = values["apvar"][np.ix_(order, order)]
    ours, theirs = harmonised(made, values), harmonised(made, turned)
    pd.testing.assert_frame_equal(ours.estimates, theirs.estimates)
    pd.testing.assert_frame_equal(ours.group_effects, theirs.group_effects)
    pd.testing.assert_frame_equal(ours.parameter_covariance, theirs.parameter_covariance)


def test_fixed_effects_in_another_order() -> None:
    made = plan("y ~ 1 + x + f + (1 | g)", "~ 1")
    values = answer(made, [], ONE, ["pdLogChol"])
    order = [2, 0, 3, 1]
    values |= {"X": made.design.mean.matrix[:, order], "fixef": np.arange(1.0, 5)[order]}
    result = harmonised(made, values)
    assert list(result.estimates["estimate"][:4]) == [1.0, 2.0, 3.0, 4.0]


def test_intervals_are_on_the_scale_they_say() -> None:
    made = plan("y ~ 1 + (1 + x | g)", "~ 1")
    rows = harmonised(made, answer(made, [], [TWO], ["pdLogChol"])).estimates.set_index("parameter")
    row = rows.loc["tau[u:x,u:x]"]
    assert row["note"] == "interval on the log scale"
    assert row["lower"] * row["upper"] == pytest.approx(row["estimate"] ** 2)
    rho = rows.loc["rho[u:Intercept,u:x]"]
    assert rho["note"] == "interval on the atanh scale"
    middle = (np.arctanh(rho["lower"]) + np.arctanh(rho["upper"])) / 2
    assert middle == pytest.approx(np.arctanh(rho["estimate"]))
    assert rows.loc["delta[Intercept]", "note"] == ""


def test_a_matrix_coded_otherwise_is_refused() -> None:
    made = plan("y ~ 1 + f + (1 | g)", "~ 1")
    values = answer(made, [], ONE, ["pdLogChol"])
    contrasts = made.design.mean.matrix @ np.array([[1, 0, 0], [0, 1, -1], [0, 1, 1.0]])
    with pytest.raises(HarmoniseError, match="no column equal to f"):
        harmonised(made, values | {"X": contrasts})
