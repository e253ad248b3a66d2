"""Pretrained codecs as representations, tested with randomly initialised ones in a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE, quick_train, tone

import noizenet
from noizenet.audio.waveform import Waveform
from noizenet.base.errors import ConfigError, UsageError
from noizenet.corpus.corpus import Corpus
from noizenet.representation.base import Representation, create

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module", params=["encodec", "dac"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("hub") / request.param
    if request.param == "encodec":
        config = transformers.EncodecConfig(
            num_filters=4, hidden_size=16, codebook_size=32, codebook_dim=16, num_lstm_layers=1,
            upsampling_ratios=[4, 4, 4, 2], sampling_rate=RATE, target_bandwidths=[0.5, 1.0],
        )  # fmt: skip
        transformers.EncodecModel(config).save_pretrained(path)
    else:
        config = transformers.DacConfig(
            encoder_hidden_size=8, downsampling_ratios=[4, 4, 8], decoder_hidden_size=32, n_codebooks=3,
            codebook_size=32, codebook_dim=4, sampling_rate=RATE,
        )  # fmt: skip
        transformers.DacModel(config).save_pretrained(path)
    return path


def make(folder: Path) -> Representation:
    return create({"name": "hub-codec", "model": str(folder), "codebooks": 2}, sample_rate=44_100, channels=1)


def test_codes_are_those_of_the_codec(folder: Path) -> None:
    import torch

    r = make(folder)
    x = tone(2.0)[: 125 * 128]
    codes = r.encode(Waveform(x, RATE))
    assert codes.shape == (125, 2)
    network = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        options = {"bandwidth": 1.0} if network.config.model_type == "encodec" else {}
        expected = network.encode(torch.from_numpy(x)[None, None], **options).audio_codes
    assert np.array_equal(codes, expected.reshape(-1, 125)[:2].T.numpy())


def test_decoding_in_chunks_equals_decoding_at_once(folder: Path) -> None:
    r = make(folder)
    codes = r.encode(Waveform(tone(3.0), RATE))
    decoder = r.decoder()
    parts = [decoder.push(codes[i : i + 7]) for i in range(0, len(codes), 7)]
    whole = r.decode(codes).samples
    assert np.array_equal(np.concatenate([*parts, decoder.finish()])[:, 0], whole)
    assert len(whole) == len(codes) * 128


def test_a_token_model_trains_and_generates(folder: Path, corpus: Corpus, tmp_path: Path) -> None:
    model = quick_train(
        corpus, tmp_path / "m", "token-lstm", "representation.name=hub-codec", f"representation.model={folder}",
        "representation.codebooks=2", epochs=1,
    )  # fmt: skip
    noizenet.generate(tmp_path / "m", tmp_path / "x.wav", noizenet.Controls(seconds=2.0, genre=corpus.genres[0]))
    assert soundfile.info(tmp_path / "x.wav").frames == 2 * RATE
    assert model.representation.digest  # type: ignore[attr-defined]


def test_unavailable_codecs_are_reported(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match="cannot be loaded"):
        create({"name": "hub-codec", "model": str(tmp_path / "none")}, sample_rate=RATE, channels=1)
    with pytest.raises(ConfigError, match="codebooks"):
        create({"name": "hub-codec", "model": str(folder), "codebooks": 20}, sample_rate=RATE, channels=1)
    with pytest.raises(ConfigError, match="another version"):
        create({"name": "hub-codec", "model": str(folder), "codebooks": 2, "digest": "x"}, sample_rate=RATE, channels=1)
