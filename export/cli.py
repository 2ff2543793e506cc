"""`lacuna-export`: the model workshop from a terminal. What needs torch is imported by the command that uses it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.errors import LacunaError
from engine.manifest import MANIFEST, load_manifest
from export.contexts import fetch
from export.holes import DEFAULT_MIX, KINDS, HoledText, make_holes, only

FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130
RECIPES = Path(__file__).parent / "recipe_files"
PRECISIONS = {"fp32": "float32", "fp16": "float16", "int8": "int8", "int4": "int4"}
AUTO = "auto"
GPU = "gpu"
_EXTRA = ("torch", "onnx", "onnxscript", "safetensors", "tqdm", "matplotlib", "rensa")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit code: 0 done, 1 a check failed, 2 bad input, 130 interrupted."""
    arguments = _parser().parse_args(argv)
    code: int | None = None
    try:
        code = arguments.run(arguments)
        sys.stdout.flush()
    except LacunaError as error:
        print(f"lacuna-export: {error}", file=sys.stderr)
        return BAD_INPUT
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        print(f"lacuna-export: this command needs {error.name}; install it with: pip install 'lacuna-lsp[export]'", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("lacuna-export: cancelled", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader, `head` say, has seen enough; what is still buffered must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code or 0


def find_recipe(name: str) -> Path:
    """The recipe file that `name` means: one of the package's own by its name, or any by its path."""
    own = RECIPES / f"{name}.toml"
    if own.is_file():
        return own
    path = Path(name)
    if not path.is_file():
        names = ", ".join(path.stem for path in sorted(RECIPES.glob("*.toml")))
        raise LacunaError(f"there is no recipe {name}; use one of {names}, or the path of a recipe file")
    return path


def marked(holed: HoledText) -> str:
    """The text with each hole shown as ⟦kind: text⟧."""
    shown = [f"⟦{kind}: {hole}⟧" for kind, hole in zip(holed.kinds, holed.holes, strict=True)]
    return "".join(piece + hole for piece, hole in zip(holed.pieces, [*shown, ""], strict=True))


def _corpus(arguments: argparse.Namespace) -> None:
    from export.corpus import SPLITS, build, verify
    from export.corpus_summary import summarise

    if arguments.verify:
        print(f"{arguments.out}: {verify(arguments.out)} files are as they were built")
        return
    folders = arguments.sources or [Path(sysconfig.get_path("purelib"))]
    for folder, option in [*((folder, "--from") for folder in folders), *((folder, "--library") for folder in arguments.libraries)]:
        if not folder.is_dir():
            raise LacunaError(f"there is no folder {folder}; name an existing one with {option}")
    cap_bytes = round(arguments.cap_mb * 1e6)
    build(arguments.out, folders, arguments.libraries, evaluation=arguments.exclude, seed=arguments.seed, cap_bytes=cap_bytes)
    summary = summarise(arguments.out)
    if arguments.json:
        print(json.dumps(summary, indent=1, ensure_ascii=False))
        return
    for split in SPLITS:
        chosen = summary[split]
        print(f"{split:9} {chosen['projects']:4} projects {chosen['files']:7,} files {chosen['bytes'] / 1e6:8.1f} MB")
    print("left out, in files:")
    for reason, files in summary["dropped"].items():
        print(f"  {reason:18} {files:8,}")


def _overlap(arguments: argparse.Namespace) -> None:
    from export.corpus import load
    from export.corpus.overlap import measure, read_evaluation

    overlap = measure(load(arguments.corpus, "train"), read_evaluation(arguments.data))
    print(overlap.as_json() if arguments.json else overlap.as_table())


def _train(arguments: argparse.Namespace) -> None:
    from export.recipes import load_recipe
    from export.train import train

    losses = train(
        arguments.corpus,
        arguments.run_folder,
        load_recipe(find_recipe(arguments.recipe)),
        arguments.tokens,
        minutes=arguments.minutes,
        validate_every=arguments.validate_every,
        compiled=arguments.compile,
        micro=arguments.micro_batch,
        start_from=arguments.start_from,
    )
    print(f"held out: {losses}")


def _prepare(arguments: argparse.Namespace) -> None:
    from export.corpus import load
    from export.recipes import load_recipe
    from export.train import TOKENIZER, prepare_tokenizer

    recipe = load_recipe(find_recipe(arguments.recipe))
    split = load(arguments.corpus, "train")
    try:
        arguments.run_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LacunaError(f"the run {arguments.run_folder} can't be made ({error.strerror}); name another folder") from None
    prepare_tokenizer(arguments.run_folder, split, recipe.model.vocabulary)
    print(f"{arguments.run_folder / TOKENIZER}: {recipe.model.vocabulary:,} entries")


def _split(arguments: argparse.Namespace) -> None:
    from export.parcels import split_run

    for path in split_run(arguments.run_folder, arguments.out, round(arguments.part_mb * 2**20)):
        print(f"{path} {path.stat().st_size:,} bytes")


def _join(arguments: argparse.Namespace) -> None:
    from export.parcels import join_run

    join_run(arguments.parts, arguments.run_folder)
    print(f"{arguments.run_folder}: whole; export it with lacuna-export onnx")


def _draft_head(arguments: argparse.Namespace) -> None:
    from export.draft_head import train_draft_head

    agreement = train_draft_head(arguments.corpus, arguments.run_folder, arguments.tokens, minutes=arguments.minutes)
    if arguments.json:
        print(json.dumps(dataclasses.asdict(agreement)))
        return
    print("slots ahead  drafts accepted  same likeliest token  (held out, temperature 1, earlier tokens given)")
    for ahead, (overlap, top) in enumerate(zip(agreement.overlap, agreement.top, strict=True), 1):
        print(f"{ahead:11}  {overlap:15.1%}  {top:20.1%}")


def _onnx(arguments: argparse.Namespace) -> None:
    from export.xlnet_config import is_hugging_face

    if is_hugging_face(arguments.run_folder):
        _xlnet(arguments)
        return
    if arguments.tokenizer or arguments.code_whitespace:
        raise LacunaError("--tokenizer and --code-whitespace are for Hugging Face XLNet folders; a run has a tokenizer of its own")
    from export.compare_precisions import MOST_LOSS, compare_precisions
    from export.corpus_summary import summarise
    from export.onnx_graph import DEVICE, EXACT, built_model

    device = GPU in (arguments.precision or [])
    names: list[str] = [each for each in dict.fromkeys(arguments.precision or []) if each != GPU] or ["fp32"]
    automatic = names == [AUTO]
    if AUTO in names and not automatic:
        raise LacunaError(f"--precision {AUTO} makes its own choice; name it alone")
    asked = list(PRECISIONS.values()) if automatic else [PRECISIONS[name] for name in names]
    summary = summarise(arguments.corpus) if arguments.corpus else {}
    with built_model(arguments.run_folder, arguments.out, arguments.name, summary, {}, asked, device) as built:
        report = compare_precisions(built.folder, arguments.corpus)
        exported = built.publish([report.fastest().precision] if automatic else asked)
    manifest, difference = exported.manifest, built.differences[EXACT]
    if arguments.json:
        written = [*manifest.graphs, *([DEVICE] if device else [])]
        figures = {"folder": str(arguments.out), "written": written, "draft_head": manifest.draft_head is not None}
        apart = {precision: dataclasses.asdict(each) for precision, each in built.differences.items()}
        print(json.dumps({**figures, "differences_from_torch": apart, "report": report.as_dict()}, indent=1))
        return
    size = sum((arguments.out / entry.file).stat().st_size for entry in manifest.files)
    drafts = "a draft head" if manifest.draft_head else "no draft head (lacuna-export draft-head trains one)"
    graphs = ", ".join([*manifest.graphs, *(["one for GPUs"] if device else [])])
    print(f"{arguments.out}: {manifest.parameters:,} parameters in {graphs}, {size / 1e6:.1f} MB, {drafts}")
    print(
        f"ONNX Runtime and torch differ by at most {difference.logits:.1e} in logits, "
        f"and by {difference.caches:.1e} of the largest in keys and values ({EXACT})"
    )
    if device:
        print(f"The graph for GPUs and torch differ by at most {built.differences[DEVICE].logits:.1e} in logits (float16, run on the CPU)")
    print(report.as_table())
    if automatic:
        print(f"chosen: {manifest.default_precision}, the fastest that takes at most {MOST_LOSS:.0%} more bits per byte than {EXACT}")


def _verify(arguments: argparse.Namespace) -> int:
    from export.verify import verify

    checks = verify(arguments.model, arguments.reference)
    if arguments.json:
        print(json.dumps({"folder": str(arguments.model), "checks": [dataclasses.asdict(check) for check in checks]}, indent=1))
    else:
        print("\n".join(map(str, checks)))
    return FAILED if any(check.outcome == "failed" for check in checks) else 0


def _xlnet(arguments: argparse.Namespace) -> None:
    from export.xlnet import export_xlnet

    if arguments.precision not in (None, ["fp32"]) or arguments.corpus or arguments.json:
        raise LacunaError(
            "a Hugging Face XLNet folder is exported in float32 and without a corpus or report; leave --precision, --corpus, --json out"
        )
    exported = export_xlnet(
        arguments.run_folder,
        arguments.out,
        arguments.name or arguments.run_folder.resolve().name,
        tokenizer=arguments.tokenizer,
        code_whitespace=arguments.code_whitespace,
        say=lambda line: print(f"lacuna-export: {line}", file=sys.stderr, flush=True),
    )
    size = sum((arguments.out / entry.file).stat().st_size for entry in exported.manifest.graphs.values())
    print(f"{arguments.out}: {exported.manifest.parameters:,} parameters, {size / 1e6:.1f} MB")
    print("the model has no mark for the end of a hole: lengths are found by comparing likelihoods")
    print(f"ONNX Runtime and torch differ by at most {exported.difference:.1e} in logits")


def _evaluate(arguments: argparse.Namespace) -> None:
    from export.evaluate import evaluate

    manifest = load_manifest(arguments.model)
    evaluation = evaluate(arguments.corpus, arguments.model, arguments.windows)
    figures = evaluation.as_dict()
    print(json.dumps(figures, indent=1) if arguments.json else evaluation.as_table())
    if arguments.write:
        beside: Path = arguments.model / f"{MANIFEST}.new"
        beside.write_text(dataclasses.replace(manifest, evaluation=figures).as_json(), encoding="utf-8")
        beside.replace(arguments.model / MANIFEST)


def _holes(arguments: argparse.Namespace) -> None:
    try:
        text = arguments.file.read_bytes().decode("utf-8")
    except OSError as error:
        raise LacunaError(f"{arguments.file} can't be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise LacunaError(f"{arguments.file} is not UTF-8 text; save it as UTF-8 first") from None
    mix = only(arguments.kind) if arguments.kind else DEFAULT_MIX
    rng = random.Random(arguments.seed)
    above, start = "", 0
    if arguments.cut is not None:
        lines = text.split("\n")
        if arguments.cut > len(lines):
            raise LacunaError(f"{arguments.file} has {len(lines)} lines; name one of them with --cut")
        start = sum(len(line) + 1 for line in lines[: arguments.cut - 1])
        above, _ = fetch(text, start, len(text), rng)
    holed = make_holes(text[start:], rng, arguments.count, mix)
    holed = dataclasses.replace(holed, pieces=(above + holed.pieces[0], *holed.pieces[1:]))
    if arguments.json:
        print(json.dumps({"pieces": holed.pieces, "holes": holed.holes, "kinds": holed.kinds}))
    else:
        print(marked(holed))


def _recipes(arguments: argparse.Namespace) -> None:
    from export.model import AsArm, parameter_count
    from export.recipes import load_recipe

    for path in sorted(RECIPES.glob("*.toml")):
        recipe = load_recipe(path)
        about = path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
        print(f"{recipe.name:10} {parameter_count(AsArm(recipe.model)) / 1e6:6.1f} M parameters, {recipe.rows} rows. {about}")


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text}")
    return value


def _amount(text: str) -> float:
    scale = {"k": 1e3, "M": 1e6, "B": 1e9}.get(text[-1:], 0.0)
    return scale * _positive(text[:-1]) if scale else _positive(text)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lacuna-export", description="Makes models for Lacuna: corpus, training, export, evaluation. Never uses the network."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int | None], about: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=about, description=about)
        command.set_defaults(run=run)
        return command

    command = add("corpus", _corpus, "Collect permissively licensed Python source that is on this machine.")
    command.add_argument("out", type=Path, metavar="OUT", help="the folder to write the corpus to")
    command.add_argument(
        "--from",
        dest="sources",
        type=Path,
        nargs="+",
        action="extend",
        metavar="SITE_PACKAGES",
        help="folders of installed distributions, beside the standard library (default: those of this Python)",
    )
    command.add_argument(
        "--library",
        dest="libraries",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="DIR",
        help="standard libraries of other Pythons, such as /usr/lib/python3.12",
    )
    command.add_argument(
        "--exclude",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="DIR_OR_FILE",
        help="evaluation data (.jsonl, .jsonl.gz) whose text must stay out of the corpus",
    )
    command.add_argument("--cap-mb", type=_positive, default=4.0, metavar="MB", help="most to keep of one project (default: 4)")
    command.add_argument("--seed", type=int, default=0, metavar="S", help="chooses a project's files and their order (default: 0)")
    command.add_argument("--json", action="store_true", help="print the summary as JSON")
    command.add_argument("--verify", action="store_true", help="build nothing; check the files of the corpus OUT against its manifest")

    command = add("overlap", _overlap, "Say how much of some evaluation data a corpus's train split holds.")
    command.add_argument("corpus", type=Path, metavar="CORPUS", help="a folder made by lacuna-export corpus")
    command.add_argument("data", type=Path, nargs="+", metavar="DATA", help=".jsonl or .jsonl.gz files, or folders of them")
    command.add_argument("--json", action="store_true", help="print the report as JSON")

    command = add("prepare", _prepare, "Make a run's tokenizer beforehand, so that training starts at once.")
    command.add_argument("corpus", type=Path, metavar="CORPUS", help="a folder made by lacuna-export corpus")
    command.add_argument("run_folder", type=Path, metavar="RUN", help="the folder of the run")
    command.add_argument("--recipe", required=True, metavar="NAME_OR_PATH", help="see lacuna-export recipes")

    command = add("train", _train, "Train a model on a corpus, or go on with a run.")
    command.add_argument("corpus", type=Path, metavar="CORPUS", help="a folder made by lacuna-export corpus")
    command.add_argument("run_folder", type=Path, metavar="RUN", help="the folder of checkpoints and metrics")
    command.add_argument("--recipe", required=True, metavar="NAME_OR_PATH", help="see lacuna-export recipes")
    until = command.add_mutually_exclusive_group(required=True)
    until.add_argument(
        "--tokens", type=_amount, metavar="N", help="tokens to train on in all, earlier parts of the run included: 500k, 30M, 2B"
    )
    until.add_argument(
        "--minutes",
        type=_positive,
        metavar="M",
        help="wall-clock minutes to train for in all, earlier parts included; start and validation are in them, "
        "only the last validation comes after",
    )
    command.add_argument("--validate-every", type=_positive, default=5.0, metavar="M", help="minutes between checkpoints (default: 5)")
    command.add_argument("--compile", action="store_true", help="compile the step with torch.compile (always so on a GPU)")
    command.add_argument(
        "--micro-batch", type=_count, metavar="N", help="lines at once, where memory is short (default: the recipe's batch)"
    )
    command.add_argument("--start-from", type=Path, metavar="RUN", help="begin a new run with another run's weights and tokenizer")

    command = add(
        "draft-head", _draft_head, "Train the draft head of a finished run, which makes its fills come faster, or train it further."
    )
    command.add_argument("corpus", type=Path, metavar="CORPUS", help="a folder made by lacuna-export corpus")
    command.add_argument("run_folder", type=Path, metavar="RUN", help="a folder made by lacuna-export train; its model stays as it is")
    until = command.add_mutually_exclusive_group(required=True)
    until.add_argument("--tokens", type=_amount, metavar="N", help="tokens to train on now: 500k, 6M")
    until.add_argument("--minutes", type=_positive, metavar="M", help="minutes to train for now")
    command.add_argument("--json", action="store_true", help="print the figures as JSON")

    command = add("split", _split, "Write a run's weights (float16), tokenizer, draft head and metrics as small files.")
    command.add_argument("run_folder", type=Path, metavar="RUN", help="a folder made by lacuna-export train")
    command.add_argument("out", type=Path, metavar="OUT", help="a new folder for the parts")
    command.add_argument("--part-mb", type=_positive, default=15.0, metavar="MB", help="largest part, in MiB (default: 15)")

    command = add("join", _join, "Put a run together that lacuna-export split took apart.")
    command.add_argument("parts", type=Path, metavar="PARTS", help="the folder of the parts")
    command.add_argument("run_folder", type=Path, metavar="RUN", help="a new folder for the run")

    command = add(
        "onnx",
        _onnx,
        "Export a run's last checkpoint, or a Hugging Face XLNet model, as a model folder, checked against torch. Ends with a report: for "
        "each precision beside fp32 the file's size, logits, bits per byte on held-out text, and the time of a pass.",
    )
    command.add_argument(
        "run_folder",
        type=Path,
        metavar="RUN",
        help="a folder made by lacuna-export train, a model folder with a float32 graph, or a folder with a Hugging Face XLNet model",
    )
    command.add_argument("out", type=Path, metavar="OUT", help="the model folder to write")
    command.add_argument("--name", metavar="N", help="the model's name (default: that of the run's folder)")
    command.add_argument(
        "--corpus", type=Path, metavar="CORPUS", help="the corpus to sum up in the manifest and to measure on (default: Lacuna's own code)"
    )
    command.add_argument(
        "--precision",
        nargs="+",
        action="extend",
        choices=[*PRECISIONS, AUTO, GPU],
        help="of the graphs to write, the one to run first: fp32 (the default, exact), fp16, int8, int4, or auto: of all these the one "
        "that is fastest here and takes at most 1%% more bits per byte than fp32; gpu writes one for GPUs beside them, in float16",
    )
    command.add_argument("--json", action="store_true", help="print the report as JSON")

    command.add_argument(
        "--tokenizer",
        type=Path,
        metavar="PATH",
        help="XLNet: spiece.model, tokenizer.json or a folder with one (default: the model's folder)",
    )
    command.add_argument(
        "--code-whitespace",
        action="store_true",
        help="XLNet: line breaks, tabs and double spaces are special tokens, as in the published checkpoint for code",
    )

    command = add(
        "verify",
        _verify,
        "Check a model folder: hashes, graphs, a fill, a density, the cache, the tokenizer; one line a check. Exit code 1 where one fails.",
    )
    command.add_argument("model", type=Path, metavar="DIR", help="a model folder")
    command.add_argument(
        "--reference",
        type=Path,
        metavar="RUN",
        help="the run, float32 model folder or Hugging Face XLNet folder that it was made from: graphs must agree with it",
    )
    command.add_argument("--json", action="store_true", help="print the checks as JSON")

    command = add("evaluate", _evaluate, "Measure a model on held-out files, beside an n-gram model.")
    command.add_argument("model", type=Path, metavar="MODEL", help="a model folder")
    command.add_argument("corpus", type=Path, metavar="CORPUS", help="a folder made by lacuna-export corpus")
    command.add_argument("--windows", type=_count, default=200, metavar="N", help="held-out windows to measure on (default: 200)")
    command.add_argument("--json", action="store_true", help="print the figures as JSON")
    command.add_argument("--write", action="store_true", help="put the figures into the model's manifest")

    command = add("holes", _holes, "Show the holes that training would make in a file, each as ⟦kind: text⟧.")
    command.add_argument("file", type=Path, metavar="FILE", help="a UTF-8 text file")
    command.add_argument("--seed", type=int, default=0, metavar="S", help="the seed they are drawn with (default: 0)")
    command.add_argument("-n", dest="count", type=_count, metavar="N", help="how many to draw, at most (default: 1 to 8, at random)")
    command.add_argument(
        "--cut", type=_count, metavar="LINE", help="begin at this line, headed by imports and headers from above it, as cut contexts are"
    )
    command.add_argument("--kind", choices=KINDS, help="draw holes of one kind alone (default: the mix that training draws)")
    command.add_argument("--json", action="store_true", help="print pieces, holes and their kinds as JSON")

    add("recipes", _recipes, "List the recipes that come with Lacuna.")
    return parser
