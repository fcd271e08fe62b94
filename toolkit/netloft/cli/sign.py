"""`netloft sign`."""

from __future__ import annotations

from pathlib import Path

import click

from netloft.cli.options import output_options
from netloft.defaults import JSON_FORMAT

__all__ = ["sign"]


@click.command(short_help="Sign a bundle, and add a bill of materials.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--key", type=click.Path(path_type=Path), metavar="FILE",
              help="Sign with this private key, a PEM file of an elliptic curve.")  # fmt: skip
@click.option("--bom", is_flag=True,
              help="Add bom.cdx.json: CycloneDX, the model and what made it.")  # fmt: skip
@output_options
def sign(bundle: Path, key: Path | None, bom: bool, as_json: bool, quiet: bool) -> None:
    """Sign BUNDLE, whose files are compared with its manifest first.

    The password of an encrypted key is read from NETLOFT_KEY_PASSWORD. `netloft verify BUNDLE
    --signed-by PUBLIC.pem` checks the signature, and so does the tool model_signing.

    \b
    Examples:
      openssl ecparam -name prime256v1 -genkey -noout -out key.pem
      openssl ec -in key.pem -pubout -out public.pem
      netloft sign out/resnet18 --bom --key key.pem
      netloft verify out/resnet18 --signed-by public.pem
    """
    import json
    import os

    from netloft.bundle.bom import BOM
    from netloft.bundle.signature import sign as sign_bundle
    from netloft.errors import UsageError
    from netloft.runtime.integrity import SIGNATURE

    if key is None and not bom:
        raise UsageError("nothing to do", remedy="name a --key to sign with, or ask for --bom")
    sign_bundle(bundle, key, os.environ.get("NETLOFT_KEY_PASSWORD"), bom=bom)
    made = [name for name, done in ((BOM, bom), (SIGNATURE, key is not None)) if done]
    files = [str(bundle / name) for name in made]
    if as_json:
        facts = {"format": JSON_FORMAT, "bundle": str(bundle), "files": files}
        click.echo(json.dumps(facts, indent=2))
    elif not quiet:
        click.echo("\n".join(files))
