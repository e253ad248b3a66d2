"""Fetch freely licensed music from Debian packages: ``python tools/fetch_corpus.py --tiny FOLDER``.

The results in `docs/results.md` and continuous integration use this music. The output is
``FOLDER/<genre>/<package>__<track>``, with each package's copyright file in ``FOLDER/.copyright`` and a table of
versions in ``FOLDER/LICENSES.tsv``. Genres are rough styles of packages, not of tracks. Files below 350 kB are left
out: most are sound effects. An interrupted run continues with the package that it was at.

Packages come from apt where it has them, otherwise from a mirror over HTTPS, so the script runs on every system.
Each package is compared with the SHA-256 of the index that names it.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import lzma
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

import requests

TINY = {"noiz2sa-data": "electronic", "hex-a-hop-data": "acoustic"}
"""18 MB, 20 minutes of music."""
FULL = {
    "wesnoth-1.16-music": "orchestral", "warzone2100-music": "electronic", "singularity-music": "ambient",
    "marsshooter-data": "metal", "planetblupi-music-ogg": "pop", "hyperrogue-music": "acoustic",
}  # fmt: skip
"""483 MB, 11 hours."""
LARGE = FULL | {
    "nexuiz-music": "electronic", "ufoai-music": "electronic", "supertuxkart-data": "pop",
    "colobot-common-sounds": "ambient", "fillets-ng-data": "acoustic", "pushover-data": "pop", "hedgewars-data": "pop",
    "freedroidrpg-data": "ambient", "megaglest-data": "orchestral", "fretsonfire-songs-sectoid": "metal",
    "fretsonfire-songs-muldjord": "metal", "pathological": "electronic", "lincity-ng-data": "acoustic",
    "extremetuxracer-data": "pop", "xmoto-data": "electronic", "widelands-data": "orchestral", "0ad-data": "orchestral",
    "redeclipse-data": "electronic",
}  # fmt: skip
"""4.8 GB, 29 hours."""
MIRROR, SUITE = "https://deb.debian.org/debian", "bookworm"
SOUND = (".ogg", ".opus", ".mp3", ".flac")
ARCHIVE = ".pk3"
"""Zip archives inside packages of games."""
LEAST_BYTES = 350 * 1024
MOST_BYTES = 2 << 30
BLOCK = 1 << 20


class FetchError(Exception):
    """A package cannot be fetched or is not what it should be; the text says which, and what to do."""


class Package(NamedTuple):
    """One entry of a package index."""

    filename: str
    sha256: str
    version: str


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group(required=True)
    for name, packages in (("tiny", TINY), ("full", FULL), ("large", LARGE)):
        size.add_argument(f"--{name}", dest="packages", action="store_const", const=packages)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mirror", help=f"fetch from this Debian mirror, not by apt (by default {MIRROR})")
    parser.add_argument("--suite", default=SUITE, help="Debian release whose packages to fetch from the mirror")
    options = parser.parse_args(arguments)
    try:
        fetch_all(options.packages, options.folder, options.mirror, options.suite)
    except FetchError as error:
        print(f"fetch_corpus: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"fetch_corpus: {error.filename or options.folder}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fetch_corpus: interrupted; run it again to continue", file=sys.stderr)
        return 130
    return 0


def fetch_all(packages: dict[str, str], folder: Path, mirror: str | None, suite: str) -> None:
    """Fetch each package that is not there yet, then print how much music each genre has."""
    folder.mkdir(parents=True, exist_ok=True)
    index: dict[str, Package] = {}
    for name, genre in packages.items():
        done = folder / f".done-{name}"
        if done.exists():
            continue
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as work:
            deb, version = (None, "") if mirror else apt_download(name, Path(work))
            if deb is None:
                index = index or read_index(mirror or MIRROR, suite)
                if name not in index:
                    raise FetchError(f"{name}: Debian {suite} has no such package; choose a --suite that has it")
                deb, version = download(mirror or MIRROR, name, index[name], Path(work)), index[name].version
            try:
                keep_music(deb, name, folder, genre, Path(work))
            except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, zipfile.BadZipFile) as error:
                raise FetchError(f"{name}: the package cannot be unpacked ({error}); run it again") from error
        add_licence(folder, name, version, genre)
        done.touch()
    for genre in sorted(set(packages.values())):
        files = [p for p in (folder / genre).glob("*") if p.is_file()]
        print(f"{genre:12} {len(files):4d} tracks, {sum(p.stat().st_size for p in files) / 1e6:.0f} MB")


def apt_download(name: str, work: Path) -> tuple[Path | None, str]:
    """Return a package downloaded by apt and its version, or None where apt is absent or does not know it."""
    if not shutil.which("apt-get") or not shutil.which("apt-cache"):
        return None, ""
    shown = apt_show(name)
    if shown is None and subprocess.run(["apt-get", "update", "-qq"], capture_output=True, check=False).returncode == 0:
        shown = apt_show(name)
    if shown is None:
        return None, ""
    done = subprocess.run(
        ["apt-get", "download", "-qq", f"{name}={shown.version}"], cwd=work, capture_output=True, text=True, check=False
    )
    found = sorted(work.glob(f"{name}_*.deb"))
    if done.returncode or not found:
        reason = (done.stderr.strip().splitlines() or ["apt-get gave no reason"])[-1]
        raise FetchError(f"{name}: apt-get cannot download it ({reason}); use --mirror {MIRROR}")
    check_digest(found[0], name, shown.sha256)
    return found[0], shown.version


def apt_show(name: str) -> Package | None:
    """Return apt's index entry of a package, or None."""
    done = subprocess.run(["apt-cache", "show", "--no-all-versions", name], capture_output=True, text=True, check=False)
    return parse_index(done.stdout).get(name)


def read_index(mirror: str, suite: str) -> dict[str, Package]:
    """Return a mirror's index of packages for all architectures, by name."""
    url = f"{mirror.rstrip('/')}/dists/{suite}/main/binary-all/Packages.xz"
    data = io.BytesIO()
    copy(url, data)
    try:
        return parse_index(lzma.decompress(data.getvalue()).decode("utf-8"))
    except (lzma.LZMAError, UnicodeDecodeError) as error:
        raise FetchError(f"{url}: not an index of packages ({error}); choose another --mirror") from error


def parse_index(text: str) -> dict[str, Package]:
    """Return the entries of a Debian package index, by name; of several versions the first."""
    found: dict[str, Package] = {}
    for entry in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^(Package|Filename|SHA256|Version):\s*(\S+)", entry, re.MULTILINE))
        if len(fields) == 4:
            found.setdefault(fields["Package"], Package(fields["Filename"], fields["SHA256"], fields["Version"]))
    return found


def download(mirror: str, name: str, package: Package, work: Path) -> Path:
    """Download a package from a mirror and check it."""
    path = work / f"{name}.deb"
    with path.open("wb") as out:
        copy(f"{mirror.rstrip('/')}/{package.filename}", out)
    check_digest(path, name, package.sha256)
    return path


def copy(url: str, out: IO[bytes]) -> None:
    """Write what a server answers to a file."""
    try:
        with requests.get(url, stream=True, timeout=(15, 60)) as answer:
            answer.raise_for_status()
            length, count = int(answer.headers.get("Content-Length", 0)), 0
            for block in answer.iter_content(BLOCK):
                count += out.write(block)
    except (requests.RequestException, ValueError) as error:
        raise FetchError(f"{url}: cannot be fetched ({error}); check the network and run it again") from error
    if length and count != length:
        raise FetchError(f"{url}: the connection ended after {count:,} of {length:,} bytes; run it again")


def check_digest(path: Path, name: str, wanted: str) -> None:
    """Compare a file with its SHA-256."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    if digest.hexdigest() != wanted:
        raise FetchError(f"{name}: the download does not match its checksum; run it again")


def keep_music(deb: Path, name: str, folder: Path, genre: str, work: Path) -> None:
    """Copy a package's music and its copyright file to the folder; the package's other files are not unpacked."""
    (folder / genre).mkdir(exist_ok=True)
    (folder / ".copyright").mkdir(exist_ok=True)
    found, chosen = False, dict[str, str]()

    def keep(source: IO[bytes], path: str) -> None:
        track = track_name(name, path)
        if chosen.get(track, "") < path:  # of two tracks of one name the last path, whatever the archive's order
            chosen[track] = path
            write(source, folder / genre / track)

    with open_data(deb, name, work) as data:
        for member in data:
            source = data.extractfile(member) if member.isfile() else None
            if source is None:
                continue
            path = PurePosixPath(member.name)
            if path.parts[-4:] == ("share", "doc", name, "copyright"):
                write(source, folder / ".copyright" / name)
                found = True
            elif path.suffix.lower() == ARCHIVE:
                write(source, work / "archive")
                with zipfile.ZipFile(work / "archive") as archive:
                    for info in archive.infolist():
                        if is_music(info.filename, info.file_size):
                            with archive.open(info) as track:
                                keep(track, info.filename)
            elif is_music(member.name, member.size):
                keep(source, member.name)
    if not found:
        raise FetchError(f"{name}: the package has no copyright file; leave it out")


def is_music(name: str, size: int) -> bool:
    """Return whether a file of a package is a track, by its ending and its size."""
    return name.lower().endswith(SOUND) and LEAST_BYTES < size < MOST_BYTES


def track_name(package: str, path: str) -> str:
    """Return the name of a track in the folder; it never contains a separator."""
    return f"{package}__" + re.split(r"[/\\]", path)[-1].replace(" ", "_")


def write(source: IO[bytes], path: Path) -> None:
    """Write a file that is whole or absent."""
    part = path.with_name(f".part-{path.name}")
    try:
        with part.open("wb") as out:
            shutil.copyfileobj(source, out, BLOCK)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def open_data(deb: Path, name: str, work: Path) -> tarfile.TarFile:
    """Return the archive of files inside a package (format: ``man 5 deb``)."""
    with deb.open("rb") as file:
        for member, size in ar_members(file, name):
            if member.startswith("data.tar"):
                with (work / "data.tar").open("wb") as out:
                    while size and (block := file.read(min(size, BLOCK))):
                        size -= out.write(block)
                return tarfile.open(work / "data.tar")
    raise FetchError(f"{name}: not a Debian package (no data.tar in it)")


def ar_members(file: IO[bytes], name: str) -> Iterator[tuple[str, int]]:
    """Yield name and size of each member of an ar archive; the file stands where the member begins."""
    if file.read(8) != b"!<arch>\n":
        raise FetchError(f"{name}: not a Debian package (no ar archive)")
    while len(header := file.read(60)) == 60:
        try:
            size = int(header[48:58])
        except ValueError as error:
            raise FetchError(f"{name}: not a Debian package (a damaged ar archive)") from error
        start = file.tell()
        yield header[:16].decode("ascii", "replace").strip().rstrip("/"), size
        file.seek(start + size + size % 2)


def add_licence(folder: Path, name: str, version: str, genre: str) -> None:
    """Add a package to the table of versions and licences."""
    table = folder / "LICENSES.tsv"
    lines = table.read_text(encoding="utf-8").splitlines() if table.exists() else []
    lines = lines or ["package\tversion\tgenre\tcopyright file"]
    lines = [line for line in lines if not line.startswith(f"{name}\t")]
    lines.append(f"{name}\t{version}\t{genre}\t.copyright/{name}")
    part = table.with_name(".part-LICENSES.tsv")
    part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    part.replace(table)


if __name__ == "__main__":
    sys.exit(main())
