"""Train several networks on one accelerator at the same time and print a table.

    python several.py DATA OUT JOBS SECONDS

Each line of JOBS is a name, flags of train.py (``--flag~value``) and options (``key=value``). The processes share the
accelerator through CUDA's multi-process service if it is available.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

PROBE = "import torch; x = torch.ones(1000, 1000, device='cuda'); print(float((x @ x).sum()))"
GRACE_S = 120.0


def shared(environment: dict[str, str], folder: Path) -> dict[str, str]:
    """Return an environment whose processes share the accelerator, or the given one if that fails."""
    control = shutil.which("nvidia-cuda-mps-control")
    if control is None:
        return environment
    for name in ("pipe", "log"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    wanted = {
        **environment, "CUDA_MPS_PIPE_DIRECTORY": str(folder / "pipe"), "CUDA_MPS_LOG_DIRECTORY": str(folder / "log"),
    }  # fmt: skip
    try:
        subprocess.run([control, "-d"], env=wanted, timeout=20, check=False)
        done = subprocess.run([sys.executable, "-c", PROBE], env=wanted, capture_output=True, timeout=40, check=False)
        if done.returncode == 0:
            return wanted
    except subprocess.TimeoutExpired:
        pass
    subprocess.run([control], input=b"quit\n", env=wanted, timeout=20, check=False)
    return environment


def main() -> None:
    """Run the trainings."""
    data, out, jobs, seconds = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]).read_text(), float(sys.argv[4])
    begun, out = time.time(), out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    environment = shared({**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}, out / "mps")
    print("shared:", "CUDA_MPS_PIPE_DIRECTORY" in environment, flush=True)
    running = []
    for line in filter(None, (j.split("#")[0].strip() for j in jobs.splitlines())):
        name, *rest = line.split()
        flags = [word for flag in rest if flag.startswith("--") for word in flag.split("~")]
        options = [word for word in rest if not word.startswith("--")]
        left = seconds - (time.time() - begun)
        command = [
            sys.executable, str(Path(__file__).parent / "train.py"), str(data), str(out), "--name", name,
            "--seconds", str(left), *flags, "--set", *options,
        ]  # fmt: skip
        with (out / f"{name}.err").open("w") as errors:
            running.append((name, subprocess.Popen(command, env=environment, stdout=errors, stderr=subprocess.STDOUT)))
    for _, process in running:
        try:
            process.wait(max(1.0, begun + seconds + GRACE_S - time.time()))
        except subprocess.TimeoutExpired:
            process.kill()
    with tarfile.open(out / "plays.tar", "w") as bundle:
        for path in sorted(out.glob("*.npz")):
            bundle.add(path, path.name)
    table(out, [name for name, _ in running])
    (out / "done").touch()


def table(out: Path, names: list[str]) -> None:
    """Print each network's last measurement."""
    heads = ("name", "weights", "frames/s", "passes", "loss", "old", "old, all", "new", "new, all")
    print(("{:>10} " * len(heads)).format(*heads))
    for name in names:
        log = out / f"{name}.jsonl"
        rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        measured, ended = [r for r in rows if "old" in r], [r for r in rows if "finished" in r]
        if not measured:
            print(name, "failed:", (out / f"{name}.err").read_text()[-600:])
            continue
        last = measured[-1]
        values = [name, rows[0]["weights"], ended[-1]["frames_per_second"] if ended else 0, last["passes"]]
        bits = [last["loss"], *(last[w][h] for w in ("old", "new") for h in ("first8", "all"))]
        print(("{:>10} " * len(heads)).format(*values, *(round(b, 1) for b in bits)), "" if ended else "not finished")


if __name__ == "__main__":
    main()
