"""Damage in the middle: both sides are kept; the position and the loss are reported."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from encode import LOSSLESS, RATE, encode, music, shift_between
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noizenet.audio import decode_av, recording
from noizenet.audio import read as read_module
from noizenet.audio.fold import fold
from noizenet.audio.issue import Issue
from noizenet.audio.read import AudioReader, converted_blocks, read
from noizenet.audio.resample import resample
from noizenet.audio.sync import sync_at
from noizenet.base.errors import AudioError, NoizenetError

SECONDS = 12.0
# The container's unit of loss in seconds: a packet, or a page or cluster of packets.
LOSS = {"flac": 0.35, "mp3": 0.2, "mp2": 0.2, "aac": 0.2, "m4a": 0.3, "alac": 0.4, "ac3": 0.2, "eac3": 0.2, "wma": 0.7, "wv": 1.1,
        "tta": 2.2, "ogg": 2.3, "opus": 2.3, "oggflac": 2.3, "mka": 5.5, "webm": 5.5}  # fmt: skip


def look(path: Path) -> tuple[int, list[Issue], np.ndarray]:
    with AudioReader(path) as reader:
        y = np.concatenate(list(reader.blocks()))
    return reader.info.sample_rate, reader.issues, y


def places(issues: list[Issue]) -> list[tuple[float, float]]:
    """Return (second, seconds lost) of every reported damage."""
    found = [re.match(r"damaged at ([\d.]+) s \(([\d.]+) s lost\)", i.text) for i in issues if i.kind == "lost"]
    assert all(found), issues
    return [(float(m[1]), float(m[2])) for m in found if m]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, np.ndarray, int]]:
    folder = tmp_path_factory.mktemp("good")
    made = {}
    for kind in LOSS:
        try:
            path = encode(folder / f"a.{kind}", music(SECONDS), kind)
        except pytest.skip.Exception:
            continue
        rate, issues, y = look(path)
        assert not issues
        made[kind] = path.read_bytes(), y, rate
    return made


@pytest.mark.parametrize("kind", LOSS)
@pytest.mark.parametrize(("share", "how"), [(0.3, "noise"), (0.62, "noise"), (0.5, "zeros"), (0.45, "removed")])
def test_a_damaged_kilobyte(
    tmp_path: Path, good: dict[str, tuple[bytes, np.ndarray, int]], kind: str, share: float, how: str
) -> None:
    if kind not in good:
        pytest.skip("no encoder")
    if how == "removed" and kind in ("m4a", "alac", "tta"):
        pytest.skip("all later packets lie elsewhere than its table says")
    data, whole, rate = good[kind]
    at = int(len(data) * share)
    fill = {"noise": np.random.default_rng(at).bytes(1024), "zeros": bytes(1024), "removed": b""}[how]
    path = tmp_path / f"a.{kind}"
    path.write_bytes(data[:at] + fill + data[at + 1024 :])
    _, issues, y = look(path)
    reported = places(issues)
    missing = (len(whole) - len(y)) / rate
    if kind == "alac" and not reported:
        assert not missing  # ALAC has no checksums: damaged bits may decode to noise
        return
    assert reported, (issues, missing)
    assert missing < LOSS[kind]
    lost = sum(s for _, s in reported)
    if how != "removed":  # without time stamps, removed bytes cannot be detected
        assert abs(lost - missing) < 0.15, (lost, missing)
    second = reported[0][0]
    assert abs(second - share * SECONDS) < LOSS[kind] + 0.5
    # The audio before and after the damage is unchanged, and the gap is at the reported position.
    # Margin: lossy decoders overlap neighbouring frames, and a damaged one may precede the loss.
    # An Ogg page has the time of its end: FLAC in Ogg detects a gap up to a page late.
    margin = int((1.2 if kind == "oggflac" else 0.35 if kind not in LOSSLESS else 0.0) * rate)
    before = int(second * rate) - margin - int(0.06 * rate)
    assert np.abs(y[:before] - whole[:before]).max() < 1e-3
    behind = int(2 * rate)
    at_end = shift_between(y[-behind:-rate, 0], whole[:, 0], len(whole) - behind, rate)
    assert abs(at_end - (len(whole) - behind)) <= 2400
    assert np.corrcoef(y[-behind:-rate, 1], whole[at_end : at_end + behind - rate, 1])[0, 1] > 0.95


def test_many_damaged_places_are_counted(tmp_path: Path, good: dict[str, tuple[bytes, np.ndarray, int]]) -> None:
    data = bytearray(good["flac"][0])
    for k in range(1, 10):
        at = len(data) * k // 10
        data[at : at + 50] = bytes(50)
    (tmp_path / "a.flac").write_bytes(data)
    _, issues, _ = look(tmp_path / "a.flac")
    assert len(issues) == 1
    assert re.match(
        r"damaged at 1.\d, 2.\d, 3.\d, 4.\d s and 5 more places \(0.9\d? s lost\)|damaged at .* more places",
        issues[0].text,
    )


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(sorted(LOSS)))
def test_a_modified_file_is_read_or_refused(
    tmp_path: Path, good: dict[str, tuple[bytes, np.ndarray, int]], kind: str, data: st.DataObject
) -> None:
    if kind not in good:
        return
    bad = bytearray(good[kind][0][: data.draw(st.integers(200, 60_000))])
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(bad) - 1))
        what = data.draw(st.sampled_from(["flip", "cut", "double", "noise"]))
        size = data.draw(st.integers(1, 600))
        if what == "flip":
            bad[at] ^= 1 << data.draw(st.integers(0, 7))
        elif what == "cut" and len(bad) > size + 100:
            del bad[at : at + size]
        elif what == "double":
            bad[at:at] = bad[at : at + size]
        else:
            bad[at : at + size] = np.random.default_rng(size).bytes(size)
    path = tmp_path / "a.wav"
    path.write_bytes(bad)
    try:
        rate, issues, y = look(path)
    except NoizenetError as error:
        assert "\n" not in str(error)
        return
    assert np.isfinite(y).all()
    assert len(y) / rate < 3 * SECONDS
    assert {i.kind for i in issues} <= {"repaired", "lost"}


@pytest.mark.parametrize("kind", ["mp3", "aac", "ac3", "flac", "ogg", "wav", "m4a", "wma", "webm"])
@pytest.mark.parametrize(
    "junk", [b"\0" * 700, b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n\x01\x02\x03" + bytes(range(256)) * 9]
)
def test_junk_before_the_audio(tmp_path: Path, kind: str, junk: bytes) -> None:
    path = encode(tmp_path / f"a.{kind}", music(2.0), kind)
    rate, _, whole = look(path)
    path.write_bytes(junk + path.read_bytes())
    _, issues, y = look(path)
    assert abs(len(y) - len(whole)) < 0.06 * rate
    assert [i.kind for i in issues] == ["repaired"]
    assert f"{len(junk):,} bytes before the audio" in issues[0].text


@pytest.mark.parametrize("kind", ["mp3", "aac", "ac3", "mp2"])
def test_a_stream_whose_beginning_is_missing(tmp_path: Path, kind: str) -> None:
    path = encode(tmp_path / f"a.{kind}", music(6.0), kind)
    data = path.read_bytes()
    path.write_bytes(data[len(data) // 3 + 7 :])
    rate, _, y = look(path)
    assert len(y) / rate == pytest.approx(4.0, abs=0.25)


def test_a_flac_whose_header_is_missing(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.flac", music(6.0), "flac")
    data = path.read_bytes()
    path.write_bytes(data[len(data) // 3 :])
    rate, issues, y = look(path)
    assert len(y) / rate == pytest.approx(4.0, abs=0.4)
    assert any(i.kind == "lost" and "beginning is missing" in i.text for i in issues)


@pytest.mark.parametrize("kind", ["mp3", "aac", "m4a", "flac"])
@pytest.mark.parametrize("seed", [1, 4, 10])
def test_a_gap_does_not_click(tmp_path: Path, kind: str, seed: int) -> None:
    t = np.arange(4 * RATE) / RATE
    tone = np.repeat(0.38 * np.sin(2 * np.pi * 220 * t)[:, None], 2, 1).astype(np.float32)
    path = encode(tmp_path / "a", tone, kind)
    data = bytearray(path.read_bytes())
    at = int(len(data) * (0.3 + 0.03 * seed))
    data[at : at + 3000] = np.random.default_rng(seed).bytes(3000)
    path.write_bytes(data)
    _, issues, found = look(path)
    assert any(i.kind == "lost" for i in issues)
    assert np.abs(found).max() < 0.45
    assert np.abs(np.diff(found[2000:-2000, 0])).max() < 0.03  # the tone's steps are 0.012


class TestInvalidSamples:
    def write(self, path: Path, x: np.ndarray, subtype: str = "FLOAT") -> Path:
        soundfile.write(path, x, RATE, subtype=subtype)
        return path

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(at=st.integers(0, 3 * RATE - 1), count=st.integers(1, 50), bad=st.sampled_from([np.nan, np.inf, -np.inf, 1e30]),
           subtype=st.sampled_from(["FLOAT", "DOUBLE"]), block=st.sampled_from([0.1, 1.0, 8.0]))  # fmt: skip
    def test_they_become_zeros_and_are_reported(
        self, tmp_path: Path, at: int, count: int, bad: float, subtype: str, block: float
    ) -> None:
        x = music(3.0).copy()
        x[at : at + count, 0] = bad
        path = self.write(tmp_path / "a.wav", x, subtype)
        with AudioReader(path) as reader:
            y = np.concatenate(list(reader.blocks(block)))
        n = min(count, len(x) - at)
        clean = np.where(np.isfinite(x) & (np.abs(x) < 1e10), x, 0).astype(np.float32)
        assert np.array_equal(y, clean)
        (issue,) = reader.issues
        samples = "sample" if n == 1 else "samples"
        first, last = f"{at / RATE:.2f}", f"{(at + n - 1) / RATE:.2f}"
        where = f"at {first} s" if first == last else f"from {first} s to {last} s"
        assert issue.kind == "lost"
        assert issue.text.startswith(f"{n} NaN or infinite {samples} {where}, replaced by zeros; the rest is kept")

    def test_only_nan_is_refused(self, tmp_path: Path) -> None:
        path = self.write(tmp_path / "a.wav", np.full((RATE, 2), np.nan, np.float32))
        with pytest.raises(AudioError, match="NaN, infinity or levels beyond"):
            read(path)

    def test_huge_samples_are_kept(self, tmp_path: Path) -> None:
        x = music(1.0) * np.float32(2**31)
        assert np.array_equal(read(self.write(tmp_path / "a.wav", x)).samples, x)


class TestSecondDecoder:
    def test_it_continues_where_the_first_gives_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = encode(tmp_path / "a.flac", music(4.0), "flac")
        _, _, whole = look(path)
        decoded = decode_av.AVDecoder.blocks

        def breaks_off(self: decode_av.AVDecoder) -> object:
            self.gave_up = True
            for k, block in enumerate(decoded(self)):
                if k == 2:
                    return
                yield block

        monkeypatch.setattr(decode_av.AVDecoder, "blocks", breaks_off)
        _, issues, y = look(path)
        assert issues == []
        assert np.array_equal(y, whole)

    def test_it_opens_what_the_first_does_not(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = encode(tmp_path / "a.ogg", music(2.0), "ogg")
        _, _, whole = look(path)

        def refuses(*_: object, **__: object) -> None:
            raise AudioError("no")

        monkeypatch.setattr(recording, "AVDecoder", type("None", (), {"__init__": refuses}))
        _, issues, y = look(path)
        assert issues == []
        assert np.abs(y - whole).max() < 1e-3

    def test_a_stalled_decoder_is_stopped(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from noizenet.audio import source

        path = encode(tmp_path / "a.mp3", music(20.0), "mp3")
        monkeypatch.setattr(source, "STALL_S", -1.0)
        with pytest.raises(AudioError, match="keeps reading without output"):
            read(path)


def test_conversion_and_downmix_equal_numpy(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.flac", music(3.0), "flac")
    _, _, x = look(path)
    with AudioReader(path) as reader:
        y = np.concatenate(list(converted_blocks(reader, 22_050, 1, 0.3)))
    reference = resample(fold(x, ("FL", "FR"), 1), RATE, 22_050)
    assert abs(len(y) - len(reference)) <= 1
    assert np.abs(y[: len(reference)] - reference[: len(y)]).max() < 1e-5
    assert read_module.BLOCK_SECONDS == 8.0


@pytest.mark.parametrize("frame", [0, 1, 2, 3, 7, 20, 21])
def test_a_wrong_bit_costs_one_flac_frame(tmp_path: Path, frame: int) -> None:
    """FFmpeg's parser puts a damaged frame and its neighbours into one packet, which some versions drop."""
    size, x = 4096, music(2.0)
    path = tmp_path / "a.flac"
    soundfile.write(path, x, RATE, subtype="PCM_16")
    with soundfile.SoundFile(path) as whole:
        good = whole.read(always_2d=True)
    data = bytearray(path.read_bytes())
    starts = [i for i in range(len(data) - 16) if data[i] == 0xFF and (s := sync_at(data, i)) and s.container == "flac"]
    assert len(starts) == -(-len(x) // size)
    data[starts[frame] + 2000] ^= 4
    path.write_bytes(data)
    _, issues, y = look(path)
    lost = slice(frame * size, min((frame + 1) * size, len(x)))
    assert len(y) == len(x) - (lost.stop - lost.start)
    assert [i.kind for i in issues] == ["lost"]
    assert f"{(lost.stop - lost.start) / RATE:.2g} s" in issues[0].text
    edge = 300  # faded on both sides of the gap
    assert np.abs(y[: max(0, lost.start - edge)] - good[: max(0, lost.start - edge)]).max(initial=0.0) < 1e-4
    assert np.abs(y[lost.start + edge :] - good[lost.stop + edge :]).max(initial=0.0) < 1e-4


def with_gaps(source: Path, out: Path, gaps: dict[float, float]) -> Path:
    """Rewrite a file with gaps in its time stamps, a dict of second → length."""
    import av

    with av.open(str(source)) as given, av.open(str(out), "w", format=given.format.name.split(",")[0]) as made:
        stream = made.add_stream_from_template(given.streams.audio[0])
        for packet in given.demux(audio=0):
            if packet.dts is None:
                continue
            later = sum(length for at, length in gaps.items() if packet.pts * packet.time_base >= at)
            packet.pts += round(later / packet.time_base)
            packet.dts = packet.pts
            packet.stream = stream
            made.mux(packet)
    return out


class TestGaps:
    """Gaps in time stamps that a paused recorder or an editor leaves: no bytes are missing."""

    @pytest.mark.parametrize("kind", ["webm", "mka", "m4a", "alac"])
    def test_a_gap_is_not_reported_as_damage(self, tmp_path: Path, kind: str) -> None:
        whole = encode(tmp_path / f"whole.{kind}", music(6.0), kind)
        path = with_gaps(whole, tmp_path / f"gap.{kind}", {3.0: 2.0})
        rate, issues, y = look(path)
        assert len(y) == pytest.approx(len(look(whole)[2]), abs=rate // 20)  # joined: nothing lost or inserted
        (issue,) = issues
        assert issue.kind == "repaired"
        found = re.fullmatch(
            r"a gap of 2\.0 s in its time stamps at (3\.\d) s, where nothing was recorded; the audio before and after it was "
            r"joined",
            issue.text,
        )
        assert found, issue.text

    def test_many_gaps_are_reported_in_one_line(self, tmp_path: Path) -> None:
        whole = encode(tmp_path / "whole.webm", music(8.0), "webm")
        path = with_gaps(whole, tmp_path / "gaps.webm", {float(at): 0.5 for at in range(1, 8)})
        (issue,) = look(path)[1]
        assert issue.text.startswith("7 gaps in its time stamps (3.5 s in all, the first at 1.0 s), where nothing was")

    @pytest.mark.parametrize("kind", ["webm", "mka"])
    def test_damage_next_to_a_gap_is_reported(self, tmp_path: Path, kind: str) -> None:
        whole = encode(tmp_path / f"whole.{kind}", music(20.0), kind)
        data = bytearray(with_gaps(whole, tmp_path / f"gap.{kind}", {4.0: 2.0}).read_bytes())
        at = len(data) * 6 // 10
        data[at : at + 3000] = np.random.default_rng(3).bytes(3000)
        (tmp_path / f"both.{kind}").write_bytes(data)
        _, issues, _ = look(tmp_path / f"both.{kind}")
        assert any(i.kind == "repaired" and i.text.startswith("a gap of 2.0 s") for i in issues), issues
        assert any(i.kind == "lost" and i.text.startswith("damaged at 1") for i in issues), issues

    @pytest.mark.parametrize("place", [0.35, 0.5, 0.62])
    @pytest.mark.parametrize("kind", ["webm", "mka"])
    def test_removed_bytes_are_damage(self, tmp_path: Path, kind: str, place: float) -> None:
        whole = encode(tmp_path / f"whole.{kind}", music(20.0), kind)
        data = with_gaps(whole, tmp_path / f"gap.{kind}", {2.0: 1.5}).read_bytes()
        at, count = int(len(data) * place), len(data) // 6
        (tmp_path / f"both.{kind}").write_bytes(data[:at] + data[at + count :])
        _, issues, _ = look(tmp_path / f"both.{kind}")
        pauses = [i for i in issues if i.kind == "repaired"]
        assert [i.text[:30] for i in pauses] == ["a gap of 1.5 s in its time sta"]  # the only pause
        assert any(i.kind == "lost" and i.text.startswith("damaged at") for i in issues), issues

    @pytest.mark.parametrize("options", [{}, {"live": "1"}, {"cluster_time_limit": "400"}])
    def test_removed_blocks_are_damage(self, tmp_path: Path, options: dict[str, str]) -> None:
        import av

        whole = encode(tmp_path / "whole.webm", music(20.0), "webm", **options)
        data = whole.read_bytes()
        with av.open(str(whole)) as file:
            at = [p.pos for p in file.demux(audio=0) if p.pos]
        heads = [data.rindex(b"\xa3", 0, a) for a in (at[60], at[200])]
        (tmp_path / "cut.webm").write_bytes(data[: heads[0]] + data[heads[1] :])
        _, issues, _ = look(tmp_path / "cut.webm")
        assert any(i.kind == "lost" and i.text.startswith("damaged at 1") for i in issues), issues
        assert not any("where nothing was recorded" in i.text for i in issues), issues

    @pytest.mark.parametrize("cut", [False, True])
    def test_blocks_of_several_frames(self, tmp_path: Path, cut: bool) -> None:
        """As written by mkvmerge: packets of one block have the same position."""
        import av

        def element(name: bytes, content: bytes) -> bytes:
            return name + (len(content) | 1 << 28).to_bytes(4, "big") + content

        whole = encode(tmp_path / "whole.webm", music(8.0), "webm")
        data = whole.read_bytes()
        with av.open(str(whole)) as file:
            frames = [bytes(p) for p in file.demux(audio=0) if p.size]
        front = data[: data.index(b"\x1f\x43\xb6\x75")]
        at = front.index(b"\x18\x53\x80\x67")
        made = front[: at + 4] + b"\x01" + b"\xff" * 7 + front[at + 12 :]
        for begin in range(0, len(frames) - 50, 50):  # a cluster of a second
            blocks = [element(b"\xe7", (begin * 20 + (2000 if begin >= 150 else 0)).to_bytes(4, "big"))]
            for i in range(0, 50, 2):
                one, two = frames[begin + i : begin + i + 2]
                lace = b"\x01" + b"\xff" * (len(one) // 255) + bytes([len(one) % 255])
                blocks.append(element(b"\xa3", b"\x81" + (i * 20).to_bytes(2, "big") + b"\x82" + lace + one + two))
            made += element(b"\x1f\x43\xb6\x75", b"".join(blocks))
        if cut:
            at = len(made) * 3 // 4
            made = made[:at] + made[at + len(made) // 9 :]
        (tmp_path / "a.webm").write_bytes(made)
        _, issues, _ = look(tmp_path / "a.webm")
        pauses = [i.text for i in issues if "where nothing was recorded" in i.text]
        assert [text[:36] for text in pauses] == ["a gap of 2.0 s in its time stamps at"]
        assert any(i.text.startswith("damaged at") for i in issues) == cut, issues


class TestHeadlessOgg:
    @staticmethod
    def pages(data: bytes) -> list[int]:
        return [m.start() for m in re.finditer(b"OggS", data)]

    @pytest.mark.parametrize("kind", ["ogg", "opus", "oggflac"])
    @pytest.mark.parametrize("cut", ["a page", "three pages", "within a page", "the second page"])
    def test_a_missing_beginning_is_reported(self, tmp_path: Path, kind: str, cut: str) -> None:
        data = encode(tmp_path / f"whole.{kind}", music(4.0), kind).read_bytes()
        at = self.pages(data)
        first = {"a page": at[1], "three pages": at[3], "within a page": at[1] + 31}.get(cut, at[2])
        path = tmp_path / f"a.{kind}"
        path.write_bytes((data[: at[1]] if cut == "the second page" else b"") + data[first:])
        if (kind, cut) == ("oggflac", "the second page"):
            assert len(look(path)[2])  # that page has only tags
            return
        with pytest.raises(AudioError, match="its beginning with the decoder's setup is missing"):
            look(path)

    @pytest.mark.parametrize("kind", ["ogg", "opus", "oggflac"])
    def test_a_complete_file_that_follows_is_read(self, tmp_path: Path, kind: str) -> None:
        data = encode(tmp_path / f"whole.{kind}", music(4.0), kind).read_bytes()
        at = self.pages(data)
        (tmp_path / "a.ogg").write_bytes(data[at[2] :] + data)
        _, issues, y = look(tmp_path / "a.ogg")
        assert len(y) == len(look(tmp_path / f"whole.{kind}")[2])
        reported = f"its beginning is missing: the first {len(data) - at[2]:,} bytes cannot be decoded"
        assert issues == [Issue("lost", reported)]
