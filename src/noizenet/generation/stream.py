"""The one loop in which a network plays: for the command line, the studio and the evaluation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.waveform import Waveform, mix_channels
from noizenet.base.errors import UsageError
from noizenet.base.seeds import derive_seed
from noizenet.generation.controls import Controls
from noizenet.generation.genre import GenreSchedule, parse_path
from noizenet.generation.monitor import HOP_S, Judge, StreamMonitor, WatchReport
from noizenet.generation.prompts import prompt_of
from noizenet.generation.tempo import beat_of_song, tempo_of_genre
from noizenet.model.batch import step_batch
from noizenet.model.sampling import Sampling
from noizenet.model.stepper import Stepper
from noizenet.representation.base import Decoder, Frames
from noizenet.store.model import Model

FADE_S = 0.02


class Stream(Iterator[Waveform]):
    """Blocks of new music.

    Parameters
    ----------
    model : Model
    controls : Controls
    judge : callable, optional
        Says of what a stretch of sound is dead, for the watch; without one there is no watch.
    packed : Stepper, optional
        Of this model and the controls' precision: its weights are shared instead of packed anew.

    Attributes
    ----------
    sample_rate, channels : int
    genres : list of str
    conditioned : bool
        Whether the model was told genres.
    path : GenreSchedule
        What is played, genre by genre.
    tempo : float
        Beats a minute that the network's clock is set to; 0 where it has none, or time is left to the network.
    remarks : list of str
        What is odd about the seed.
    prompt_seconds : float
        Length of the prompt in front of the music; 0 where none is included.

    Raises
    ------
    UsageError
        If the model cannot do what the controls ask for.

    Notes
    -----
    Memory does not grow with the length. The size of the blocks does not change the sound, except where the
    genre moves: it does so from block to block. With a watch a block ends at each whole second.
    """

    def __init__(
        self, model: Model, controls: Controls, judge: Judge | None = None, packed: Stepper | None = None
    ) -> None:
        self._model, self._packed = model, packed
        r = self._r = model.representation
        a = model.architecture
        self._apply_controls(controls)
        self.sample_rate, self.channels = r.sample_rate, r.channels
        self.genres, self.conditioned = model.genres, a.genre_size > 0
        self.path: GenreSchedule = parse_path(
            controls.genre, controls.morph, model.genres, a.genre_size > 0, controls.seed
        )
        self._total = None if controls.seconds is None else max(1, round(controls.seconds * r.sample_rate))
        self._frames = None if self._total is None else self._frames_needed(self._total)
        self._block = max(1, round(controls.block_seconds * r.frame_rate))
        self._hop = max(1, round(HOP_S * r.frame_rate / r.frame_multiple)) * r.frame_multiple
        self._monitor: StreamMonitor | None = None
        if judge is not None and controls.watch != "off":
            expected = model.training.get("metrics", {}).get("best_validation_bits_per_frame")
            self._monitor = StreamMonitor(
                judge, r.sample_rate, expected, a.temperature, recover=controls.watch == "recover"
            )
        self._unseen: list[NDArray[np.float32]] = []
        self._fade, self._fade_length = np.zeros((0, r.channels), np.float32), 1
        self.remarks: list[str] = []
        self.prompt_seconds = 0.0
        self._played = 0  # frames
        self._given = 0  # samples
        self._finished = False
        self._longest: int | None = None  # frames that the next block may have, where a move cuts it
        self._begin()

    def _apply_controls(self, controls: Controls) -> None:
        """Take controls over, all or (with a UsageError) none."""
        a = self._model.architecture
        if controls.samples_differently and not a.samples:
            raise UsageError(
                "this model predicts a single value, there is nothing to sample; leave out temperature, top-k and top-p"
            )
        if controls.top_k and a.options.head == "mixture":
            raise UsageError("top-k: this model predicts a mixture of distributions, not classes; use top-p")
        if controls.genre_guidance and not (a.tokens and a.genre_size):
            raise UsageError("guidance: only models over codes that were told genres can be held to one; leave it out")
        if (controls.tempo or controls.beat_guidance) and not a.options.clock:
            raise UsageError(
                "tempo, beat_guidance: this model has no clock; leave them out, or train one with model.clock=32"
            )
        for name in ("code_temperatures", "code_top_p"):
            given = len(getattr(controls, name))
            if given and given != (a.dim if a.tokens else 0):
                codes = f"a frame has {a.dim} codes" if a.tokens else "only networks over codes have them"
                raise UsageError(f"{name.replace('_', ' ')}: {given} numbers, but {codes}")
        self._controls = controls
        self._every = max(1, round(controls.inject_every * self._r.frame_rate)) if controls.inject_every else 0
        self._sampling = controls.sampling(a.temperature, a.genre_guidance, a.beat_guidance)

    def __iter__(self) -> Stream:
        return self

    @property
    def watch(self) -> WatchReport | None:
        """What the watch saw so far; None without one."""
        return self._monitor.report if self._monitor is not None else None

    def __next__(self) -> Waveform:
        while not self._ready:
            self._advance()
        return self._r.as_waveform(self._ready.pop(0))

    @classmethod
    def many(cls, model: Model, controls: Sequence[Controls], judge: Judge | None = None) -> list[Stream]:
        """Return streams of one model, alike but for seed and genre, that share its packed weights."""
        packed = Stepper(model.weights, model.representation.silence(), precision=controls[0].precision)
        return [cls(model, c, judge, packed) for c in controls]

    @staticmethod
    def generate_batch(streams: Sequence[Stream]) -> Iterator[list[Waveform]]:
        """Play streams of one model and one length in lockstep; what each plays is what it would play alone.

        Token networks that share their weights (`packed`) read them once for all, and so do their decoders: sixteen
        streams take a third of the time that they take one by one.

        Yields
        ------
        list of Waveform
            The next block of every stream.

        Raises
        ------
        UsageError
            If the streams' blocks are not of one length.
        """
        while True:
            counts = {s._plan() for s in streams}
            if len(counts) != 1:
                raise UsageError("streams play together only if they have the same length, blocks and watch")
            count = counts.pop()
            if not count:
                return
            steppers, samplings = [s._stepper for s in streams], [s._effective_sampling() for s in streams]
            alike = all(x == samplings[0] for x in samplings) and not any(s._every for s in streams)
            if alike and len(streams) > 1 and all(s.shares_tokens(steppers[0]) for s in steppers):
                frames = step_batch(steppers, count, samplings[0])
            else:
                frames = np.stack([s._step(count) for s in streams])
            sounds = streams[0]._decoder.push_batch([s._decoder for s in streams], frames)
            for stream, sound in zip(streams, sounds, strict=True):
                stream._accept(count, sound)
            yield [s._drain() for s in streams]

    def _drain(self) -> Waveform:
        """Take all that is ready."""
        parts = [*self._ready] or [np.zeros((0, self.channels), np.float32)]
        self._ready.clear()
        return self._r.as_waveform(np.concatenate(parts))

    def _begin(self) -> None:
        c = self._controls
        a = self._model.architecture
        seed = prompt_of(c, self._r, (a.history + 1) / self._r.frame_rate if a.options.tiers else 0.0)
        if self._packed is None:
            self._packed = Stepper(self._model.weights, self._r.silence(), precision=c.precision)
        self._stepper = self._packed.fork()
        self._stepper.reset(derive_seed(c.seed, "stream"))
        self._decoder: Decoder = self._r.decoder()
        self._ready: list[NDArray[np.float32]] = []
        self._stepper.set_genre(self.path.at(0.0))
        self.tempo, phase = self._beat(seed.sound if seed is not None and c.prompt is not None else None)
        self._keep_time(phase)
        if seed is not None:
            self.remarks += seed.remarks
            frames = self._r.encode(seed.sound)
            self._stepper.prefill(frames)
            self._stepper.pop_nll()
            heard = self._decoder.push(frames)  # the decoder hears the seed too: no click at the join
            if c.include_prompt:
                self._put_in_front(heard, len(frames), len(seed.sound))

    def _put_in_front(self, heard: NDArray[np.float32], frames: int, samples: int) -> None:
        """Give the seed first: `heard` of it is decoded; the decoder holds back some, which comes with what is played.

        With a length, the whole is as long as seed and music together: where whole frames are longer than the seed,
        its oldest samples go; where they are shorter, more is played.
        """
        heard = heard[max(0, self._r.samples_for(frames) - samples) :]
        self._ready.append(heard)
        self.prompt_seconds = samples / self.sample_rate
        if self._total is not None:
            self._total += samples
            self._given = len(heard)
            self._frames = max(1, self._frames_needed(self._total) - frames)

    def _beat(self, song: Waveform | None) -> tuple[float, float]:
        """Return the tempo in beats a minute and where in a beat, or in a phrase, the stream begins."""
        c, model, o = self._controls, self._model, self._model.architecture.options
        if not o.clock:
            return 0.0, 0.0
        tempo, phase = (0.0, 0.0) if song is None else beat_of_song(song, phrases=o.phrase > 0)
        if c.tempo is not None:
            return c.tempo, phase
        if not tempo:
            tempi = model.training.get("tempi", {})
            tempo = tempo_of_genre(tempi, model.genres, self.path.at(0.0), c.seed)
        return tempo, phase

    def _keep_time(self, phase: float | None = None) -> None:
        self._stepper.set_pace(self.tempo / 60 / self._r.frame_rate, phase)

    def _advance(self) -> None:
        count = self._plan()
        if not count:
            raise StopIteration
        self._accept(count, self._decoder.push(self._step(count)))
        if not self._ready and self._finished:
            raise StopIteration

    def _plan(self) -> int:
        """Return how many frames come next, 0 at the end, and set the genre that they are in."""
        if self._finished:
            return 0
        left = None if self._frames is None else self._frames - self._played
        count = self._block if left is None else min(self._block, left)
        if self._longest is not None:
            count = min(count, self._longest)
        if self._monitor is not None:
            count = min(count, self._hop - self._played % self._hop)
        if self.path.moves and self._frames:
            self._stepper.set_genre(self.path.at(self._played / self._frames))
        return count

    def _step(self, count: int) -> Frames:
        return self._stepper.run(
            count, self._effective_sampling(), inject_every=self._every, inject_amount=self._controls.inject_amount
        )

    def _accept(self, count: int, samples: NDArray[np.float32]) -> None:
        """Take what the decoder made of `count` frames."""
        self._played += count
        samples = self._faded(samples)
        self._watch(samples)
        if self._frames is not None and self._played == self._frames:
            self._finished = True
            samples = np.concatenate([samples, self._decoder.finish()]) if len(samples) else self._decoder.finish()
        if self._total is not None:
            samples = samples[: self._total - self._given]
        self._given += len(samples)
        if len(samples):
            self._ready.append(samples)

    def _effective_sampling(self) -> Sampling:
        """Return the sampling, as warm as the watch wants it."""
        if self._monitor is None:
            return self._sampling
        return dataclasses.replace(self._sampling, temperature=self._monitor.temperature(self._sampling.temperature))

    def _watch(self, samples: NDArray[np.float32]) -> None:
        """Let the watch hear; where it sends the network back, keep the old end for a cross-fade."""
        if self._monitor is None:
            return
        self._unseen.append(mix_channels(samples, 1)[:, 0])
        if self._played % self._hop:
            return
        before = self._monitor.update(np.concatenate(self._unseen), self._stepper)
        if before is not None and self._r.kind == "classes" and not self._r.cache_key:
            old = self._stepper.fork()
            old.restore(before)
            count = round(FADE_S * self._r.frame_rate / self._r.frame_multiple) * self._r.frame_multiple
            self._fade = self._r.decoder().push(old.run(count, self._sampling))
            self._fade_length = len(self._fade)
        self._unseen = []

    def _faded(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fade from what would have gone on to what goes on."""
        count = min(len(self._fade), len(samples))
        if count:
            done = self._fade_length - len(self._fade)
            share = ((done + np.arange(1, count + 1, dtype=np.float32)) / self._fade_length)[:, None]
            faded = (1 - share) * self._fade[:count] + share * samples[:count]
            samples = np.concatenate([faded, samples[count:]])
            self._fade = self._fade[count:]
        return samples

    def _frames_needed(self, samples: int) -> int:
        count = self._r.frames_for(samples)
        while self._r.samples_for(count) < samples:
            count += 1
        return count
