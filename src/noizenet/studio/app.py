"""The web application: its routes."""

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
from noizenet.studio.access import REPORT_POLICY, AccessMiddleware
from noizenet.studio.core import PROMPT_S, Studio
from noizenet.studio.memory import release_memory
from noizenet.studio.middleware import INTERNAL_ERROR, RequestMiddleware
from noizenet.studio.names import check_name, path_inside, safe_name
from noizenet.studio.quotas import evict_oldest
from noizenet.studio.refusals import describe_os_error, describe_validation_errors, http_status, required_text
from noizenet.studio.settings import Settings

STATIC = Path(str(resources.files("noizenet.studio"))) / "static"
LIVE = Path(str(resources.files("noizenet.course"))) / "live"
LOG = "studio.log"


def create_app(settings: Settings) -> Any:
    """Return the ASGI application with its middleware, and the :class:`Studio`."""
    studio = Studio(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        studio.builders.submit(studio.warm_up)
        housekeeping = asyncio.create_task(studio.run_housekeeping())
        yield
        housekeeping.cancel()
        await asyncio.to_thread(studio.close)

    app = FastAPI(title="noizenet studio", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.studio = studio

    @app.exception_handler(NoizenetError)
    async def noizenet_error(_: Request, error: NoizenetError) -> Response:
        return JSONResponse({"problem": studio.public_message(error)}, http_status(error))

    @app.exception_handler(OSError)
    async def os_error(_: Request, error: OSError) -> Response:
        described = describe_os_error(error, Path(str(error.filename or "the file")).name)
        return JSONResponse({"problem": studio.public_message(described)}, http_status(described))

    @app.exception_handler(Exception)
    async def internal_error(_: Request, error: Exception) -> Response:
        return JSONResponse({"problem": INTERNAL_ERROR}, 500)  # Starlette raises it again, and the middleware logs it

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> Response:
        return JSONResponse({"problem": str(error.detail)[:200]}, error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def validation_error(_: Request, error: RequestValidationError) -> Response:
        return JSONResponse({"problem": describe_validation_errors(error.errors())}, 422)

    _models(app, studio)
    _recordings(app, studio)
    _uploads(app, studio)
    _jobs(app, studio)
    _ab_tests(app, studio)
    app.mount("/live", StaticFiles(directory=LIVE), name="live")
    app.mount("/", StaticFiles(directory=STATIC, html=True), name="static")
    request_middleware = RequestMiddleware(app, is_file_upload, settings.data / LOG)
    return AccessMiddleware(request_middleware, lambda: settings.hosts(studio.port), settings.token), studio


class _AnyPath(PathConvertor):
    """Matches any path, with newlines too: file names may have them, and Starlette's own converter stops there."""

    regex = r"[\s\S]*"


register_url_convertor("anypath", _AnyPath())


def content_length(request: Request) -> int:
    """Return a request's Content-Length in bytes; 0 if the header is missing or malformed."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) < 100 else 0


def is_file_upload(method: str, path: str) -> bool:
    """Return whether a request's body is an audio file."""
    return method == "PUT" and path.startswith(("/api/collections/", "/api/seeds/"))


def _models(app: FastAPI, studio: Studio) -> None:
    @app.get("/api/models")
    def models() -> list[dict[str, Any]]:
        """List the models."""
        return studio.library.describe()

    @app.get("/api/models/{name}/card")
    def card(name: str) -> Response:
        """Return a model card."""
        path = studio.library.folder(name) / "card.md"
        return PlainTextResponse(path.read_text(encoding="utf-8") if path.is_file() else "This model has no card.")

    @app.get("/api/models/{name}/gates.json")
    def gates(name: str) -> Response:
        """Return the gate activations of a model over eight seconds of its own output, for the course's figure."""
        return FileResponse(_gates(studio, name) / "gates.json")

    @app.get("/api/models/{name}/gates.ogg")
    def gates_sound(name: str) -> Response:
        """Return the audio of these gate activations."""
        return FileResponse(_gates(studio, name) / "gates.ogg")

    @app.get("/api/state")
    def state() -> dict[str, Any]:
        """Return the version, the numbers of listeners and recordings, the real-time factor and the memory in use."""
        import psutil

        memory = psutil.Process().memory_info().rss
        pace = round(studio.radio.pace.real_time_factor, 2)
        return {"version": __version__, "listeners": studio.radio.listeners(), "pace": pace,
                "recordings_going_on": studio.radio.active_recordings(),
                "memory_bytes": memory}  # fmt: skip

    @app.websocket("/radio")
    async def radio(socket: WebSocket) -> None:
        await socket.accept()
        query = dict(socket.query_params)
        session = studio.radio.find_session(query.get("session", ""))
        try:
            if session is None:
                session = await studio.start_session(query)
        except NoizenetError as error:
            await socket.send_json({"type": "impossible", "why": studio.public_message(error)[:300]})
            await socket.close(1008)
            return
        await studio.radio.serve(socket, session)


def _gates(studio: Studio, name: str) -> Path:
    from noizenet.audio.waveform import concatenate
    from noizenet.base.files import make_folder
    from noizenet.figures.gates import has_lstm_gates, write_gates
    from noizenet.generation.stream import Stream

    model_folder, limits = studio.library.folder(name), studio.settings.limits
    folder = path_inside(studio.settings.folder("made"), safe_name(f"gates {name}"))
    sound, about = folder / "gates.ogg", model_folder / "model.json"

    def is_current() -> bool:  # the file exists and is newer than the model
        return sound.is_file() and not (about.is_file() and about.stat().st_mtime > sound.stat().st_mtime)

    if is_current():
        return folder
    with studio.heavy:
        if is_current():  # made by the request that held the lock before
            return folder
        model, packed = studio.library.packed(name)
        if not has_lstm_gates(model):
            raise UsageError("gates are shown for token models only; this model predicts samples")
        evict_oldest(studio.settings.folder("made"), limits.rendered, limits.rendered_bytes)
        music = concatenate(list(Stream(model, Controls(seconds=8.0), packed=packed)))
        write_gates(model, music, make_folder(folder))
        release_memory()
    return folder


def _recordings(app: FastAPI, studio: Studio) -> None:
    folder = studio.settings.folder("recordings")

    @app.get("/api/recordings")
    def list_recordings() -> list[dict[str, Any]]:
        """List the recordings."""
        return recordings.list_recordings(folder)

    @app.get("/api/recordings/{name}")
    def recording(name: str) -> Response:
        """Return a recording, or its recipe (JSON)."""
        return _file(path_inside(folder, name))

    @app.post("/api/recordings/{name}/again")
    def again(name: str) -> Response:
        """Render a recording again from its recipe and return the new file."""
        path = path_inside(folder, name)
        recipe = recordings.read_recipe(path.with_suffix(".json"))
        if not recipe:
            raise UsageError("no such recording")
        if recipe.get("unfinished"):
            raise UsageError("this recording is still in progress; stop it first")
        limits, rendered = studio.settings.limits, studio.settings.folder("made")
        evict_oldest(rendered, limits.rendered, limits.rendered_bytes)
        out = path_inside(rendered, f"again {path.name}")
        with studio.heavy:
            model, packed = studio.library.packed(str(recipe.get("model", "")))
            recordings.render(model, packed, recipe, path, studio.settings.folder("seeds"), out)
            release_memory()
        return _file(out)

    @app.delete("/api/recordings/{name}")
    def remove(name: str) -> dict[str, str]:
        """Remove a recording and its recipe."""
        if not path_inside(folder, name).is_file():
            raise HTTPException(404, f"no recording {name[:80]!r}")
        recordings.remove(path_inside(folder, name))
        return {"removed": name}


def _uploads(app: FastAPI, studio: Studio) -> None:
    settings = studio.settings

    @app.get("/api/collections")
    def collections() -> list[dict[str, Any]]:
        """List the uploaded collections."""
        return uploads.collections(settings)

    @app.put("/api/collections/{collection}/{name:anypath}")
    async def upload(request: Request, collection: str, name: str, genre: str = "") -> dict[str, Any]:
        """Upload a recording. The body is the file; its name may be a path whose first folder is the genre.

        The response has the stored name: invalid names are changed, and a number is added to a name in use.
        """
        parts = uploads.upload_path(collection, genre, name)
        await asyncio.to_thread(uploads.check_limits, settings, parts[0])
        received = await uploads.receive(settings, request.stream(), parts[-1], content_length(request))
        return await studio.decode(uploads.accept_recording, received.size, settings, parts, received)

    @app.delete("/api/collections/{collection}")
    def remove(collection: str) -> dict[str, str]:
        """Remove a collection's recordings."""
        if not path_inside(settings.folder("uploads"), collection).is_dir():
            raise HTTPException(404, f"no collection {collection[:80]!r}")
        uploads.remove(settings, collection)
        return {"removed": collection}

    @app.put("/api/seeds/{name}")
    async def seed(request: Request, name: str) -> dict[str, Any]:
        """Upload an audio prompt; its last seconds are stored."""
        name = safe_name(name, "unnamed")
        uploads.audio_suffix(name)
        received = await uploads.receive(settings, request.stream(), name, content_length(request))
        return await studio.decode(uploads.accept_prompt, received.size, settings, name, received, PROMPT_S)

    @app.get("/api/noise/{kind}")
    def noise(kind: str, seed: int = 0) -> dict[str, Any]:
        """Return the peaks of the noise prompt of a random seed."""
        import numpy as np

        from noizenet.base.seeds import derive_seed
        from noizenet.generation import PROMPT_NOISES

        rate = 22_050
        rng = np.random.default_rng(derive_seed(max(0, seed), "seed noise"))
        samples = PROMPT_NOISES.load(kind)(rng, round(PROMPT_S * rate), rate)
        return {"peaks": [round(float(np.abs(p).max()), 3) for p in np.array_split(samples, 400)],
                "curve": [round(float(v), 4) for v in samples[: rate // 50]]}  # fmt: skip


def _jobs(app: FastAPI, studio: Studio) -> None:
    settings, queue = studio.settings, studio.queue

    @app.get("/api/recipes")
    def recipes() -> dict[str, str]:
        """List the training recipes."""
        from noizenet.training import RECIPES

        return dict(RECIPES)

    @app.get("/api/jobs")
    def jobs() -> list[dict[str, Any]]:
        """List the trainings and evaluations."""
        return [trainings.job_status(settings, queue, job) for job in queue.all()[:50]]

    @app.post("/api/trainings")
    def train(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """Queue the training of a model on a collection."""
        return trainings.job_status(settings, queue, trainings.queue_training(settings, queue, body))

    @app.post("/api/evaluations")
    def evaluate(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """Queue an evaluation of a model."""
        model = studio.library.folder(required_text(body, "model"))
        return trainings.job_status(settings, queue, trainings.queue_evaluation(settings, queue, body, model))

    @app.post("/api/jobs/{key}/{action}")
    def transition(key: str, action: str) -> dict[str, Any]:
        """Pause, resume, stop or delete (``forget``) a job."""
        return trainings.job_status(settings, queue, queue.transition(key, action))

    @app.get("/api/jobs/{key}/log")
    def log(key: str) -> Response:
        """Return the last lines of a job's log."""
        return PlainTextResponse(studio.public_message("\n".join(queue.log(queue.get(key).key))))

    @app.get("/api/jobs/{key}/report")
    def report(key: str) -> Response:
        """Return an evaluation's report."""
        path = queue.folder(queue.get(key).key) / "report" / "report.html"
        return _file(path, {"content-security-policy": REPORT_POLICY})

    @app.get("/api/jobs/{key}/figures")
    def figures(key: str) -> Response:
        """Return an evaluation's metrics (JSON)."""
        return _file(queue.folder(queue.get(key).key) / "report" / "report.json")

    @app.get("/api/jobs/{key}/samples/{name}")
    def sample(key: str, name: str) -> Response:
        """Return audio generated from a checkpoint of a training. Other files of a job's folder are not served."""
        folder = queue.folder(queue.get(key).key)
        return _file(path_inside(folder, name if trainings.SAMPLE.fullmatch(name) else "none"))


def _ab_tests(app: FastAPI, studio: Studio) -> None:
    folder = studio.settings.folder("ab")

    @app.post("/api/duels")
    def begin(body: Annotated[dict[str, Any], Body()]) -> dict[str, str]:
        """Generate audio from two models in a hidden random order."""
        names = required_text(body, "a"), required_text(body, "b")
        genre = body.get("genre") or None
        with studio.heavy:
            key = ab_test.create(
                folder, names, studio.library.packed, None if genre is None else str(genre), studio.settings.limits
            )
            release_memory()
        return {"key": key}

    @app.get("/api/duels")
    def tally() -> list[dict[str, Any]]:
        """Return how often each model of each pair was preferred."""
        return ab_test.tally(folder)

    @app.get("/api/duels/{key}/{side}")
    def side(key: str, side: str) -> Response:
        """Return the audio of one side (``first`` or ``second``)."""
        return _file(path_inside(folder, check_name(key), f"{check_name(side)}.flac"))

    @app.post("/api/duels/{key}")
    def judge(key: str, body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """Store a choice and return which model was which."""
        return ab_test.record_choice(folder, key, required_text(body, "choice"))


def _file(path: Path, headers: dict[str, str] | None = None) -> Response:
    if not path.is_file():
        return JSONResponse({"problem": "no such file"}, 404)
    return FileResponse(path, headers=headers)
