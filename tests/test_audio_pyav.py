"""Differences between PyAV releases and between encoders: channel names, tags that are not UTF-8."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from noizenet.audio.read import AudioReader, read

RATE, HZ = 48_000, (300, 500, 700)


@pytest.mark.parametrize("named", ["2.1", "3.0"])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_third_channel_is_mixed_to_both_sides(tmp_path: Path, named: str, channels: int) -> None:
    t = np.arange(RATE) / RATE
    sines = np.stack([0.3 * np.sin(2 * np.pi * f * t) for f in HZ]).astype(np.float32)
    with av.open(str(tmp_path / "three.wav"), "w") as out:
        stream = out.add_stream("pcm_f32le", rate=RATE, layout=named)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sines.T.reshape(1, -1)), format="flt", layout=named)
        frame.sample_rate = RATE
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    decoded = read(tmp_path / "three.wav", channels=channels).samples.reshape(RATE, -1)
    spectra = np.abs(np.fft.rfft(decoded * np.hanning(RATE)[:, None], axis=0))[list(HZ)] / (RATE / 4)
    assert (spectra[2] > 0.08).all()  # the centre, on every side
    if channels == 2:
        assert spectra[0, 0] > 0.1 > 0.01 > spectra[0, 1]
        np.testing.assert_allclose(spectra[2, 0], spectra[2, 1], rtol=1e-4)


def test_invalid_utf8_in_a_tag_is_replaced(tmp_path: Path) -> None:
    riff = bytearray()
    info = b"INFOIART" + (6).to_bytes(4, "little") + b"caf\xe9!\0"
    sound = np.zeros(RATE, "<i2").tobytes()
    riff += b"fmt " + (16).to_bytes(4, "little") + np.array([1, 1], "<u2").tobytes()
    riff += np.array([RATE, 2 * RATE], "<u4").tobytes() + np.array([2, 16], "<u2").tobytes()
    riff += b"LIST" + len(info).to_bytes(4, "little") + info + b"data" + len(sound).to_bytes(4, "little") + sound
    path = tmp_path / "tagged.wav"
    path.write_bytes(b"RIFF" + (4 + len(riff)).to_bytes(4, "little") + b"WAVE" + riff)
    with AudioReader(path) as reader:
        assert reader.info.artist == "caf\ufffd!"
        assert sum(map(len, reader.blocks())) == RATE
