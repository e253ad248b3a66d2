"""The application: routes, each a few lines over the parts that do the work."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, FastAPI, Request, Response, WebSocket
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

from noizenet._version import __version__
from noizenet.base.errors import AudioError, DiskFullError, NoizenetError, UsageError
from noizenet.evaluation.aliveness import cause_of_death
from noizenet.generation.controls import Controls
from noizenet.generation.instrument import Instrument
from noizenet.studio import duel, recordings, trainings, uploads
from noizenet.studio.guard import REPORT_POLICY, Guard
from noizenet.studio.jobs import Queue
from noizenet.studio.library import Library
from noizenet.studio.names import checked, inside
from noizenet.studio.radio import Radio
from noizenet.studio.settings import Settings

STATIC = Path(str(resources.files("noizenet.studio"))) / "static"
LIVE = Path(str(resources.files("noizenet.course"))) / "live"
BLOCK_S = 0.1
MAKERS = 2
SEED_S = 5.0
MOST_BODY = 64 << 10
STATUS: dict[type, int] = {AudioError: 422, DiskFullError: 507}


class Studio:
    """What the routes share.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.port = settings.port
        self.library = Library(settings)
        self.pool = ThreadPoolExecutor(MAKERS, "noizenet-maker")
        self.radio = Radio(self.pool, settings.limits.listeners, settings.folder("recordings"))
        self.queue = Queue(settings.folder("jobs"))
        self.sampler = trainings.Sampler(settings, self.queue)

    def close(self) -> None:
        """Let go of threads; jobs go on."""
        self.sampler.close()
        self.queue.close()
        self.pool.shutdown(wait=False, cancel_futures=True)

    def warm_up(self) -> None:
        """Play a little of the first bundled model, so that the first listener need not wait for it to load."""
        with contextlib.suppress(NoizenetError, OSError, StopIteration):
            next(self.instrument({"model": next(iter(self.library.folders()))}))

    def instrument(self, asked: dict[str, str]) -> Instrument:
        """Make a listener's instrument from what the page asks for.

        Raises
        ------
        NoizenetError
            If it cannot be had.
        """
        model, packed = self.library.packed(asked.get("model", ""))
        try:
            seed = int(asked.get("seed") or "0")
        except ValueError as error:
            raise UsageError("seed: expected a whole number") from error
        song = inside(self.settings.folder("seeds"), asked["song"]) if asked.get("song") else None
        if song is not None and not song.is_file():
            raise UsageError("that song is not here any more; drop it in again")
        controls = Controls(
            seconds=None, seed=seed, genre=asked.get("genre") or None, block_seconds=BLOCK_S, seed_audio=song,
            seed_noise=asked.get("noise") or None, seed_seconds=SEED_S,
        )  # fmt: skip
        return Instrument(model, controls, cause_of_death, packed)


def create_app(settings: Settings) -> Any:
    """Return the application, guarded."""
    studio = Studio(settings)

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        studio.pool.submit(studio.warm_up)
        yield
        await asyncio.to_thread(studio.close)

    app = FastAPI(title="noizenet studio", version=__version__, docs_url=None, redoc_url=None, lifespan=life)
    app.state.studio = studio

    @app.exception_handler(NoizenetError)
    async def explain(_: Request, error: NoizenetError) -> Response:
        status = 400 if error.exit_code == 2 else STATUS.get(type(error), 500)
        return JSONResponse({"problem": str(error)}, status)

    _models(app, studio)
    _recordings(app, studio)
    _uploads(app, studio)
    _jobs(app, studio)
    _duels(app, studio)
    app.mount("/live", StaticFiles(directory=LIVE), name="live")
    app.mount("/", StaticFiles(directory=STATIC, html=True), name="static")
    return Guard(app, lambda: settings.hosts(studio.port), settings.token), studio


def _models(app: FastAPI, studio: Studio) -> None:
    @app.get("/api/models")
    def models() -> list[dict[str, Any]]:
        """List what can be heard."""
        return studio.library.describe()

    @app.get("/api/models/{name}/card")
    def card(name: str) -> Response:
        """Return a model's card."""
        path = studio.library.folder(name) / "card.md"
        return PlainTextResponse(path.read_text(encoding="utf-8") if path.is_file() else "This model has no card.")

    @app.get("/api/models/{name}/gates.json")
    def gates(name: str) -> Response:
        """Return what the model's gates do while it reads eight seconds of its own, for the course's page."""
        return FileResponse(_gates(studio, name) / "gates.json")

    @app.get("/api/models/{name}/gates.ogg")
    def gates_sound(name: str) -> Response:
        """Return what is read there."""
        return FileResponse(_gates(studio, name) / "gates.ogg")

    @app.get("/api/state")
    def state() -> dict[str, Any]:
        """Tell how the studio stands."""
        import psutil

        memory = psutil.Process().memory_info().rss
        pace = round(studio.radio.pace.real_time_factor, 2)
        return {"version": __version__, "listeners": studio.radio.listeners(), "pace": pace,
                "memory_bytes": memory}  # fmt: skip

    @app.websocket("/radio")
    async def radio(socket: WebSocket) -> None:
        await socket.accept()
        asked = dict(socket.query_params)
        session = studio.radio.find(asked.get("session", ""))
        try:
            if session is None:
                loop = asyncio.get_running_loop()
                instrument = await loop.run_in_executor(studio.pool, studio.instrument, asked)
                session = studio.radio.begin(asked.get("model", ""), instrument, secrets.token_hex(16))
        except NoizenetError as error:
            await socket.send_json({"type": "impossible", "why": str(error)[:300]})
            await socket.close(1008)
            return
        await studio.radio.serve(socket, session)


def _gates(studio: Studio, name: str) -> Path:
    from noizenet.audio.waveform import concatenate
    from noizenet.base.files import make_folder
    from noizenet.figures.gates import can_be_read, write_gates
    from noizenet.generation.stream import Stream

    folder = make_folder(inside(studio.settings.folder("made"), f"gates {checked(name)}"))
    sound, about = folder / "gates.ogg", studio.library.folder(name) / "model.json"
    newer = about.is_file() and sound.is_file() and about.stat().st_mtime > sound.stat().st_mtime
    if newer or not sound.is_file():  # trained further meanwhile, or never looked at
        model = studio.library.load(name)
        if not can_be_read(model):
            raise UsageError("the gates of models over codes are shown; this one writes samples")
        write_gates(model, concatenate(list(Stream(model, Controls(seconds=8.0)))), folder)
    return folder


def _recordings(app: FastAPI, studio: Studio) -> None:
    folder = studio.settings.folder("recordings")

    @app.get("/api/recordings")
    def listed() -> list[dict[str, Any]]:
        """List the recordings."""
        return recordings.listed(folder)

    @app.get("/api/recordings/{name}")
    def recording(name: str) -> Response:
        """Return a recording, or its recipe (.json)."""
        return _file(inside(folder, name))

    @app.post("/api/recordings/{name}/again")
    def again(name: str) -> Response:
        """Make a recording again from its recipe; the answer is the new file."""
        path = inside(folder, name)
        recipe = recordings.read_recipe(path.with_suffix(".json"))
        if not recipe:
            raise UsageError("no such recording")
        out = inside(studio.settings.folder("made"), f"again {path.name}")
        recordings.render(studio.library.load(str(recipe.get("model", ""))), recipe, out)
        return _file(out)

    @app.delete("/api/recordings/{name}")
    def remove(name: str) -> dict[str, str]:
        """Remove a recording and its recipe."""
        path = inside(folder, name)
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)
        return {"removed": name}


def _uploads(app: FastAPI, studio: Studio) -> None:
    settings = studio.settings

    @app.get("/api/collections")
    def collections() -> list[dict[str, Any]]:
        """List the collections that were uploaded."""
        return uploads.collections(settings)

    @app.put("/api/collections/{collection}/{name}")
    async def upload(request: Request, collection: str, name: str, genre: str = "") -> dict[str, Any]:
        """Take in a recording; the body is the file."""
        path = await asyncio.to_thread(uploads.target, settings, collection, genre, name)
        await uploads.receive(request.stream(), path, settings.limits.upload_bytes)
        return await asyncio.to_thread(uploads.accept, settings, path)

    @app.delete("/api/collections/{collection}")
    def remove(collection: str) -> dict[str, str]:
        """Remove a collection's recordings."""
        import shutil

        shutil.rmtree(inside(settings.folder("uploads"), collection), ignore_errors=True)
        return {"removed": collection}

    @app.put("/api/seeds/{name}")
    async def seed(request: Request, name: str) -> dict[str, Any]:
        """Take in a song to go on from."""
        suffix = uploads.sound_suffix(name)
        folder = settings.folder("seeds")
        for old in sorted((p for p in folder.iterdir() if p.is_file()), key=lambda p: p.stat().st_mtime)[:-49]:
            old.unlink(missing_ok=True)
        path = folder / f"{secrets.token_hex(8)}{suffix}"
        await uploads.receive(request.stream(), path, settings.limits.upload_bytes)
        return {"song": path.name, **await asyncio.to_thread(uploads.accept, settings, path, SEED_S)}

    @app.get("/api/noise/{kind}")
    def noise(kind: str, seed: int = 0) -> dict[str, Any]:
        """Return the noise that a seed stands for, as peaks to draw."""
        import numpy as np

        from noizenet.base.seeds import derive_seed
        from noizenet.generation import NOISE_SEEDS

        rate = 22_050
        rng = np.random.default_rng(derive_seed(max(0, seed), "seed noise"))
        samples = NOISE_SEEDS.load(kind)(rng, round(SEED_S * rate), rate)
        return {"peaks": [round(float(np.abs(p).max()), 3) for p in np.array_split(samples, 400)],
                "curve": [round(float(v), 4) for v in samples[: rate // 50]]}  # fmt: skip


def _jobs(app: FastAPI, studio: Studio) -> None:
    settings, queue = studio.settings, studio.queue

    @app.get("/api/recipes")
    def recipes() -> dict[str, str]:
        """List what can be trained."""
        from noizenet.training import RECIPES

        return dict(RECIPES)

    @app.get("/api/jobs")
    def jobs() -> list[dict[str, Any]]:
        """List trainings and evaluations."""
        return [trainings.progress(settings, queue, job) for job in queue.all()[:50]]

    @app.post("/api/trainings")
    def train(wish: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """Queue a training on a collection."""
        return trainings.progress(settings, queue, trainings.train_job(settings, queue, wish))

    @app.post("/api/evaluations")
    def evaluate(wish: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """Queue an evaluation of a model."""
        model = studio.library.folder(str(wish.get("model", "")))
        return trainings.progress(settings, queue, trainings.evaluate_job(settings, queue, wish, model))

    @app.post("/api/jobs/{key}/{wish}")
    def act(key: str, wish: str) -> dict[str, Any]:
        """Pause, resume, stop or forget a job."""
        return trainings.progress(settings, queue, queue.act(key, wish))

    @app.get("/api/jobs/{key}/log")
    def log(key: str) -> Response:
        """Return a job's last lines."""
        return PlainTextResponse("\n".join(queue.log(queue.get(key).key)))

    @app.get("/api/jobs/{key}/report")
    def report(key: str) -> Response:
        """Return an evaluation's report."""
        path = queue.folder(queue.get(key).key) / "report" / "report.html"
        return _file(path, {"content-security-policy": REPORT_POLICY})

    @app.get("/api/jobs/{key}/figures")
    def figures(key: str) -> Response:
        """Return an evaluation's figures."""
        return _file(queue.folder(queue.get(key).key) / "report" / "report.json")

    @app.get("/api/jobs/{key}/samples/{name}")
    def sample(key: str, name: str) -> Response:
        """Return what a training sounded like at a checkpoint."""
        return _file(inside(queue.folder(queue.get(key).key), name))


def _duels(app: FastAPI, studio: Studio) -> None:
    folder = studio.settings.folder("ab")

    @app.post("/api/duels")
    def begin(wish: Annotated[dict[str, Any], Body()]) -> dict[str, str]:
        """Let two models play, in an order that is not told."""
        names = str(wish.get("a", "")), str(wish.get("b", ""))
        models = studio.library.load(names[0]), studio.library.load(names[1])
        genre = wish.get("genre") or None
        return {"key": duel.begin(folder, names, models, None if genre is None else str(genre))}

    @app.get("/api/duels")
    def tally() -> list[dict[str, Any]]:
        """Return how often each was chosen."""
        return duel.tally(folder)

    @app.get("/api/duels/{key}/{side}")
    def side(key: str, side: str) -> Response:
        """Return one side's sound."""
        return _file(inside(folder, key, f"{side}.flac"))

    @app.post("/api/duels/{key}")
    def judge(key: str, wish: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """Keep a choice, and tell who played."""
        return duel.judge(folder, key, str(wish.get("choice", "")))


def _file(path: Path, headers: dict[str, str] | None = None) -> Response:
    if not path.is_file():
        return JSONResponse({"problem": "there is no such file"}, 404)
    return FileResponse(path, headers=headers)
