"""What was tried against the studio from inside and outside, and is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from studio_server import Server, hello, running, take, told
from test_studio_files import put, wav

from noizenet.base.bundled import bundled
from noizenet.studio.settings import Settings

MODEL = "token-lstm"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("attacked")
    given = Path(shutil.copytree(bundled("models")[MODEL], folder / "named" / "Given"))
    with running(Settings(folder / "data", port=0, models=(given,))) as server:
        yield server


def test_a_jobs_samples_are_all_that_is_given_of_its_folder(studio: Server) -> None:
    put(studio, "c/a.wav", wav(1.0))
    key = studio.ask("POST", "/api/trainings", json={"name": "m", "collection": "c", "minutes": 1}).json()["key"]
    studio.ask("POST", f"/api/jobs/{key}/stop")
    folder = studio.studio.settings.folder("jobs") / key
    inner = ["job.json", "commands.json", "log.txt", "ended.json", "sample-1.json", "sample-000001.flac.x"]
    for name in [*inner, "sample-000001.flac"]:
        (folder / name).touch()
    for name in inner:
        assert studio.ask("GET", f"/api/jobs/{key}/samples/{name}").status_code == 404, name
    assert studio.ask("GET", f"/api/jobs/{key}/samples/sample-000001.flac").ok
    (job,) = [j for j in studio.ask("GET", "/api/jobs").json() if j["key"] == key]
    assert job["samples"] == ["sample-000001.flac"]


@pytest.mark.parametrize("name", [MODEL, MODEL.upper(), "Given", "given"])
def test_no_training_takes_the_place_of_a_model_that_was_given(studio: Server, name: str) -> None:
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
def test_one_bad_model_hides_no_other(studio: Server, text: str) -> None:
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


def test_moves_that_no_json_holds_are_refused(studio: Server) -> None:
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
            refused, _ = told(listening, "refused")
            json.loads(json.dumps(refused, allow_nan=False))
        listening.send(json.dumps({"type": "more", "samples": 10**1500}))
        assert take(listening, 9000)[0]
