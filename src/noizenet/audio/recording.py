"""One file as one continuous recording: its links are decoded in order, damage is reported, lengths are compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.decode_av import AVDecoder
from noizenet.audio.decode_sndfile import SndfileDecoder
from noizenet.audio.findings import Findings
from noizenet.audio.fold import Layout, convert_layout
from noizenet.audio.frames import DecodedBlock, Gap
from noizenet.audio.issue import Issue, lost, repaired
from noizenet.audio.link import Link, Structure
from noizenet.audio.resample import StreamResampler
from noizenet.audio.seams import faded
from noizenet.audio.sniff import (
    ADVICE,
    HEAD_BYTES,
    VIDEO_ADVICE,
    Container,
    Found,
    after_tags,
    describe,
    find_following,
    sniff,
    unsupported_video,
)
from noizenet.audio.source import Source
from noizenet.audio.structure import examine
from noizenet.audio.waveform import MAX_RATE_HZ, MIN_RATE_HZ
from noizenet.base.errors import AudioError

MAX_CHANNELS = 64
EXACT_LENGTH = ("flac", "tta", "wavpack")
"""Containers whose headers count samples. A decoder may drop their frames without an error."""
SNDFILE_CONTAINERS = frozenset({"wav", "w64", "aiff", "au", "caf", "flac", "ogg", "sndfile"})
"""Containers that libsndfile is tried for. (Its mp3 decoder writes warnings to the terminal and decodes no more.)"""

Decoder = AVDecoder | SndfileDecoder


class Recording:
    """A file's audio in the sample rate and channel layout of its first link.

    Raises
    ------
    AudioError
        If it is not a regular file, or has no audio that can be decoded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.issues: list[Issue] = []
        self._source = Source(path)
        self._decoder: Decoder | None = None
        try:
            self._kind, self._structure = self._identify()
            self._decoder = self._open_first()
            self._check(self._decoder)
        except AudioError:
            self.close()
            raise
        d = self._decoder
        self.rate, self.layout = d.rate, d.layout
        self.codec, self._tags = d.codec, d.tags
        self.container = self._kind.name
        self.seconds = d.seconds if self._structure.length_from_decoder else self._structure.seconds
        self._findings = Findings(path, self.issues, self.rate)

    def close(self) -> None:
        """Release the file and its decoder."""
        if self._decoder is not None:
            self._decoder.close()
            self._decoder = None
        self._source.close()

    def tag(self, *names: str) -> str:
        """Return the first of these tags that is present, else ""."""
        for name in names:
            text = " ".join(self._tags.get(name, "").split())
            if text:
                return text
        return ""

    def samples(self) -> Iterator[NDArray[np.float32]]:
        """Decode the whole file: finite float32 [n, C] at `rate`.

        Raises
        ------
        AudioError
            If nothing can be decoded, or every sample is invalid.
        """
        for link in self._structure.links:
            yield from self._link(link)
        self._findings.conclude(self._structure, self.seconds, exact=self.container in EXACT_LENGTH)

    def _identify(self) -> tuple[Container, Structure]:
        found = sniff(self._source)
        if found is None:
            head = self._source.peek(0, HEAD_BYTES)
            if video := unsupported_video(head):
                raise AudioError(f"{self.path}: not a readable recording ({video}); {VIDEO_ADVICE}")
            what = describe(head) or describe(self._source.peek(after_tags(self._source), HEAD_BYTES))
            raise AudioError(f"{self.path}: not a readable recording ({what or 'no known audio format'}); {ADVICE}")
        if found.junk:
            self.issues.append(repaired(f"{found.junk:,} bytes before the audio are not audio and were skipped"))
        return found.container, examine(self._source, found.container, found.start)

    def _open_first(self) -> Decoder:
        """Open the first link that can be opened."""
        problem: AudioError | None = None
        if self._structure.problem:
            raise AudioError(f"{self.path}: {self._structure.problem}")
        while self._structure.links:
            try:
                return self._open(self._structure.links[0])
            except AudioError as error:
                problem = problem or error
                self._structure.links.pop(0)
        if self._structure.suspicion:
            raise AudioError(f"{self.path}: not a readable recording ({self._structure.suspicion})") from problem
        raise AudioError(f"{self.path}: not a readable recording ({problem}); {ADVICE}") from problem

    def _open(self, link: Link) -> Decoder:
        problem: AudioError | None = None
        if self._kind.demuxer and link.raw is None:
            try:
                decoder = AVDecoder(
                    self._source.section(link.start, link.stop), self._kind, self._structure.options, link.end_s
                )
            except AudioError as error:
                problem = error
                if self._kind.name not in SNDFILE_CONTAINERS:
                    raise
            else:
                if decoder.unread_tracks and (issue := lost(decoder.unread_tracks)) not in self.issues:
                    self.issues.append(issue)
                return decoder
        try:
            return SndfileDecoder(self._source.section(link.start, link.stop), raw=link.raw)
        except AudioError as error:
            raise problem or error from error

    def _check(self, decoder: Decoder) -> None:
        rate, channels = decoder.rate, len(decoder.layout)
        if not (MIN_RATE_HZ <= rate <= MAX_RATE_HZ and 1 <= channels <= MAX_CHANNELS):
            raise AudioError(
                f"{self.path}: declares {rate} Hz and {channels or 'an unknown number of'} channels; supported are "
                f"{MIN_RATE_HZ:,} to {MAX_RATE_HZ:,} Hz and up to {MAX_CHANNELS} channels: export the recording again"
            )

    def _link(self, link: Link) -> Iterator[NDArray[np.float32]]:
        decoder = self._decoder
        if decoder is None:
            try:
                decoder = self._open(link)
            except AudioError as error:
                self._findings.unreadable_link(str(error))
                return
        converter = _Converter(self.rate, self.layout)
        self._findings.begin(link)
        try:
            for block in faded(self._decoded(decoder, link), lossy=not decoder.exact):
                if isinstance(block, Gap):
                    self._findings.gap(block)
                elif block.rate and len(block.samples):
                    for samples in converter.push(block):
                        yield self._findings.take(samples)
            for samples in converter.finish():
                yield self._findings.take(samples)
        finally:
            decoder.close()
            self._decoder = None
        self._findings.end(converter.kinds)
        if link is self._structure.links[-1] and (other := self._following_recording(decoder, link)):
            self.issues.append(
                lost(
                    f"{self._source.size - other.start:,} bytes after its end are another recording "
                    f"({other.container.name}) and were not read; cut the file there"
                )
            )

    def _following_recording(self, decoder: Decoder, link: Link) -> Found | None:
        """Return the recording of another format that follows the last link, if any."""
        if link.stop < self._source.size:
            return find_following(self._source, self._kind.name, link.stop, sure=True)
        found = decoder.following if isinstance(decoder, AVDecoder) else None
        return found and found._replace(start=link.start + found.start)

    def _decoded(self, decoder: Decoder, link: Link) -> Iterator[DecodedBlock | Gap]:
        """Decode with the first decoder; if it gives up or stops long before the end, continue with the second."""
        frames, end = 0, None
        for block in decoder.blocks():
            if isinstance(block, DecodedBlock):
                frames += len(block.samples)
            elif block.at_end:
                end = block
                continue
            else:
                frames += round(block.seconds * decoder.rate)
            yield block
        failed = not frames or decoder.gave_up or self._falls_short(frames, decoder.rate)
        if isinstance(decoder, AVDecoder) and self._kind.name in SNDFILE_CONTAINERS and failed:
            for block in self._second_decoder(link, frames, decoder):
                end = None
                yield block
        if end is not None:
            yield end

    def _falls_short(self, frames: int, rate: int) -> bool:
        """Whether all bytes are present but fewer samples were decoded than the header declares."""
        alone = len(self._structure.links) == 1 and self._structure.cut is not True
        return alone and self.seconds is not None and frames / rate < self.seconds - max(1.0, 0.01 * self.seconds)

    def _second_decoder(self, link: Link, start: int, first: AVDecoder) -> Iterator[DecodedBlock | Gap]:
        try:
            decoder = SndfileDecoder(self._source.section(link.start, link.stop), start)
        except AudioError:
            return
        try:
            if (decoder.rate, len(decoder.layout)) == (first.rate, len(first.layout)):
                yield from decoder.blocks()
        finally:
            decoder.close()


class _Converter:
    """Converts blocks of any sample rate and layout to one format."""

    def __init__(self, rate: int, layout: Layout) -> None:
        self._rate, self._layout = rate, layout
        self._from = rate
        self._resampler: StreamResampler | None = None
        self.kinds: set[tuple[int, int]] = set()

    def push(self, block: DecodedBlock) -> Iterator[NDArray[np.float32]]:
        """Convert a block."""
        if block.rate != self._from:
            yield from self.finish()
            self._from = block.rate
            if block.rate != self._rate:
                self._resampler = StreamResampler(block.rate, self._rate, len(self._layout))
        self.kinds.add((block.rate, len(block.layout)))
        samples = convert_layout(block.samples, block.layout, self._layout)
        if self._resampler is not None:
            samples = self._resampler.push(samples)
        if len(samples):
            yield samples

    def finish(self) -> Iterator[NDArray[np.float32]]:
        """Flush the resampler."""
        if self._resampler is not None:
            rest = self._resampler.finish()
            self._resampler = None
            if len(rest):
                yield rest
