"""Every registered cell keeps its contract; an unknown one is an error; a new one is one file and one line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noizenet.base.errors import ConfigError, ModelError, UsageError
from noizenet.generation.gates import OPS
from noizenet.model import CELLS
from noizenet.model.architecture import ModelOptions
from noizenet.model.cells.description import linear_recurrence
from noizenet.model.numeric import apply_gates, cell_kind
from noizenet.model.recurrent import RecurrentLayer
from noizenet.store.model import load

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", CELLS)
class TestCells:
    B, T, I, H = 3, 11, 5, 7

    def make(self, name: str) -> tuple[RecurrentLayer, torch.Tensor, torch.Tensor]:
        torch.manual_seed(1)
        cell = RecurrentLayer(name, self.I, self.H).double()
        x = torch.randn(self.B, self.T, self.I, dtype=torch.float64)
        state = torch.randn(cell.states, self.B, self.H, dtype=torch.float64)
        return cell, x, state

    def test_steps_equal_the_sequence(self, name: str) -> None:
        cell, x, state = self.make(name)
        whole, after = cell(x, state)
        outputs = []
        for t in range(self.T):
            y, state = cell.step(x[:, t], state)
            outputs.append(y)
        torch.testing.assert_close(torch.stack(outputs, 1), whole, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(state, after, rtol=1e-10, atol=1e-12)

    def test_gradients_of_steps_and_sequence_agree(self, name: str) -> None:
        cell, x, state = self.make(name)
        cell(x, state)[0].square().sum().backward()
        whole = [p.grad.clone() for p in cell.parameters()]
        cell.zero_grad()
        total = torch.zeros((), dtype=torch.float64)
        for t in range(self.T):
            y, state = cell.step(x[:, t], state)
            total = total + y.square().sum()
        total.backward()
        for a, b in zip(whole, (p.grad for p in cell.parameters()), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)

    def test_two_chunks_with_carried_state_equal_the_whole(self, name: str) -> None:
        cell, x, state = self.make(name)
        whole, after = cell(x, state)
        first, middle = cell(x[:, :4], state)
        second, end = cell(x[:, 4:], middle)
        torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(end, after, rtol=1e-10, atol=1e-12)

    def test_no_output_depends_on_a_later_input(self, name: str) -> None:
        cell, x, state = self.make(name)
        x.requires_grad_(True)
        cell(x, state)[0][:, 5].sum().backward()
        assert x.grad is not None
        assert torch.all(x.grad[:, 6:] == 0)
        assert torch.all(x.grad[:, :6].abs().sum((0, 2)) > 0)

    def test_gates_are_named(self, name: str) -> None:
        cell, x, state = self.make(name)
        gates = cell.gates(x[:, 0], state)
        assert tuple(gates) == cell.cell.gates
        assert all(gate.shape == (self.B, self.H) for gate in gates.values())

    def test_the_parameters_are_those_of_the_description(self, name: str) -> None:
        cell, _, _ = self.make(name)
        found = {k.removeprefix("kernel."): tuple(v.shape) for k, v in cell.state_dict().items()}
        assert found == cell.cell.arrays(self.I, self.H)

    @settings(max_examples=30, deadline=None)
    @given(hidden=st.integers(1, 70), seed=st.integers(0, 2**32 - 1))
    def test_the_compiled_update_equals_the_description(self, name: str, hidden: int, seed: int) -> None:
        cell, rng = CELLS.load(name), np.random.default_rng(seed)
        size, count = len(cell.gates) * hidden, len(cell.gates)
        h, c = rng.standard_normal((2, hidden)).astype(np.float32)
        input_part, recurrent_part = rng.uniform(-4, 4, (2, size)).astype(np.float32)
        recurrent_part *= cell.recurrent
        gates = cell.activations(np.split(input_part, count), np.split(recurrent_part, count), OPS)
        expected = cell.next_states(gates, (h, c)[: len(cell.states)], OPS)
        z = input_part.copy() if cell.separate else input_part + recurrent_part
        found = h.copy(), c.copy()
        apply_gates(cell_kind(name), *found, z, recurrent_part.copy())
        for state, wanted in zip(found, expected, strict=False):
            np.testing.assert_allclose(state, wanted, rtol=1e-5, atol=3e-6)
        if len(expected) == 1:
            np.testing.assert_array_equal(found[1], c)  # no other state is touched


@pytest.mark.parametrize("name", [name for name in CELLS if CELLS.load(name).torch_kernel])
def test_a_step_equals_torchs_own_cell(name: str) -> None:
    cell, x, state = TestCells().make(name)
    theirs = getattr(torch.nn, f"{cell.cell.torch_kernel}Cell")(TestCells.I, TestCells.H).double()
    theirs.load_state_dict({k.removesuffix("_l0"): v for k, v in cell.kernel.state_dict().items()})
    result = theirs(x[:, 0], tuple(state) if len(state) > 1 else state[0])
    y, after = cell.step(x[:, 0], state)
    expected = result if len(state) > 1 else (result,)
    torch.testing.assert_close(y, expected[0], rtol=1e-12, atol=1e-12)
    for own, other in zip(after, expected, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-12, atol=1e-12)


def test_mingru_follows_its_paper() -> None:
    """Equation 9 of arXiv:2410.01201, in NumPy, frame by frame."""
    cell, x, state = TestCells().make("mingru")
    weight, bias = (v.numpy() for v in cell.kernel.state_dict().values())
    h, outputs = state[0].numpy(), []
    for t in range(TestCells.T):
        a = x[:, t].numpy() @ weight.T + bias
        z, candidate = 1 / (1 + np.exp(-a[:, : TestCells.H])), a[:, TestCells.H :]
        h = (1 - z) * h + z * candidate
        outputs.append(h)
    np.testing.assert_allclose(cell(x, state)[0].detach().numpy(), np.stack(outputs, 1), rtol=1e-10, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(length=st.integers(1, 70), seed=st.integers(0, 2**31), forget=st.sampled_from([0.0, 1e-30, 0.5, 1.0]))
def test_a_linear_recurrence_equals_its_loop(length: int, seed: int, forget: float) -> None:
    rng = torch.Generator().manual_seed(seed)
    a = forget * torch.rand(2, length, 3, generator=rng, dtype=torch.float64)
    b, first = (torch.randn(*shape, generator=rng, dtype=torch.float64) for shape in ((2, length, 3), (2, 3)))
    state, expected = first, []
    for t in range(length):
        state = a[:, t] * state + b[:, t]
        expected.append(state)
    torch.testing.assert_close(linear_recurrence(a, b, first, torch), torch.stack(expected, 1), rtol=1e-10, atol=1e-12)


class TestUnknownCells:
    """A cell that is not registered is an error everywhere."""

    def test_in_options_layers_and_engines(self) -> None:
        with pytest.raises(ConfigError, match="cell"):
            ModelOptions(cell="lsmt")
        with pytest.raises(UsageError, match="unknown cell 'lsmt'"):
            RecurrentLayer("lsmt", 3, 4)
        with pytest.raises(UsageError, match="unknown cell 'lsmt'"):
            cell_kind("lsmt")

    def test_in_a_compiled_loop(self) -> None:
        h, c, z, zh = (np.zeros(8, np.float32) for _ in range(4))
        with pytest.raises(ValueError, match="no such cell"):
            apply_gates(cell_kind("rnn")._replace(number=len(CELLS)), h, c, z, zh)

    def test_in_a_model_folder(self, paper_model: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(paper_model, tmp_path / "m"))
        about = json.loads((folder / "model.json").read_text())
        about["architecture"]["options"]["cell"] = "lsmt"
        (folder / "model.json").write_text(json.dumps(about))
        with pytest.raises(ModelError, match="cell"):
            load(folder)

    def test_descriptions_that_cannot_be_run_are_refused(self) -> None:
        cell = CELLS.load("lstm")
        with pytest.raises(ValueError, match="states"):
            replace(cell, states=("h", "c", "m"))
        with pytest.raises(ValueError, match="separate"):
            replace(cell, recurrent=False, separate=True)


@pytest.mark.slow
def test_a_cell_is_one_file_and_one_line(tmp_path: Path) -> None:
    """The cell of docs/howto/new-cell.md, added to a copy of the package: contracts hold, and it trains and plays."""
    page = (ROOT / "docs" / "howto" / "new-cell.md").read_text(encoding="utf-8")
    file = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    line = re.search(r'^ *"coupled": ".*",$', page, re.MULTILINE)
    assert line is not None
    package = tmp_path / "src" / "noizenet"
    shutil.copytree(ROOT / "src" / "noizenet", package, ignore=shutil.ignore_patterns("__pycache__", "bundled"))
    (package / "bundled").symlink_to(ROOT / "src" / "noizenet" / "bundled")
    (package / "model" / "cells" / "coupled.py").write_text(file, encoding="utf-8")
    registry = package / "model" / "__init__.py"
    text, last = registry.read_text(encoding="utf-8"), '        "mingru": "noizenet.model.cells.mingru:MINGRU",\n'
    assert text.count(last) == 1
    registry.write_text(text.replace(last, f"{last}{line[0].strip()}\n"), encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "src"), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def run(*command: object) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *map(str, command)], env=env, cwd=tmp_path, capture_output=True, text=True,
            check=False, timeout=900,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    tests = ("test_cells.py", "test_stepper.py", "test_tokens.py", "test_tiered.py", "test_gates.py")
    paths = [ROOT / "tests" / name for name in tests]
    output = run("pytest", "-q", "-m", "not slow", "-k", "coupled", "-p", "no:cacheprovider", *paths)
    assert re.search(r"(\d{2}) passed", output), output
    run("noizenet", "corpus", "demo", "c", "--minutes", 1)
    for recipe in ("token-lstm", "paper-lstm"):
        sets = ("model.cell=coupled", "training.init_from=", "training.calibration_seconds=0.5")
        run(
            "noizenet",
            "train",
            "c",
            recipe,
            "--model",
            recipe,
            "--minutes",
            0.1,
            *[x for s in sets for x in ("--set", s)],
        )
        run("noizenet", "generate", recipe, f"{recipe}.wav", "--seconds", 1)
        with soundfile.SoundFile(tmp_path / f"{recipe}.wav") as sound:
            assert len(sound) == sound.samplerate
