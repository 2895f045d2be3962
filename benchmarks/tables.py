"""The results as Markdown: goals first, then every row with all its forms."""

from __future__ import annotations

from typing import Any


def markdown(results: dict[str, Any]) -> str:
    """What ``python -m benchmarks`` writes beside the JSON."""
    machine = results["machine"]
    versions, peers = machine["versions"], {name: v for name, v in machine["peers"].items() if v}
    lines = [
        f"# {machine['processor']}, {machine['cores']} cores, jax {versions['jax']}",
        "",
        f"Python {machine['python']}, tokdyn {versions['tokdyn']}; "
        + ", ".join(f"{name} {version}" for name, version in peers.items())
        + f". Caches: {', '.join(f'{name} {size}' for name, size in machine['caches'].items())}. {machine['time']}.",
        "",
        "| row | ours | against, the fastest of its kind | goal | measured | met |",
        "|---|---|---|---:|---:|---|",
    ]
    for name, section in results["rows"].items():
        for goal in section["goals"]:
            sign = "at least" if goal["kind"] == "at_least" else "at most"
            clock = ", per CPU-s" if goal["clock"] == "cpu" else ""
            lines.append(
                f"| {name} | {goal['ours'].strip()} | {goal['theirs'].strip()} | {sign} {goal['limit']:.3g}x{clock} "
                f"| {goal['ratio']:.3g}x | {'yes' if goal['met'] else '**no**'} |"
            )
    for name, section in results["rows"].items():
        unit = section["unit"]
        lines += [
            "",
            f"## {name}: {section['title']}",
            "",
            f"| form | ms a call | spread | {unit}/s | {unit}/CPU-s | checked |",
            "|---|---:|---:|---:|---:|---|",
        ]
        for entry in section["entries"]:
            if entry["missing"]:
                lines.append(f"| {entry['form'].strip()} | | | | | {entry['missing']} |")
                continue
            each = entry["seconds_per_unit"]
            spread = (max(entry["wall"]) - min(entry["wall"])) / (each * entry["count"])
            lines.append(
                f"| {entry['form'].strip()} | {each * entry['count'] * 1e3:,.1f} | {spread:.0%} | {1 / each:,.4g} "
                f"| {1 / entry['cpu_per_unit']:,.4g} | {entry['checked']} |"
            )
        if section["facts"]:
            lines += ["", *(f"- {fact}: {_text(value)}" for fact, value in section["facts"].items())]
    for name, reason in results["failed"].items():
        lines += ["", f"**{name} failed**: {reason}"]
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(one)}" for name, one in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)
