"""The course's results equal those of torch in float64, and its gradients equal finite differences."""

from __future__ import annotations

import doctest
import importlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noizenet.course import (
    LESSONS,
    activations,
    backprop,
    descent,
    errors,
    feedforward,
    generating,
    layers,
    lstm,
    perceptron,
    rnn,
    sound,
)  # fmt: skip
from noizenet.course import vanishing as vanishing_lesson
from noizenet.course.backprop import Value

TOLERANCE = 1e-9


def close(ours: object, theirs: object) -> None:
    a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert a.shape == b.shape
    assert np.abs(a - b).max(initial=0) <= TOLERANCE * max(1.0, np.abs(b).max(initial=0))


def tensor(x: np.ndarray) -> torch.Tensor:
    return torch.tensor(x, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("lesson", LESSONS.values())
def test_every_example_runs(lesson: str) -> None:
    module = importlib.import_module(f"noizenet.course.{lesson}")
    assert doctest.testmod(module).failed == 0
    assert len((module.__doc__ or "").split()) > 100
    with open(module.__file__ or "", encoding="utf-8") as handle:  # noqa: PTH123
        assert len(handle.readlines()) <= 200


class TestPerceptron:
    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(0, 10_000))
    def test_separable_examples_are_learned_within_novikoffs_bound(self, seed: int) -> None:
        g = np.random.default_rng(seed)
        w, b = g.normal(size=2), 0.3 * float(g.normal())
        x = g.uniform(-1, 1, (60, 2))
        sides = x @ w + b
        x, sides = x[np.abs(sides) > 0.1], sides[np.abs(sides) > 0.1]
        y = (sides > 0).astype(int)
        found_w, found_b, mistakes = perceptron.learn(x, y, epochs=100_000)
        assert mistakes[-1] == 0
        assert np.array_equal(perceptron.answer(found_w, found_b, x), y)
        assert sum(mistakes) <= perceptron.bound(x, y, w, b)

    def test_two_layers_compute_xor(self) -> None:
        corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
        assert layers.run(layers.xor(), corners)[-1][:, 0].tolist() == [0, 1, 1, 0]
        assert perceptron.learn(corners, [0, 1, 1, 0], epochs=500)[2][-1] > 0
        assert layers.thickness(np.array([[1.0, -2.0]])).tolist() == [[2.0, 4.0]]


class TestDescent:
    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            (lambda s: descent.descend(descent.surface_gradient, s, 0.1, 50), lambda p: torch.optim.SGD(p, lr=0.1)),
            (
                lambda s: descent.adam(descent.surface_gradient, s, 0.1, 50),
                lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.9, 0.999), eps=1e-8),
            ),
        ],
        ids=["plain", "adam"],
    )
    def test_paths_equal_torch(self, ours: object, theirs: object) -> None:
        start = np.array([0.4, 1.3])
        p = tensor(start)
        optimizer = theirs([p])  # type: ignore[operator]
        for _ in range(50):
            optimizer.zero_grad()
            torch.sin(p).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        close(ours(start)[-1], p.detach().numpy())  # type: ignore[operator]

    def test_momentum_equals_torch(self) -> None:
        """Torch's velocity excludes the learning rate; with a constant rate the path is the same."""
        start = np.array([0.4, 1.3])
        p = tensor(start)
        optimizer = torch.optim.SGD([p], lr=0.05, momentum=0.8)
        for _ in range(40):
            optimizer.zero_grad()
            torch.sin(p).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        close(descent.roll(descent.surface_gradient, start, 0.05, 40, 0.8)[-1], p.detach().numpy())

    def test_the_gradient_equals_finite_differences(self) -> None:
        p = np.array([0.7, -1.1])
        assert np.allclose(descent.surface_gradient(p), descent.slopes(descent.surface, p), atol=1e-8)

    def test_nesterov_brakes_before_the_bottom(self) -> None:
        """In a long valley Nesterov ends nearer to the minimum than momentum, and momentum nearer than plain descent."""
        scale = np.array([1.0, 40.0])
        paths = [
            descent.descend(lambda p: scale * p, [5.0, 1.0], 0.02, 60),
            descent.roll(lambda p: scale * p, [5.0, 1.0], 0.02, 60, 0.9),
            descent.roll(lambda p: scale * p, [5.0, 1.0], 0.02, 60, 0.9, ahead=True),
        ]
        plain, momentum, nesterov = (np.linalg.norm(path[-10:], axis=1).max() for path in paths)
        assert nesterov < momentum < plain


class TestActivations:
    X = np.array([-1000.0, -3.2, -0.5, 0.0, 0.1, 2.0, 40.0, 1000.0])

    @pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
    def test_values_and_slopes_equal_torch(self, name: str) -> None:
        function, slope = activations.FUNCTIONS[name]
        x = tensor(self.X)
        y = getattr(torch, name)(x)
        y.sum().backward()
        close(function(self.X), y.detach().numpy())
        close(slope(self.X), x.grad)

    def test_the_step_equals_heaviside(self) -> None:
        close(activations.step(self.X), torch.heaviside(torch.tensor(self.X), torch.zeros(1, dtype=torch.float64)))
        assert not activations.step_slope(self.X).any()

    def test_softmax_equals_torch(self) -> None:
        x = np.array([[0.3, -2.0, 1000.0], [1.0, 2.0, 3.0]])
        close(activations.softmax(x), torch.softmax(torch.tensor(x), -1))
        close(activations.log_softmax(x), torch.log_softmax(torch.tensor(x), -1))
        v = np.array([0.3, -2.0, 1.0])
        jacobian = torch.autograd.functional.jacobian(lambda t: torch.softmax(t, -1), torch.tensor(v))  # type: ignore[no-untyped-call]
        close(activations.softmax_slopes(v), jacobian)


class TestErrors:
    Y, P = np.array([0.2, -1.0, 3.0, 0.0]), np.array([0.1, 1.0, 2.5, 0.3])

    def test_values_and_slopes_equal_torch(self) -> None:
        for ours, slope, theirs in (
            (errors.mse, errors.mse_slope, torch.nn.functional.mse_loss),
            (errors.mae, errors.mae_slope, torch.nn.functional.l1_loss),
        ):
            p = tensor(self.P)
            loss = theirs(p, torch.tensor(self.Y))
            loss.backward()
            close(ours(self.Y, self.P), loss.item())
            close(slope(self.Y, self.P), p.grad)
        assert errors.mbe(self.Y, self.P) == pytest.approx(-0.425)

    def test_cross_entropy_equals_torch(self) -> None:
        logits = np.random.default_rng(0).normal(size=(6, 4))
        classes = np.array([0, 3, 1, 1, 2, 0])
        x = tensor(logits)
        loss = torch.nn.functional.cross_entropy(x, torch.tensor(classes))
        loss.backward()  # type: ignore[no-untyped-call]
        close(errors.cross_entropy(classes, logits), loss.item())
        close(errors.cross_entropy_slope(classes, logits), x.grad)

    def test_the_mean_and_the_median_are_best(self) -> None:
        y = np.random.default_rng(1).exponential(size=501)
        assert errors.best_constant(y, "mse") == pytest.approx(y.mean(), abs=0.01)
        assert errors.best_constant(y, "mae") == pytest.approx(np.median(y), abs=0.01)


class TestBackprop:
    def test_gradients_of_a_network_equal_torch(self) -> None:
        network = feedforward.Network.random([5, 7, 4, 3], np.tanh, seed=2)
        g = np.random.default_rng(0)
        x, y = g.normal(size=(6, 5)), g.normal(size=(6, 3))
        tensors = [tensor(w) for w in network.weights], [tensor(b) for b in network.biases]
        a = torch.tensor(x)
        for i, (w, b) in enumerate(zip(*tensors, strict=True)):
            a = a @ w.T + b
            a = torch.tanh(a) if i < 2 else a
        torch.nn.functional.mse_loss(a, torch.tensor(y)).backward()  # type: ignore[no-untyped-call]
        weights, biases = backprop.backward(network, activations.tanh_slope, x, lambda p: errors.mse_slope(y, p))
        close(network.forward(x)[0], a.detach().numpy())
        for ours, theirs in zip([*weights, *biases], [*tensors[0], *tensors[1]], strict=True):
            close(ours, theirs.grad)

    def test_gradients_of_a_network_equal_finite_differences(self) -> None:
        network = feedforward.Network.random([3, 4, 1], activations.sigmoid, seed=5)
        g = np.random.default_rng(3)
        x, y = g.normal(size=(5, 3)), g.normal(size=(5, 1))
        weights, _ = backprop.backward(network, activations.sigmoid_slope, x, lambda p: errors.mse_slope(y, p))

        def error(w: np.ndarray) -> float:
            changed = feedforward.Network([w, network.weights[1]], network.biases, activations.sigmoid)
            return errors.mse(y, changed.forward(x)[0])

        assert np.allclose(weights[0], descent.slopes(error, network.weights[0]), atol=1e-8)

    def test_slopes_of_values_equal_torch(self) -> None:
        a, b, c = Value(0.5), Value(-1.5), Value(2.0)
        e = (a * b + c).tanh() * a - b
        e.backward()
        t = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.5, -1.5, 2.0)]
        f = torch.tanh(t[0] * t[1] + t[2]) * t[0] - t[1]
        f.backward()  # type: ignore[no-untyped-call]
        close(e.number, f.item())
        for ours, theirs in zip((a, b, c), t, strict=True):
            close(ours.slope, theirs.grad)

    def test_it_learns_xor(self) -> None:
        x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float), np.array([[0], [1], [1], [0]], float)
        network = feedforward.Network.random([2, 4, 1], np.tanh, seed=0)
        assert backprop.learn(network, x, y)[-1] < 1e-3

    def test_multiplications_are_counted(self) -> None:
        sizes = [5, 7, 4, 3]
        network = feedforward.Network.random(sizes, np.tanh)
        assert feedforward.multiplications(sizes) == sum(w.size for w in network.weights)


def _of_torch(cls: type, module: torch.nn.Module) -> object:
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    return cls(*(getattr(module, n).detach().numpy() for n in names))


class TestRecurrence:
    T, D, H = 12, 3, 5

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        g = np.random.default_rng(4)
        return g.normal(size=(self.T, self.D)), g.normal(size=(self.T, self.H))

    def test_states_and_gradients_of_an_rnn_equal_torch(self) -> None:
        torch.manual_seed(0)
        theirs = torch.nn.RNN(self.D, self.H).double()
        ours = _of_torch(rnn.Rnn, theirs)
        assert isinstance(ours, rnn.Rnn)
        x, grad = self.data()
        h0 = tensor(np.random.default_rng(1).normal(size=self.H))
        y, _ = theirs(torch.tensor(x), h0[None])
        (y * torch.tensor(grad)).sum().backward()
        states = ours.run(x, h0.detach().numpy())
        close(states[1:], y.detach().numpy())
        slopes, start = ours.backward(x, states, grad)
        for name, value in vars(slopes).items():
            torchs = {"w_ih": "weight_ih_l0", "w_hh": "weight_hh_l0", "b_ih": "bias_ih_l0", "b_hh": "bias_hh_l0"}[name]
            close(value, getattr(theirs, torchs).grad)
        close(start, h0.grad)

    def test_states_and_gradients_of_an_lstm_equal_torch(self) -> None:
        torch.manual_seed(0)
        theirs = torch.nn.LSTM(self.D, self.H).double()
        ours = _of_torch(lstm.Lstm, theirs)
        assert isinstance(ours, lstm.Lstm)
        x, grad = self.data()
        g = np.random.default_rng(1)
        h0, c0 = tensor(g.normal(size=self.H)), tensor(g.normal(size=self.H))
        y, (_, c) = theirs(torch.tensor(x), (h0[None], c0[None]))
        (y * torch.tensor(grad)).sum().backward()
        hs, cs = ours.run(x, h0.detach().numpy(), c0.detach().numpy())
        close(hs[1:], y.detach().numpy())
        close(cs[-1:], c.detach().numpy())
        slopes, h_start, c_start = ours.backward(x, hs, cs, grad)
        for name, value in vars(slopes).items():
            torchs = {"w_ih": "weight_ih_l0", "w_hh": "weight_hh_l0", "b_ih": "bias_ih_l0", "b_hh": "bias_hh_l0"}[name]
            close(value, getattr(theirs, torchs).grad)
        close(h_start, h0.grad)
        close(c_start, c0.grad)

    def test_states_of_a_gru_equal_torch(self) -> None:
        torch.manual_seed(0)
        theirs = torch.nn.GRU(self.D, self.H).double()
        ours = _of_torch(lstm.Gru, theirs)
        assert isinstance(ours, lstm.Gru)
        x, _ = self.data()
        y, _ = theirs(torch.tensor(x))
        h = np.zeros(self.H)
        for t in range(self.T):
            h = ours.step(x[t], h)
            close(h, y[t].detach().numpy())

    def test_outputs_equal_those_of_noizenets_cell(self) -> None:
        """The course's LSTM with the weights of a noizenet cell has the same outputs."""
        from noizenet.model.recurrent import RecurrentLayer

        torch.manual_seed(3)
        cell = RecurrentLayer("lstm", self.D, self.H).double()
        names = [f"{part}_l0" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        ours = lstm.Lstm(*(cell.kernel.get_parameter(name).detach().numpy() for name in names))
        x, _ = self.data()
        with torch.no_grad():
            y, _ = cell(torch.tensor(x)[None], cell.zero_state(1))
        close(ours.run(x, np.zeros(self.H), np.zeros(self.H))[0][1:], y[0].numpy())

    def test_logits_equal_those_of_a_trained_model(self) -> None:
        """The bundled model, computed with the course's LSTM in float64 and a head written out here."""
        import noizenet
        from noizenet.figures.gates import embed_codes, lstm_of
        from noizenet.model.stepper import Stepper

        model = noizenet.load_model("token-lstm")
        w, a = model.weights, model.architecture
        codes = np.random.default_rng(0).integers(0, a.levels, (60, a.dim)).astype(np.int16)
        mix = np.eye(a.genres, dtype=np.float32)[1]
        stepper = Stepper(w, model.representation.silence())
        stepper.set_genre(mix)
        theirs = stepper.predict(codes).reshape(len(codes), a.dim, a.levels)

        x = embed_codes(w, np.concatenate([model.representation.silence(), codes[:-1]]).astype(np.int64))
        for layer in range(a.options.layers):
            h0, c0 = w["start"][layer].astype(np.float64)
            output = lstm_of(w, layer).run(x, h0, c0)[0][1:]
            x = x + output if layer and a.options.residual else output
        genre = mix @ w["genre.weight"]
        for k in range(a.dim):
            hidden = (
                x @ w[f"head.in_proj.{k}.weight"].T
                + w[f"head.in_proj.{k}.bias"]
                + genre @ w[f"head.genre_proj.{k}.weight"].T
            )
            for j in range(k):
                hidden = hidden + w[f"head.code_embeddings.{k * (k - 1) // 2 + j}.weight"][codes[:, j]]
            logits = np.maximum(hidden, 0) @ w[f"head.out_proj.{k}.weight"].T + w[f"head.out_proj.{k}.bias"]
            assert np.abs(logits - theirs[:, k]).max() < 1e-3  # theirs is float32


class TestVanishing:
    def test_the_gradient_follows_the_spectral_radius(self) -> None:
        left = vanishing_lesson.measure([0.5, 0.9, 1.1], steps=80)
        assert left[0.5][60] < 1e-12
        assert left[0.9][60] < 0.05
        assert left[1.1][60] > 10
        decay = np.polyfit(range(30, 80), np.log(left[0.9][30:80]), 1)[0]
        assert decay == pytest.approx(math.log(0.9), abs=0.05)

    def test_an_open_forget_gate_passes_the_gradient(self) -> None:
        H = 6
        network = lstm.Lstm.random(1, H, 0)
        network.b_ih[H : 2 * H] = 20.0  # forget nothing
        x = np.random.default_rng(0).normal(size=(100, 1))
        hs, cs = network.run(x, np.zeros(H), np.zeros(H))
        grad = np.zeros((100, H))
        grad[-1] = 1.0
        c_start = network.backward(x, hs, cs, grad)[2]
        assert np.abs(c_start).max() > 0.01

    def test_clipping_equals_torch(self) -> None:
        g = np.random.default_rng(0)
        gradients = [g.normal(size=(3, 4)), g.normal(size=5)]
        parameters = [torch.zeros(v.shape, dtype=torch.float64, requires_grad=True) for v in gradients]
        for p, v in zip(parameters, gradients, strict=True):
            p.grad = torch.tensor(v)
        torch.nn.utils.clip_grad_norm_(parameters, 0.7)
        for ours, p in zip(vanishing_lesson.clip(gradients, 0.7), parameters, strict=True):
            assert np.allclose(ours, p.grad, rtol=1e-5)


class TestSound:
    def test_aliases_are_the_same_samples(self) -> None:
        high, low = sound.sine(7_560, 0.1, 8_000), sound.sine(440, 0.1, 8_000)
        assert np.abs(high + low).max() < 1e-9  # inverted, which is inaudible
        assert sound.alias(7_560, 8_000) == 440

    def test_a_bit_is_six_decibels(self) -> None:
        x = 0.99 * sound.sine(441.7, 1.0, 22_050)  # 1 itself is not representable
        for bits in (8, 12, 16):
            assert sound.noise_db(x, sound.quantise(x, bits)) == pytest.approx(6.02 * bits + 1.76, abs=0.7)

    def test_mu_law_equals_librosa_and_noizenet(self) -> None:
        import librosa

        from noizenet.representation.mulaw import compress

        x = np.linspace(-1, 1, 999)
        close(sound.mu_law(x), librosa.mu_compress(x, mu=255, quantize=False))
        close(sound.mu_law_inverse(sound.mu_law(x)), x)
        assert np.abs(sound.classes(x) - compress(x, 256)).max() <= 1

    def test_the_envelope_of_a_note_is_measured(self) -> None:
        shape = sound.adsr(8_000, 0.05, 0.1, 0.5, 0.2, 0.5)
        assert len(shape) == round(0.7 * 8_000)
        found = sound.envelope(shape * sound.sine(800, 0.7, 8_000), 8_000) * math.sqrt(2)
        assert np.abs(found - shape)[200:-200].max() < 0.15

    def test_a_sine_has_its_peak_in_its_bin(self) -> None:
        rate, k = 8_000, 50
        s = sound.spectrogram(sound.sine(k * rate / 1024, 1.0, rate))
        assert s[3].argmax() == k
        assert s[3, k] == pytest.approx(1, abs=1e-6)
        assert sound.frequencies(rate)[k] == pytest.approx(k * rate / 1024)


class TestGenerating:
    def test_the_mean_decays_and_the_sample_does_not(self) -> None:
        true = generating.String.tuned(440, 8_000)
        original = true.play(40_000)
        learned = generating.fit(original)
        error, persistence = generating.teacher_forced(learned, original)
        assert error < 0.05 * persistence  # nearly perfect under teacher forcing
        mean_run = learned.play(40_000, sample=False, start=(original[-2], original[-1]))
        sampled_run = learned.play(40_000, seed=1, start=(original[-2], original[-1]))
        assert generating.loudness(mean_run)[-1] < 1e-6 * generating.loudness(original).mean()
        ratio = generating.loudness(sampled_run) / generating.loudness(original).mean()
        assert 0.4 < ratio.min() < ratio.max() < 2.5
        spectrum = np.abs(np.fft.rfft(sampled_run))
        assert abs(spectrum.argmax() * 8_000 / 40_000 - 440) < 5
