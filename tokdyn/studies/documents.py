"""Documents that a study or a command leaves behind: Markdown, and the same as one HTML file that can be sent on."""

from __future__ import annotations

import base64
import dataclasses
import html
import itertools
import math
import mimetypes
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat
from urllib.parse import unquote

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure as Drawing

PLOTS = "plots"


@dataclasses.dataclass(frozen=True)
class Figure:
    """A picture of a report, drawn only where pictures are wanted.

    Attributes:
        file: name of the file in the folder ``plots``, with the suffix of its format.
        caption: what a reader should know to read it.
        draw: returns a matplotlib figure, which is then saved. Either this or ``write`` is given.
        write: writes the file itself, given its path: an animation, say.
    """

    file: str
    caption: str
    draw: Callable[[], Drawing] | None = None
    write: Callable[[Path], object] | None = None

    def save(self, folder: Path) -> None:
        """Draw it and put it into a folder that exists."""
        if self.write is not None:
            self.write(folder / self.file)
        elif self.draw is not None:
            from tokdyn import plot

            plot.save(self.draw(), folder / self.file)


@dataclasses.dataclass(frozen=True)
class Report:
    """What a report says, without its form.

    Attributes:
        title: one line.
        blocks: paragraphs, headings (``## ...``), lists and tables in Markdown, in their order.
        figures: shown behind the blocks.
        notes: what a reader should know before relying on it; Markdown, shown behind the figures.
        files: what lies beside the report: a description for each file.
    """

    title: str
    blocks: Sequence[str]
    figures: Sequence[Figure] = ()
    notes: str = ""
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)


def markdown(report: Report, *, plots: bool = True) -> str:
    """The report as Markdown.

    Args:
        report: what it says.
        plots: whether its figures are shown; they lie in the folder ``plots`` beside the file.

    Example:
        >>> from tokdyn.studies.documents import Report, markdown
        >>> print(markdown(Report("Two", ["One paragraph."])))
        # Two
        <BLANKLINE>
        One paragraph.
        <BLANKLINE>
    """
    blocks = [f"# {report.title}", *report.blocks]
    if plots and report.figures:
        blocks.append("## Figures")
        blocks += [f"![{one.caption}]({PLOTS}/{one.file})\n\n*{one.caption}*" for one in report.figures]
    if report.notes:
        blocks += ["## What to know", report.notes]
    if report.files:
        blocks += ["## Files", "\n".join(f"* `{file}`: {meaning}" for file, meaning in report.files.items())]
    return "\n\n".join(blocks) + "\n"


def write(report: Report, folder: Path, *, plots: bool = True) -> None:
    """Write ``report.md``, ``report.html`` and the figures.

    Args:
        report: what it says.
        folder: which exists.
        plots: whether to draw the figures.
    """
    if plots and report.figures:
        (folder / PLOTS).mkdir(exist_ok=True)
        for one in report.figures:
            one.save(folder / PLOTS)
    text = markdown(report, plots=plots)
    (folder / "report.md").write_text(text, encoding="utf-8")
    write_page(text, folder)


def write_page(text: str, folder: Path) -> None:
    """Write ``report.html``: a Markdown text as one file with its pictures inside.

    Args:
        text: Markdown.
        folder: where the file goes, and where the text's pictures lie.
    """
    (folder / "report.html").write_text(page(text, folder), encoding="utf-8")


def page(text: str, folder: Path) -> str:
    """A Markdown text as an HTML page that needs no other file and no network.

    Args:
        text: Markdown with tables; HTML in it is shown as text.
        folder: where pictures with relative addresses lie. One that is not there keeps its address.

    Returns:
        The page.

    Example:
        >>> from pathlib import Path
        >>> from tokdyn.studies.documents import page
        >>> "<h1>Two</h1>" in page("# Two", Path())
        True
    """
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(text)
    title = next((after.content for one, after in itertools.pairwise(tokens) if one.tag == "h1"), "tokdyn")
    for token in tokens:
        for child in token.children or ():
            if child.type == "image":
                child.attrSet("src", _embedded(str(child.attrGet("src")), folder))
    body = reader.renderer.render(tokens, reader.options, {})
    return _PAGE.format(title=html.escape(title), style=_STYLE, body=body)


def _embedded(address: str, folder: Path) -> str:
    """A picture's address as data, where the picture is a file beside the text."""
    path = folder / unquote(address)
    if "://" in address or address.startswith("data:") or not path.is_file():
        return address
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


_STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; font-size: 0.85rem; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #d0d0d0; padding: 0.25rem 0.6rem; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #808080; }
img { max-width: 100%; height: auto; }
code { background: #f2f2f2; padding: 0.1em 0.25em; }"""
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
{body}</body>
</html>
"""


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table in Markdown.

    Args:
        rows: records with the same names, at least one. Numbers stand on the right.

    Example:
        >>> from tokdyn.studies.documents import table
        >>> print(table([{"name": "a", "share": 0.5}]))
        | name | share |
        |---|---:|
        | a | 0.5000 |
    """
    names = list(rows[0])
    numeric = [all(isinstance(row[name], (int, float)) for row in rows) for name in names]
    lines = [
        "| " + " | ".join(names) + " |",
        "|" + "|".join("---:" if right else "---" for right in numeric) + "|",
    ]
    lines += ["| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def records(
    dataset: xarray.Dataset,
    over: Mapping[str, str],
    columns: Mapping[str, str | Callable[[xarray.Dataset], object]],
) -> list[dict[str, Any]]:
    """Rows for ``table``: one for every combination of labels along some dimensions.

    Args:
        dataset: with no other dimension in the variables that are shown.
        over: dimensions, the first changing slowest, and the headings that their labels stand under.
        columns: by heading, the name of a variable, or a function of the row's part of the Dataset.

    Example:
        >>> import xarray
        >>> from tokdyn.studies.documents import records
        >>> dataset = xarray.Dataset({"ari": ("noise", [0.5, 1.0])}, {"noise": [0.3, 0.6]})
        >>> records(dataset, {"noise": "noise"}, {"ARI": "ari", "rest": lambda one: 1 - float(one["ari"])})
        [{'noise': '0.3', 'ARI': 0.5, 'rest': 0.5}, {'noise': '0.6', 'ARI': 1.0, 'rest': 0.0}]
    """
    rows = []
    for labels in itertools.product(*(dataset[dim].values for dim in over)):
        one = dataset.sel(dict(zip(over, labels, strict=True)))
        row = {
            heading: label if isinstance(label, str) else f"{label:g}"
            for heading, label in zip(over.values(), labels, strict=True)
        }
        rows.append(
            row
            | {heading: one[what].item() if isinstance(what, str) else what(one) for heading, what in columns.items()}
        )
    return rows


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return "-" if math.isnan(value) else f"{value:.4g}" if abs(value) < 1e-3 and value != 0 else f"{value:.4f}"


def brackets(low: SupportsFloat, high: SupportsFloat, digits: int = 3) -> str:
    """An interval as text; "-" where there is none.

    Example:
        >>> from tokdyn.studies.documents import brackets
        >>> brackets(0.25, 1)
        '[0.250, 1.000]'
    """
    return f"[{float(low):.{digits}f}, {float(high):.{digits}f}]" if math.isfinite(low) else "-"


def bullets(lines: Sequence[str]) -> str:
    """Sentences as a list."""
    return "\n".join(f"* {line}" for line in lines)
