"""What is kept open: by least recent use, within so many bytes, and what is shared counts once."""

import pytest

from backlit_proto.errors import Overloaded
from backlit_server.engine.budget import Budget, Key, Size

A, B, C, D = (Key("session", "model", name) for name in "abcd")


def holding(limit: int, **sizes: int) -> Budget:
    budget = Budget(limit)
    for name, size in sizes.items():
        budget.keep(Key("session", "model", name), name, Size(size))
    return budget


def names(budget: Budget, *keys: Key) -> str:
    """Those that are there, without use of them counting."""
    return "".join(key.name for key in keys if budget.own(key))


ORDERS = [
    # limit, sizes as put in, used again before d of 4 bytes comes, what is left
    (12, {"a": 4, "b": 4, "c": 4}, "", "bcd"),
    (12, {"a": 4, "b": 4, "c": 4}, "a", "acd"),
    (12, {"a": 4, "b": 4, "c": 4}, "ab", "abd"),
    (12, {"a": 1, "b": 6, "c": 4}, "", "cd"),
    (11, {"a": 4, "b": 4, "c": 3}, "bca", "cad"),
    (4, {"a": 4}, "", "d"),
]


@pytest.mark.parametrize(("limit", "sizes", "used", "left"), ORDERS)
def test_what_was_used_longest_ago_goes_first(limit: int, sizes: dict[str, int], used: str, left: str):
    budget = holding(limit, **sizes)
    for name in used:
        assert budget.get(Key("session", "model", name)) == name
    budget.keep(D, "d", Size(4))
    assert set(names(budget, A, B, C, D)) == set(left)
    assert budget.used == sum({**sizes, "d": 4}[name] for name in left)


def test_what_two_hold_together_counts_once_and_stays_counted_while_one_holds_it():
    budget = Budget(100)
    budget.keep(A, "a", Size(1, {"weights": 50, "more": 5}))
    budget.keep(B, "b", Size(2, {"weights": 50}))
    assert budget.used == 1 + 2 + 50 + 5
    budget.drop(A)
    assert budget.used == 2 + 50
    budget.drop(B)
    assert budget.used == 0


def test_sharing_makes_room_for_more_variants():
    budget = Budget(60)
    for key in (A, B, C, D):
        budget.keep(key, key.name, Size(2, {"weights": 50}))
    assert names(budget, A, B, C, D) == "abcd"
    budget.keep(Key("session", "other"), "o", Size(2, {"others": 50}))
    assert names(budget, A, B, C, D) == ""


def test_a_kind_with_a_share_pushes_out_its_own():
    budget = Budget(100, {"features": 10})
    budget.keep(A, "a", Size(50))
    first, second = Key("features", "model", "1"), Key("features", "model", "2")
    budget.keep(first, 1, Size(6))
    budget.keep(second, 2, Size(6))
    assert (budget.get(first), budget.get(second), budget.get(A)) == (None, 2, "a")


def test_what_can_never_fit_is_refused_with_the_figures_and_nothing_goes_for_it():
    budget = holding(10 << 20, a=3 << 20)
    with pytest.raises(Overloaded, match=r"needs 12 MB of memory, and 10 MB are all .* --memory") as refused:
        budget.keep(B, "b", Size(1 << 20, {"weights": (10 << 20) + 1}))
    assert refused.value.details == {"needed_bytes": str((11 << 20) + 1), "limit_bytes": str(10 << 20)}
    assert names(budget, A, B) == "a"


def test_what_grows_pushes_others_out():
    budget = holding(10, a=4, b=4)
    budget.grow(B, 3)
    assert names(budget, A, B) == "b"
    assert (budget.get(B), budget.own(B)) == ("b", 7)


def test_a_model_is_forgotten_with_all_that_is_its_own():
    budget = holding(100, a=1, b=2)
    other = Key("session", "other")
    budget.keep(other, "o", Size(4))
    budget.forget("model")
    assert (budget.get(A), budget.get(B), budget.get(other), budget.used) == (None, None, "o", 4)
