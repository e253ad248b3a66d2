"""Genre names may contain any character: each can be looked up, mixed and morphed, and its text can be parsed again."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noizenet.base.errors import UsageError
from noizenet.generation.genre import GenreSchedule, format_mix, format_schedule, parse_mix, parse_schedule

RESERVED = st.text(alphabet=st.sampled_from(list('ab,:>" .0\u00e9\u0301é')), min_size=0, max_size=6)
NAMES = (
    RESERVED
    | st.text(max_size=8)
    | st.sampled_from(["Old-Time / Historic", "R&B, Soul", "90s: Rock > Pop", "..", "CON"])
)
GENRES = st.lists(NAMES, min_size=1, max_size=5, unique=True)


@st.composite
def schedules(draw: st.DrawFn) -> tuple[list[str], GenreSchedule]:
    genres = draw(GENRES)
    weight = st.sampled_from([0.0, 0.25, 1.0, 3.0, 7.5])
    mixes = []
    for _ in range(draw(st.integers(1, 3))):
        weights = np.array(draw(st.lists(weight, min_size=len(genres), max_size=len(genres))), np.float32)
        weights[draw(st.integers(0, len(genres) - 1))] += 1
        mixes.append(weights / weights.sum())
    return genres, GenreSchedule(tuple(mixes))


@settings(max_examples=400, deadline=None)
@given(schedules())
def test_formatted_schedules_are_parsed_again(case: tuple[list[str], GenreSchedule]) -> None:
    genres, schedule = case
    text = format_schedule(schedule, genres)
    parsed = parse_schedule(*((None, text) if schedule.changes else (text, None)), genres, True, 0)
    assert len(parsed.mixes) == len(schedule.mixes), text
    for a, b in zip(parsed.mixes, schedule.mixes, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4, err_msg=text)


@settings(max_examples=200, deadline=None)
@given(GENRES, st.data())
def test_a_genre_is_found_by_its_whole_name(genres: list[str], data: st.DataObject) -> None:
    i = data.draw(st.integers(0, len(genres) - 1))
    mix = parse_mix(genres[i], genres)
    assert mix[i] == 1
    assert mix.sum() == 1
    assert format_mix(mix, genres) == genres[i]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | st.text(alphabet='ab,:>"0.5 ', max_size=25), GENRES)
def test_any_text_is_a_mix_or_a_clear_error(text: str, genres: list[str]) -> None:
    for genre, morph in ((text, None), (None, text)):
        try:
            schedule = parse_schedule(genre, morph, genres, True, 0)
        except UsageError as error:
            assert "\n" not in str(error) or "\n" in text + "".join(genres)
        else:
            for mix in schedule.mixes:
                assert mix.sum() == pytest.approx(1, abs=1e-5)
                assert np.isfinite(mix).all()


def test_names_with_reserved_characters() -> None:
    genres = ["Rock", "Pop, Soul", "Old-Time / Historic", "A>B", "A", "B", "3:2", 'The "Best"']
    assert parse_mix("Pop, Soul", genres)[1] == 1
    assert parse_mix("Pop, Soul:3,Rock", genres)[[0, 1]].tolist() == [0.25, 0.75]
    assert parse_mix('"Pop, Soul":3,"Rock"', genres)[[0, 1]].tolist() == [0.25, 0.75]
    assert parse_mix("3:2", genres)[6] == 1
    assert parse_mix("3:2:1,Rock:3", genres)[[0, 6]].tolist() == [0.75, 0.25]
    assert parse_mix('The "Best":1,Rock:1', genres)[[0, 7]].tolist() == [0.5, 0.5]
    assert [int(m.argmax()) for m in parse_schedule(None, "A>B", genres, True, 0).mixes] == [4, 5]
    assert [int(m.argmax()) for m in parse_schedule(None, "A>B>Rock", genres, True, 0).mixes] == [3, 0]
    assert [int(m.argmax()) for m in parse_schedule(None, "A > Pop, Soul > B", genres, True, 0).mixes] == [4, 1, 5]
    assert parse_schedule("A>B", None, genres, True, 0).mixes[0][3] == 1


def test_unicode_form_and_case_may_differ_if_one_genre_matches() -> None:
    genres = ["Caf\u00e9 del Mar", "ROCK", "rock", "Jazz ", "Stra\u00dfe"]
    assert parse_mix(unicodedata.normalize("NFD", genres[0]), genres)[0] == 1
    assert parse_mix("cafe\u0301 DEL mar", genres)[0] == 1
    assert parse_mix("jazz", genres)[3] == 1
    assert parse_mix("STRASSE", genres)[4] == 1
    assert parse_mix("rock", genres)[2] == 1
    with pytest.raises(UsageError, match="unknown genre 'Rock'"):  # two match equally
        parse_mix("Rock", genres)


def test_errors_give_the_remedy() -> None:
    with pytest.raises(UsageError, match="did you mean 'Electronic'"):
        parse_mix("Electronik", ["Electronic", "Folk"])
    with pytest.raises(UsageError, match="'x' is not a weight"):
        parse_mix("Folk:x", ["Electronic", "Folk"])
    with pytest.raises(UsageError, match="double quotes"):
        parse_schedule(None, "R&B, Sou>Folk", ["R&B, Soul", "Folk"], True, 0)
    with pytest.raises(UsageError, match="too many"):
        parse_schedule("x," * 20_000, None, ["x"], True, 0)
    assert parse_mix("Folk:1e308,Electronic:1e308", ["Electronic", "Folk"]).tolist() == [0.5, 0.5]
