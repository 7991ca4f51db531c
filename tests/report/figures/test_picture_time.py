"""Pictures take a small fraction of a budget in seconds, however slow a machine draws."""

from kerastune.report.figures.picture_time import FRACTION, PictureTime


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def drawn(seconds, each, decisions=10):
    """How many decisions are drawn, and the seconds that they take."""
    clock, count = Clock(), 0
    time = PictureTime(seconds, clock)
    for _ in range(decisions):
        if time.is_enough():
            with time.drawing():
                clock.now += each
            count += 1
    return count, clock.now


def test_a_slow_machine_draws_fewer_decisions_and_a_budget_in_steps_all():
    assert drawn(60.0, 0.3) == (10, 10 * 0.3) or drawn(60.0, 0.3)[0] == 10
    for seconds, each in ((25.0, 3.0), (60.0, 2.0), (60.0, 8.0)):
        count, spent = drawn(seconds, each)
        assert count < 10 and spent <= FRACTION * seconds + each
    assert drawn(None, 100.0)[0] == 10


def test_nothing_is_drawn_when_late_or_where_the_budget_holds_no_search():
    clock = Clock()
    time = PictureTime(60.0, clock)
    assert time.is_enough() and time.is_enough_at_the_end()
    clock.now = 55.0
    assert not time.is_enough_at_the_end()
    clock.now = 59.5
    assert not time.is_enough()
    short = PictureTime(None, clock, is_short=True)
    assert not short.is_enough() and not short.is_enough_at_the_end()


def test_decisions_that_have_no_picture_yet_are_drawn_where_time_is_left():
    clock = Clock()
    clock.now = 50.0
    time = PictureTime(60.0, clock)
    assert time.is_enough_at_the_end(4) and not time.is_enough_at_the_end(5)
