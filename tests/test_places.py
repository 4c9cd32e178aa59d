"""How many questions one caller may have in flight beside others."""

from collections import Counter

import pytest

from backlit_proto.errors import Overloaded
from backlit_server.workers.places import LONGEST_WAIT, Places


def taken(places: Places, *callers: str) -> Counter[str]:
    """How many places each gets who, taking turns, ask for as many as they can have."""
    held = Counter[str]()
    asking = list(callers)
    while asking:
        caller = asking.pop(0)
        try:
            places.take(caller)
        except Overloaded:
            continue
        held[caller] += 1
        asking.append(caller)
    return held


@pytest.mark.parametrize(
    ("limit", "callers", "held"),
    [
        (64, "a", {"a": 52}),
        (64, "ab", {"a": 29, "b": 28}),
        (64, "abcd", {"a": 16, "b": 15, "c": 15, "d": 15}),
        (8, "a", {"a": 7}),
        (4, "a", {"a": 4}),
        (1, "ab", {"a": 1}),
    ],
)
def test_callers_have_places_while_some_are_left_for_others(limit, callers, held):
    assert taken(Places(limit), *callers) == held


def test_who_comes_after_a_greedy_caller_finds_places():
    places = Places(64)
    taken(places, "greedy")
    assert taken(places, "late")["late"] >= 9


def test_places_that_are_given_back_are_taken_again():
    places = Places(1)
    for _ in range(3):
        places.take("a")
        with pytest.raises(Overloaded, match="1 questions are in flight"):
            places.take("b")
        places.give_back("a", 1.0)


def test_the_wait_follows_what_questions_take():
    places = Places(2)
    for seconds in (1000.0,) * 100:
        places.take("a")
        places.give_back("a", seconds)
    places.take("a")
    places.take("b")
    with pytest.raises(Overloaded) as refused:
        places.take("c")
    assert refused.value.retry_seconds == LONGEST_WAIT
