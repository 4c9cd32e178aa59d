"""What the time of a question went into: a watch with a clock that stands, and what becomes of it on the way."""

import pytest

from backlit_server.story import BACKBONE, ENCODE, HEAD, METHOD, OPEN, QUEUE, Stage, Stopwatch, Story, packed, unpacked


class Clock:
    """Goes on when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now

    def go(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> Stopwatch:
    return Stopwatch(clock)


def seconds(story: Story) -> dict[str, float]:
    return {name: stage.seconds for name, stage in story.stages.items()}


def test_what_is_done_within_a_stage_is_no_part_of_it(clock, watch):
    def forward() -> None:
        clock.go(2)
        watch.call(OPEN, lambda: clock.go(8))
        clock.go(1)

    story = Story()
    watch.begin(story)
    clock.go(0.5)
    watch.call(BACKBONE, forward)
    clock.go(0.25)
    watch.end()
    assert seconds(story) == {METHOD: 0.75, BACKBONE: 3, OPEN: 8}
    assert story.stages[BACKBONE] == Stage(100.5, 111.5, 3)
    assert story.stages[METHOD] == Stage(100, 111.75, 0.75)


def test_what_is_done_for_nobody_is_in_no_story(clock, watch):
    first, second = Story(), Story()
    for story in (first, second):
        watch.begin(story)
        clock.go(1)
        watch.end()
        clock.go(10)
        watch.call(HEAD, lambda: clock.go(10))
    assert seconds(first) == seconds(second) == {METHOD: 1}


def test_work_that_fails_took_its_time_and_the_stage_before_goes_on(clock, watch):
    def fail() -> None:
        clock.go(2)
        raise ValueError

    story = Story()
    watch.begin(story)
    with pytest.raises(ValueError):  # noqa: PT011, its own
        watch.call(BACKBONE, fail)
    clock.go(3)
    watch.end()
    assert seconds(story) == {METHOD: 3, BACKBONE: 2}


def test_steps_take_the_time_until_they_yield_and_not_that_of_whoever_asks_for_them(clock, watch):
    def steps():
        for number in range(2):
            clock.go(1)
            yield number
        clock.go(1)
        return "done"

    def asked():
        found.append((yield from watch.each(ENCODE, steps())))

    story, found = Story(), []
    watch.begin(story)
    for number in asked():
        clock.go(10)
        found.append(number)
    watch.end()
    assert found == [0, 1, "done"]
    assert seconds(story) == {METHOD: 20, ENCODE: 3}


def test_what_was_done_for_several_took_each_of_them_as_long_and_its_runs_are_told_once(clock, watch):
    together, one = Story(), Story()
    one.add(BACKBONE, 90, 91)
    watch.begin(together)
    watch.ran(3)
    watch.call(BACKBONE, lambda: clock.go(4))
    watch.end()
    one.share(together)
    assert one.stages[BACKBONE] == Stage(90, 104, 5)
    assert (one.runs, together.runs) == ({}, {3: 1})


def test_the_way_to_the_worker_is_part_of_the_wait():
    story = Story()
    story.add(QUEUE, 10, 12)
    story.sent(9)
    assert story.stages[QUEUE] == Stage(9, 12, 3)


def test_a_story_arrives_as_it_was_told():
    story = Story(runs={1: 3, 64: 2})
    story.add(QUEUE, 1.5, 2.25)
    story.add(HEAD, 3.0, 3.125)
    assert unpacked(packed(story)) == story
    assert unpacked(packed(Story())) == unpacked(b"") == Story()
