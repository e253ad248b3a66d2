"""The generation loop, which the command line, the studio and the evaluation share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.waveform import Waveform, mix_channels
from noizenet.base.errors import UsageError
from noizenet.base.seeds import derive_seed
from noizenet.generation.controls import Controls
from noizenet.generation.genre import GenreSchedule, parse_schedule
from noizenet.generation.monitor import HOP_S, FailureDetector, StreamMonitor, WatchReport
from noizenet.generation.prompts import load_prompt
from noizenet.generation.tempo import beat_of_song, tempo_of_genre
from noizenet.model.batch import step_batch
from noizenet.model.sampling import Sampling, default_sampling
from noizenet.model.stepper import Stepper
from noizenet.representation.base import Decoder, Frames
from noizenet.store.model import Model

FADE_S = 0.02


class Stream(Iterator[Waveform]):
    """Iterator over blocks of generated audio.

    Parameters
    ----------
    model : Model
    controls : Controls
    detector : callable, optional
        Detector of failure modes for the monitor; see :data:`~noizenet.generation.monitor.FailureDetector`. Without one
        there is no monitor.
    packed : Stepper, optional
        Stepper of the same model and precision; its packed weights are shared instead of packed again.

    Attributes
    ----------
    sample_rate, channels : int
    genres : list of str
    conditioned : bool
        Whether the model is conditioned on genres.
    schedule : GenreSchedule
        Genre conditioning over time.
    tempo : float
        Beats a minute of the beat conditioning; 0 if the network has no clock or no beat is set.
    remarks : list of str
        Warnings about the prompt.
    prompt_seconds : float
        Length of the prompt in front of the music; 0 if none is included.

    Raises
    ------
    UsageError
        If the model does not support the controls.

    Notes
    -----
    Memory does not grow with the length. The block size does not change the samples, except of a morph, whose genre mix
    is updated once a block. With a monitor, blocks end at every whole second.
    """

    def __init__(
        self, model: Model, controls: Controls, detector: FailureDetector | None = None, packed: Stepper | None = None
    ) -> None:
        self._model, self._packed = model, packed
        r = self._r = model.representation
        a = model.architecture
        self._apply_controls(controls)
        self.sample_rate, self.channels = r.sample_rate, r.channels
        self.genres, self.conditioned = model.genres, a.genre_size > 0
        self.schedule: GenreSchedule = parse_schedule(
            controls.genre, controls.morph, model.genres, a.genre_size > 0, controls.seed
        )
        self._total = None if controls.seconds is None else max(1, round(controls.seconds * r.sample_rate))
        self._frames = None if self._total is None else self._frames_needed(self._total)
        self._block = max(1, round(controls.block_seconds * r.frame_rate))
        self._hop = max(1, round(HOP_S * r.frame_rate / r.frame_multiple)) * r.frame_multiple
        self._monitor: StreamMonitor | None = None
        if detector is not None and controls.watch != "off":
            expected = model.training.get("metrics", {}).get("best_validation_bits_per_frame")
            self._monitor = StreamMonitor(
                detector, r.sample_rate, expected, default_sampling(a).temperature, recover=controls.watch == "recover"
            )
        self._unmonitored: list[NDArray[np.float32]] = []
        self._fade, self._fade_length = np.zeros((0, r.channels), np.float32), 1
        self.remarks: list[str] = []
        self.prompt_seconds = 0.0
        self._frames_done = 0
        self._samples_done = 0
        self._finished = False
        self._max_block: int | None = None  # frames, in a replay up to the next move
        self._start()

    def _apply_controls(self, controls: Controls) -> None:
        """Check controls against the model and apply them; a UsageError changes nothing."""
        a = self._model.architecture
        if controls.samples_differently and not a.samples:
            raise UsageError(
                "this model predicts a single value, so there is nothing to sample; "
                "leave out temperature, top-k and top-p"
            )
        if controls.top_k and a.options.head == "mixture":
            raise UsageError("top-k: this model predicts a mixture of distributions, not classes; use top-p")
        if controls.genre_guidance and not (a.tokens and a.genre_size):
            raise UsageError("genre guidance: needs a token model that was trained with genres; leave it out")
        if (controls.tempo or controls.beat_guidance) and not a.options.clock:
            raise UsageError(
                "tempo, beat guidance: this model has no clock; leave them out, or train one with model.clock=32"
            )
        for name in ("code_temperatures", "code_top_p"):
            count = len(getattr(controls, name))
            if count and count != (a.dim if a.tokens else 0):
                codes = f"a frame has {a.dim} codes" if a.tokens else "only token models have codes"
                raise UsageError(f"{name.replace('_', ' ')}: {count} numbers, but {codes}")
        self._controls = controls
        self._every = max(1, round(controls.inject_every * self._r.frame_rate)) if controls.inject_every else 0
        self._sampling = controls.sampling(default_sampling(a))

    def __iter__(self) -> Stream:
        return self

    @property
    def watch(self) -> WatchReport | None:
        """The monitor's report so far; None without a monitor."""
        return self._monitor.report if self._monitor is not None else None

    def __next__(self) -> Waveform:
        while not self._ready:
            self._advance()
        return self._r.as_waveform(self._ready.pop(0))

    @classmethod
    def many(cls, model: Model, controls: Sequence[Controls], detector: FailureDetector | None = None) -> list[Stream]:
        """Return streams of one model that share its packed weights; the controls have the same precision."""
        packed = Stepper(model.weights, model.representation.silence(), precision=controls[0].precision)
        return [cls(model, c, detector, packed) for c in controls]

    @staticmethod
    def generate_batch(streams: Sequence[Stream]) -> Iterator[list[Waveform]]:
        """Generate streams of one model and one length as a batch; each has the same samples as alone.

        Token models that share packed weights (`packed`) read them, and those of the decoder, once for the whole batch:
        sixteen streams take a third of the time that they take one by one.

        Yields
        ------
        list of Waveform
            The next block of every stream.

        Raises
        ------
        UsageError
            If the streams differ in the length of their blocks.
        """
        while True:
            counts = {s._plan() for s in streams}
            if len(counts) != 1:
                raise UsageError("streams of a batch must have the same length, block length and watch")
            count = counts.pop()
            if not count:
                return
            steppers, samplings = [s._stepper for s in streams], [s._effective_sampling() for s in streams]
            same = all(x == samplings[0] for x in samplings) and not any(s._every for s in streams)
            if same and len(streams) > 1 and all(s.shares_tokens(steppers[0]) for s in steppers):
                frames = step_batch(steppers, count, samplings[0])
            else:
                frames = np.stack([s._step(count) for s in streams])
            sounds = streams[0]._decoder.push_batch([s._decoder for s in streams], frames)
            for stream, sound in zip(streams, sounds, strict=True):
                stream._accept(count, sound)
            yield [s._drain() for s in streams]

    def _drain(self) -> Waveform:
        """Return all decoded samples that are not yet returned."""
        parts = [*self._ready] or [np.zeros((0, self.channels), np.float32)]
        self._ready.clear()
        return self._r.as_waveform(np.concatenate(parts))

    def _start(self) -> None:
        c = self._controls
        a = self._model.architecture
        prompt = load_prompt(c, self._r, (a.history + 1) / self._r.frame_rate if a.options.tiers else 0.0)
        if self._packed is None:
            self._packed = Stepper(self._model.weights, self._r.silence(), precision=c.precision)
        self._stepper = self._packed.fork()
        self._stepper.reset(derive_seed(c.seed, "stream"))
        self._decoder: Decoder = self._r.decoder()
        self._ready: list[NDArray[np.float32]] = []
        self._stepper.set_genre(self.schedule.at(0.0))
        self.tempo, phase = self._initial_beat(prompt.sound if prompt is not None and c.prompt is not None else None)
        self._set_beat(phase)
        if prompt is not None:
            self.remarks += prompt.remarks
            frames = self._r.encode(prompt.sound)
            self._stepper.prefill(frames)
            self._stepper.pop_nll()
            decoded = self._decoder.push(frames)  # also sets the decoder's state, so that there is no click
            if c.include_prompt:
                self._prepend_prompt(decoded, len(frames), len(prompt.sound))

    def _prepend_prompt(self, decoded: NDArray[np.float32], frames: int, samples: int) -> None:
        """Put the decoded prompt in front; the decoder returns its last samples with the first new frames.

        The total length is that of prompt and music. If the prompt's whole frames are longer than the prompt, its
        oldest samples are dropped; if they are shorter, more music is generated.
        """
        decoded = decoded[max(0, self._r.samples_for(frames) - samples) :]
        self._ready.append(decoded)
        self.prompt_seconds = samples / self.sample_rate
        if self._total is not None:
            self._total += samples
            self._samples_done = len(decoded)
            self._frames = max(1, self._frames_needed(self._total) - frames)

    def _initial_beat(self, prompt: Waveform | None) -> tuple[float, float]:
        """Return the tempo in beats a minute, and the phase in a beat (or phrase) at which the stream starts."""
        c, model, o = self._controls, self._model, self._model.architecture.options
        if not o.clock:
            return 0.0, 0.0
        tempo, phase = (0.0, 0.0) if prompt is None else beat_of_song(prompt, phrases=o.phrase > 0)
        if c.tempo is not None:
            return c.tempo, phase
        if not tempo:
            tempi = model.training.get("tempi", {})
            tempo = tempo_of_genre(tempi, model.genres, self.schedule.at(0.0), c.seed)
        return tempo, phase

    def _set_beat(self, phase: float | None = None) -> None:
        self._stepper.set_pace(self.tempo / 60 / self._r.frame_rate, phase)

    def _advance(self) -> None:
        count = self._plan()
        if not count:
            raise StopIteration
        self._accept(count, self._decoder.push(self._step(count)))
        if not self._ready and self._finished:
            raise StopIteration

    def _plan(self) -> int:
        """Return the number of frames of the next block, 0 at the end; set its genre conditioning."""
        if self._finished:
            return 0
        remaining = None if self._frames is None else self._frames - self._frames_done
        count = self._block if remaining is None else min(self._block, remaining)
        if self._max_block is not None:
            count = min(count, self._max_block)
        if self._monitor is not None:
            count = min(count, self._hop - self._frames_done % self._hop)
        if self.schedule.changes and self._frames:
            self._stepper.set_genre(self.schedule.at(self._frames_done / self._frames))
        return count

    def _step(self, count: int) -> Frames:
        return self._stepper.run(
            count, self._effective_sampling(), inject_every=self._every, inject_amount=self._controls.inject_amount
        )

    def _accept(self, count: int, samples: NDArray[np.float32]) -> None:
        """Add the decoded samples of `count` frames to the output."""
        self._frames_done += count
        samples = self._crossfade(samples)
        self._update_monitor(samples)
        if self._frames is not None and self._frames_done == self._frames:
            self._finished = True
            samples = np.concatenate([samples, self._decoder.finish()]) if len(samples) else self._decoder.finish()
        if self._total is not None:
            samples = samples[: self._total - self._samples_done]
        self._samples_done += len(samples)
        if len(samples):
            self._ready.append(samples)

    def _effective_sampling(self) -> Sampling:
        """Return the sampling with the monitor's temperature."""
        if self._monitor is None:
            return self._sampling
        return dataclasses.replace(self._sampling, temperature=self._monitor.temperature(self._sampling.temperature))

    def _update_monitor(self, samples: NDArray[np.float32]) -> None:
        """Pass samples to the monitor; after a recovery, generate the old state's continuation for a cross-fade."""
        if self._monitor is None:
            return
        self._unmonitored.append(mix_channels(samples, 1)[:, 0])
        if self._frames_done % self._hop:
            return
        before = self._monitor.update(np.concatenate(self._unmonitored), self._stepper)
        if before is not None and self._r.kind == "classes" and not self._r.cache_key:
            old = self._stepper.fork()
            old.restore(before)
            count = round(FADE_S * self._r.frame_rate / self._r.frame_multiple) * self._r.frame_multiple
            self._fade = self._r.decoder().push(old.run(count, self._sampling))
            self._fade_length = len(self._fade)
        self._unmonitored = []

    def _crossfade(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cross-fade from the continuation of the old state to new samples."""
        count = min(len(self._fade), len(samples))
        if count:
            done = self._fade_length - len(self._fade)
            gain = ((done + np.arange(1, count + 1, dtype=np.float32)) / self._fade_length)[:, None]
            faded = (1 - gain) * self._fade[:count] + gain * samples[:count]
            samples = np.concatenate([faded, samples[count:]])
            self._fade = self._fade[count:]
        return samples

    def _frames_needed(self, samples: int) -> int:
        count = self._r.frames_for(samples)
        while self._r.samples_for(count) < samples:
            count += 1
        return count
