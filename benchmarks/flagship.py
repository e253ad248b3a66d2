"""Generation speed of token-lstm: one stream, a batch of sixteen, time to the first audio, an hour; and MusicGen-small.

    python benchmarks/flagship.py [MODEL] [--musicgen] [--hour]

One thread throughout. ``--musicgen`` builds MusicGen-small at its published size with random weights (needs the package
transformers; nothing is downloaded) and times its generation without guidance in the same run. ``--hour`` generates an
hour and reports the memory after the first minute and at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import noizenet
from noizenet.generation.stream import Stream
from noizenet.model import PRECISIONS
from noizenet.model.stepper import Stepper
from noizenet.store.model import Model

ROUNDS, SECONDS, BATCH, MUSICGEN_S = 3, 20.0, 16, 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="token-lstm")
    parser.add_argument("--musicgen", action="store_true")
    parser.add_argument("--hour", action="store_true")
    o = parser.parse_args()
    model = noizenet.load_model(o.model)
    results: dict[str, Any] = {f"one stream, {p}, × real time": median(lambda p=p: one(model, p)) for p in PRECISIONS}  # type: ignore[misc]
    results["network alone, fp32, × real time"] = median(lambda: network(model))
    results["decoder alone, × real time"] = median(lambda: decoder(model))
    for p in PRECISIONS:
        results[f"{BATCH} streams together, {p}, × real time"] = median(lambda p=p: generate_batch(model, p))  # type: ignore[misc]
    results["first sound after, s"] = sorted(first_sound(o.model) for _ in range(ROUNDS))[ROUNDS // 2]
    if o.hour:
        results |= hour(o.model)
    if o.musicgen:
        results["MusicGen-small, random weights, × real time"] = musicgen()
    for name, value in results.items():
        print(f"{name}: {value:.3g}")
    print(json.dumps(results))


def median(run: Any) -> float:
    """Return the median of three calls of `run`, which returns × real time, after one warm-up call."""
    run()
    return float(np.median([run() for _ in range(ROUNDS)]))


def one(model: Model, precision: str) -> float:
    controls = noizenet.Controls(seconds=SECONDS, seed=1, genre=model.genres[0], watch="off", precision=precision)
    stream = noizenet.stream(model, controls)
    started = time.process_time()
    for _ in stream:
        pass
    return SECONDS / (time.process_time() - started)


def network(model: Model) -> float:
    stepper = Stepper(model.weights, model.representation.silence())
    started = time.process_time()
    stepper.run(round(SECONDS * model.representation.frame_rate))
    return SECONDS / (time.process_time() - started)


def decoder(model: Model) -> float:
    r = model.representation
    frames = Stepper(model.weights, r.silence()).run(round(SECONDS * r.frame_rate))
    started = time.process_time()
    r.decoder().push(frames)
    return SECONDS / (time.process_time() - started)


def generate_batch(model: Model, precision: str) -> float:
    controls = [
        noizenet.Controls(seconds=SECONDS, seed=i, genre=model.genres[i % 6], watch="off", precision=precision)
        for i in range(BATCH)
    ]
    streams = Stream.many(model, controls)
    started = time.process_time()
    for _ in Stream.generate_batch(streams):
        pass
    return BATCH * SECONDS / (time.process_time() - started)


def first_sound(name: str) -> float:
    """Return the seconds from the start of a process to its first byte of audio."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "noizenet", "play", name, "--out", "-", "--seconds", "5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.read(2)
        taken = time.perf_counter() - started
        process.stdout.read()
    return taken


def hour(name: str) -> dict[str, float]:
    """Generate an hour in a separate process; return its memory after a minute and after the hour."""
    code = f"""
import noizenet, psutil
process, sizes, played = psutil.Process(), [], 0.0
for block in noizenet.stream({name!r}, noizenet.Controls(seconds=3600.0, seed=1, watch="off")):
    before, played = played, played + len(block) / block.sample_rate
    if before < 60 <= played:
        sizes.append(process.memory_info().rss)
print(sizes[0], process.memory_info().rss)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    after_minute, after_hour = (int(v) / 2**20 for v in out)
    return {"after a minute, MB": after_minute, "after an hour, MB": after_hour}


def musicgen() -> float:
    import torch
    from transformers import (
        EncodecConfig,
        MusicgenConfig,
        MusicgenDecoderConfig,
        MusicgenForConditionalGeneration,
        T5Config,
    )  # fmt: skip

    torch.set_num_threads(1)
    text = T5Config(d_model=768, d_ff=3072, num_layers=12, num_heads=12, vocab_size=32128)
    audio = EncodecConfig(
        sampling_rate=32_000, target_bandwidths=[2.2], codebook_size=2048, codebook_dim=128, hidden_size=128,
        num_filters=64, upsampling_ratios=[8, 5, 4, 4], norm_type="weight_norm", use_causal_conv=False,
    )  # fmt: skip
    language = MusicgenDecoderConfig(num_hidden_layers=24, ffn_dim=4096, num_attention_heads=16, hidden_size=1024)
    config = MusicgenConfig(
        text_encoder=text.to_dict(), audio_encoder=audio.to_dict(), decoder=language.to_dict()
    )  # fmt: skip
    big = MusicgenForConditionalGeneration(config).eval()
    tokens = round(MUSICGEN_S * 50)
    started = time.process_time()
    with torch.inference_mode():
        big.generate(
            input_ids=torch.ones(1, 4, dtype=torch.long), do_sample=True, guidance_scale=1.0, max_new_tokens=tokens
        )
    return MUSICGEN_S / (time.process_time() - started)


if __name__ == "__main__":
    main()
