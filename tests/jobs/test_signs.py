"""When a job is taken for hung, and when for useless."""

from datetime import timedelta

from monitor.jobs.signs import FRUITLESS, HUNG, Signs

TICK = timedelta(seconds=10)


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, span: timedelta) -> None:
        self.now += span.total_seconds()


def test_a_job_that_fails_gets_nothing_done_and_does_not_hang() -> None:
    time = Time()
    signs = Signs(time)
    signs.expect("check", "care")
    for _ in range(20):
        time.pass_by(HUNG / 10)
        signs.stirred("check")
        signs.worked("care")
    assert signs.hung(TICK) == {}
    assert signs.fruitless(TICK) == {"check": HUNG * 2}
    assert signs.ages == {"check": HUNG * 2, "care": timedelta()}


def test_a_job_that_gets_on_may_take_as_long_as_it_needs() -> None:
    time = Time()
    signs = Signs(time)
    signs.expect("check")
    for _ in range(100):
        time.pass_by(FRUITLESS)
        assert signs.fruitless(TICK) == {}
        signs.worked("check")


def test_silence_is_told_by_its_length() -> None:
    time = Time()
    signs = Signs(time)
    signs.expect("check")
    time.pass_by(HUNG)
    assert signs.hung(TICK) == {}
    time.pass_by(timedelta(seconds=1))
    assert list(signs.hung(TICK)) == ["check"]
    assert signs.hung(HUNG) == {}, "a long tick is no silence"
    signs.expect()
    assert signs.hung(TICK) == signs.fruitless(TICK) == {}
