"""Untrusted files: replaced folders, links, pipes, devices, and forged content."""

from __future__ import annotations

import copy
import io
import json
import os
import shutil
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import QUICK, is_root, quick_train

from noizenet.base.compiled import CompiledStore, pack
from noizenet.base.config import parse_assignment, read_toml
from noizenet.base.errors import ConfigError, CorpusError, ModelError, NoizenetError, TrainingError
from noizenet.base.files import folder_lock
from noizenet.corpus.corpus import Corpus
from noizenet.store.model import load
from noizenet.training import checkpoint, encoded
from noizenet.training.loop import train
from noizenet.training.options import configure
from noizenet.training.plan import Budget

KEY = b"key"
posix = pytest.mark.skipif(os.name != "posix", reason="no links, pipes or owners of this kind")


def store(*places: Path, cpu: str = "0" * 8, code: str = "1" * 16) -> CompiledStore:
    return CompiledStore(cpu, code, list(places))


def put(path: Path, what: str) -> None:
    """Replace a file by something that is not a regular file."""
    path.unlink(missing_ok=True)
    if what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()


def copied(corpus: Corpus, tmp_path: Path) -> Path:
    return Path(shutil.copytree(corpus.folder, tmp_path / "corpus"))


@posix
class TestCompiledCode:
    def shared(self, tmp_path: Path) -> Path:
        """Create a folder like /tmp, which everybody may write to."""
        folder = tmp_path / "shared"
        folder.mkdir()
        folder.chmod(0o1777)
        return folder

    def planted(self, folder: Path) -> None:
        (folder / f"{'0' * 8}-{'1' * 16}").mkdir(parents=True)
        (folder / f"{'0' * 8}-{'1' * 16}" / "f.bin").write_bytes(pack(KEY, b"planted"))

    @pytest.mark.parametrize("depth", [0, 1, 2])
    def test_a_link_in_a_shared_folder_is_not_followed(self, tmp_path: Path, depth: int) -> None:
        shared, theirs = self.shared(tmp_path), tmp_path / "theirs"
        place = shared / "noizenet-1" / "compiled"
        key = f"{'0' * 8}-{'1' * 16}"
        self.planted(theirs / "noizenet-1" / "compiled")
        if depth == 0:
            (shared / "noizenet-1").symlink_to(theirs / "noizenet-1")
        elif depth == 1:  # a folder that others can write to, with a link in it
            (shared / "noizenet-1").mkdir()
            (shared / "noizenet-1").chmod(0o777)
            place.symlink_to(theirs / "noizenet-1" / "compiled")
        else:
            place.mkdir(parents=True)
            (place / key).symlink_to(theirs / "noizenet-1" / "compiled" / key)
        assert store(place).load("f", KEY) is None
        store(place).save("f", KEY, b"ours")
        assert (theirs / "noizenet-1" / "compiled" / key / "f.bin").read_bytes() == pack(KEY, b"planted")

    def test_a_folder_of_another_user_is_not_used(self, tmp_path: Path) -> None:
        if not is_root():
            pytest.skip("only root can give a folder away")
        place = self.shared(tmp_path) / "noizenet-1" / "compiled"
        self.planted(place)
        assert store(place).load("f", KEY) == b"planted"  # ours
        os.chown(place.parent, 12345, 12345)
        assert store(place).load("f", KEY) is None
        assert store(place).save("f", KEY, b"ours") is None

    def test_a_link_to_a_file_is_not_read(self, tmp_path: Path) -> None:
        kept = store(tmp_path / "kept")
        kept.save("f", KEY, b"ours")
        path = tmp_path / "kept" / f"{'0' * 8}-{'1' * 16}" / "f.bin"
        path.rename(tmp_path / "elsewhere.bin")
        path.symlink_to(tmp_path / "elsewhere.bin")
        assert kept.load("f", KEY) is None

    def test_a_folder_is_checked_each_time(self, tmp_path: Path) -> None:
        kept = store(tmp_path / "kept")
        kept.save("f", KEY, b"ours")
        assert kept.load("f", KEY) == b"ours"
        (tmp_path / "kept" / f"{'0' * 8}-{'1' * 16}").chmod(0o777)
        assert kept.load("f", KEY) is None

    def test_a_link_of_the_user_in_a_private_folder_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "disk").mkdir()
        (tmp_path / "cache").symlink_to("disk")
        assert store(tmp_path / "cache" / "compiled").save("f", KEY, b"ours")
        assert store(tmp_path / "cache" / "compiled").load("f", KEY) == b"ours"

    def test_only_its_own_folders_are_removed(self, tmp_path: Path) -> None:
        kept = [f"{'2' * 8}-music", "photographs", f"{'2' * 8}-{'A' * 16}"]
        for name in kept:
            (tmp_path / "kept" / name).mkdir(parents=True)
            os.utime(tmp_path / "kept" / name, (0, 0))
        (tmp_path / "precious").mkdir()
        (tmp_path / "precious" / "file").write_text("x")
        link = tmp_path / "kept" / f"{'2' * 8}-{'3' * 16}"
        link.symlink_to(tmp_path / "precious")
        os.utime(link, (0, 0), follow_symlinks=False)
        gone = tmp_path / "kept" / f"{'2' * 8}-{'4' * 16}"
        gone.mkdir()
        os.utime(gone, (time.time() - 1e9,) * 2)
        store(tmp_path / "kept").save("f", KEY, b"")
        assert not gone.exists()
        assert (tmp_path / "precious" / "file").exists()
        assert all((tmp_path / "kept" / name).is_dir() for name in kept)


@posix
class TestPipesDevicesAndLinks:
    """A file that would block or never end is reported at once; otherwise the test would hang."""

    @pytest.mark.parametrize("what", ["pipe", "device", "folder"])
    @pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
    def test_in_a_model(self, paper_model: Path, tmp_path: Path, name: str, what: str) -> None:
        folder = Path(shutil.copytree(paper_model, tmp_path / "model"))
        put(folder / name, what)
        with pytest.raises(ModelError, match=f"{name}.*{what}"):
            load(folder)

    @pytest.mark.parametrize("what", ["pipe", "device"])
    @pytest.mark.parametrize("name", ["corpus.json", "tracks.csv", "audio"])
    def test_in_a_corpus(self, corpus: Corpus, tmp_path: Path, name: str, what: str) -> None:
        folder = copied(corpus, tmp_path)
        put(folder / "audio" / corpus.tracks[0].audio if name == "audio" else folder / name, what)
        with pytest.raises(CorpusError):
            Corpus(folder).read(corpus.tracks[0])

    @pytest.mark.parametrize("what", ["pipe", "device", "folder"])
    def test_as_configuration(self, tmp_path: Path, what: str) -> None:
        put(tmp_path / "x.toml", what)
        with pytest.raises(ConfigError, match=what):
            read_toml(tmp_path / "x.toml")

    def test_audio_through_a_link_is_refused(self, corpus: Corpus, tmp_path: Path) -> None:
        folder = copied(corpus, tmp_path)
        (folder / "audio").rename(tmp_path / "elsewhere")
        (folder / "audio").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(CorpusError, match="is a symbolic link"):
            Corpus(folder).read(corpus.tracks[0])

    def test_a_code_cache_that_is_a_link_is_not_used(self, corpus: Corpus, tmp_path: Path) -> None:
        folder = copied(corpus, tmp_path)
        shutil.rmtree(folder / "codes", ignore_errors=True)
        (tmp_path / "elsewhere").mkdir()
        (folder / "codes").symlink_to(tmp_path / "elsewhere")
        path = folder / "codes" / "key" / "x.npy"
        encoded._save_array(path, np.zeros((3, 2)))
        assert not any((tmp_path / "elsewhere").iterdir())
        (tmp_path / "elsewhere" / "key").mkdir()
        np.save(path, np.zeros((3, 2)))
        assert encoded._load_array(path) is None

    def test_a_lock_that_is_a_link_leaves_its_target_alone(self, tmp_path: Path) -> None:
        (tmp_path / "precious").write_text("x")
        (tmp_path / "work").mkdir()
        (tmp_path / "work" / ".lock").symlink_to(tmp_path / "precious")
        with pytest.raises(NoizenetError, match="is a link"), folder_lock(tmp_path / "work", "corpus"):
            pass
        assert (tmp_path / "precious").read_text() == "x"


class TestContent:
    def test_an_array_larger_than_its_file_is_not_used(self, tmp_path: Path) -> None:
        path = tmp_path / "k" / "codes.npy"
        for values in (np.arange(12, dtype=np.int16).reshape(6, 2), np.zeros((0, 4), np.float32), np.ones(3)):
            encoded._save_array(path, values)
            kept = encoded._load_array(path)
            assert kept is not None
            assert np.array_equal(kept, values)
            assert kept.dtype == values.dtype
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<i2", "fortran_order": False, "shape": (10**12, 2)})
        path.write_bytes(header.getvalue() + b"\0" * 100)
        assert encoded._load_array(path) is None

    def test_deeply_nested_toml_is_an_error_of_one_line(self, tmp_path: Path) -> None:
        deep = "[" * 100_000
        (tmp_path / "x.toml").write_text(f"a={deep}")
        with pytest.raises(ConfigError, match="nested too deeply"):
            read_toml(tmp_path / "x.toml")
        with pytest.raises(ConfigError, match="nested too deeply"):
            parse_assignment(f"model.hidden={deep}")


FORGED: list[Callable[[dict[str, Any], dict[str, Any]], object]] = [
    lambda n, t: n.pop("identity"),
    lambda n, t: n.update(identity=3),
    lambda n, t: n.update(step="x"),
    lambda n, t: n.update(step=-1),
    lambda n, t: n.pop("elapsed"),
    lambda n, t: n.update(elapsed=float("nan")),
    lambda n, t: n.update(history=[{}]),
    lambda n, t: n.update(history=3),
    lambda n, t: n.update(best_measures=[1]),
    lambda n, t: n.update(best_measures={"loss": []}),
    lambda n, t: n.update(reader=[]),
    lambda n, t: n["reader"].update(lanes=[[0, 0]]),
    lambda n, t: n["reader"].update(lanes=[[10**9, 0]] * len(n["reader"]["lanes"])),
    lambda n, t: n.update(groups={}),
    lambda n, t: n.update(groups=[{}]),
    lambda n, t: n["groups"][0].update(lr="fast"),
    lambda n, t: n["good_groups"][0].pop("params"),
    lambda n, t: n.update(guard={}),
    lambda n, t: t.update(state=t["state"][:, :1]),
    lambda n, t: t.pop("torch_random"),
    lambda n, t: t.update({next(k for k in t if k.startswith("good.")): t["state"]}),
    lambda n, t: t.update({"optimizer.0.exp_avg": t["state"]}),
    lambda n, t: t.update({"optimizer.x.exp_avg": t["state"]}),
]


def test_a_forged_resume_point_is_an_error_of_one_line(corpus: Corpus, tmp_path: Path) -> None:
    quick_train(corpus, tmp_path / "m", "paper-lstm", epochs=0.1)
    found = checkpoint.read(tmp_path / "m")
    assert found is not None
    for i, forge in enumerate(FORGED):
        tensors, numbers = dict(found[0]), copy.deepcopy(found[1])
        forge(numbers, tensors)
        folder = tmp_path / str(i)
        folder.mkdir()
        numbers.pop("format")
        checkpoint.write(folder, tensors, numbers)  # with the right digest
        with pytest.raises(TrainingError, match="checkpoint"):
            train(corpus, folder, configure("paper-lstm", None, QUICK), Budget(epochs=0.1), resume=True)


@pytest.fixture
def token_copy(token_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(token_model, tmp_path / "model"))


class TestCodecsOfModels:
    """An untrusted model does not choose which files are opened or which servers are called."""

    def changed(self, folder: Path, **values: object) -> None:
        about = json.loads((folder / "model.json").read_bytes())
        about["representation"].update(values)
        (folder / "model.json").write_text(json.dumps(about))

    def test_a_model_contains_its_codec(self, token_copy: Path) -> None:
        assert json.loads((token_copy / "model.json").read_bytes())["representation"]["codec"] == "codec"
        assert load(token_copy).representation.codec == str(token_copy / "codec")  # type: ignore[attr-defined]

    @pytest.mark.parametrize("where", ["absolute", "above", "link"])
    def test_a_codec_elsewhere_is_not_opened(self, token_copy: Path, tmp_path: Path, where: str) -> None:
        (token_copy / "codec").rename(tmp_path / "other")
        if where == "link":
            (token_copy / "codec").symlink_to(tmp_path / "other")
        else:
            self.changed(token_copy, codec=str(tmp_path / "other") if where == "absolute" else "../other")
        with pytest.raises(ModelError, match="codec"):
            load(token_copy)
        if where != "link":
            (tmp_path / "other").rename(token_copy / "codec")  # the remedy of the message
            load(token_copy)

    def test_nothing_is_fetched_without_consent(self, token_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        transformers = pytest.importorskip("transformers")
        asked: list[Any] = []

        def refuse(name: str, **how: Any) -> None:
            asked.append(how["local_files_only"])
            raise OSError("not here")

        monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", refuse)
        self.changed(token_copy, name="hub-codec", model="evil/phone-home")
        for consent in ("", "1"):
            monkeypatch.setenv("NOIZENET_HUB", consent)
            with pytest.raises(NoizenetError, match="NOIZENET_HUB=1"):
                load(token_copy)
        assert asked == [True, False]


def test_a_zip_is_unpacked_only_up_to_the_size_of_its_architecture(paper_model: Path, tmp_path: Path) -> None:
    packed = (paper_model / "model.safetensors").read_bytes()
    for i, weights in enumerate([packed, packed + os.urandom(2 << 20), b"\0" * (64 << 20)]):
        with zipfile.ZipFile(tmp_path / f"{i}.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
            bundle.write(paper_model / "model.json", "m/model.json")
            bundle.writestr("m/model.safetensors", weights)
    assert load(tmp_path / "0.zip").genres
    for i in (1, 2):
        tracemalloc.start()
        with pytest.raises(ModelError, match="larger than any"):
            load(tmp_path / f"{i}.zip")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 16 << 20
