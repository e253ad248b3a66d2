"""The script that fetches music from Debian packages, against a mirror made here."""

from __future__ import annotations

import functools
import hashlib
import http.server
import importlib.util
import io
import lzma
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from test_fetch import make_zip

ROOT = Path(__file__).resolve().parent.parent
TRACK = bytes(range(256)) * 2000  # 512 kB


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fetch_corpus", ROOT / "tools" / "fetch_corpus.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package(files: dict[str, bytes], compression: str = "xz") -> bytes:
    """Return a Debian package of files."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("./usr/share/games/link.ogg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    out = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0\n"), (f"data.tar.{compression}", data.getvalue())):
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}".encode() + b"`\n" + content
        out += b"\n" * (len(content) % 2)
    return out


def copyright_of(name: str) -> dict[str, bytes]:
    return {f"./usr/share/doc/{name}/copyright": b"License: CC-BY-SA-3.0"}


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server of files that logs nothing."""

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class Mirror:
    """A folder laid out as a Debian mirror, and its address."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.address, self.entries = folder, address, list[str]()

    def add(self, name: str, deb: bytes, sha256: str | None = None) -> None:
        path = self.folder / "pool" / f"{name}_1.0_all.deb"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(deb)
        digest = sha256 or hashlib.sha256(deb).hexdigest()
        self.entries.append(
            f"Package: {name}\nVersion: 1.0\nDescription: x\n y\nFilename: pool/{path.name}\nSHA256: {digest}\n"
        )
        index = self.folder / "dists" / "old" / "main" / "binary-all" / "Packages.xz"
        index.parent.mkdir(parents=True, exist_ok=True)
        index.write_bytes(lzma.compress("\n".join(self.entries).encode()))


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    folder = tmp_path / "mirror"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield Mirror(folder, f"http://127.0.0.1:{server.server_address[1]}/")
        server.shutdown()


def fetch(script: ModuleType, mirror: Mirror, folder: Path) -> int:
    code = script.main(["--tiny", str(folder), "--mirror", mirror.address, "--suite", "old"])
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize("compression", ["xz", "gz"])
def test_music_and_licences_are_kept_and_nothing_else(
    script: ModuleType, mirror: Mirror, tmp_path: Path, compression: str
) -> None:
    games = {
        "./usr/share/games/a b.ogg": TRACK,
        "./usr/share/games/../../../../etc/evil.mp3": TRACK,
        "./usr/share/games/click.ogg": TRACK[:1000],
        "./usr/share/games/level.png": TRACK,
        "./usr/share/games/pack.pk3": make_zip(
            {"music/deep.OGG": TRACK[::-1], "..\\up.flac": TRACK, "short.ogg": b"x"}
        ),
    }
    mirror.add("noiz2sa-data", package(games | copyright_of("noiz2sa-data"), compression))
    mirror.add("hex-a-hop-data", package({"./m/t.mp3": TRACK} | copyright_of("hex-a-hop-data"), compression))
    out = tmp_path / "out"
    assert fetch(script, mirror, out) == 0
    files = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert files == {
        "electronic/noiz2sa-data__a_b.ogg", "electronic/noiz2sa-data__evil.mp3", "electronic/noiz2sa-data__deep.OGG",
        "electronic/noiz2sa-data__up.flac", "acoustic/hex-a-hop-data__t.mp3", ".copyright/noiz2sa-data",
        ".copyright/hex-a-hop-data", ".done-noiz2sa-data", ".done-hex-a-hop-data", "LICENSES.tsv",
    }  # fmt: skip
    assert (out / "electronic" / "noiz2sa-data__deep.OGG").read_bytes() == TRACK[::-1]
    assert (out / "LICENSES.tsv").read_text(encoding="utf-8").splitlines() == [
        "package\tversion\tgenre\tcopyright file",
        "noiz2sa-data\t1.0\telectronic\t.copyright/noiz2sa-data",
        "hex-a-hop-data\t1.0\tacoustic\t.copyright/hex-a-hop-data",
    ]


def test_what_is_there_is_not_fetched_again(script: ModuleType, mirror: Mirror, tmp_path: Path) -> None:
    for name in script.TINY:
        mirror.add(name, package({f"./{name}.ogg": TRACK} | copyright_of(name)))
    assert fetch(script, mirror, tmp_path / "out") == 0
    for deb in (mirror.folder / "pool").iterdir():
        deb.unlink()
    assert fetch(script, mirror, tmp_path / "out") == 0


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("checksum", "noiz2sa-data: the download does not match its checksum"),
        ("format", "noiz2sa-data: not a Debian package"),
        ("cut", "noiz2sa-data: the package cannot be unpacked"),
        ("no copyright", "noiz2sa-data: the package has no copyright file"),
        ("no package", "hex-a-hop-data: Debian old has no such package"),
        ("no file", "cannot be fetched"),
    ],
)
def test_a_fault_is_one_line_and_leaves_no_part(
    script: ModuleType, mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str, reason: str
) -> None:
    good = package({"./a.ogg": TRACK} | copyright_of("noiz2sa-data"))
    cut = package({"./a.ogg": b"x" * 400_000} | copyright_of("noiz2sa-data"))
    deb = {"format": b"<html>", "cut": cut[: len(cut) - 120], "no copyright": package({"./a.ogg": TRACK})}.get(
        fault, good
    )
    mirror.add("noiz2sa-data", deb, "0" * 64 if fault == "checksum" else None)
    if fault == "no file":
        (mirror.folder / "pool" / "noiz2sa-data_1.0_all.deb").unlink()
    assert fetch(script, mirror, tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    left = [p.name for p in (tmp_path / "out").rglob("*") if "part" in p.name or ".fetch" in p.name]
    assert not left
    assert (tmp_path / "out" / ".done-noiz2sa-data").exists() == (fault == "no package")


def test_no_mirror_is_one_line(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = script.main(["--tiny", str(tmp_path / "out"), "--mirror", "http://127.0.0.1:1"])
    assert code == 1
    assert "check the network" in capsys.readouterr().err
