"""The application: routes, each a few lines over the parts that do the work."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, FastAPI, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException

from noizenet._version import __version__
from noizenet.base.errors import NoizenetError, UsageError
from noizenet.generation.controls import Controls
from noizenet.studio import ab_test, recordings, trainings, uploads
from noizenet.studio.core import SEED_S, Studio
from noizenet.studio.guard import REPORT_POLICY, Guard
from noizenet.studio.memory import give_back
from noizenet.studio.names import checked, inside, safe_name
from noizenet.studio.quotas import make_room
from noizenet.studio.refusals import explain, not_understood_because, status_of, wanted
from noizenet.studio.settings import Settings
from noizenet.studio.shield import UNFORESEEN, Shield

STATIC = Path(str(resources.files("noizenet.studio"))) / "static"
LIVE = Path(str(resources.files("noizenet.course"))) / "live"
LOG = "studio.log"


def create_app(settings: Settings) -> Any:
    """Return the application, guarded."""
    studio = Studio(settings)

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        studio.builders.submit(studio.warm_up)
        house = asyncio.create_task(studio.keep_house())
        yield
        house.cancel()
        await asyncio.to_thread(studio.close)

    app = FastAPI(title="noizenet studio", version=__version__, docs_url=None, redoc_url=None, lifespan=life)
    app.state.studio = studio

    @app.exception_handler(NoizenetError)
    async def explained(_: Request, error: NoizenetError) -> Response:
        return JSONResponse({"problem": studio.problem(error)}, status_of(error))

    @app.exception_handler(OSError)
    async def told(_: Request, error: OSError) -> Response:
        problem = explain(error, Path(str(error.filename or "the file")).name)
        return JSONResponse({"problem": studio.problem(problem)}, status_of(problem))

    @app.exception_handler(Exception)
    async def unforeseen(_: Request, error: Exception) -> Response:
        return JSONResponse({"problem": UNFORESEEN}, 500)  # and raised again, for the shield to log

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        return JSONResponse({"problem": str(error.detail)[:200]}, error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def not_understood(_: Request, error: RequestValidationError) -> Response:
        return JSONResponse({"problem": not_understood_because(error.errors())}, 422)

    _models(app, studio)
    _recordings(app, studio)
    _uploads(app, studio)
    _jobs(app, studio)
    _duels(app, studio)
    app.mount("/live", StaticFiles(directory=LIVE), name="live")
    app.mount("/", StaticFiles(directory=STATIC, html=True), name="static")
    shield = Shield(app, takes_files, settings.data / LOG)
    return Guard(shield, lambda: settings.hosts(studio.port), settings.token), studio


class _Lines(PathConvertor):
    """Matches any path: Starlette's own ends at a line's end, which names of files may hold."""

    regex = r"[\s\S]*"


register_url_convertor("lines", _Lines())


def announced(request: Request) -> int:
    """Return how many bytes a request's header says that its body has; 0 where it does not say."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) < 100 else 0


def takes_files(method: str, path: str) -> bool:
    """Tell whether a request's body is a sound file."""
    return method == "PUT" and path.startswith(("/api/collections/", "/api/seeds/"))


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
                "recordings_going_on": studio.radio.recording(),
                "memory_bytes": memory}  # fmt: skip

    @app.websocket("/radio")
    async def radio(socket: WebSocket) -> None:
        await socket.accept()
        asked = dict(socket.query_params)
        session = studio.radio.find(asked.get("session", ""))
        try:
            if session is None:
                session = await studio.begin(asked)
        except NoizenetError as error:
            await socket.send_json({"type": "impossible", "why": studio.problem(error)[:300]})
            await socket.close(1008)
            return
        await studio.radio.serve(socket, session)


def _gates(studio: Studio, name: str) -> Path:
    from noizenet.audio.waveform import concatenate
    from noizenet.base.files import make_folder
    from noizenet.figures.gates import has_lstm_gates, write_gates
    from noizenet.generation.stream import Stream

    model_folder, limits = studio.library.folder(name), studio.settings.limits
    folder = inside(studio.settings.folder("made"), safe_name(f"gates {name}"))
    sound, about = folder / "gates.ogg", model_folder / "model.json"

    def is_there() -> bool:  # and the model was not trained further meanwhile
        return sound.is_file() and not (about.is_file() and about.stat().st_mtime > sound.stat().st_mtime)

    if is_there():
        return folder
    with studio.heavy:
        if is_there():  # who had the turn before asked for the same
            return folder
        model, packed = studio.library.packed(name)
        if not has_lstm_gates(model):
            raise UsageError("the gates of models over codes are shown; this one writes samples")
        make_room(studio.settings.folder("made"), limits.made, limits.made_bytes)
        music = concatenate(list(Stream(model, Controls(seconds=8.0), packed=packed)))
        write_gates(model, music, make_folder(folder))
        give_back()
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
        if recipe.get("unfinished"):
            raise UsageError("this recording goes on still")
        limits, made = studio.settings.limits, studio.settings.folder("made")
        make_room(made, limits.made, limits.made_bytes)
        out = inside(made, f"again {path.name}")
        with studio.heavy:
            model, packed = studio.library.packed(str(recipe.get("model", "")))
            recordings.render(model, packed, recipe, path, studio.settings.folder("seeds"), out)
            give_back()
        return _file(out)

    @app.delete("/api/recordings/{name}")
    def remove(name: str) -> dict[str, str]:
        """Remove a recording and its recipe."""
        if not inside(folder, name).is_file():
            raise HTTPException(404, f"no recording {name[:80]!r}")
        recordings.remove(inside(folder, name))
        return {"removed": name}


def _uploads(app: FastAPI, studio: Studio) -> None:
    settings = studio.settings

    @app.get("/api/collections")
    def collections() -> list[dict[str, Any]]:
        """List the collections that were uploaded."""
        return uploads.collections(settings)

    @app.put("/api/collections/{collection}/{name:lines}")
    async def upload(request: Request, collection: str, name: str, genre: str = "") -> dict[str, Any]:
        """Take in a recording; the body is the file, its name may be a path whose first folder is the genre.

        The answer tells where it was stored: names that a file cannot have are changed, taken ones get a number.
        """
        place = uploads.place_of(collection, genre, name)
        await asyncio.to_thread(uploads.admit, settings, place[0])
        received = await uploads.receive(settings, request.stream(), place[-1], announced(request))
        return await studio.decode(uploads.accept, received.size, settings, place, received)

    @app.delete("/api/collections/{collection}")
    def remove(collection: str) -> dict[str, str]:
        """Remove a collection's recordings."""
        if not inside(settings.folder("uploads"), collection).is_dir():
            raise HTTPException(404, f"no collection {collection[:80]!r}")
        uploads.remove(settings, collection)
        return {"removed": collection}

    @app.put("/api/seeds/{name}")
    async def seed(request: Request, name: str) -> dict[str, Any]:
        """Take in a song to go on from; its end is kept."""
        name = safe_name(name, "unnamed")
        uploads.sound_suffix(name)
        received = await uploads.receive(settings, request.stream(), name, announced(request))
        return await studio.decode(uploads.accept_seed, received.size, settings, name, received, SEED_S)

    @app.get("/api/noise/{kind}")
    def noise(kind: str, seed: int = 0) -> dict[str, Any]:
        """Return the noise that a seed stands for, as peaks to draw."""
        import numpy as np

        from noizenet.base.seeds import derive_seed
        from noizenet.generation import PROMPT_NOISES

        rate = 22_050
        rng = np.random.default_rng(derive_seed(max(0, seed), "seed noise"))
        samples = PROMPT_NOISES.load(kind)(rng, round(SEED_S * rate), rate)
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
        model = studio.library.folder(wanted(wish, "model"))
        return trainings.progress(settings, queue, trainings.evaluate_job(settings, queue, wish, model))

    @app.post("/api/jobs/{key}/{wish}")
    def transition(key: str, wish: str) -> dict[str, Any]:
        """Pause, resume, stop or forget a job."""
        return trainings.progress(settings, queue, queue.transition(key, wish))

    @app.get("/api/jobs/{key}/log")
    def log(key: str) -> Response:
        """Return a job's last lines."""
        return PlainTextResponse(studio.problem("\n".join(queue.log(queue.get(key).key))))

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
        """Return what a training sounded like at a checkpoint; nothing else that lies in a job's folder."""
        folder = queue.folder(queue.get(key).key)
        return _file(inside(folder, name if trainings.SAMPLE.fullmatch(name) else "none"))


def _duels(app: FastAPI, studio: Studio) -> None:
    folder = studio.settings.folder("ab")

    @app.post("/api/duels")
    def begin(wish: Annotated[dict[str, Any], Body()]) -> dict[str, str]:
        """Let two models play, in an order that is not told."""
        names = wanted(wish, "a"), wanted(wish, "b")
        genre = wish.get("genre") or None
        with studio.heavy:
            key = ab_test.begin(
                folder, names, studio.library.packed, None if genre is None else str(genre), studio.settings.limits
            )
            give_back()
        return {"key": key}

    @app.get("/api/duels")
    def tally() -> list[dict[str, Any]]:
        """Return how often each was chosen."""
        return ab_test.tally(folder)

    @app.get("/api/duels/{key}/{side}")
    def side(key: str, side: str) -> Response:
        """Return one side's sound."""
        return _file(inside(folder, checked(key), f"{checked(side)}.flac"))

    @app.post("/api/duels/{key}")
    def judge(key: str, wish: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """Keep a choice, and tell who played."""
        return ab_test.judge(folder, key, wanted(wish, "choice"))


def _file(path: Path, headers: dict[str, str] | None = None) -> Response:
    if not path.is_file():
        return JSONResponse({"problem": "there is no such file"}, 404)
    return FileResponse(path, headers=headers)
