"""How warm-up is shared out, by the rule that Stan's manual gives for its windows."""

from __future__ import annotations

import pytest

from bridge.engines.stan_backends import adaptation_windows


def last_window(warmup: int, init_buffer: int, window: int, term_buffer: int) -> tuple[int, int]:
    """Where the last window of the metric begins and ends; each is twice the one before.

    Where the next but one would not fit, the next goes on to the end (Stan reference manual,
    automatic parameter tuning).
    """
    begin, end, size = init_buffer, init_buffer + window, window
    stop = warmup - term_buffer
    assert end <= stop
    while end < stop:
        begin, size = end, 2 * size
        end = begin + size
        if end + 2 * size > stop:
            end = stop
    return begin, end


@pytest.mark.parametrize("warmup", [100, 137, 200, 300, 400, 1000, 5000])
def test_one_short_window_and_one_of_two_thirds(warmup: int) -> None:
    found = adaptation_windows(warmup)
    assert sum(found.values()) <= warmup
    begin, end = last_window(warmup, **found)
    assert begin == found["init_buffer"] + found["window"]
    assert (end - begin) / warmup == pytest.approx(0.65, abs=0.02)
    assert end == warmup - found["term_buffer"]


def test_stans_own_windows_count_for_less() -> None:
    begin, end = last_window(400, init_buffer=75, window=25, term_buffer=50)
    assert (end - begin) / 400 < 0.55


def test_a_short_warm_up_is_left_to_stan() -> None:
    assert adaptation_windows(99) == adaptation_windows(0) == {}
