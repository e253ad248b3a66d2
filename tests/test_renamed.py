"""Names of earlier versions are read everywhere, are never written, and are refused next to their current names."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import QUICK, RATE, TIERS, TOKENS, quick_train, tone
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import save as torch_bytes

from noizenet import api
from noizenet.base.config import from_dict
from noizenet.base.errors import ConfigError, ModelError, UsageError
from noizenet.base.renamed import CONTROLS, KEYS, WATCHES, modern_arguments, tensor_name
from noizenet.corpus.corpus import Corpus
from noizenet.generation.controls import Controls
from noizenet.generation.instrument import Instrument, replay
from noizenet.generation.stream import Stream
from noizenet.model.architecture import Architecture, ModelOptions
from noizenet.model.weights import expected_shapes
from noizenet.representation.base import create
from noizenet.store.model import FORMAT, Model, load, save
from noizenet.training import checkpoint
from noizenet.training.loop import train
from noizenet.training.options import configure
from noizenet.training.plan import Budget

Run = Callable[..., tuple[int, str, str]]
EARLIER_TENSORS = (
    (r"^head\.in_proj\.", "head.say."), (r"^head\.code_embeddings\.", "head.given."),
    (r"^head\.genre_proj\.", "head.colour."), (r"^head\.phase_embedding\.", "head.beat."),
    (r"^head\.phrase_embedding\.", "head.phrase."), (r"^head\.out_proj\.", "head.out."),
    (r"^phase_embedding\.", "clock."), (r"^phrase_embedding\.", "phrase."), (r"^(tiers\.\d+)\.out_proj\.", r"\1.speak."),
    (r"^coarse\.out_proj\.", "sketch.say."), (r"^coarse\.previous\.", "sketch.given."),
    (r"^coarse\.embeddings\.", "sketch.told."), (r"^coarse\.logit_bias$", "sketch.pull"), (r"^genre_proj\.", "colour."),
)  # fmt: skip
"""Current name → name in model folders of format 1."""
NEW_KEY = [(section, old, new) for section, names in KEYS.items() for old, new in names.items()]
VALUES = {
    "texture": 0.5, "mishearing": 0.1, "sketch": False, "own_samples": 0.25, "start": "some/model", "start_rate": 0.5,
    "settling_seconds": 3.0,
}  # fmt: skip
"""A value of each earlier key that is not its default."""


def earlier_tensor(name: str) -> str:
    """Return the name of a tensor in model folders of format 1."""
    for new, old in EARLIER_TENSORS:
        name, count = re.subn(new, old, name)
        if count:
            break
    return name


def earlier_keys(values: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return values under their earlier names."""
    earlier = {new: old for old, new in names.items()}
    return {earlier.get(key, key): value for key, value in values.items()}


def to_format_1(folder: Path, target: Path) -> Path:
    """Write a model folder as an earlier version wrote it."""
    shutil.copytree(folder, target)
    tensors = {earlier_tensor(name): values for name, values in load_file(target / "model.safetensors").items()}
    save_file(tensors, target / "model.safetensors")
    about = json.loads((target / "model.json").read_text())
    assert about["format"] == FORMAT == 2
    about["format"] = 1
    about["architecture"]["options"] = earlier_keys(about["architecture"]["options"], KEYS["model"])
    about["representation"] = earlier_keys(about["representation"], KEYS["representation"])
    about["weights_sha256"] = hashlib.sha256((target / "model.safetensors").read_bytes()).hexdigest()
    (target / "model.json").write_text(json.dumps(about))
    return target


def checkpoint_to_format_2(path: Path) -> None:
    """Rewrite a checkpoint as an earlier version wrote it."""
    with safe_open(str(path), "pt") as handle:
        numbers = json.loads(handle.metadata()["noizenet"])
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 - not a dict
    for name in list(tensors):
        group, _, rest = name.partition(".")
        if group in ("network", "best", "good"):
            tensors[f"{group}.{earlier_tensor(rest)}"] = tensors.pop(name)
    shape, training = numbers["identity"]["architecture"], numbers["identity"]["training"]
    numbers["identity"]["architecture"] = {**shape, "options": earlier_keys(shape["options"], KEYS["model"])}
    numbers["identity"]["training"] = earlier_keys(training, KEYS["training"])
    assert numbers["format"] == checkpoint.FORMAT == 3
    text = json.dumps({**numbers, "format": 2})
    path.write_bytes(torch_bytes(tensors, {"noizenet": text, "sha256": checkpoint._digest(tensors, text)}))


def audio_of(model: Model, **controls: Any) -> np.ndarray:
    return np.concatenate([b.samples for b in Stream(model, Controls(**{"seconds": 1.0, "seed": 5, **controls}))])


CODEC = ("representation.codec=noizenet-1", "model.phrase=16", "model.lookback_beats=[4]")
"""A bundled codec, since zips hold no other; all parts that a token model can have."""


def sets_of(recipe: str) -> tuple[str, ...]:
    return CODEC if recipe == "token-lstm" else ()


@pytest.fixture(scope="module", params=["token-lstm", "sample-lstm"])
def formats(
    request: pytest.FixtureRequest, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, Path]:
    """A recipe, a newly trained model of it, and that model in format 1."""
    folder = tmp_path_factory.mktemp("format") / "new"
    quick_train(corpus, folder, request.param, *sets_of(request.param), epochs=0.1)
    return request.param, folder, to_format_1(folder, folder.parent / "old")


class TestFormat1:
    def test_names_differ(self, formats: tuple[str, Path, Path]) -> None:
        recipe, new, old = formats
        names = [set(load_file(folder / "model.safetensors")) for folder in (new, old)]
        parts = {"head.say", "head.given", "head.colour", "head.beat", "head.phrase", "head.out", "clock", "phrase"}
        parts = (
            parts
            if recipe == "token-lstm"
            else {"tiers.0.speak", "sketch.say", "sketch.given", "sketch.told", "colour"}
        )
        for part in parts:
            assert any(name.startswith(f"{part}.") for name in names[1]), part
            assert not any(name.startswith(f"{part}.") for name in names[0]), part
        text = (old / "model.json").read_text()
        assert ('"texture"' if recipe == "token-lstm" else '"mishearing"') in text

    @pytest.mark.parametrize("zipped", [False, True])
    def test_the_samples_are_the_same(self, formats: tuple[str, Path, Path], tmp_path: Path, zipped: bool) -> None:
        _, new, old = formats
        source = Path(shutil.make_archive(str(tmp_path / "old"), "zip", old)) if zipped else old
        loaded, expected = load(source), load(new)
        assert loaded.architecture == expected.architecture
        assert loaded.representation == expected.representation
        assert loaded.weights.arrays.keys() == expected.weights.arrays.keys()
        audio = audio_of(expected)
        assert np.ptp(audio) > 0
        assert np.array_equal(audio_of(loaded), audio)

    def test_training_starts_from_it(self, formats: tuple[str, Path, Path], corpus: Corpus, tmp_path: Path) -> None:
        recipe, new, old = formats
        zipped = Path(shutil.make_archive(str(tmp_path / "old"), "zip", old))
        starts = {"new": str(new), "old": str(old), "zip": str(zipped), "none": ""}
        weights = {}
        for name, start in starts.items():
            sets = (*sets_of(recipe), f"training.init_from={start}")
            weights[name] = quick_train(corpus, tmp_path / name, recipe, *sets, epochs=0.05).weights.arrays
        differences = {
            name: sum(not np.array_equal(values, weights["new"][k]) for k, values in arrays.items())
            for name, arrays in weights.items()
        }
        assert differences["old"] == differences["zip"] == 0
        assert differences["none"]

    def test_a_newly_written_model_has_only_current_names(
        self, formats: tuple[str, Path, Path], tmp_path: Path
    ) -> None:
        _, new, old = formats
        save(load(old), tmp_path / "again")
        assert (tmp_path / "again" / "model.safetensors").read_bytes() == (new / "model.safetensors").read_bytes()
        about, expected = (json.loads((f / "model.json").read_text()) for f in (tmp_path / "again", new))
        assert about == expected

    def test_both_names_in_a_description_are_refused(self, formats: tuple[str, Path, Path], tmp_path: Path) -> None:
        recipe, _, old = formats
        folder = Path(shutil.copytree(old, tmp_path / "both"))
        about = json.loads((folder / "model.json").read_text())
        options, pair = (
            (about["representation"], ("texture", "noise_fill"))
            if recipe == "token-lstm"
            else (about["architecture"]["options"], ("mishearing", "random_tilt"))
        )
        options[pair[1]] = options[pair[0]]
        (folder / "model.json").write_text(json.dumps(about))
        with pytest.raises(ModelError, match=rf"model\.json.*\.{pair[1]}: is given twice.*{pair[0]}"):
            load(folder)


@pytest.mark.parametrize("recipe", ["token-lstm", "sample-lstm"])
def test_a_run_of_an_earlier_version_is_resumed_bit_for_bit(corpus: Corpus, tmp_path: Path, recipe: str) -> None:
    sets = (*sets_of(recipe), "training.schedule=constant", "training.threads=1")
    small = {"sample-lstm": TIERS, "token-lstm": TOKENS}[recipe]
    config = configure(recipe, None, (*QUICK, *small, *sets))
    train(corpus, tmp_path / "new", config, Budget(epochs=0.02))
    shutil.copytree(tmp_path / "new", tmp_path / "old")
    checkpoint_to_format_2(tmp_path / "old" / checkpoint.NAME)
    earlier, current = (set(load_file(tmp_path / name / checkpoint.NAME)) for name in ("old", "new"))
    assert earlier - current
    for name in ("old", "new"):
        train(corpus, tmp_path / name, config, Budget(epochs=0.04), resume=True)
    one, two = (load_file(tmp_path / name / checkpoint.NAME) for name in ("old", "new"))
    assert one.keys() == two.keys()
    for key, values in one.items():
        assert np.array_equal(values, two[key]), key
    steps = [
        json.loads((tmp_path / name / "model.json").read_text())["training"]["metrics"]["steps"]
        for name in ("old", "new")
    ]
    assert steps[0] == steps[1] > 0


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (("classes", 8, 1), {}),
        (("vectors", 0, 5), {"head": "point"}),
        (("classes", 32, 1), {"tiers": ((4, 9), (16, 12)), "head": "mixture"}),
        (("classes", 32, 1), {"tiers": ((4, 9), (16, 12)), "head": "mixture", "genre_embedding": 0}),
        (("classes", 16, 3), {"head": "depth", "clock": 8, "phrase": 16, "lookback_beats": (4, 8)}),
        (("classes", 16, 3), {"head": "depth", "layers": 2, "depth_shared": True, "depth_block": "gated"}),
    ],
)
def test_every_tensor_has_an_earlier_and_a_current_name(kind: tuple[str, int, int], options: dict[str, Any]) -> None:
    names = list(expected_shapes(Architecture(ModelOptions(**options), *kind, 3)))
    assert [tensor_name(earlier_tensor(name)) for name in names] == names
    assert [tensor_name(name) for name in names] == names


class TestKeys:
    def toml(self, folder: Path, section: str, values: dict[str, Any]) -> Path:
        path = folder / "c.toml"
        path.write_text(f"[{section}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items()))
        return path

    def notes(self, caplog: pytest.LogCaptureFixture) -> list[str]:
        return [r.getMessage() for r in caplog.records if r.name == "noizenet" and r.levelno >= logging.WARNING]

    def test_each_has_a_value(self) -> None:
        assert {old for _, old, _ in NEW_KEY} == VALUES.keys()

    @pytest.mark.parametrize(("section", "old", "new"), NEW_KEY)
    @pytest.mark.parametrize("where", ["file", "--set"])
    def test_the_configuration_is_the_same(
        self, section: str, old: str, new: str, where: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        def read(key: str) -> Any:
            if where == "file":
                return configure("token-lstm", self.toml(tmp_path, section, {key: VALUES[old]}))
            return configure("token-lstm", None, (f"{section}.{key}={json.dumps(VALUES[old])}",))

        expected = read(new)
        assert not self.notes(caplog)
        assert read(old) == expected
        assert expected != configure("token-lstm")
        (note,) = self.notes(caplog)
        assert f"{section}.{old} is called {section}.{new} now" in note
        assert ("c.toml" if where == "file" else "--set") in note
        assert not re.search(rf"^{old} =", expected.to_toml(), re.MULTILINE)
        if section == "representation":
            made = [create({"name": "codec", key: VALUES[old]}, sample_rate=RATE, channels=1) for key in (old, new)]
            assert made[0] == made[1]

    @pytest.mark.parametrize(("section", "old", "new"), NEW_KEY)
    @pytest.mark.parametrize("where", ["file", "--set"])
    def test_both_names_are_refused(
        self, section: str, old: str, new: str, where: str, tmp_path: Path, cli: Run, corpus: Corpus
    ) -> None:
        value = json.dumps(VALUES[old])
        options = (
            ("--config", self.toml(tmp_path, section, {old: VALUES[old], new: VALUES[old]}))
            if where == "file"
            else ("--set", f"{section}.{old}={value}", "--set", f"{section}.{new}={value}")
        )
        code, out, err = cli("train", corpus.folder, tmp_path / "m", "--epochs", "0.01", *options)
        assert code == 2
        assert not out
        (line,) = err.strip().splitlines()
        assert f"{section}.{new}: is given twice, also under its earlier name {old}; remove one" in line
        assert ("c.toml" if where == "file" else "--set") in line
        assert not (tmp_path / "m").exists()

    @pytest.mark.parametrize(("section", "old", "new"), NEW_KEY)
    def test_both_names_in_one_mapping_are_refused(self, section: str, old: str, new: str) -> None:
        with pytest.raises(ConfigError, match=f"{section}.{new}: is given twice.*{old}"):
            from_dict(ModelOptions, {old: VALUES[old], new: VALUES[old]}, section)

    def test_a_later_source_overrides_an_earlier_one_under_either_name(self, tmp_path: Path) -> None:
        file = self.toml(tmp_path, "training", {"own_samples": 0.25})
        assert configure("sample-lstm", file).training.scheduled_sampling == 0.25
        assert configure("sample-lstm", file, ("training.scheduled_sampling=0.5",)).training.scheduled_sampling == 0.5
        file = self.toml(tmp_path, "training", {"scheduled_sampling": 0.25})
        assert configure("sample-lstm", file, ("training.own_samples=0.5",)).training.scheduled_sampling == 0.5


def flag(control: str) -> str:
    return f"--{control.replace('_', '-')}"


OPTIONS: dict[str, tuple[list[str], list[str]]] = {
    "guidance": (["2.5"], []),
    "pulse": (["1.5"], []),
    "seed_audio": (["PROMPT"], []),
    "seed_noise": (["perlin"], []),
    "seed_seconds": (["0.5"], ["--prompt-noise", "normal"]),
    "include_seed": ([], ["--prompt-noise", "normal", "--prompt-seconds", "0.5"]),
}
"""Earlier control → its value, and the other options that it needs to have an effect."""


class TestOptions:
    def test_each_is_tested(self) -> None:
        assert OPTIONS.keys() == CONTROLS.keys()

    def variants(self, tmp_path: Path) -> list[tuple[list[str], list[str], str]]:
        """Return each option under its earlier and its current name, and the note on it."""
        soundfile.write(tmp_path / "p.wav", tone(1.0), RATE)
        prompt = str(tmp_path / "p.wav")
        found = []
        for old, (value, others) in OPTIONS.items():
            a, b = flag(old), flag(CONTROLS[old])
            value = [prompt if v == "PROMPT" else v for v in value]
            found.append(([a, *value, *others], [b, *value, *others], f"{a} is called {b} now"))
            if value:
                found.append(([f"{a}={value[0]}", *others], [f"{b}={value[0]}", *others], f"{a} is called {b} now"))
        for old, new in WATCHES.items():
            note = f"--watch {old} is called --watch {new} now"
            found += [(["--watch", old], ["--watch", new], note), ([f"--watch={old}"], [f"--watch={new}"], note)]
        return found

    def test_generate_writes_the_same_bytes(self, cli: Run, token_model: Path, tmp_path: Path) -> None:
        for old, new, note in self.variants(tmp_path):
            files, errors = [], []
            for name, options in (("old.wav", old), ("new.wav", new)):
                code, _, err = cli("generate", token_model, tmp_path / name, "--seconds", "0.3", *options)
                assert code == 0, err
                files.append((tmp_path / name).read_bytes())
                errors.append([line for line in err.splitlines() if line.strip()])
            assert files[0] == files[1], old
            extra = list(errors[0])
            for line in errors[1]:
                extra.remove(line)
            assert extra == [f"note: {note}"]

    def test_play_gets_the_same_controls(
        self, cli: Run, token_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Controls] = []

        def play(model: Path, controls: Controls, *_: object, **__: object) -> SimpleNamespace:
            seen.append(controls)
            return SimpleNamespace(
                seconds=0.0, sample_rate=RATE, real_time_factor=0.0, margin=0.0, underruns=0, watch=None, remarks=[]
            )

        monkeypatch.setattr(api, "play", play)
        variants = [v for v in self.variants(tmp_path) if v[0][0] != "--include-seed"]  # an option of generate only
        for old, new, note in variants:
            notes = []
            for options in (old, new):
                code, _, err = cli("play", token_model, *options)
                assert code == 0, err
                notes.append([line for line in err.splitlines() if line.startswith("note:")])
            assert seen[-1] == seen[-2], old
            assert notes == [[f"note: {note}"], []]

    @pytest.mark.parametrize("command", ["generate", "play"])
    def test_help_has_only_current_names(self, cli: Run, command: str) -> None:
        code, out, _ = cli(command, "--help")
        assert code == 0
        assert "--beat-guidance" in out
        for old in CONTROLS:
            assert not re.search(rf"(?<![\w-]){flag(old)}(?![\w-])", out), old
        for old in WATCHES:
            assert not re.search(rf"\b{old}\b", out), old

    def test_arguments_after_two_hyphens_do_not_change(self, cli: Run, token_model: Path) -> None:
        tail = ["--", *map(flag, CONTROLS), "--watch", *WATCHES, "--beat-guidance"]
        arguments = ["generate", "m", "--temperature", "1", *tail]
        assert modern_arguments(arguments) == (arguments, [])
        found, notes = modern_arguments(["play", "m", "--pulse", "1", *tail])
        assert found == ["play", "m", "--beat-guidance", "1", *tail]
        assert notes == ["--pulse is called --beat-guidance now"]
        code, _, err = cli("generate", token_model, "--seconds", "0.1", "--", "--pulse")
        assert code == 2
        assert "--pulse" in err
        assert "is called" not in err

    @pytest.mark.parametrize("command", ["generate", "play"])
    @pytest.mark.parametrize("old", CONTROLS)
    @pytest.mark.parametrize("form", ["{} 1", "{}=1"])
    def test_both_names_are_refused(self, cli: Run, token_model: Path, command: str, old: str, form: str) -> None:
        a, b = flag(old), flag(CONTROLS[old])
        for first, second in ((a, b), (b, a)):
            options = [*form.format(first).split(), *form.format(second).split()]
            code, out, err = cli(command, token_model, *options)
            assert code == 2
            assert not out
            assert err.strip().splitlines() == [
                f"noizenet: {b}: is given twice, also under its earlier name {a}; remove one"
            ]

    def test_other_commands_have_no_earlier_options(self) -> None:
        arguments = ["evaluate", "m", "c", "o", "--pulse", "1", "--beat-guidance", "1", "--watch", "mend"]
        assert modern_arguments(arguments) == (arguments, [])


EARLIER_OPTIONS = {flag(old) for old in CONTROLS}
words = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            "--",
            "--watch",
            "recover",
            "--watch=off",
            "--watch=",
            "=",
            "--seed",
            "--seed=1",
            "-",
            *map(flag, CONTROLS.values()),
        ]
    ),
    st.builds(
        lambda name, value: f"{name}={value}", st.sampled_from([*map(flag, CONTROLS.values()), "--seed"]), st.text()
    ),
)


@given(st.sampled_from(["generate", "play", "train", ""]), st.lists(words, max_size=8))
def test_arguments_without_earlier_names_do_not_change(command: str, rest: list[str]) -> None:
    rest = [a for a in rest if a not in WATCHES and a.partition("=")[0] not in EARLIER_OPTIONS]
    for arguments in ([command, *rest], rest):
        before = list(arguments)
        assert modern_arguments(arguments) == (before, [])
        assert arguments == before


class TestRecipes:
    def recipe(self, model: Model, prompt: Path) -> tuple[dict[str, Any], np.ndarray]:
        """Play an instrument with moved controls; return its recipe and its samples."""
        controls = Controls(
            seconds=None, seed=3, block_seconds=0.2, genre_guidance=2.0, beat_guidance=1.5, prompt=prompt,
            prompt_seconds=0.5, include_prompt=True, watch="recover",
        )  # fmt: skip
        instrument = Instrument(model, controls)
        parts = [next(instrument).samples.reshape(-1) for _ in range(3)]
        instrument.set(genre_guidance=4.0, beat_guidance=3.0, temperature=2.0)
        parts += [next(instrument).samples.reshape(-1) for _ in range(3)]
        parts.append(instrument.take_ready().reshape(-1))
        return json.loads(json.dumps(instrument.recipe())), np.concatenate(parts)

    def test_a_recipe_with_earlier_names_replays_the_same(self, token_model: Path, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "p.wav", tone(1.0), RATE)
        model = load(token_model)
        recipe, samples = self.recipe(model, tmp_path / "p.wav")
        earlier = json.loads(json.dumps(recipe))
        earlier["controls"] = earlier_keys(recipe["controls"], CONTROLS)
        earlier["controls"]["watch"] = next(old for old, new in WATCHES.items() if new == recipe["controls"]["watch"])
        for move in earlier["moves"]:
            if "set" in move:
                move["set"] = earlier_keys(move["set"], CONTROLS)
        assert earlier != recipe
        assert CONTROLS.keys() <= earlier["controls"].keys()
        assert any("pulse" in move.get("set", {}) for move in earlier["moves"])
        for one in (recipe, earlier):
            assert np.array_equal(np.concatenate([b.samples.reshape(-1) for b in replay(model, one)]), samples)

    def test_both_names_are_refused(self, token_model: Path, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "p.wav", tone(1.0), RATE)
        model = load(token_model)
        recipe, _ = self.recipe(model, tmp_path / "p.wav")
        for old, new in CONTROLS.items():
            both = {**recipe, "controls": {**recipe["controls"], old: recipe["controls"][new]}}
            with pytest.raises(UsageError, match=f"{new}: is given twice.*{old}"):
                list(replay(model, both))
        instrument = Instrument(model, Controls(seconds=None))
        with pytest.raises(UsageError, match=r"beat_guidance: is given twice.*pulse"):
            instrument.set(pulse=1.0, beat_guidance=1.0)
        assert not instrument.moves


def test_the_earlier_module_of_recordings_can_be_imported() -> None:
    from noizenet.evaluation import material, recording

    assert material.of_folder is recording.of_folder
