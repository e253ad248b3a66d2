"""Attacks on the studio, from inside and outside, that are refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from studio_server import Server, hello, receive_audio, running, until, wait_for
from test_studio_files import put, wav

from noizenet.base.bundled import bundled
from noizenet.base.errors import UsageError
from noizenet.studio import app as app_module
from noizenet.studio import connections, core, scheduling, uploads
from noizenet.studio.core import Studio
from noizenet.studio.settings import Settings

MODEL = "token-lstm"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("attacked")
    given = Path(shutil.copytree(bundled("models")[MODEL], folder / "named" / "Given"))
    with running(Settings(folder / "data", port=0, models=(given,))) as server:
        yield server


def test_only_the_samples_of_a_jobs_folder_are_served(studio: Server) -> None:
    put(studio, "c/a.wav", wav(1.0))
    key = studio.ask("POST", "/api/trainings", json={"name": "m", "collection": "c", "minutes": 1}).json()["key"]
    studio.ask("POST", f"/api/jobs/{key}/stop")
    until(lambda: {j["key"]: j["state"] for j in studio.ask("GET", "/api/jobs").json()}[key] in ("stopped", "failed"))
    folder = studio.studio.settings.folder("jobs") / key
    inner = ["job.json", "commands.json", "log.txt", "ended.json", "sample-1.json", "sample-000001.flac.x"]
    for name in [*inner, "sample-000001.flac"]:
        (folder / name).touch()
    for name in inner:
        assert studio.ask("GET", f"/api/jobs/{key}/samples/{name}").status_code == 404, name
    assert studio.ask("GET", f"/api/jobs/{key}/samples/sample-000001.flac").ok
    (job,) = [j for j in studio.ask("GET", "/api/jobs").json() if j["key"] == key]
    assert job["samples"] == ["sample-000001.flac"]
    assert studio.ask("POST", f"/api/jobs/{key}/forget").ok


@pytest.mark.parametrize("name", [MODEL, MODEL.upper(), "Given", "given"])
def test_a_training_cannot_replace_a_given_model(studio: Server, name: str) -> None:
    put(studio, "c/a.wav", wav(1.0))
    answer = studio.ask("POST", "/api/trainings", json={"name": name, "collection": "c", "minutes": 1})
    assert answer.status_code == 409
    assert "already" in answer.json()["problem"]


GOOD: dict[str, Any] = {
    "genres": ["a"], "representation": {"sample_rate": 22_050},
    "architecture": {"options": {"head": "depth", "genre_embedding": 1}}, "training": {"metrics": {"minutes": 1}},
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 50_000, json.dumps({**GOOD, "training": []}), json.dumps({**GOOD, "genres": 7}),
     json.dumps({**GOOD, "training": {"metrics": {"minutes": float("nan")}}}), json.dumps({**GOOD, "genres": ["\ud800"]}),
     json.dumps({**GOOD, "representation": {"sample_rate": float("inf")}}), "7" * 6000, "null", "\xff", ""],
    ids=range(11),
)  # fmt: skip
def test_an_unreadable_model_does_not_hide_others(studio: Server, text: str) -> None:
    folder = studio.studio.settings.folder("models") / "bad"
    folder.mkdir(exist_ok=True)
    (folder / "model.json").write_bytes(text.encode("latin-1"))
    answer = studio.ask("GET", "/api/models")
    assert answer.ok
    found = {model["name"]: model for model in answer.json()}
    assert "cannot be read" in found["bad"]["problem"]
    assert "problem" not in found[MODEL]
    with studio.listen(model="bad") as listening:
        assert hello(listening)["type"] == "impossible"
    shutil.rmtree(folder)


def test_moves_that_are_not_strict_json_are_refused(studio: Server) -> None:
    with studio.listen(model=MODEL) as listening:
        hello(listening)
        for text in (
            r'{"type":"move","mark":"\ud800"}', r'{"type":"move","return":"\ud800"}', r'{"type":"move","\ud800":1}',
            r'{"type":"move","set":{"genre":"\ud800"}}', r'{"type":"move","set":{"\ud800":1}}', r'{"type":"\ud800"}',
            *(f'{{"type":"move","set":{{"{name}":{value}}}}}' for name in ("tempo", "temperature", "inject_every")
              for value in ("9" * 1500, "-" + "9" * 1500, "NaN", "-Infinity", "1e999")),
            '{"type":"move","surprise":NaN}', '{"type":"more","samples":NaN}', '{"type":"record","on":true,"format":NaN}',
        ):  # fmt: skip
            listening.send(text)
            refused, _ = wait_for(listening, "refused")
            json.loads(json.dumps(refused, allow_nan=False))
        listening.send(json.dumps({"type": "more", "samples": 10**1500}))
        assert receive_audio(listening, 9000)[0]


def in_threads(count: int, work: Any) -> tuple[list[threading.Thread], list[Any]]:
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(work())) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, found


def test_heavy_work_does_not_block_other_requests(studio: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(app_module.ab_test, "create", lambda *_: "key" if ended.wait(60) else "")
    asked, answers = in_threads(60, lambda: studio.ask("POST", "/api/duels", json={"a": MODEL, "b": MODEL}))
    until(lambda: len(answers) >= 60 - scheduling.MAX_HEAVY_REQUESTS)
    assert studio.ask("GET", "/api/state").ok  # while the maximum of threads waits for the lock
    assert {a.status_code for a in answers} == {503}
    assert "busy" in answers[0].json()["problem"]
    ended.set()
    for thread in asked:
        thread.join()
    assert sorted(a.status_code for a in answers) == [200] * scheduling.MAX_HEAVY_REQUESTS + [503] * (
        60 - scheduling.MAX_HEAVY_REQUESTS
    )


def test_parallel_requests_render_once(studio: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from noizenet.figures import gates

    made = []
    monkeypatch.setattr(gates, "write_gates", lambda model, music, folder: (
        made.append(folder), time.sleep(0.3), [(folder / f"gates.{e}").touch() for e in ("ogg", "json")]))  # fmt: skip
    asked, answers = in_threads(4, lambda: studio.ask("GET", f"/api/models/{MODEL}/gates.json"))
    for thread in asked:
        thread.join()
    assert [a.status_code for a in answers] == [200] * 4
    assert len(made) == 1
    shutil.rmtree(made[0])


def test_slow_prompts_do_not_block_other_listeners(studio: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    ended, real = threading.Event(), Studio.create_instrument

    def slow(self: Studio, query: dict[str, str]) -> Any:
        if query.get("song"):
            ended.wait(60)
        return real(self, query)

    monkeypatch.setattr(Studio, "create_instrument", slow)
    song = studio.ask("PUT", "/api/seeds/s.wav", data=wav(1.0)).json()["song"]
    with contextlib.ExitStack() as stack:
        before = stack.enter_context(studio.listen(model=MODEL))
        hello(before)
        waiting = [stack.enter_context(studio.listen(model=MODEL, song=song)) for _ in range(8)]
        stack.callback(ended.set)
        assert receive_audio(before, 9000)[0]
        after = stack.enter_context(studio.listen(model=MODEL))
        assert hello(after)["type"] == "hello"
        assert receive_audio(after, 9000)[0]
        ended.set()
        assert {hello(one)["type"] for one in waiting} == {"hello"}


def test_a_small_upload_does_not_wait_for_large_ones(studio: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    ended, real = threading.Event(), uploads.probe

    def slow(path: Path, *given: Any, **named: Any) -> Any:
        if path.stat().st_size > 100_000:
            ended.wait(60)
        return real(path, *given, **named)

    monkeypatch.setattr(uploads, "probe", slow)
    monkeypatch.setattr(core, "SMALL_UPLOAD_BYTES", 100_000)
    large = wav(3.0)
    asked, answers = in_threads(6, lambda: put(studio, "large/a.wav", large))
    until(lambda: len(list(studio.studio.settings.folder("incoming").iterdir())) == 6)
    assert put(studio, "small/a.wav", wav(1.0)).ok
    assert not answers
    ended.set()
    for thread in asked:
        thread.join()
    assert all(a.ok for a in answers)


def test_a_slow_small_upload_is_retried_as_a_large_one(studio: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "SMALL_UPLOAD_TIMEOUT_S", 0.01)
    assert put(studio, "slow/a.wav", wav(1.0)).json()["stored"] == "a.wav"
    assert studio.ask("PUT", "/api/seeds/s.wav", data=wav(1.0)).json()["song"]
    assert put(studio, "slow/b.wav", b"no sound").status_code == 422
    assert not list(studio.studio.settings.folder("incoming").iterdir())


def test_links_in_uploads_are_not_followed(studio: Server, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "secret.wav").write_bytes(wav(1.0))
    put(studio, "own/a.wav", wav(1.0))
    root = studio.studio.settings.folder("uploads")
    (root / "out").symlink_to(tmp_path)
    (root / "twin").symlink_to(root / "own")
    (root / "own" / "genre").symlink_to(tmp_path / "private")
    (root / "own" / "b.wav").symlink_to(tmp_path / "private" / "secret.wav")
    try:
        found = {c["name"]: c for c in studio.ask("GET", "/api/collections").json()}
        assert not {"out", "twin"} & found.keys()
        assert (found["own"]["files"], found["own"]["genres"]) == (1, [])
        for name in ("out", "twin"):
            assert put(studio, f"{name}/a.wav", wav(1.0)).status_code in (400, 409)
        assert [p.name for p in tmp_path.iterdir()] == ["private"]
    finally:
        for link in ("out", "twin", "own/genre", "own/b.wav"):
            (root / link).unlink()


@pytest.mark.parametrize("token", ["long-enough;secret-", 'long-enough"secret-', "long-enough-sécret-", "long enough secret",
                                   "long-enough-secret\n", "long-enough&secret-"])  # fmt: skip
def test_a_token_needs_no_escaping_in_urls_and_cookies(tmp_path: Path, token: str) -> None:
    with pytest.raises(UsageError, match="--token"):
        Settings(tmp_path, token=token)
    assert Settings(tmp_path, host="0.0.0.0", token="Long-enough_secret.~9").token


def test_every_error_response_has_one_problem(studio: Server) -> None:
    for method, path, body, status in (
        ("POST", "/api/duels", b'{"a":' + b"[" * 30_000, 400), ("POST", "/api/duels", b"[" * 60_000, 400),
        ("GET", "/nothing.html", b"", 404), ("PATCH", "/api/models", b"", 405), ("POST", "/api/duels", b"{}x", 422),
    ):  # fmt: skip
        answer = studio.ask(method, path, data=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (status, 422)
        assert set(answer.json()) == {"problem"}


def test_repeated_warnings_are_suppressed() -> None:
    repeats = connections.RepeatFilter()

    def logged(text: str) -> str | None:
        record = logging.LogRecord("uvicorn.error", logging.WARNING, "", 0, text, (), None)
        return record.getMessage() if repeats.filter(record) else None

    assert [logged("Invalid"), logged("Invalid"), logged("Other"), logged("Invalid")] == [
        "Invalid",
        None,
        "Other",
        None,
    ]
    repeats._last["Invalid"] = time.monotonic() - connections.LOG_INTERVAL_S - 1, 2
    assert logged("Invalid") == "Invalid (2 more were suppressed)"


@pytest.mark.parametrize("query", [{"model": "no such model"}, {"session": "x", "model": MODEL, "genre": "none such"}])
def test_a_listener_may_close_during_the_response(
    studio: Server, monkeypatch: pytest.MonkeyPatch, query: dict[str, str]
) -> None:
    """A close frame that arrives before the studio's own is not an error."""
    start_session, gone = Studio.start_session, threading.Event()

    async def late(self: Studio, query: dict[str, str]) -> Any:
        await asyncio.to_thread(gone.wait, 10)
        await asyncio.sleep(0.2)  # the client's close frame has arrived and was answered
        return await start_session(self, query)

    monkeypatch.setattr(Studio, "start_session", late)
    log = studio.studio.settings.data / "studio.log"
    before = log.read_text() if log.exists() else ""
    with studio.listen(**query) as socket:
        gone.clear()
        threading.Timer(0.2, gone.set).start()
        socket.close(1000)
    until(lambda: gone.is_set() and not studio.studio.radio.listeners())
    time.sleep(0.6)
    assert (log.read_text() if log.exists() else "") == before
