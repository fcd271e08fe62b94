"""`netloft verify`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netloft.cli.number import Number
from netloft.cli.options import (
    ModelRequest,
    loading_options,
    output_options,
    provider_options,
    tolerant,
)
from netloft.cli.served import ServedRequest, serving_options, verify_served
from netloft.defaults import JSON_FORMAT, LEAST_BUDGET, TRIAL_GIB, TRIAL_SECONDS
from netloft.errors import UsageError

if TYPE_CHECKING:
    from netloft.models.loaded import LoadedModel
    from netloft.parity.inputs import Case
    from netloft.verification import Verification

__all__ = ["verify"]


@click.command(short_help="Check a bundle or an .onnx file.")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--against", metavar="MODEL",
              help="Compare with this module, or another .onnx file.")  # fmt: skip
@click.option("--layers", is_flag=True,
              help="Compare the values inside the network with those of --against too, and name "
              "the first operation that is wrong by itself.")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path), metavar="PATH",
              help="Compare on inputs of your own too: .npy, .npz, a folder with input_0.pb …, a "
              "picture or a folder of pictures.")  # fmt: skip
@click.option("--stress", is_flag=True,
              help="Compare on the whole stress set too: constant, binary, smooth, saturated and "
              "one-hot inputs, subnormal numbers, NaN, infinities, no items and many.")  # fmt: skip
@click.option("--search", type=click.IntRange(LEAST_BUDGET, 1_000_000), is_flag=False,
              flag_value=256, metavar="[N]",
              help="Search for the worst input, with N evaluations (256), by --seed.")  # fmt: skip
@click.option("--keep", type=click.Path(path_type=Path), metavar="DIR",
              help="Write the worst input of --search into DIR, as a test vector.")  # fmt: skip
@click.option("--mutate", type=click.IntRange(1, 100), is_flag=False, flag_value=1, metavar="[N]",
              help="Plant N faults of each kind, and say how many the checks find.")  # fmt: skip
@click.option("--runtimes", is_flag=True,
              help="Run the file under each setting of ONNX Runtime too: levels of optimisation, "
              "threads, again, item by item, TF32.")  # fmt: skip
@click.option("--second-opinion", multiple=True, type=click.Choice(("reference", "openvino")),
              help="Run the file with another implementation too; repeat for both.")  # fmt: skip
@click.option("--signed-by", type=click.Path(path_type=Path), metavar="FILE",
              help="Check that the holder of this public key (PEM) signed the bundle.")  # fmt: skip
@click.option("--max-memory", type=Number(0.125, 2**20), metavar="GIB",
              default=TRIAL_GIB, show_default=True,
              help="Stop a file that asks for more memory when it is tried out.")  # fmt: skip
@click.option("--max-seconds", type=Number(0.5, 86_400), metavar="S",
              default=TRIAL_SECONDS, show_default=True,
              help="Stop a file that takes longer then.")  # fmt: skip
@serving_options
@functools.partial(loading_options, hide_batch=True)
@tolerant
@provider_options
@output_options
def verify(
    request: ModelRequest,
    target: Path,
    against: str | None,
    layers: bool,
    data: Path | None,
    stress: bool,
    search: int | None,
    keep: Path | None,
    mutate: int | None,
    runtimes: bool,
    second_opinion: tuple[str, ...],
    signed_by: Path | None,
    max_memory: float,
    max_seconds: float,
    served: ServedRequest,
    providers: tuple[str, ...],
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Check TARGET: a bundle on its own test vectors (no torch needed), or an .onnx file.

    --arg, --weights, --input, --seed and what is around the network are for the MODEL of --against;
    the batch size is read from the file. MODEL may be another .onnx file, which is run in float64.

    \b
    Examples:
      netloft verify out/resnet18
      netloft verify out/resnet18 --provider cuda
      netloft verify net.onnx --against net.py:Net --input 1x3x32x32
      netloft verify net.onnx --against resnet18 --layers
      netloft verify net.onnx --against theirs.onnx
      netloft verify net.onnx --against resnet18 --data path/to/pictures
      netloft verify net.onnx --against resnet18 --stress
      netloft verify net.onnx --against resnet18 --search 512 --keep worst
      netloft verify net.onnx --against net.py:Net --input 1x3x32x32 --mutate
      netloft verify out/resnet18 --signed-by public.pem
      netloft verify out/resnet18 --runtimes --second-opinion reference
      netloft verify out/resnet18 --url http://127.0.0.1:8000 --model resnet18
    """
    from netloft.report.progress import progress
    from netloft.runtime.trial import GIB, Limits
    from netloft.verification import verify as run

    if served.url is not None:
        of_file = {"--against": against, "--layers": layers, "--data": data, "--stress": stress,
                   "--search": search, "--keep": keep, "--mutate": mutate, "--runtimes": runtimes,
                   "--second-opinion": second_opinion, "--signed-by": signed_by,
                   "--provider": providers, "--threads": threads,
                   "the options of a MODEL": request.is_asked}  # fmt: skip
        return verify_served(served, target, of_file, as_json=as_json, quiet=quiet)
    if against is None:
        _refuse_what_needs_a_model(request, layers, data, stress, search)
    own = _given(dataclasses.replace(request, spec=against or ""), target, data)
    long = mutate or data or stress or search or runtimes or second_opinion
    with progress(quiet=quiet or not long) as tell:
        found = run(
            target,
            providers=providers,
            threads=threads,
            layers=layers,
            stress=stress,
            search=search or 0,
            seed=request.seed,
            keep=keep,
            mutate=mutate or 0,
            runtimes=runtimes,
            second_opinion=second_opinion,
            signed_by=signed_by,
            limits=Limits(int(max_memory * GIB), max_seconds),
            progress=tell,
            **own,
        )
    if as_json:
        _print_json(found)
    elif not quiet:
        _print(found, target, _reference(against))
    if found.status != "pass":
        raise SystemExit(1)


def _print_json(found: Verification) -> None:
    import json

    from netloft.report.plain import plain

    facts = {"format": JSON_FORMAT, **dataclasses.asdict(found)}
    click.echo(json.dumps(plain(facts), indent=2))


def _refuse_what_needs_a_model(
    request: ModelRequest, layers: bool, data: Path | None, stress: bool, search: int | None
) -> None:
    if request.is_asked:
        raise UsageError(
            "--arg, --weights, --input, --preprocess, --head and --labels are for the MODEL of "
            "--against",
            remedy="name that MODEL too, or leave them out",
        )
    if layers or stress or search or data is not None:
        raise UsageError(
            "--layers, --data, --stress and --search compare with a MODEL",
            remedy="name it with --against MODEL",
        )


def _reference(against: str | None) -> str:
    """Say what the errors are against."""
    if against is None:
        return "the module's stored results"
    from netloft.onnx_graph.load import is_onnx

    return f"{Path(against).name if is_onnx(against) else 'the module'} in float64"


def _given(request: ModelRequest, target: Path, data: Path | None) -> dict[str, Any]:
    """Return what to compare with and its inputs, as `netloft.verify` takes them; or nothing."""
    if not request.spec:
        return {}
    return _file(request, target, data) if request.is_file else _module(request, data)


def _file(request: ModelRequest, target: Path, data: Path | None) -> dict[str, Any]:
    from netloft.declared import declared_example
    from netloft.models.inputs import parse_input

    if request.arguments or request.weights or request.around or data is not None:
        raise UsageError(
            "--arg, --weights, --data and what is around the network are for a module, and "
            f"{request.spec} is an ONNX file",
            remedy="leave them out; --input and --seed are for its inputs",
        )
    other, specs = Path(request.spec), [parse_input(text) for text in request.inputs]
    model = target / "model.onnx" if target.is_dir() else target
    example = declared_example(model, other, specs, request.seed)
    return {"against": other, "example_inputs": example}


def _module(request: ModelRequest, data: Path | None) -> dict[str, Any]:
    from netloft.models.domain import domain_inputs

    model = request.load()
    found = {"against": model.module, "example_inputs": model.example(seed=request.seed)}
    found["domain"] = functools.partial(domain_inputs, model)
    return found | ({"data": functools.partial(_cases, data, model)} if data is not None else {})


def _cases(data: Path, model: LoadedModel, batch: str | int) -> Iterator[Case]:
    """Return the user's own inputs, which the network is made for."""
    from netloft.models.given_data import given_data
    from netloft.parity.inputs import Case

    for inputs, what in given_data(data, model, batch):
        # a name of the user's own must not be taken for a kind of ours
        yield Case(f"data: {what}", len(next(iter(inputs.values()))), inputs)


def _print(found: Verification, target: Path, reference: str) -> None:
    from netloft.report.mutation import print_mutation
    from netloft.report.runtimes import print_runtimes
    from netloft.report.search import print_search
    from netloft.report.summary import print_layers, print_parity
    from netloft.report.table import printable

    for check in found.checks:
        click.echo(printable(check))
    if found.parity:
        print_parity(found.parity, reference)
    if found.runtimes:
        print_runtimes(found.runtimes)
    if found.layers:
        print_layers(found.layers)
    for unlike in found.unlike:
        told = f"{unlike['module'] or unlike['node']} ({unlike['op']}): {unlike['what']}"
        click.echo(f"differs: {printable(told)}")
    if found.search is not None:
        print_search(found.search)
    if found.mutation is not None:
        print_mutation(found.mutation)
    for note in found.notes:
        click.echo(f"note: {printable(note)}")
    for row in found.not_run:
        click.echo(f"not run: {printable(row['what'])}: {printable(row['reason'])}")
    for verdict in found.verdicts:
        click.echo(f"verdict: {printable(verdict)}")
    if found.first_bad:
        click.echo(f"first bad operation: {printable(found.first_bad)}")
    click.echo(f"{found.status}: {target}")
