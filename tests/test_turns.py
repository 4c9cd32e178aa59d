"""Who is served how much: a simulated worker, whose clock is the sum of what its steps take."""

from collections.abc import Generator

import pytest

from backlit_server.workers.terms import Priority, Terms
from backlit_server.workers.turns import Question, Turns

INTERACTIVE, AUDIT = Priority.INTERACTIVE, Priority.AUDIT


def nothing() -> Generator[None, None, None]:
    yield


class Worker:
    """Takes steps in the order of the turns; a question's step takes what `costs` says of its number."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.clock = 0.0
        self.costs: dict[int, float] = {}
        self.served: list[int] = []

    def ask(self, number: int, caller: str, cost: float, priority: Priority = INTERACTIVE) -> Question:
        question = Question(number, nothing(), Terms(caller, priority))
        self.costs[number] = cost
        self.turns.enter(question)
        return question

    def step(self, *, last: bool = False) -> Question:
        question = self.turns.order()[0]
        if last:
            self.turns.leave(question)
        self.turns.took(question, self.costs[question.number])
        self.clock += self.costs[question.number]
        self.served.append(question.number)
        return question

    def seconds(self, number: int) -> float:
        return self.served.count(number) * self.costs[number]


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_callers_have_equal_time_whatever_their_steps_take(worker):
    worker.ask(1, "slow", 0.3)
    worker.ask(2, "quick", 0.01)
    while worker.clock < 30:
        worker.step()
    assert worker.seconds(1) == pytest.approx(worker.seconds(2), abs=0.3)


def test_a_caller_of_many_questions_has_no_more_than_one_of_a_single_one(worker):
    for number in range(100):
        worker.ask(number, "many", 0.1)
    worker.ask(100, "single", 0.1)
    assert worker.step().number == 0
    assert worker.step().number == 100, "who has one question does not wait for a hundred"
    while worker.clock < 20:
        worker.step()
    assert worker.seconds(100) == pytest.approx(10, abs=0.2)


def test_the_questions_of_one_caller_take_turns(worker):
    for number in range(3):
        worker.ask(number, "one", 0.1)
    for _ in range(6):
        worker.step()
    assert worker.served == [0, 1, 2, 0, 1, 2]


def test_a_quick_question_comes_before_the_next_step_of_a_slow_one(worker):
    worker.ask(0, "slow", 0.3)
    for number in range(1, 10):
        worker.step()
        worker.ask(number, "quick", 0.01)
        assert worker.step(last=True).number == number


def test_a_slow_question_goes_on_while_ever_new_callers_ask_quick_ones(worker):
    worker.ask(0, "slow", 0.3)
    worker.step()
    for number in range(1, 1001):
        worker.ask(number, f"caller {number}", 0.01)
        while worker.step(last=worker.turns.order()[0].number != 0).number == 0:
            pass
    assert worker.seconds(0) == pytest.approx(worker.clock / 2, rel=0.1)


def test_audits_have_a_tenth_of_a_share_and_all_that_nobody_else_wants(worker):
    worker.ask(1, "auditor", 0.1, AUDIT)
    worker.ask(2, "person", 0.1)
    while worker.clock < 110:
        worker.step()
    assert worker.seconds(1) == pytest.approx(10, abs=0.5)


def test_who_comes_is_served_before_an_audit_that_had_the_worker_for_itself(worker):
    worker.ask(1, "auditor", 0.1, AUDIT)
    for _ in range(1000):
        worker.step()
    worker.ask(2, "person", 0.1)
    assert worker.step(last=True).number == 2
    assert worker.step().number == 1, "and the audit goes on when he is gone"


def test_nobody_saves_up_time_by_staying_away(worker):
    worker.ask(1, "steady", 0.1)
    for _ in range(1000):
        worker.step()
    worker.ask(2, "new", 0.1)
    start = worker.clock
    while worker.clock < start + 10:
        worker.step()
    assert worker.seconds(2) == pytest.approx(5, abs=0.2)


def test_nobody_gets_rid_of_what_he_used_by_asking_one_question_after_the_other(worker):
    worker.ask(0, "steady", 0.1)
    for number in range(1, 1001):  # two who ask again as soon as they are answered, never both at once
        worker.ask(number, ("one", "other")[number % 2], 0.1)
        while worker.step(last=worker.turns.order()[0].number != 0).number == 0:
            pass
    assert worker.seconds(0) > worker.clock / 4, "with two more callers a third is his, and what they leave"


def test_what_is_remembered_of_callers_does_not_grow_with_them(worker):
    for number in range(1000):
        worker.ask(number, f"caller {number}", 0.1)
        worker.step(last=True)
    assert len(worker.turns._shares) < 5
