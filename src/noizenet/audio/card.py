"""The sound card, through sounddevice and PortAudio (an optional extra)."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.base.errors import AudioError, UsageError


class Card:
    """An open sound card.

    Parameters
    ----------
    sample_rate, channels : int

    Attributes
    ----------
    underruns : int
        Number of buffer underruns; each is an audible gap.

    Raises
    ------
    UsageError
        If sounddevice or PortAudio is not installed.
    AudioError
        If no sound card can be opened, or it disappears while it plays.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        try:
            import sounddevice
        except (ImportError, OSError) as error:
            raise UsageError(
                "playing on the sound card needs sounddevice: pip install 'noizenet[play]' (and the PortAudio "
                f"library), or pipe: noizenet play MODEL --out - | aplay -f S16_LE -r {sample_rate} -c {channels}"
            ) from error
        self._failure: type[Exception] = sounddevice.PortAudioError
        self.underruns = 0
        self._started = False
        try:
            self._stream: Any = sounddevice.OutputStream(
                samplerate=sample_rate, channels=channels, dtype="float32", latency="high"
            )
        except (sounddevice.PortAudioError, ValueError) as error:
            raise AudioError(
                f"the sound card cannot be used ({_plain(error)}); plug one in and choose it as the system's default, "
                f"or pipe: noizenet play MODEL --out - | aplay -f S16_LE -r {sample_rate} -c {channels}"
            ) from error

    def write(self, samples: NDArray[np.float32]) -> None:
        """Play [n, C] samples; block until the card has buffered them."""
        try:
            if not self._started:
                self._stream.start()
            underrun = self._stream.write(np.ascontiguousarray(samples))
            self.underruns += bool(underrun and self._started)  # every card underruns before the first samples
            self._started = True
        except self._failure as error:
            raise AudioError(
                f"the sound card disappeared while playing ({_plain(error)}); plug it in and start again"
            ) from error

    def __enter__(self) -> Card:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._stream.stop()  # plays the rest of the buffer
            else:
                self._stream.abort()
            self._stream.close()
        except self._failure:
            if kind is None:
                raise


def _plain(error: Exception) -> str:
    return str(error).strip().rstrip(".")
