"""What an error holds is let go of, but for what stands at a `yield`; and no look at all objects for most errors."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator

import pytest

from pytest_quarry.consumers import frames


class Held:
    """Something that an error's frame refers to."""


def held() -> list[object]:
    return [one for one in gc.get_objects() if type(one) is Held]


def fails(what: object) -> None:
    raise ValueError(type(what).__name__)


def rows() -> Iterator[str]:
    holds = Held()
    yield "row"
    fails(holds)


def caught_from(generator: Iterator[object]) -> ValueError:
    with pytest.raises(ValueError, match="Held") as caught:
        list(generator)
    return caught.value


def test_what_a_generator_held_is_let_go_of_without_a_look_at_all_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    error = caught_from(rows())
    assert held()
    monkeypatch.setattr(gc, "get_referrers", lambda *of: pytest.fail("looked at all objects"))
    frames.let_go(error)
    assert not held()


def test_who_handed_an_error_on_and_stands_at_a_yield_goes_on() -> None:
    def hands_on() -> Generator[BaseException | str, None, None]:
        try:
            fails(Held())
        except ValueError as error:
            yield error
        yield "went on"

    generator = hands_on()
    error = next(generator)
    assert isinstance(error, ValueError)
    frames.let_go(error)
    assert next(generator) == "went on"


def test_who_was_told_of_an_error_at_its_yield_and_stands_there_again_goes_on() -> None:
    def is_told() -> Generator[BaseException | None, None, None]:
        told = None
        while True:
            try:
                yield told
            except ValueError as error:
                told = error

    generator = is_told()
    next(generator)
    error = generator.throw(ValueError("told"))
    assert isinstance(error, ValueError)
    frames.let_go(error)
    assert next(generator) is error
