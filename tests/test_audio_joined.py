"""Recordings of two formats in one file: the unread part is reported and causes neither noise nor a wrong length."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from encode import KINDS, encode_all, music

from noizenet.audio.read import AudioReader
from noizenet.audio.sync import flac_ends, sync_at

SECONDS = 1.5


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    paths = encode_all(tmp_path_factory.mktemp("kinds"), music(SECONDS))
    return {kind: path.read_bytes() for kind, path in paths.items()}


def look(path: Path, data: bytes) -> tuple[float, list[str], list[str], np.ndarray]:
    path.write_bytes(data)
    with AudioReader(path) as reader:
        y = np.concatenate(list(reader.blocks()))
        issues = reader.issues
    return len(y) / reader.info.sample_rate, [i.kind for i in issues], [i.text for i in issues], y


@pytest.mark.parametrize("first", KINDS)
def test_a_following_file_is_read_or_reported(tmp_path: Path, made: dict[str, bytes], first: str) -> None:
    if first not in made:
        pytest.skip("no encoder")
    alone = look(tmp_path / "x", made[first])
    assert not alone[1]
    for second, data in made.items():
        seconds, kinds, texts, y = look(tmp_path / "x", made[first] + data)
        if "lost" not in kinds:
            assert seconds == pytest.approx(2 * SECONDS, abs=0.3), (second, texts)
            continue
        assert any("another recording" in t or "damaged" in t or "joined in this file" in t for t in texts), (
            second,
            texts,
        )
        if (first, second) == ("flac", "mka"):
            continue  # FLAC frames in Matroska are valid FLAC frames
        assert seconds == pytest.approx(alone[0], abs=0.1), (second, texts)
        same = min(len(y), len(alone[3])) - 4096
        assert np.abs(y[:same] - alone[3][:same]).max() < 1e-3


def test_tags_and_pictures_after_the_audio_are_not_a_recording(tmp_path: Path, made: dict[str, bytes]) -> None:
    rng = np.random.default_rng(0)
    picture = b"\xff\xd8\xff\xe0" + rng.bytes(200_000) + b"\xff\xd9"
    head = b"APETAGEX\xd0\x07\0\0" + (len(picture) + 32).to_bytes(4, "little") + b"\1\0\0\0\0\0\0"
    ape = head + b"\xa0" + bytes(8) + picture + head + b"\x80" + bytes(8)
    alone = {kind: look(tmp_path / "x", made[kind])[0] for kind in ("mp3", "wv", "aac", "tta", "flac", "wav")}
    for kind in ("mp3", "wv", "aac", "tta", "flac"):
        seconds, issues, *_ = look(tmp_path / "x", made[kind] + ape)
        assert "lost" not in issues, kind
        assert seconds == pytest.approx(alone[kind], abs=0.03), kind  # an mp3 may keep its padding at the end
    for kind in ("mp3", "flac", "wav"):
        seconds, issues, *_ = look(tmp_path / "x", made[kind] + b"TAG" + bytes(125))
        assert (seconds, "lost" in issues) == (alone[kind], False), kind


def test_the_end_of_a_flac_frame_is_found_by_its_checksum(made: dict[str, bytes]) -> None:
    data = made["flac"]
    starts = [at for at in range(len(data)) if (sync := sync_at(data, at)) is not None and sync.container == "flac"]
    assert len(starts) > 5
    for start, end in itertools.pairwise([*starts, len(data)]):
        assert end in flac_ends(data[: end + 50], start)


@pytest.mark.parametrize("kind", ["mp3", "mp2", "aac", "ac3", "eac3"])
def test_a_second_file_is_found_after_damage(tmp_path: Path, made: dict[str, bytes], kind: str) -> None:
    data = bytearray(made[kind])
    middle = len(data) // 2
    data[middle : middle + 500] = bytes(500)
    alone, _, damaged, _ = look(tmp_path / "x", bytes(data))
    seconds, _, texts, _ = look(tmp_path / "x", bytes(data) + made["wav"])
    assert [t for t in texts if "another recording" not in t] == damaged
    assert f"{len(made['wav']):,} bytes after its end are another recording (wav)" in " ".join(texts)
    assert seconds == pytest.approx(alone, abs=0.01)
