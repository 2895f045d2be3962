"""The command line: ``tokdyn study``, ``run``, ``sweep``, ``audit``, ``check-data``, ``claims``, ``list``, ``info``.

Every command imports what it needs only when it is called, so that ``tokdyn --help`` is fast.
"""

# No "from __future__ import annotations": tyro reads the types of the option classes that are built below.
import contextlib
import dataclasses
import gc
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

# On busy cores BLAS threads wait for each other, in minutes what takes seconds; it is asked when NumPy is imported.
if sys.argv[1:2] in (["diagnose"], ["audit"]) or sys.argv[1:3] == ["study", "theory"]:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tokdyn import checks, failures, interrupts

COMMANDS = {
    "study": "reproduce a published experiment: tokdyn study NAME --out DIR",
    "run": "token dynamics on your own features: tokdyn run FILE --num-tokens K",
    "sweep": "many runs from a file: tokdyn sweep SPEC.toml --store PATH",
    "diagnose": "will tokens collapse on these features, and why did an autoencoder: tokdyn diagnose FILE",
    "audit": "diagnose a saved run of your own latent reasoner: tokdyn audit RUN.npz",
    "check-data": "check a CLEVR or CLEVRER sample: tokdyn check-data FILE",
    "claims": "every published claim, with our verdict",
    "list": "available studies and systems",
    "info": "versions, devices, compiled programs (--clear-cache), or what PATH holds (stores: --verify, --repair)",
}
STARTED = time.perf_counter()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the arguments without the program's name; by default those of the process.

    Returns:
        The exit code: 0 for success, 2 for bad input (one sentence on standard error), 130 if interrupted, 1 for an
        internal error (one line; with TOKDYN_DEBUG=1 in the environment, its traceback).
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print("usage: tokdyn COMMAND [...]   (tokdyn COMMAND --help says more)\n")
        for name, text in COMMANDS.items():
            print(f"  {name:<11} {text}")
        return 0 if words else 2
    if words[0] == "--version":
        from tokdyn import __version__

        print(__version__)
        return 0
    command, rest = words[0], words[1:]
    actions: dict[str, Callable[[list[str]], None]] = {
        "study": _study,
        "run": _run,
        "sweep": _sweep,
        "diagnose": _diagnose,
        "audit": _audit,
        "check-data": _check_data,
        "claims": _claims,
        "list": _list,
        "info": _info,
    }
    if command not in actions:
        near = checks.nearest(command, COMMANDS)
        hint = f"; did you mean {near!r}?" if near else ""
        return _refuse(f"command: expected one of {', '.join(COMMANDS)}, got {command!r}{hint}")
    try:
        actions[command](rest)
    except BrokenPipeError:
        raise  # the reader of our output has closed the pipe
    except Exception as error:
        code, line = failures.told(error)
        print(line, file=sys.stderr)
        return code
    except KeyboardInterrupt as interrupt:
        # A sweep reports what it has kept; every other command writes at the end or not at all.
        print(f"tokdyn: interrupted; {str(interrupt) or 'nothing was written'}", file=sys.stderr)
        return 130
    return 0


def _refuse(sentence: str) -> int:
    print(f"tokdyn: {' '.join(sentence.split())}", file=sys.stderr)
    return 2


def _study(words: list[str]) -> None:
    import tyro

    from tokdyn import studies
    from tokdyn.studies import output

    if not words or words[0].startswith("-"):
        names = ", ".join(sorted(studies.available()))
        print(f"usage: tokdyn study NAME [--out DIR] [...]   NAME is one of: {names}")
        if not words:
            raise ValueError(f"study: expected a name, one of {names}, got none")
        return
    name, rest = words[0], words[1:]
    study = studies.load(name)

    @dataclasses.dataclass(frozen=True)
    class Options:
        """How to run the study, and where to write its results."""

        design: tyro.conf.OmitArgPrefixes[study.Config]  # type: ignore[name-defined]
        """Design of the study."""
        out: Path = Path("results") / name
        """Folder for the results."""
        plots: bool = True
        """Whether to draw the figures."""
        quick: bool = False
        """Run a small design (only a few seeds), to check that everything works."""
        config: Path | None = None
        """Repeat the run recorded in this metadata.json, except for what other options change."""
        cache: bool = True
        """Keep compiled programs on disk for later commands (tokdyn info shows and clears them)."""

    offered = {
        "store": (str, "", "Folder in which an interrupted study continues; empty for none."),
        "workers": (int, 2, "How many trainings run side by side."),
    }
    taken = {option: one for option, one in offered.items() if option in study.takes}
    extended = dataclasses.make_dataclass(
        "Options",
        [(option, Annotated[kind, tyro.conf.arg(help=text)], dataclasses.field(default=default))
         for option, (kind, default, text) in taken.items()],
        bases=(Options,), frozen=True,
    )  # fmt: skip
    options = tyro.cli(
        extended, prog=f"tokdyn study {name}", args=rest, default=extended(design=_recorded_config(rest, study)),
        description=study.description,
    )  # fmt: skip
    design = study.quick(options.design) if options.quick else options.design
    output.demand_writable(options.out)
    with _programs_kept(options.cache):
        with _progress(f"study {name}") as progress:
            chosen = {option: getattr(options, option) for option in taken}
            dataset = study.run(design, progress=progress, with_example=options.plots, **chosen)
        path = study.report(dataset, options.out, plots=options.plots, wall_seconds=time.perf_counter() - STARTED)
    if study.headline is not None:
        print(study.headline(dataset))
    print(path)


def _recorded_config(words: list[str], study: Any) -> Any:
    """The design recorded in the metadata given by ``--config``, or else the default of the study."""
    from tokdyn import files
    from tokdyn.studies import output

    for i, word in enumerate(words):
        given = word.split("=", 1)[1] if word.startswith("--config=") else None
        if word == "--config" and i + 1 < len(words):
            given = words[i + 1]
        if given is None:
            continue
        try:
            stored = files.read_json(files.path_of("config", given, "a metadata.json"))
        except files.Unreadable as error:
            raise ValueError(f"config: expected a metadata.json, got {given} ({error})") from None
        if not isinstance(stored, dict) or not isinstance(stored.get("config"), dict):
            raise ValueError(f"config: expected a metadata.json written by tokdyn, got {given}")
        return output.config_from(study.Config, stored["config"])
    return study.Config()


def _note(note: str) -> None:
    print(f"tokdyn: {note}", file=sys.stderr)


def _run(words: list[str]) -> None:
    import tyro

    from tokdyn.studies import features

    @dataclasses.dataclass(frozen=True)
    class RunOptions:
        """Run token dynamics on a file of features: text (.csv, .txt, ..., also compressed), .parquet, .npy or .npz.

        Columns that are left out (such as ids) and guesses are reported first; see help(td.data.read_table).
        """

        file: tyro.conf.Positional[Path]
        """File with the features, one per row."""
        how: tyro.conf.OmitArgPrefixes[features.Options]
        """Options of the run."""
        out: Path = Path("results/run")
        """Folder for the results. Earlier results in it are replaced; other files are kept."""
        plots: bool = True
        """Whether to draw the figures."""
        cache: bool = True
        """Keep compiled programs on disk for later commands (tokdyn info shows and clears them)."""

    options = tyro.cli(RunOptions, prog="tokdyn run", args=words)
    with _programs_kept(options.cache), _progress("run") as progress:
        path = features.cluster_file(
            options.file,
            options.how,
            options.out,
            plots=options.plots,
            progress=progress,
            say=_note,
        )
    for sentence in json.loads((path.parent / "diagnostics.json").read_text(encoding="utf-8"))["warnings"]:
        print(f"tokdyn: warning: {sentence}", file=sys.stderr)
    blocks = path.read_text(encoding="utf-8").split("\n\n")
    print("\n".join([blocks[1], *(block for block in blocks if block.startswith("Against the "))]))
    print(path)


def _sweep(words: list[str]) -> None:
    import tyro

    @dataclasses.dataclass(frozen=True)
    class SweepOptions:
        """Run a sweep from a TOML file and write it to a Zarr store. Use --resume to continue an interrupted sweep."""

        spec: tyro.conf.Positional[Path]
        """TOML file with evaluator, seeds and axes; its format is described in `tokdyn.sweeps.spec`."""
        store: str
        """Folder or URL for the results."""
        resume: bool = False
        """Resume the sweep in an existing store."""
        worker: int = 0
        """Number of this process, from 0, if several share the store (for example, a SLURM array)."""
        of: int = 1
        """Number of processes that share the store; if more than 1, each resumes an existing store."""
        extend: bool = False
        """If the store holds fewer seeds, values, variants or outputs, compute the missing ones."""
        mixed: bool = False
        """Continue a store that was begun on another kind of machine; results then agree only to rounding."""
        dry_run: bool = False
        """Compile, time one call, and report what the sweep would take, without running it."""
        cache: bool = True
        """Keep compiled programs on disk for later commands (tokdyn info shows and clears them)."""

    options = tyro.cli(SweepOptions, prog="tokdyn sweep", args=words)
    import jax

    from tokdyn import sweeps
    from tokdyn.studies.dynamics.evaluator import BASE, evaluate_native
    from tokdyn.sweeps import spec
    from tokdyn.sweeps.store import open_store

    asked = spec.read(options.spec, {"dynamics": (evaluate_native, BASE)})
    goes_on = options.resume or options.extend or options.dry_run or options.of > 1
    if not goes_on and open_store(options.store) is not None:
        raise ValueError(f"store: expected a new place, or --resume to go on, got {options.store}, where a sweep is")
    how = {name: getattr(options, name) for name in ("store", "worker", "of", "extend", "mixed", "dry_run")}
    with _programs_kept(options.cache), jax.enable_x64(asked.x64):
        found = cast(Callable[..., object], sweeps.sweep)(
            asked.evaluate,
            asked.base,
            asked.space,
            seeds=asked.seeds,
            key=jax.random.key(asked.key),
            paired=asked.paired,
            dims=asked.dims,
            pad=asked.pad,
            progress=sys.stderr.isatty(),
            **how,
        )
    print(found if options.dry_run else options.store)


def _diagnose(words: list[str]) -> None:
    import tyro

    from tokdyn.studies import diagnosing

    @dataclasses.dataclass(frozen=True)
    class DiagnoseOptions:
        """Diagnose a file of features (will the tokens collapse, why, what to change?), or a trained autoencoder.

        With --num-tokens it holds features; without, it was written by td.autoencoder.save_run.
        """

        file: tyro.conf.Positional[Path]
        """File of features, one per row, or of a trained autoencoder."""
        how: tyro.conf.OmitArgPrefixes[diagnosing.Diagnosed]
        """Of features."""
        as_json: bool = False
        """Print all measurements as JSON."""
        cache: bool = True
        """Keep compiled programs on disk for later commands (tokdyn info shows and clears them)."""

    options = tyro.cli(DiagnoseOptions, prog="tokdyn diagnose", args=words)
    if options.how.num_tokens is not None:
        with _programs_kept(options.cache), _progress("diagnose"):
            told = diagnosing.diagnose_file(options.file, options.how, say=_note)
        return print(told.to_json() if options.as_json else told)
    import jax

    from tokdyn import autoencoder

    try:
        run = autoencoder.load_run(options.file)
    except ValueError as error:
        raise ValueError(f"{error}; for a file of features say --num-tokens") from None
    with _programs_kept(options.cache), _progress("diagnose"):
        found = autoencoder.diagnose.diagnose(
            run.model, run.variables, run.corpus, key=jax.random.key(0), loss=run.loss, history=run.history,
            initial=run.initial, rewards=run.rewards,
        )  # fmt: skip
    print(found.to_json() if options.as_json else found)


def _audit(words: list[str]) -> None:
    import tyro

    from tokdyn.studies import audits

    @dataclasses.dataclass(frozen=True)
    class AuditOptions:
        """Report what the latents, logits, attention and answers of a latent reasoner show."""

        file: tyro.conf.Positional[Path]
        """File with the arrays of a run, saved by numpy.savez."""
        how: tyro.conf.OmitArgPrefixes[audits.Options]
        out: Path | None = None
        """Folder for the report and its tables; without it, they are only printed."""
        cache: bool = True
        """Keep compiled programs on disk for later commands (tokdyn info shows and clears them)."""

    given = tyro.cli(AuditOptions, prog="tokdyn audit", args=words)
    with _programs_kept(given.cache), _progress("audit"):
        text = audits.audit_file(given.file, given.how, given.out)
    print(text)


def _check_data(words: list[str]) -> None:
    import tyro

    from tokdyn.data.clevr import check_samples

    def check(file: tyro.conf.Positional[Path], /) -> dict[str, Any]:
        """Check a CLEVR or CLEVRER sample: number of records, their fields, and records without a program.

        Args:
            file: a JSON list of records, a file in CLEVR's own layout, or JSON lines.
        """
        return check_samples(file)

    print(json.dumps(tyro.cli(check, prog="tokdyn check-data", args=words), indent=2))


def _claims(words: list[str]) -> None:
    from tokdyn import inspection

    inspection.show_claims(words)


def _list(words: list[str]) -> None:
    from tokdyn import inspection

    inspection.show_list(words)


def _info(words: list[str]) -> None:
    from tokdyn import inspection

    inspection.show_info(words)


@contextlib.contextmanager
def _programs_kept(wanted: bool) -> Iterator[None]:
    """Keep compiled programs on disk while the block runs, if wanted and possible."""
    if not wanted:
        yield
        return
    from tokdyn import compile_cache

    with compile_cache.kept(lambda sentence: print(f"tokdyn: {sentence}", file=sys.stderr)):
        yield


@contextlib.contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on standard error if that is a terminal, otherwise nothing."""
    if not sys.stderr.isatty():
        yield None
        return
    from tokdyn.sweeps.progress import progress_bar

    with progress_bar(label) as show:
        yield show


def entry() -> None:
    """Entry point of the process ``tokdyn``: run ``main``, then exit."""
    failures.open_what_is_closed()
    interrupts.install()
    # Tracing creates hundreds of thousands of long-lived objects. Scanning them after every 700 new ones took 0.5 of
    # the 3.4 s of a second "tokdyn study dynamics" (2 cores, jax 0.10.1).
    gc.set_threshold(50_000, 20, 20)
    for stream in (sys.stdout, sys.stderr):  # names and claims may hold what this terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    code = 0
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:  # standard output may go to a full disk
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = code or _refuse(f"output: {error.strerror or error}")
    interrupts.leave(code)
