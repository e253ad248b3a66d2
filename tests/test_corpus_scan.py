"""The scanner reads only regular files and reports everything else; where a corpus may be built."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest
import soundfile
from conftest import RATE, is_root, tone

from noizenet.audio.read import read
from noizenet.base.errors import AudioError, CorpusError, UsageError
from noizenet.base.files import folder_lock, remove_stale, temporary_name
from noizenet.corpus.build import build, read_problems
from noizenet.corpus.corpus import Corpus
from noizenet.corpus.folder import scan_recordings


def save(path: Path, seconds: float = 1.5, hz: float = 220.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(seconds, hz=hz), RATE)


def quick(source: Path, out: Path, **options: object) -> Corpus:
    return build(source, out, sample_rate=RATE, workers=1, **options)  # type: ignore[arg-type]


def test_special_files_are_reported_and_never_opened(tmp_path: Path) -> None:
    save(tmp_path / "a.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "zero.wav").symlink_to("/dev/zero")
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere")
    (tmp_path / "self.wav").symlink_to(tmp_path / "self.wav")
    (tmp_path / "folder.wav").mkdir()
    save(tmp_path / "folder.wav" / "b.wav")
    (tmp_path / "linked.wav").symlink_to(tmp_path / "a.wav")
    paths, problems = scan_recordings(tmp_path)
    assert [str(p.relative_to(tmp_path)) for p in paths] == ["a.wav", "linked.wav", "folder.wav/b.wav"]
    reasons = {p.path: p.reason for p in problems}
    assert set(reasons) == {"pipe.wav", "zero.wav", "gone.wav", "self.wav"}
    assert "named pipe" in reasons["pipe.wav"]
    assert "device" in reasons["zero.wav"]
    assert "broken link" in reasons["gone.wav"]
    assert {p.action for p in problems} == {"skipped"}


def test_files_in_icloud_are_reported(tmp_path: Path) -> None:
    save(tmp_path / "a.wav")
    (tmp_path / ".b.m4a.icloud").write_bytes(b"bplist00")
    paths, problems = scan_recordings(tmp_path)
    assert [p.name for p in paths] == ["a.wav"]
    assert [(p.path, p.action) for p in problems] == [(".b.m4a.icloud", "skipped")]
    assert "download it" in problems[0].reason


def test_a_socket_is_reported() -> None:
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{short}/s.wav")
        paths, problems = scan_recordings(Path(short))
    assert not paths
    assert "socket" in problems[0].reason


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    save(tmp_path / "src" / "g" / "a.wav")
    save(tmp_path / "other" / "b.wav")
    (tmp_path / "src" / "g" / "up").symlink_to(tmp_path / "src")
    (tmp_path / "src" / "h").symlink_to(tmp_path / "other")
    (tmp_path / "src" / "i").symlink_to(tmp_path / "other")
    paths, problems = scan_recordings(tmp_path / "src")
    assert sorted(p.name for p in paths) == ["a.wav", "b.wav"]
    assert {p.path for p in problems} == {"g/up", "i"}


def test_corpora_and_models_below_the_source_are_ignored(tmp_path: Path) -> None:
    src = tmp_path / "src"
    save(src / "rock" / "a.wav")
    quick(src, src / "made")
    save(src / "model" / "sample.flac", hz=400)
    (src / "model" / "model.json").write_text("{}")
    save(src / "begun" / "audio" / "0123.wav", hz=500)
    (src / "begun" / ".lock").touch()
    (src / "empty").mkdir()
    c = quick(src, tmp_path / "out")
    assert [t.source for t in c.tracks] == ["rock/a.wav"]
    reported = {p.path: p.reason for p in read_problems(c.folder)}
    assert set(reported) == {"made", "model", "begun", "empty"}
    assert "corpus folder" in reported["made"]
    assert "corpus folder" in reported["begun"]
    assert "model folder" in reported["model"]
    assert "without recordings" in reported["empty"]


def test_a_corpus_is_refused_as_a_source(tmp_path: Path) -> None:
    save(tmp_path / "src" / "a.wav")
    c = quick(tmp_path / "src", tmp_path / "out")
    for source, out in ((c.folder, tmp_path / "again"), (c.folder / "audio", c.folder)):
        with pytest.raises(UsageError, match="is a corpus folder"):
            quick(source, out)
    save(tmp_path / "out" / "source" / "b.wav", hz=300)  # as for procedural songs, whose source is in the corpus folder
    assert [t.source for t in quick(tmp_path / "out" / "source", tmp_path / "out").tracks] == ["b.wav"]


@pytest.mark.skipif(is_root(), reason="root reads everything")
def test_an_unreadable_folder_is_reported(tmp_path: Path) -> None:
    save(tmp_path / "a.wav")
    (tmp_path / "closed").mkdir(mode=0)
    _, problems = scan_recordings(tmp_path)
    assert [(p.path, p.action) for p in problems] == [("closed", "skipped")]


def test_a_path_too_long_for_the_system_is_reported() -> None:
    with tempfile.TemporaryDirectory() as top:
        save(Path(top) / "a.wav")
        here = os.open(top, os.O_RDONLY)
        try:
            for _ in range(20):
                os.mkdir("d" * 240, dir_fd=here)
                below = os.open("d" * 240, os.O_RDONLY, dir_fd=here)
                os.close(here)
                here = below
        finally:
            os.close(here)
        paths, problems = scan_recordings(Path(top))
    assert [p.name for p in paths] == ["a.wav"]
    assert any("name too long" in p.reason.lower() for p in problems)


def test_temporary_files_of_killed_builds_are_removed(tmp_path: Path) -> None:
    save(tmp_path / "src" / "a.wav")
    (tmp_path / "out" / "audio").mkdir(parents=True)
    left = [temporary_name(tmp_path / "out" / "audio" / "x.wav"), temporary_name(tmp_path / "out" / "tracks.csv")]
    for path in left:
        path.write_bytes(b"half")
    quick(tmp_path / "src", tmp_path / "out")
    assert not [p for p in left if p.exists()]


def test_only_stale_temporary_files_of_noizenet_are_removed(tmp_path: Path) -> None:
    own, foreign = temporary_name(tmp_path / "a.wav"), tmp_path / ".song.part.wav"
    for path in (own, foreign):
        path.write_bytes(b"x")
    assert remove_stale(tmp_path, older_s=3600) == 0
    os.utime(own, (0, 0))
    assert remove_stale(tmp_path, older_s=3600) == 1
    os.utime(foreign, (0, 0))
    assert remove_stale(tmp_path) == 0
    foreign.unlink()  # raises an error if it was removed


def test_an_error_under_the_lock_is_not_reported_as_a_lock_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="song"), folder_lock(tmp_path, "corpus"):
        raise FileNotFoundError(2, "No such file", "song")
    with folder_lock(tmp_path, "corpus"):
        pass


@pytest.mark.parametrize("options", [{"min_seconds": float("nan")}, {"min_seconds": -1.0}])
def test_invalid_minimum_lengths_are_refused(tmp_path: Path, options: dict[str, float]) -> None:
    save(tmp_path / "src" / "a.wav")
    with pytest.raises(UsageError, match="min seconds"):
        quick(tmp_path / "src", tmp_path / "out", **options)


def test_short_recordings_are_counted_and_the_option_is_named(tmp_path: Path, cli: object) -> None:
    for i in range(5):
        save(tmp_path / "src" / f"{i}.wav", seconds=0.4 if i < 3 else 1.5, hz=200 + i)
    arguments = ("--sample-rate", RATE, "--workers", 1)
    code, _, err = cli("corpus", "build", tmp_path / "src", tmp_path / "c", *arguments)  # type: ignore[operator]
    assert code == 0
    assert "3 of 5 recordings are shorter than 1 s; --min-seconds sets the minimum length." in err.replace("\n", " ")
    with pytest.raises(CorpusError, match=r"5 are too short: --min-seconds"):
        quick(tmp_path / "src", tmp_path / "d", min_seconds=60)
    assert len(quick(tmp_path / "src", tmp_path / "c", min_seconds=0.2).tracks) == 5


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("problems.csv", "path,reason\na,b\n"),
        ("problems.csv", "\udcff"),
        ("tracks.csv", "id,genre\n1,2\n"),
        ("tracks.csv", None),
    ],
)
def test_damaged_tables_are_reported(tmp_path: Path, cli: object, table: str, text: str | None) -> None:
    save(tmp_path / "src" / "a.wav")
    c = quick(tmp_path / "src", tmp_path / "out")
    good = (c.folder / table).read_text()
    damaged = good.replace(".wav", "/../../x.wav") if text is None else text
    (c.folder / table).write_bytes(damaged.encode("utf-8", "surrogateescape"))
    code, _, err = cli("corpus", "show", c.folder)  # type: ignore[operator]
    assert code == 1
    assert table in err
    assert "build the corpus again" in err.replace("\n", " ")


def test_a_copy_in_a_genre_folder_is_preferred(tmp_path: Path) -> None:
    source = tmp_path / "src"
    for name, hz in (("a.wav", 220.0), ("b.wav", 330.0), ("jazz/a.wav", 220.0), ("rock/a.wav", 220.0)):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        save(source / name, hz=hz)
    corpus = quick(source, tmp_path / "c")
    assert sorted(t.source for t in corpus.tracks) == ["b.wav", "jazz/a.wav"]
    reported = {p.path: p.reason for p in read_problems(tmp_path / "c")}
    assert reported["a.wav"] == reported["rock/a.wav"] == "the same recording as jazz/a.wav"
    assert reported["rock"] == "the genre has no track: its 1 usable recording(s) are copies"


def test_a_length_just_too_short_is_reported_with_enough_digits(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    save(tmp_path / "src" / "a.wav", seconds=0.9996)
    save(tmp_path / "src" / "b.wav", seconds=1.5)
    quick(tmp_path / "src", tmp_path / "c")
    (problem,) = read_problems(tmp_path / "c")
    assert "too short (0.9995 s, at least 1 s are needed)" in problem.reason


def test_audio_is_found_under_any_suffix(tmp_path: Path) -> None:
    save(tmp_path / "a.wav")
    sound = (tmp_path / "a.wav").read_bytes()
    for name in ("without", "a.take2", "a.m4p", "a.crdownload"):
        (tmp_path / name).write_bytes(sound)
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    (tmp_path / "notes.xyz").write_text("some notes, no sound\n" * 100)
    paths, problems = scan_recordings(tmp_path)
    assert [p.name for p in paths] == ["a.take2", "a.wav", "without"]
    reported = {p.path: p.reason for p in problems}
    assert "encrypted" in reported.pop("a.m4p")
    assert reported.pop("a.crdownload").startswith("an unfinished download, by its suffix")
    assert reported == dict.fromkeys(
        ("photo.heic", "notes.xyz"), "not an audio file (by its suffix and its first bytes)"
    )


@pytest.mark.parametrize("ending", [".thd", ".mlp", ".GSM", ".latm"])
def test_unsupported_audio_formats_are_reported_with_the_remedy(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"a{ending}").write_bytes(b"\x07\x80\x91\xfe" * 1000)
    save(tmp_path / "b.wav")
    (tmp_path / f"c{ending}").write_bytes((tmp_path / "b.wav").read_bytes())  # the content decides
    paths, problems = scan_recordings(tmp_path)
    assert [p.name for p in paths] == ["b.wav", f"c{ending}"]
    (problem,) = problems
    assert (problem.path, problem.action) == (f"a{ending}", "skipped")
    assert "not supported" in problem.reason
    assert "convert it to wav, flac" in problem.reason


def transport_stream(step: int) -> bytes:
    return b"".join(bytes(step - 188) + b"\x47" + bytes([i]) * 187 for i in range(50))


FILMS = {
    "an AVI video": b"RIFF\xff\xff\0\0AVI LIST" + bytes(2000),
    "a Flash video (FLV)": b"FLV\x01\x05\0\0\0\x09" + bytes(2000),
    "an MPEG video (program stream)": b"\0\0\x01\xba\x44" + bytes(2000),
    "a RealMedia file": b".RMF\0\0\0\x12" + bytes(2000),
    "an MPEG video (transport stream)": transport_stream(188),
}


@pytest.mark.parametrize("what", [*FILMS, "192"])
def test_unsupported_films_are_reported_with_the_remedy(tmp_path: Path, what: str) -> None:
    data = FILMS.get(what, transport_stream(192))
    what = what if what in FILMS else "an MPEG video (transport stream)"
    (tmp_path / "concert.xyz").write_bytes(data)
    (tmp_path / "song.wav").write_bytes(data)  # under a wrong name
    save(tmp_path / "b.wav")
    _, problems = scan_recordings(tmp_path)
    (problem,) = problems
    assert (problem.path, problem.action) == ("concert.xyz", "skipped")
    assert problem.reason.startswith(what)
    assert "ffmpeg -i VIDEO -vn AUDIO.flac" in problem.reason
    for name in ("concert.xyz", "song.wav"):
        with pytest.raises(AudioError) as caught:
            read(tmp_path / name)
        assert f"not a readable recording ({what})" in str(caught.value)
        assert "ffmpeg -i VIDEO -vn AUDIO.flac" in str(caught.value)


def test_a_real_avi_film_is_recognised(tmp_path: Path) -> None:
    import av
    import numpy as np

    with av.open(str(tmp_path / "film.avi"), "w", format="avi") as film:
        stream = film.add_stream("mp2", rate=44_100)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1152), np.int16), format="s16p", layout="stereo")
        frame.sample_rate = 44_100
        for part in av.AudioResampler(stream.codec_context.format, "stereo", 44_100).resample(frame):
            film.mux(stream.encode(part))
        film.mux(stream.encode(None))
    _, problems = scan_recordings(tmp_path)
    assert problems[0].reason.startswith("an AVI video; this video format is not supported")
