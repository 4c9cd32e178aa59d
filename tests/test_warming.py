"""While nobody asks, models are made ready: which, how many, and what does not keep others from it."""

import os
from pathlib import Path

from backlit_server.engine.budget import Key
from backlit_server.engine.engine import Engine
from backlit_server.engine.kept import MODEL
from backlit_server.keeping import Keeping
from bare import ask
from toy_nets import picture, put


def three(store: Path) -> list[str]:
    """The digests of models that nobody has asked yet."""
    first = Engine(store, "cpu", 2)
    return [put(first, store, seed) for seed in range(3)]


def used(store: Path) -> list[str]:
    """The digests of models that were asked one after the other."""
    digests, first = three(store), Engine(store, "cpu", 2)
    for age, digest in enumerate(digests):
        ask(first, digest, picture(), "grad-cam", [0])
        os.utime(store / "optimised" / digest, (age, age))
    return digests


def test_models_used_last_answer_a_made_up_question_before_anybody_asks(tmp_path: Path):
    digests = used(tmp_path)
    again = Engine(tmp_path, "cpu", 2, keeping=Keeping(preload=2))
    assert len(list(again.warm_up())) >= 2
    warm = [digest for digest in digests if again._models.budget.own(Key(MODEL, digest))]
    assert warm == digests[1:]


def test_models_that_are_named_are_made_ready_whether_they_were_used_or_not(tmp_path: Path):
    digests = three(tmp_path)
    again = Engine(tmp_path, "cpu", 2, keeping=Keeping(preload=f"{digests[2]},{'0' * 64},{digests[0]}"))
    list(again.warm_up())
    assert [again._models.budget.own(Key(MODEL, digest)) > 0 for digest in digests] == [True, False, True]


def test_no_more_is_made_ready_than_half_of_the_memory_holds(tmp_path: Path):
    digests = three(tmp_path)
    again = Engine(tmp_path, "cpu", 2, keeping=Keeping(preload=",".join(digests)))
    again._models.budget.limit = 1 << 20
    list(again.warm_up())
    opened = [again._models.budget.own(Key(MODEL, digest)) > 0 for digest in digests]
    assert 0 < sum(opened) < 3, again._models.budget.used


def test_a_model_that_was_deleted_or_damaged_does_not_keep_others_from_being_made_ready(tmp_path: Path):
    digests = used(tmp_path)
    (tmp_path / "models" / digests[2] / "model.onnx").unlink()
    (tmp_path / "models" / digests[1] / "model.onnx").unlink()
    (tmp_path / "models" / digests[1] / "model.onnx").write_bytes(b"no model")
    again = Engine(tmp_path, "cpu", 2)
    list(again.warm_up())
    assert [again._models.budget.own(Key(MODEL, digest)) > 0 for digest in digests] == [True, False, False]
