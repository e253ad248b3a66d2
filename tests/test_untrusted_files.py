"""Files that others made: folders that are swapped, links, pipes, devices, and content that only looks right."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from conftest import is_root

from noizenet.base.compiled import CompiledStore, pack

KEY = b"key"
posix = pytest.mark.skipif(os.name != "posix", reason="no links, pipes or owners of this kind")


def store(*places: Path, cpu: str = "0" * 8, code: str = "1" * 16) -> CompiledStore:
    return CompiledStore(cpu, code, list(places))


@posix
class TestCompiledCode:
    def shared(self, tmp_path: Path) -> Path:
        """A folder as /tmp is: everybody may write to it."""
        folder = tmp_path / "shared"
        folder.mkdir()
        folder.chmod(0o1777)
        return folder

    def planted(self, folder: Path) -> None:
        (folder / f"{'0' * 8}-{'1' * 16}").mkdir(parents=True)
        (folder / f"{'0' * 8}-{'1' * 16}" / "f.bin").write_bytes(pack(KEY, b"planted"))

    @pytest.mark.parametrize("depth", [0, 1, 2])
    def test_a_link_on_the_way_from_a_shared_folder_is_not_followed(self, tmp_path: Path, depth: int) -> None:
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

    def test_a_folder_of_another_user_in_a_shared_one_is_not_used(self, tmp_path: Path) -> None:
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

    def test_what_was_found_good_is_looked_at_again(self, tmp_path: Path) -> None:
        kept = store(tmp_path / "kept")
        kept.save("f", KEY, b"ours")
        assert kept.load("f", KEY) == b"ours"
        (tmp_path / "kept" / f"{'0' * 8}-{'1' * 16}").chmod(0o777)
        assert kept.load("f", KEY) is None

    def test_a_link_of_the_users_own_in_a_folder_of_their_own_is(self, tmp_path: Path) -> None:
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
