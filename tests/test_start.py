"""Starts: many at once, from a cache that is damaged, old, read-only or absent; consoles of every kind; waiting."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from conftest import RATE, is_root, tone
from hypothesis import given, settings
from hypothesis import strategies as st

from noizenet.audio.peaks import pick_peaks
from noizenet.base import compiled, process
from noizenet.base.compiled import CompiledStore, pack, unpack

KEY = b"key"


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(compiled, "callbacks", compiled.Callbacks(on_note=found.append))
    return found


def store(*places: Path, cpu: str = "cpu", code: str = "code") -> CompiledStore:
    return CompiledStore(cpu, code, list(places))


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return an environment whose caches are in `folder`."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "OMP_", "GOMP_", "KMP_"))}
    return {**inherited, "XDG_CACHE_HOME": str(folder / "cache"), "TMPDIR": str(folder), **more}


def python_path(folder: Path) -> str:
    """Return PYTHONPATH with `folder` in front."""
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))


def run_python(code: str, env: dict[str, str], timeout: float = 120) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout, check=False)


def run_noizenet(
    *arguments: object, env: dict[str, str] | None = None, **options: object
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "noizenet", *map(str, arguments)]
    return subprocess.run(command, env=env, timeout=300, check=False, **options)  # type: ignore[call-overload]


class TestStore:
    def test_what_is_kept_is_found_under_its_own_key_alone(self, tmp_path: Path) -> None:
        kept = store(tmp_path)
        assert kept.load("f", KEY) is None
        assert kept.save("f", KEY, b"code") == tmp_path / "cpu-code" / "f.bin"
        assert store(tmp_path).load("f", KEY) == b"code"
        assert store(tmp_path).load("f", b"other") is None
        assert store(tmp_path, code="new").load("f", KEY) is None
        assert store(tmp_path, cpu="new").load("f", KEY) is None

    @given(data=st.binary(max_size=300), key=st.binary(max_size=40), seed=st.integers(0, 2**32))
    @settings(max_examples=150, deadline=None)
    def test_whatever_happens_to_a_file_is_noticed(self, data: bytes, key: bytes, seed: int) -> None:
        whole, rng = pack(key, data), random.Random(seed)
        assert unpack(whole, key) == data
        changed = bytearray(whole)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        others = [bytes(changed), whole[: rng.randrange(len(whole))], whole + b"\0", rng.randbytes(len(whole))]
        for content in others:
            assert unpack(content, key) is None
        assert unpack(pack(key + b"x", data), key) is None

    @pytest.mark.parametrize("harm", ["truncated", "random", "empty", "swapped", "folder", "link", "unreadable"])
    def test_a_poisoned_cache_is_rebuilt(self, tmp_path: Path, harm: str, notes: list[str]) -> None:
        kept = store(tmp_path)
        kept.save("f", KEY, b"right" * 100)
        kept.save("g", b"g", b"wrong" * 100)
        path = tmp_path / "cpu-code" / "f.bin"
        if harm == "truncated":
            path.write_bytes(path.read_bytes()[:-7])
        elif harm == "random":
            path.write_bytes(random.Random(0).randbytes(600))
        elif harm == "empty":
            path.write_bytes(b"")
        elif harm == "swapped":
            path.write_bytes((tmp_path / "cpu-code" / "g.bin").read_bytes())
        elif harm == "unreadable":
            path.chmod(0)
        else:
            path.unlink()
            if harm == "folder":
                (path / "inner").mkdir(parents=True)
            else:
                path.symlink_to(tmp_path / "nowhere")
        again = store(tmp_path)
        if harm != "unreadable" or not is_root():
            assert again.load("f", KEY) is None
        assert again.save("f", KEY, b"right" * 100) == path
        assert store(tmp_path).load("f", KEY) == b"right" * 100
        assert store(tmp_path).state().damaged == 0
        assert not notes

    def test_a_folder_that_others_can_write_to_is_not_trusted(self, tmp_path: Path) -> None:
        store(tmp_path).save("f", KEY, b"planted")
        (tmp_path / "cpu-code").chmod(0o777)
        kept = store(tmp_path)
        assert kept.load("f", KEY) is None
        kept.save("f", KEY, b"ours")
        assert (tmp_path / "cpu-code").stat().st_mode & 0o777 == 0o700
        assert store(tmp_path).load("f", KEY) == b"ours"

    def test_where_nothing_can_be_kept_the_next_place_is_taken_and_told_once(
        self, tmp_path: Path, notes: list[str]
    ) -> None:
        barred, second = tmp_path / "file" / "compiled", tmp_path / "second"
        (tmp_path / "file").write_text("not a folder")
        kept = store(barred, second)
        for name in "fgh":
            assert kept.save(name, KEY, b"code") == second / "cpu-code" / f"{name}.bin"
        assert len(notes) == 1
        assert str(barred) in notes[0]
        assert str(second) in notes[0]
        assert store(barred, second).load("f", KEY) == b"code"
        state = store(barred, second).state()
        assert (state.temporary, state.writable, state.count) == (True, True, 3)
        nowhere = store(barred)
        assert nowhere.save("f", KEY, b"code") is None
        assert nowhere.state().folder is None
        assert len(notes) == 2
        with nowhere.compiling():
            assert not nowhere.claim()

    def test_the_code_before_is_kept_and_no_older_one(self, tmp_path: Path) -> None:
        def of(cpu: str, code: str) -> tuple[str, str]:
            return cpu * 8, code * 16

        def here() -> set[str]:
            return {p.name[0] + p.name[-1] for p in tmp_path.iterdir()}

        for age, key in enumerate(["a3", "a2", "b3", "a1", "a0"][::-1]):
            cpu, code = of(*key)
            store(tmp_path, cpu=cpu, code=code).save("f", KEY, b"")
            os.utime(tmp_path / f"{cpu}-{code}", (time.time() - 1000 + age,) * 2)
        assert here() == {"a2", "a3", "b3"}
        os.utime(tmp_path / "-".join(of("b", "3")), (0, 0))  # a processor that has not been here for long
        cpu, code = of("a", "4")
        store(tmp_path, cpu=cpu, code=code).save("f", KEY, b"")
        assert here() == {"a3", "a4"}

    def test_one_compiles_and_the_other_waits(self, tmp_path: Path) -> None:
        order: list[str] = []
        inside = threading.Event()

        def first() -> None:
            kept = store(tmp_path)
            with kept.compiling():
                kept.claim()
                inside.set()
                time.sleep(0.3)
                order.append("compiled")
                kept.save("f", KEY, b"code")

        thread = threading.Thread(target=first)
        thread.start()
        inside.wait()
        kept = store(tmp_path)
        with kept.compiling():
            assert kept.claim()
            order.append("loaded")
            assert kept.load("f", KEY) == b"code"
        thread.join()
        assert order == ["compiled", "loaded"]

    def test_one_that_hangs_is_not_waited_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compiled, "LOCK_TIMEOUT_S", 0.2)
        held, kept = store(tmp_path), store(tmp_path)
        with held.compiling():
            held.claim()
            with kept.compiling():
                assert kept.claim()


TINY = """
    import numpy as np
    from noizenet.kernels.cache import store
    from noizenet.kernels.products import Pack, add_product
    pack = Pack("fp32")
    row = np.asarray(pack.add(np.eye(8, dtype=np.float32)))
    weights, scales, _ = pack.arrays()
    y = np.zeros(8, np.float32)
    add_product(weights, scales, row, 0, 8, np.arange(8, dtype=np.float32), y)
    assert y.tolist() == list(range(8))
    print(sum(add_product.stats.cache_hits.values()), store().state().count)
"""


class TestCompiledFunctions:
    def test_two_simultaneous_cold_starts_and_later_starts(self, tmp_path: Path) -> None:
        env = environment(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "numba"))
        command = [sys.executable, "-c", textwrap.dedent(TINY)]
        both = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        outs = [p.communicate(timeout=200)[0] for p in both]
        assert [p.returncode for p in both] == [0, 0]
        hits = sorted(int(out.split()[0]) for out in outs)
        assert hits == [0, 1]  # one compiled, the other loaded its code
        again = run_python(TINY, env)
        assert again.returncode == 0
        assert again.stdout.split()[0] == "1"
        assert not (tmp_path / "numba").exists()  # the user's numba cache is not used
        # Another processor does not use the cached code.
        other = run_python(TINY, {**env, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""})
        assert other.returncode == 0, other.stderr
        assert other.stdout.split()[0] == "0"
        # Damage in every file is detected; the code is compiled again and is correct.
        for i, path in enumerate(sorted((tmp_path / "cache").rglob("*.bin"))):
            data = path.read_bytes()
            path.write_bytes([data[: len(data) // 2], b"", data[::-1]][i % 3])
        recompiled = run_python(TINY, env)
        assert recompiled.returncode == 0, recompiled.stderr
        assert recompiled.stdout.split()[0] == "0"

    def test_it_works_without_a_writable_folder(self, tmp_path: Path) -> None:
        env = environment(tmp_path, XDG_CACHE_HOME="/proc/none", TMPDIR="/proc/none", HOME="/proc/none")
        code = "import tempfile; tempfile.tempdir = '/proc/none'" + textwrap.dedent(TINY)
        found = run_python(code, env)
        assert found.returncode == 0, found.stderr
        assert found.stdout.split() == ["0", "0"]

    def test_products_do_not_depend_on_the_cache(self, tmp_path: Path) -> None:
        """The first process compiles, the others load some or all: each gives the same bits, in either order."""
        code = """
            import hashlib, sys
            import numpy as np
            from noizenet.kernels.products import Pack, add_product, add_products
            digests = {"one": hashlib.sha256(), "many": hashlib.sha256()}
            for precision in ("bf16", "int8", "fp32"):
                for rows, columns in ((96, 5), (100, 33), (40, 17), (513, 12)):
                    rng = np.random.default_rng(rows)
                    pack = Pack(precision)
                    row = np.asarray(pack.add(rng.standard_normal((rows, columns)).astype(np.float32)))
                    weights, scales, _ = pack.arrays()
                    x = rng.standard_normal((3, columns)).astype(np.float32)
                    for way in sys.argv[1:]:
                        y = np.ones((3, rows), np.float32)
                        if way == "many":
                            add_products(weights, scales, row, rows, x, y)
                        for i in range(3 * (way == "one")):
                            add_product(weights, scales, row, 0, rows, x[i], y[i])
                        digests[way].update(y.tobytes())
            print(*{digests[way].hexdigest() for way in sys.argv[1:]})
        """
        env, found = environment(tmp_path), list[str]()
        for ways in (["one"], ["one", "many"], ["many", "one"], ["many"]):
            command = [sys.executable, "-c", textwrap.dedent(code), *ways]
            done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=True)
            found += done.stdout.split()
        assert len(set(found)) == 1, found

    def test_librosas_compiled_functions_are_in_the_store(self, tmp_path: Path) -> None:
        code = """
            from noizenet.base import compiled
            from noizenet.kernels.cache import load_librosa
            from numba.core import caching, dispatcher
            from numba.np.ufunc import gufunc, ufuncbuilder
            progress = []
            compiled.callbacks = compiled.Callbacks(on_progress=lambda *what: progress.append(what))
            librosa = load_librosa()
            assert dispatcher.FunctionCache is ufuncbuilder.FunctionCache is caching.FunctionCache
            assert gufunc.GUFuncBuilder is ufuncbuilder.GUFuncBuilder  # numba is restored
            import numpy as np
            x = np.sin(np.arange(100.0))
            print(int(librosa.util.localmax(x).sum()), int(librosa.zero_crossings(x).sum()), len(progress))
        """
        env = environment(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "numba"))
        # Librosa may compile for a quarter of a minute; the cache of this test run may already contain it.
        env["XDG_CACHE_HOME"] = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
        for _ in range(4):
            found = run_python(code, env, timeout=200)
            assert found.returncode == 0, found.stderr
            *sums, compiled_now = found.stdout.split()
            assert sums == ["16", "32"]
            if compiled_now == "0":  # all was cached by the previous run; tests of other code may remove it meanwhile
                break
        assert compiled_now == "0"
        assert not (tmp_path / "numba").exists()

    def test_functions_compiled_at_their_first_call_are_in_the_store(self, tmp_path: Path) -> None:
        """As in librosa from 1.0 on: without given types nothing is compiled when the module is imported."""
        module = """
            import numba

            @numba.guvectorize("(n)->(n)", nopython=True, cache=True)
            def shifted(x, y):
                y[:] = x + 1

            @numba.vectorize(nopython=True, cache=True)
            def square(x):
                return x * x

            @numba.jit(nopython=True, cache=True)
            def half(x):
                return x / 2
        """
        (tmp_path / "lazily.py").write_text(textwrap.dedent(module))
        code = """
            import sys
            import numpy as np
            from noizenet.base import compiled
            from noizenet.kernels.cache import _redirect_numba_caches, store
            progress = []
            compiled.callbacks = compiled.Callbacks(on_progress=lambda *what: progress.append(what))
            with _redirect_numba_caches():
                import lazily
            x, out = np.arange(3.0), np.zeros(3)
            calls = [lambda: lazily.shifted(x, out), lambda: lazily.square(x), lambda: lazily.half(8.0)]
            before = store().state().count
            sums = [float(np.sum(call())) for call in calls[:: int(sys.argv[1])]]
            print(*sorted(sums), out.sum())
            print(before, store().state().count, len(progress))
        """
        env = environment(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "numba"), PYTHONPATH=python_path(tmp_path))
        # Another order gives other counters in the names of functions.
        for order, counts in (("1", "0 3 6"), ("-1", "3 3 0")):
            command = [sys.executable, "-c", textwrap.dedent(code), order]
            found = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
            assert found.returncode == 0, found.stderr
            assert found.stdout.splitlines() == ["4.0 5.0 6.0 6.0", counts]
        assert not (tmp_path / "numba").exists()

    def test_assumptions_about_numba(self) -> None:
        from numba.core import caching, dispatcher
        from numba.np.ufunc import gufunc, ufuncbuilder, wrappers

        assert gufunc.GUFuncBuilder is ufuncbuilder.GUFuncBuilder
        for module in (dispatcher, ufuncbuilder):
            assert module.FunctionCache is caching.FunctionCache
        for cache in (caching.FunctionCache, wrappers.GufWrapperCache):
            assert {"reduce", "rebuild", "check_cachable"} <= set(dir(cache._impl_class))
        assert {"_index_key", "_load_overload", "_save_overload"} <= set(dir(caching.Cache))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_eight_processes_start_cold_five_times(sample_model: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "s.wav", np.tile(tone(5.0), 4), RATE)
    beats = "from noizenet.audio.beats import find_beats; import soundfile; find_beats(*soundfile.read('s.wav', dtype='float32'))"
    features = (
        "from noizenet.kernels.cache import load_librosa; import soundfile; "
        "x, rate = soundfile.read('s.wav', dtype='float32'); load_librosa().feature.mfcc(y=x, sr=rate)"
    )
    commands = [
        ["-m", "noizenet", "generate", "token-lstm", "a{i}.wav", "--seconds", "1"],
        ["-m", "noizenet", "view", "s.wav", "v{i}.png", "--kind", "all"],
        ["-c", features],
        ["-c", beats],
    ]

    def start(i: int, env: dict[str, str]) -> subprocess.Popen[str]:
        command = [sys.executable, *(part.format(i=i) for part in commands[i % 4])]
        return subprocess.Popen(
            command, env=env, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    for cold in range(5):
        env = environment(tmp_path, XDG_CACHE_HOME=str(tmp_path / f"cache-{cold}"))
        for count in (8, 4):  # all at once, then each command again from the cache
            together = [start(i, env) for i in range(count)]
            for child in together:
                _, err = child.communicate(timeout=1200)
                assert child.returncode in (0, 1), (child.args, child.returncode, err)  # never by a signal
                assert child.returncode == 0 or "a bug" not in err, err
                assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_the_first_start_generates_the_same_as_later_ones(
    precision: str, sample_model: Path, token_model: Path, paper_model: Path, tmp_path: Path
) -> None:
    """Code just compiled and code from the cache give the same bits, for all matrix sizes."""
    for model in (sample_model, token_model, paper_model):
        env = environment(tmp_path, XDG_CACHE_HOME=str(tmp_path / model.name))
        made = []
        for start in range(2):
            out = tmp_path / f"{model.name}-{start}.wav"
            done = run_noizenet("generate", model, out, "--seconds", 2, "--seed", 3, "--precision", precision, env=env)
            assert done.returncode == 0
            made.append(out.read_bytes())
        assert made[0] == made[1], model.name


class TestPeaks:
    @given(
        data=st.lists(st.integers(0, 12), min_size=1, max_size=120), maximum=st.integers(1, 8),
        average=st.integers(1, 20), wait=st.integers(0, 8), quarters=st.integers(1, 12),
    )  # fmt: skip
    @settings(max_examples=200, deadline=None)
    def test_they_are_librosas(self, data: list[int], maximum: int, average: int, wait: int, quarters: int) -> None:
        x = np.asarray(data, np.float64)
        delta = quarters / 4 + 0.01  # no threshold falls on a mean
        theirs = librosa.util.peak_pick(
            x, pre_max=maximum, post_max=maximum, pre_avg=average, post_avg=average, delta=delta, wait=wait
        )
        ours = pick_peaks(x, maximum=maximum, average=average, delta=delta, wait=wait)
        assert ours.tolist() == theirs.tolist()

    def test_nothing_has_no_peaks(self) -> None:
        assert pick_peaks(np.zeros(0), maximum=3, average=3, delta=0.1, wait=1).tolist() == []
        assert pick_peaks(np.zeros(50), maximum=3, average=3, delta=0.1, wait=1).tolist() == []


class TestConsole:
    NAME = "Ж–×ü.wav"

    @pytest.fixture
    def sound(self, tmp_path: Path) -> Path:
        soundfile.write(tmp_path / self.NAME, tone(1.0), RATE)
        return tmp_path / self.NAME

    @pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
    def test_commands_run_with_every_console_encoding(self, sound: Path, encoding: str) -> None:
        env = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
        view = run_noizenet("view", sound, sound.with_suffix(".png"), env=env, capture_output=True)
        assert view.returncode == 0, view.stderr
        wrong = run_noizenet("view", sound.with_name("Ω×.wav"), "v.png", env=env, capture_output=True)
        assert wrong.returncode in (1, 2)
        for text in (view.stderr, wrong.stderr, wrong.stdout):
            assert b"Traceback" not in text
            assert b"a bug" not in text
        assert b"\\u03a9" in wrong.stderr
        models = run_noizenet("models", env=env, capture_output=True)
        assert models.returncode == 0, models.stderr
        plain = run_noizenet("models", "--json", env=env, capture_output=True)
        json.loads(plain.stdout.decode(encoding))

    @pytest.mark.parametrize("columns", ["0", "1", "7", "-3", "many", str(10**12)])
    def test_invalid_widths_keep_words_whole(self, columns: str, tmp_path: Path) -> None:
        env = {**os.environ, "COLUMNS": columns}
        models = run_noizenet("models", env=env, capture_output=True)
        assert models.returncode == 0, models.stderr
        for word in (b"token-lstm", b"genres", b"recipes", b"paper-rnn"):
            assert word in models.stdout
        assert len(models.stdout) < 1_000_000
        assert b"Try one: noizenet generate" in models.stderr
        demo = run_noizenet(
            "corpus", "demo", tmp_path / "c", "--minutes", 0.1, "--sample-rate", 8000, env=env,
            capture_output=True,
        )  # fmt: skip
        assert demo.returncode == 0, demo.stderr
        assert all(len(line.strip()) != 1 for line in demo.stderr.decode().splitlines())

    @pytest.mark.parametrize("columns", [1, 5, 39, 80])
    def test_a_narrow_terminal_gets_whole_lines_and_no_progress_bar(self, columns: int, tmp_path: Path) -> None:
        import fcntl
        import pty
        import struct
        import termios

        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")} | {"TERM": "xterm"}
        command = [sys.executable, "-m", "noizenet", "corpus", "demo", tmp_path / "c", "--minutes", "0.1",
                   "--sample-rate", "8000"]  # fmt: skip
        with subprocess.Popen(command, env=env, stdin=terminal, stdout=subprocess.PIPE, stderr=terminal) as child:
            os.close(terminal)
            messages = b""
            with contextlib.suppress(OSError):  # raised when the terminal's last program has ended
                while part := os.read(controller, 1 << 16):
                    messages += part
            assert child.stdout is not None
            table = child.stdout.read()
        os.close(controller)
        assert child.returncode == 0, messages
        assert b"validation" in table
        assert b"Traceback" not in messages
        assert (b"\x1b[" in messages) == (columns >= 40)  # a progress bar needs this width
        if columns < 40:
            assert all(len(line.strip()) != 1 for line in messages.splitlines())

    def test_a_name_that_is_not_utf8_is_printed_escaped(self, tmp_path: Path) -> None:
        name = os.fsencode(tmp_path) + b"/\xff\xe9.wav"
        env = {**os.environ, "LC_ALL": "C"}
        command = [sys.executable, "-m", "noizenet", "view", name, os.fsencode(tmp_path / "v.png")]
        found = subprocess.run(command, env=env, capture_output=True, check=False, timeout=100)
        assert found.returncode in (1, 2)
        assert rb"\udcff\udce9.wav" in found.stderr
        assert b"Traceback" not in found.stderr

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
    def test_a_full_disk_behind_standard_output_gives_one_line(self) -> None:
        with Path("/dev/full").open("wb") as full:
            for arguments in (["--version"], ["models"], ["models", "--json"], ["--help"]):
                found = run_noizenet(*arguments, stdout=full, stderr=subprocess.PIPE)
                assert found.returncode == 1, arguments
                assert found.stderr.count(b"\n") == 1, found.stderr
                assert b"standard output" in found.stderr
                assert b"the disk is full" in found.stderr
            found = run_noizenet("models", stdout=subprocess.PIPE, stderr=full)
            assert found.returncode == 0
            found = run_noizenet("nonsense", stdout=subprocess.PIPE, stderr=full)
            assert found.returncode == 2

    @pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
    def test_commands_run_with_closed_streams(self, sound: Path, closed: str) -> None:
        out = sound.with_name("v.png")
        for command, code in ((f"view '{sound}' '{out}'", 0), ("models", 0), ("nonsense", 2)):
            line = f"exec '{sys.executable}' -m noizenet {command} {closed}"
            found = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=False, timeout=100)
            assert found.returncode == code, (command, found.stderr)
            assert b"Traceback" not in found.stderr
        assert out.read_bytes().startswith(b"\x89PNG")  # no message was written into the file

    def test_a_pipe_closed_by_its_reader_is_no_failure(self) -> None:
        line = f"'{sys.executable}' -m noizenet models --json; echo $? >&2"
        with subprocess.Popen(["/bin/sh", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.close()
            assert child.stderr is not None
            assert child.stderr.read().split() == [b"0"]


class TestThreadWaiting:
    def test_the_variables_are_set_unless_the_user_set_one(self) -> None:
        for preset in ({}, {"OMP_NUM_THREADS": "3"}):
            env = dict(preset)
            process.set_openmp_waiting(env)
            assert env == {**preset, **process.WAITING}
        for name in process.CHOICES:
            env = {name: "x"}
            process.set_openmp_waiting(env)
            assert env == {name: "x"}

    def test_commands_set_the_variables_and_the_library_does_not(self, tmp_path: Path) -> None:
        env = environment(tmp_path)
        code = "import noizenet.api, os; print([k for k in os.environ if k.startswith(('OMP', 'GOMP', 'KMP'))])"
        assert run_python(code, env).stdout.strip() == "[]"
        code = """
            import os, sys
            from noizenet.cli import main
            assert 'torch' not in sys.modules and 'numpy' not in sys.modules  # they load OpenMP
            sys.argv = ['noizenet', '--version']
            try:
                main.run()
            except SystemExit:
                print(os.environ.get('GOMP_SPINCOUNT'))
        """
        assert run_python(code, env).stdout.split()[-1] == process.WAITING["GOMP_SPINCOUNT"]


class TestDoctor:
    def checks(self, env: dict[str, str], *arguments: str) -> tuple[int, dict[str, tuple[bool | None, str]]]:
        found = run_noizenet("doctor", "--json", *arguments, env=env, capture_output=True)
        assert b"Traceback" not in found.stderr
        return found.returncode, {c["name"]: (c["ok"], c["detail"]) for c in json.loads(found.stdout)["checks"]}

    def test_the_state_of_the_cache_is_reported(self, tmp_path: Path) -> None:
        env = environment(tmp_path)
        code, found = self.checks(env)
        assert code == 0
        ok, text = found["kernel cache"]
        assert ok
        assert text.startswith("0 compiled functions")
        assert run_python(TINY, env).returncode == 0
        text = self.checks(env)[1]["kernel cache"][1]
        assert not text.startswith("0 ")
        assert str(tmp_path / "cache") in text
        barred = {**env, "XDG_CACHE_HOME": "/proc/none"}
        ok, text = self.checks(barred)[1]["kernel cache"]
        assert ok is None
        assert "/proc/none" in text
        assert f"{tmp_path}/noizenet-" in text

    def test_decoders_and_the_waiting_of_threads_are_reported(self, tmp_path: Path) -> None:
        import av

        code, found = self.checks(environment(tmp_path, PATH="/nowhere"))  # no ffmpeg program is needed
        assert code == 0
        assert av.__version__ in found["decoders"][1]
        assert found["decoders"][0]
        assert found["sound files"][0]
        assert "GOMP_SPINCOUNT" in found["threads"][1]
        text = self.checks(environment(tmp_path, OMP_WAIT_POLICY="ACTIVE"))[1]["threads"][1]
        assert "OMP_WAIT_POLICY=ACTIVE" in text


@pytest.mark.parametrize("error", [MemoryError(), ImportError("libx.so: failed to map segment from shared object")])
def test_a_lack_of_memory_is_not_reported_as_a_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    from noizenet.cli import main as cli_main

    def fail(_: list[str]) -> None:
        raise error

    monkeypatch.setattr(cli_main, "build_app", fail)
    assert cli_main.main(["models"]) == 1
    err = capsys.readouterr().err
    assert "memory" in err
    assert "bug" not in err


@pytest.mark.skipif(sys.platform == "win32", reason="its processes have no such limit")
@pytest.mark.parametrize("megabytes", [120, 200, 250, 290])
def test_a_memory_limit_does_not_hang_a_command(megabytes: int, tmp_path: Path) -> None:
    """With so little memory, OpenBLAS would retry its allocation for ever."""
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    found = run_noizenet(
        "corpus",
        "demo",
        str(tmp_path / "c"),
        env=environment(tmp_path),
        capture_output=True,
        preexec_fn=limit,
    )
    assert found.returncode == 1
    assert found.stderr.count(b"\n") == 1
    assert f"limited to {megabytes} MiB".encode() in found.stderr
