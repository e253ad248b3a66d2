"""Decoding with libsndfile, the second decoder, for files that FFmpeg's libraries do not open or give up on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from noizenet.audio.decode_av import reason
from noizenet.audio.fold import default_layout, vorbis_layout
from noizenet.audio.frames import DecodedBlock, Gap
from noizenet.audio.link import RawFormat
from noizenet.audio.source import Section, StalledError
from noizenet.base.errors import AudioError

UNKNOWN_FRAMES = 2**62


class SndfileDecoder:
    """A decoder for a section of a file, from frame `start` on; `raw` is the format of samples without a header.

    Raises
    ------
    AudioError
        If libsndfile cannot open the section or seek to that frame; the message has no path.
    """

    def __init__(self, section: Section, start: int = 0, raw: RawFormat | None = None) -> None:
        import soundfile

        section.seek(0)
        try:
            self._file: Any = soundfile.SoundFile(section, **_as_raw(raw))
            if start:
                self._file.seek(start)
        except (soundfile.SoundFileError, RuntimeError, TypeError, OSError, ValueError, StalledError) as error:
            raise AudioError(reason(error)) from error
        self._section = section
        self.rate, channels = int(self._file.samplerate), int(self._file.channels)
        self.codec = str(self._file.subtype).lower()
        self.layout = vorbis_layout(channels) if self._file.format == "OGG" else default_layout(channels)
        self.tags = {key: str(value) for key, value in self._file.copy_metadata().items()}
        self.gave_up = False
        self.exact = self._file.format != "OGG"
        frames = int(self._file.frames)
        self.seconds = frames / self.rate if 0 < frames < UNKNOWN_FRAMES and self.rate else None

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def blocks(self) -> Iterator[DecodedBlock | Gap]:
        """Decode to the end, or to the first error."""
        import soundfile

        while True:
            try:
                block = self._file.read(self.rate, dtype="float32", always_2d=True)
            except (soundfile.SoundFileError, RuntimeError, StalledError):
                self.gave_up = True
                return
            if not len(block):
                return
            self._section.progress()
            yield DecodedBlock(block, self.rate, self.layout)


def _as_raw(raw: RawFormat | None) -> dict[str, Any]:
    if raw is None:
        return {}
    kind = {"format": "RAW", "subtype": raw.subtype, "endian": raw.order.upper()}
    return {**kind, "samplerate": raw.rate, "channels": raw.channels}
