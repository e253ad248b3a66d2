"""The report as one self-contained HTML page: results, pictures, plots and players."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

STYLE = """
:root { color-scheme: light dark; --line: #8884; --weak: #666; --bad: #b42318; }
@media (prefers-color-scheme: dark) { :root { --weak: #aaa; --bad: #ff8a80; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; } .wide { overflow-x: auto; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th.n, td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.note { white-space: normal; } .weak { color: var(--weak); }
.bad { color: var(--bad); } img { max-width: 100%; background: white; }
audio { width: 16rem; max-width: 100%; } h2 { margin-top: 2.5rem; }
"""


def page(report: dict[str, Any], pictures: Sequence[tuple[str, bytes]], players: dict[str, str]) -> str:
    """Return the report as HTML.

    Parameters
    ----------
    report : dict
        The content of ``report.json``.
    pictures : sequence of (str, bytes)
        Captions and PNGs.
    players : dict of str to str
        Audio as data URLs, by the names that the report's rows use.
    """
    e = html.escape
    parts = [
        f"<h1>{e(report['title'])}</h1>",
        f"<p>{e(report['summary'])}</p>",
        *(f'<p class="bad"><strong>Warning:</strong> {e(w)}</p>' for w in report["warnings"]),
        "<h2>Metrics</h2><p class='weak'>“Real” is held-out music of the same collection, evaluated as if it had been "
        "generated. In brackets: the 90 % confidence interval over recordings; none is given for fewer than five. "
        "Comparison: negative controls, which are not music, or baselines; a metric that does not rate a control worse "
        "than real music is insensitive to it.</p>",
        '<div class="wide"><table><tr><th>metric</th><th>better</th><th>made</th><th>real</th><th>comparison</th>'
        "<th>values</th></tr>",
    ]
    for figure in report["figures"]:
        real = format_estimate(figure["real"]) + _note(figure["real"]) if figure["real"] else "–"
        unit = f" ({e(figure['unit'])})" if figure["unit"] else ""
        parts.append(
            f"<tr><td>{e(figure['measure'])}{unit}<br><span class='weak'>{e(figure['source'])}</span></td>"
            f"<td>{e(figure['better'])}</td><td class='n'>{format_estimate(figure['made'])}{_note(figure['made'])}</td>"
            f"<td class='n'>{real}</td>"
            f"<td>{_comparisons(figure)}</td><td class='n'>{figure['made']['count']:,}</td></tr>"
        )
    parts.append("</table></div>")
    if report["unsaid"]:
        rows = "".join(f"<li>{e(name)}: {e(why)}</li>" for name, why in report["unsaid"].items())
        parts.append(f"<h2>Skipped metrics</h2><ul>{rows}</ul>")
    parts += _likelihood(report.get("likelihood", {})) + _echo(report.get("echo", {}))
    parts += _streams(report, players)
    parts += _confusion(report["confusion"])
    parts += _copying(report["copying"], players)
    for caption, png in pictures:
        data = base64.b64encode(png).decode()
        parts.append(f'<h2>{e(caption)}</h2><img alt="{e(caption)}" src="data:image/png;base64,{data}">')
    if report["skipped"]:
        rows = "".join(f"<li>{e(name)}: {e(why)}</li>" for name, why in report["skipped"])
        parts.append(f"<h2>Skipped files</h2><ul>{rows}</ul>")
    body = "\n".join(parts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{e(report["title"])}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body>{body}</body></html>\n"
    )


def format_estimate(estimate: dict[str, Any]) -> str:
    """Return an estimate with its interval, to three digits."""
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    bounds = f" [{_digits(low)} … {_digits(high)}]" if _number(low) and _number(high) else ""
    return _digits(value) + bounds


def _number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _digits(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _note(estimate: dict[str, Any]) -> str:
    note = estimate.get("note")
    return f"<br><span class='weak note'>{html.escape(note)}</span>" if note else ""


def _comparisons(figure: dict[str, Any]) -> str:
    """Return controls or baselines, one a line, and the controls to which the metric is insensitive."""
    lines = [f"{html.escape(name)}&nbsp;{_digits(e['value'])}" for name, e in figure["beside"].items()]
    if figure["blind"]:
        lines.append(f"<span class='weak'>insensitive to {html.escape(', '.join(figure['blind']))}</span>")
    return "<br>".join(lines)


def _echo(found: dict[str, Any]) -> list[str]:
    """Return the table of the errors of the teacher-forced echo and of persistence."""
    if not found:
        return []
    names = {"mse": "mean square", "mae": "mean absolute", "mbe": "mean bias"}
    parts = [
        "<h2>Echo of held-out music</h2>",
        f"<p class='weak'>Errors of the next frame on {html.escape(found['domain'])}, with teacher forcing, over "
        f"{found['tracks']} tracks. Persistence repeats the last frame.</p>",
        '<div class="wide"><table><tr><th>error</th><th class="n">the model</th><th class="n">persistence</th></tr>',
    ]
    for key, name in names.items():
        cells = "".join(f"<td class='n'>{_digits(found[side][key])}</td>" for side in ("model", "persistence"))
        parts.append(f"<tr><td>{name}</td>{cells}</tr>")
    return [*parts, "</table></div>"]


def _likelihood(found: dict[str, Any]) -> list[str]:
    """Return the table of bits per sample of the model and of the baselines."""
    if not found:
        return []
    e = html.escape
    parts = ["<h2>Likelihood of held-out music</h2>"]
    keys = {
        "bits": "the model", "bits_without_beat": "the model, beat unknown",
        "linear_prediction": "linear prediction", "persistence": "persistence",
        "zeroth_order": "histogram", "bits_per_second": "the model, bits per second",
    }  # fmt: skip
    keys = {k: name for k, name in keys.items() if k in found["mean"]}
    heads = "".join(f"<th class='n'>{name}</th>" for name in keys.values())
    parts.append(
        f"<p class='weak'>{e(found['unit'].capitalize())}; lower is better. The baselines predict the same frames, "
        f"whose decoded audio differs from the original by {found['distortion_db']:.1f} dB of mel levels.</p>"
    )
    parts.append(f'<div class="wide"><table><tr><th>genre</th>{heads}</tr>')
    for genre, row in [*found["genres"].items(), ("mean", found["mean"])]:
        cells = "".join(f"<td class='n'>{_bits(row[k])}</td>" for k in keys)
        parts.append(f"<tr><td>{e(genre)}</td>{cells}</tr>")
    return [*parts, "</table></div>"]


def _bits(value: float | None) -> str:
    return f"{value:.3f}" if value is not None and math.isfinite(value) and value < 100 else _digits(value)


def _streams(report: dict[str, Any], players: dict[str, str]) -> list[str]:
    e = html.escape
    rows = ["<h2>Streams</h2>", '<div class="wide"><table>']
    rows.append("<tr><th>stream</th><th>genre</th><th>seconds</th><th>alive</th><th>degenerate from</th><th></th></tr>")
    for stream in report["streams"]:
        onset, share = stream["alive"]["death_s"], stream["alive"]["alive"]
        alive = "–" if share is None else f"{share:.1%}"
        player = players.get(stream["name"])
        rows.append(
            f"<tr><td>{e(stream['name'])}</td><td>{e(stream['genre'] or '–')}</td>"
            f"<td class='n'>{stream['alive']['seconds']:.0f}</td><td class='n'>{alive}</td>"
            f"<td>{'–' if onset is None else f'{onset:.0f} s, ' + e(', '.join(stream['alive']['causes']))}</td>"
            f"<td>{_player(player, stream['name']) if player else ''}</td></tr>"
        )
    return [*rows, "</table></div>"]


def _player(url: str, name: str) -> str:
    return f'<audio controls preload="none" aria-label="{html.escape(name)}" src="{url}"></audio>'


def _confusion(confusion: dict[str, Any]) -> list[str]:
    if not confusion:
        return []
    e = html.escape
    parts = ["<h2>Genres: requested (rows) and predicted by the classifier (columns)</h2>"]
    for side in (s for s in ("made", "real") if s in confusion):
        heads = "".join(f"<th class='n'>{e(g)}</th>" for g in confusion["genres"])
        parts.append(f'<h3>{side}</h3><div class="wide"><table><tr><th></th>{heads}</tr>')
        for genre, row in zip(confusion["genres"], confusion[side], strict=True):
            cells = "".join(f"<td class='n'>{n or ''}</td>" for n in row)
            parts.append(f"<tr><th>{e(genre)}</th>{cells}</tr>")
        parts.append("</table></div>")
    return parts


def _copying(copying: dict[str, Any], players: dict[str, str]) -> list[str]:
    if not copying:
        return []
    e = html.escape
    parts = [
        f"<h2>Copying: {e(copying['verdict'])}</h2>",
        "<p>The ten generated seconds that are most similar to a second of the training music.</p>",
        '<div class="wide"><table><tr><th>made</th><th></th><th>training music</th><th></th><th>similarity</th></tr>',
    ]
    for i, pair in enumerate(copying["worst"]):
        cells = [
            f"<td>{e(pair[side])} at {pair[side + '_s']:.1f} s</td>"
            f"<td>{_player(players[f'{side} {i}'], pair[side]) if f'{side} {i}' in players else ''}</td>"
            for side in ("made", "source")
        ]
        parts.append(f"<tr>{''.join(cells)}<td class='n'>{pair['likeness']:.3f}</td></tr>")
    return [*parts, "</table></div>"]


def data_url(samples: NDArray[np.float32], rate: int) -> str:
    """Return mono samples [n] as an Ogg Vorbis data URL."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), rate, format="OGG", subtype="VORBIS")
    return "data:audio/ogg;base64," + base64.b64encode(buffer.getvalue()).decode()
