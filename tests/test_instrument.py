"""The instrument: moves act where they are made, marks are returned to, and a recipe plays it all again bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numba.core import event

import noizenet
from noizenet.base.errors import UsageError
from noizenet.evaluation.aliveness import failure_mode
from noizenet.generation.controls import Controls
from noizenet.generation.instrument import MARKS, Instrument, replay
from noizenet.store.model import Model, load

ENDLESS = Controls(seconds=None, seed=3, block_seconds=0.2)


@pytest.fixture(params=["tokens", "samples"])
def model(request: pytest.FixtureRequest, token_model: Path, sample_model: Path) -> Model:
    return load(token_model if request.param == "tokens" else sample_model)


def take(instrument: Instrument, blocks: int) -> np.ndarray:
    return np.concatenate([next(instrument).samples.reshape(-1) for _ in range(blocks)])


def played(instrument: Instrument) -> np.ndarray:
    """Take what is made, but not given yet."""
    return instrument.take_ready().reshape(-1)


def test_without_a_move_it_is_the_stream(model: Model) -> None:
    ours = take(Instrument(model, ENDLESS, failure_mode), 10)
    controls = Controls(seconds=len(ours) / model.representation.sample_rate + 1, seed=3)  # an end is decoded otherwise
    theirs = np.concatenate([b.samples.reshape(-1) for b in noizenet.stream(model, controls)])
    assert np.array_equal(ours, theirs[: len(ours)])


def test_a_move_changes_what_follows_and_nothing_before(model: Model) -> None:
    still, moved = Instrument(model, ENDLESS), Instrument(model, ENDLESS)
    a, b = [take(still, 5)], [take(moved, 5)]
    moved.set(temperature=5.0)
    a.append(take(still, 8))
    b.append(take(moved, 8))
    assert np.array_equal(a[0], b[0])
    assert not np.array_equal(a[1], b[1])
    assert moved.moves == [{"at": moved.moves[0]["at"], "set": {"temperature": 5.0}}]


def test_a_marked_moment_is_returned_to_and_left_another_way(model: Model) -> None:
    instrument = Instrument(model, ENDLESS)
    take(instrument, 5)
    instrument.mark("here")
    first = take(instrument, 8)
    instrument.restore("here")
    second = take(instrument, 8)
    instrument.restore("here")
    third = take(instrument, 8)
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)
    assert instrument.marks == ["here"]


def test_no_jump_where_paths_meet(model: Model) -> None:
    """The largest step from sample to sample is no larger at the join than music's own."""
    instrument = Instrument(model, ENDLESS)
    take(instrument, 4)
    instrument.mark("here")
    take(instrument, 6)
    before = take(instrument, 1)
    instrument.restore("here")
    after = take(instrument, 3)
    join = abs(float(after[0]) - float(before[-1]))
    own = np.abs(np.diff(np.concatenate([before, after]))).max()
    assert join <= max(2 * float(np.quantile(np.abs(np.diff(before)), 0.999)), 0.02) or join <= own


def test_a_recipe_plays_it_again(model: Model) -> None:
    instrument = Instrument(model, ENDLESS, failure_mode)
    parts = [take(instrument, 3)]
    instrument.set(temperature=1.5, genre=instrument.genres[1])
    parts.append(take(instrument, 4))
    instrument.mark("a")
    instrument.set(inject_every=0.1, inject_amount=0.2)
    parts.append(take(instrument, 5))
    instrument.reset_state()
    parts.append(take(instrument, 5))
    instrument.restore("a")
    instrument.set(genre=f"{instrument.genres[0]}:0.3,{instrument.genres[2]}:0.7", top_p=0.9)
    parts.append(take(instrument, 9))
    parts.append(played(instrument))
    recipe = json.loads(json.dumps(instrument.recipe()))
    again = np.concatenate([b.samples.reshape(-1) for b in replay(model, recipe, failure_mode)])
    whole = np.concatenate(parts)
    assert np.array_equal(again, whole)
    some = np.concatenate([b.samples.reshape(-1) for b in replay(model, recipe, failure_mode, start=777, samples=9000)])
    assert np.array_equal(some, whole[777:9777])


def test_a_song_is_gone_on_from_in_a_replay_too(token_model: Path, tmp_path: Path) -> None:
    model = load(token_model)
    song = tmp_path / "song.wav"
    noizenet.write(song, noizenet.Waveform(np.random.default_rng(0).normal(0, 0.1, 30_000).astype(np.float32), 22_050))
    instrument = Instrument(model, Controls(seconds=None, seed=1, prompt=song, prompt_seconds=1.0))
    first = np.concatenate([take(instrument, 5), played(instrument)])
    recipe = json.loads(json.dumps(instrument.recipe()))
    assert np.array_equal(first, np.concatenate([b.samples.reshape(-1) for b in replay(model, recipe)]))


def test_wrong_moves_are_refused_and_change_nothing(model: Model) -> None:
    instrument, still = Instrument(model, ENDLESS), Instrument(model, ENDLESS)
    for wrong in (
        {"set": {"loudness": 3}}, {"set": {"temperature": -1.0}}, {"set": {"genre": "no such"}}, {"return": "nowhere"},
        {"dance": True}, {"set": 3}, {"set": {"top_p": 2.0, "genre": instrument.genres[0]}},
    ):  # fmt: skip
        with pytest.raises(UsageError):
            instrument.apply(wrong)
    assert instrument.moves == []
    assert np.array_equal(take(instrument, 5), take(still, 5))
    for wrong in (
        {},
        {"controls": {}, "moves": 3, "frame": 1},
        {"controls": {"seconds": None, "x": 1}, "moves": [], "frame": 1},
    ):
        with pytest.raises(UsageError):
            list(replay(model, wrong))
    with pytest.raises(UsageError):
        Instrument(model, Controls(seconds=3.0))


def test_old_marks_go(token_model: Path) -> None:
    instrument = Instrument(load(token_model), ENDLESS)
    for i in range(MARKS + 3):
        instrument.mark(str(i))
    assert instrument.marks == [str(i) for i in range(3, MARKS + 3)]


def test_nothing_is_compiled_while_it_plays(model: Model) -> None:
    """A kernel is compiled for the types of its arguments: for a whole number where there was a fraction, say."""
    compiled: list[str] = []

    class Compilations(event.Listener):
        def on_start(self, event: event.Event) -> None:
            compiled.append(event.data["dispatcher"].py_func.__name__)

        def on_end(self, event: event.Event) -> None:
            pass

    instrument = Instrument(model, ENDLESS, failure_mode)
    take(instrument, 12)
    instrument.visible()
    instrument.mark("here")
    instrument.restore("here")
    take(instrument, 4)
    tokens = model.architecture.tokens
    with event.install_listener("numba:compile", Compilations()):
        for values in (
            {"temperature": 1}, {"temperature": 0.7}, {"temperature": np.float32(1.5)}, {"top_p": 1}, {"top_p": 0.5},
            {"inject_every": 1, "inject_amount": 1}, {"inject_every": 0.1, "inject_amount": 0.3},
            *([{"genre_guidance": 2}, {"genre_guidance": 0}, {"genre_guidance": 1.5}, {"genre": "b"}] if tokens else []),
            *([{"tempo": 90}, {"tempo": 90.5}, {"beat_guidance": 3}, {"beat_guidance": 0.5}] if model.architecture.options.clock else []),
        ):  # fmt: skip
            if "genre" in values:
                values = {"genre": model.genres[-1]}
            instrument.set(**values)
            take(instrument, 3)
            instrument.visible()
        instrument.reset_state()
        instrument.restore("here")
        take(instrument, 3)
    assert compiled == []
    json.dumps(instrument.recipe())
