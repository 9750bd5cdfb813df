"""What is made of a backend's answer: names, counts and sentences."""

from __future__ import annotations

import numpy as np

from bridge.engines.stan_draws import from_reply

REPLY: dict = {
    "versions": {"pystan": "3"},
    "draws": {"gamma": np.zeros((2, 3, 1))},
    "sampler": {
        "lp__": np.zeros((2, 3)),
        "accept_stat__": np.ones((2, 3)),
        "stepsize__": np.ones((2, 3)),
        "treedepth__": np.array([[10.0, 3, 3], [3, 10, 3]]),
        "n_leapfrog__": np.full((2, 3), 7.0),
        "divergent__": np.array([[0.0, 1, 0], [0, 0, 0]]),
        "energy__": np.zeros((2, 3)),
        "unknown__": np.zeros((2, 3)),
    },
    "messages": [
        "Informational Message: The current Metropolis proposal is about to be rejected",
        "Exception: normal_lpdf: Scale parameter[48] is 0! (in '/tmp/a.stan', line 1, column 2)",
        "If this warning occurs sporadically, the sampler is fine,",
        "but if this warning occurs often then your model may be misspecified.",
        "Exception: normal_lpdf: Scale parameter[7] is 0! (in '/tmp/a.stan', line 1, column 2)",
    ],
    "seconds": {"compile": 0.0, "sampling": 1.0},
}


def test_statistics_have_our_names_and_counts_are_whole_numbers() -> None:
    sampler = from_reply("pystan", REPLY).sampler
    assert set(sampler) == {
        "lp", "accept_stat", "step_size", "tree_depth", "n_leapfrog", "divergent", "energy",
    }  # fmt: skip
    assert sampler["tree_depth"].dtype.kind == "i"
    assert sampler["tree_depth"][1].tolist() == [3, 10, 3]


def test_messages_stand_once_with_their_count() -> None:
    (rejected,) = from_reply("pystan", REPLY).messages
    assert rejected == "Stan rejected a proposal: normal_lpdf: Scale parameter is 0! (2 times)"


def test_nothing_to_say_is_nothing_said() -> None:
    assert from_reply("pystan", REPLY | {"messages": []}).messages == ()
