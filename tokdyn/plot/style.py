"""One look for every figure: colours that survive colour-blindness, markers that survive grey, text that is not cut."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito (2008), in an order that keeps neighbours apart in lightness too.
COLOURS = ("#000000", "#0072B2", "#E69F00", "#CC79A7", "#009E73", "#D55E00", "#56B4E9", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DOTS_PER_INCH = 150
SETTINGS: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


Plot = TypeVar("Plot", bound=Callable[..., Any])


def styled(function: Plot) -> Plot:
    """Draw with our settings, and leave the user's matplotlib as it was."""

    @functools.wraps(function)
    def inside(*arguments: Any, **options: Any) -> Any:
        # Matplotlib keeps a font cache in its configuration folder; with no home to write to it would complain.
        if "MPLCONFIGDIR" not in os.environ and not os.access(os.path.expanduser("~"), os.W_OK):
            os.environ["MPLCONFIGDIR"] = tempfile.mkdtemp(prefix="tokdyn-matplotlib-")
        import matplotlib

        with matplotlib.rc_context(SETTINGS):
            return function(*arguments, **options)

    return inside  # type: ignore[return-value]


@styled
def figure(
    rows: int = 1, columns: int = 1, *, width: float = 2.6, height: float = 2.4, **options: Any
) -> tuple[Figure, Any]:
    """A figure and its axes `[rows, columns]` (NumPy array), drawn without a display.

    Args:
        rows: of panels.
        columns: of panels.
        width: of a panel, inches.
        height: of a panel, inches.
        **options: for ``Figure.subplots``, for example ``sharey=True``.

    Returns:
        ``(figure, axes)``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width * columns, height * rows), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(made)
    return made, made.subplots(rows, columns, squeeze=False, **options)


@styled
def save(made: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure to a file.

    Args:
        made: from ``figure``.
        path: with the suffix of the format.

    Returns:
        The path.
    """
    target = Path(path)
    made.savefig(target, dpi=DOTS_PER_INCH)
    return target
