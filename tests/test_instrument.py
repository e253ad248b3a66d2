"""The instrument: moves take effect at their frame, marks are restored, and a recipe reproduces the same samples."""

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
from noizenet.generation.instrument import MAX_MARKS, Instrument, replay
from noizenet.store.model import Model, load

ENDLESS = Controls(seconds=None, seed=3, block_seconds=0.2)
RENAMED = {"reset_state": "surprise"}  # as earlier versions wrote it


@pytest.fixture(params=["tokens", "samples"])
def model(request: pytest.FixtureRequest, token_model: Path, sample_model: Path) -> Model:
    return load(token_model if request.param == "tokens" else sample_model)


def take(instrument: Instrument, blocks: int) -> np.ndarray:
    return np.concatenate([next(instrument).samples.reshape(-1) for _ in range(blocks)])


def rest(instrument: Instrument) -> np.ndarray:
    """Return the samples that are generated but not yet returned."""
    return instrument.take_ready().reshape(-1)


def test_without_moves_the_samples_equal_the_streams(model: Model) -> None:
    played = take(Instrument(model, ENDLESS, failure_mode), 10)
    seconds = len(played) / model.representation.sample_rate + 1  # longer: the decoder ends a stream differently
    streamed = [b.samples.reshape(-1) for b in noizenet.stream(model, Controls(seconds=seconds, seed=3))]
    assert np.array_equal(played, np.concatenate(streamed)[: len(played)])


def test_a_move_changes_only_later_samples(model: Model) -> None:
    unmoved, moved = Instrument(model, ENDLESS), Instrument(model, ENDLESS)
    a, b = [take(unmoved, 5)], [take(moved, 5)]
    moved.set(temperature=5.0)
    a.append(take(unmoved, 8))
    b.append(take(moved, 8))
    assert np.array_equal(a[0], b[0])
    assert not np.array_equal(a[1], b[1])
    assert moved.moves == [{"at": moved.moves[0]["at"], "set": {"temperature": 5.0}}]


def test_each_return_to_a_mark_continues_differently(model: Model) -> None:
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


def test_the_joint_after_a_return_has_no_click(model: Model) -> None:
    """The difference of successive samples at the joint is no larger than within the music."""
    instrument = Instrument(model, ENDLESS)
    take(instrument, 4)
    instrument.mark("here")
    take(instrument, 6)
    before = take(instrument, 1)
    instrument.restore("here")
    after = take(instrument, 3)
    joint = abs(float(after[0]) - float(before[-1]))
    largest = np.abs(np.diff(np.concatenate([before, after]))).max()
    assert joint <= max(2 * float(np.quantile(np.abs(np.diff(before)), 0.999)), 0.02) or joint <= largest


def test_a_recipe_reproduces_the_samples(model: Model) -> None:
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
    parts.append(rest(instrument))
    recipe = json.loads(json.dumps(instrument.recipe()))
    again = np.concatenate([b.samples.reshape(-1) for b in replay(model, recipe, failure_mode)])
    whole = np.concatenate(parts)
    assert np.array_equal(again, whole)
    assert [key for m in recipe["moves"] for key in m if key not in ("at", "set")] == ["mark", "reset_state", "return"]
    earlier = {**recipe, "moves": [{RENAMED.get(k, k): v for k, v in m.items()} for m in recipe["moves"]]}
    assert np.array_equal(np.concatenate([b.samples.reshape(-1) for b in replay(model, earlier, failure_mode)]), whole)
    some = np.concatenate([b.samples.reshape(-1) for b in replay(model, recipe, failure_mode, start=777, samples=9000)])
    assert np.array_equal(some, whole[777:9777])


def test_a_replay_reads_the_prompt_again(token_model: Path, tmp_path: Path) -> None:
    model = load(token_model)
    song = tmp_path / "song.wav"
    noizenet.write(song, noizenet.Waveform(np.random.default_rng(0).normal(0, 0.1, 30_000).astype(np.float32), 22_050))
    instrument = Instrument(model, Controls(seconds=None, seed=1, prompt=song, prompt_seconds=1.0))
    first = np.concatenate([take(instrument, 5), rest(instrument)])
    recipe = json.loads(json.dumps(instrument.recipe()))
    assert np.array_equal(first, np.concatenate([b.samples.reshape(-1) for b in replay(model, recipe)]))


def test_wrong_moves_raise_and_change_nothing(model: Model) -> None:
    instrument, unmoved = Instrument(model, ENDLESS), Instrument(model, ENDLESS)
    for wrong in (
        {"set": {"loudness": 3}}, {"set": {"temperature": -1.0}}, {"set": {"genre": "no such"}}, {"return": "nowhere"},
        {"dance": True}, {"set": 3}, {"set": {"top_p": 2.0, "genre": instrument.genres[0]}},
        {"reset_state": True, "surprise": True},
    ):  # fmt: skip
        with pytest.raises(UsageError):
            instrument.apply(wrong)
    assert instrument.moves == []
    assert np.array_equal(take(instrument, 5), take(unmoved, 5))
    for wrong in (
        {},
        {"controls": {}, "moves": 3, "frame": 1},
        {"controls": {"seconds": None, "x": 1}, "moves": [], "frame": 1},
    ):
        with pytest.raises(UsageError):
            list(replay(model, wrong))
    with pytest.raises(UsageError):
        Instrument(model, Controls(seconds=3.0))


def test_the_oldest_marks_are_dropped(token_model: Path) -> None:
    instrument = Instrument(load(token_model), ENDLESS)
    for i in range(MAX_MARKS + 3):
        instrument.mark(str(i))
    assert instrument.marks == [str(i) for i in range(3, MAX_MARKS + 3)]


def test_nothing_is_compiled_during_playback(model: Model) -> None:
    """A kernel is compiled again if the type of an argument changes, such as from float to int."""
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
