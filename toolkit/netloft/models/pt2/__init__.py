"""`.pt2` archives of torch.export.save: checked without running anything in them, then loaded."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from torch import nn
from torch.export import ExportedProgram

from netloft.errors import SpecError, first_line
from netloft.models.pt2.clean import cleaned, has_conditions, read_program
from netloft.models.pt2.module import as_module, class_of
from netloft.models.pt2.refusal import Harm, harmful
from netloft.models.pt2.zipped import Archive, read_archive
from netloft.tracing.quiet import quiet

__all__ = ["load_archive"]


def load_archive(path: Path, *, trust: bool = False) -> tuple[nn.Module, str]:
    """Load an exported program as a module in eval mode.

    torch.export.load unpickles what lies in an archive and evaluates texts of it as Python. So
    the archive is checked first, and torch reads one that is written anew from what was checked.

    Args:
        path: The file.
        trust: Let torch read the file as it is, which runs any code that its maker put there.

    Returns:
        The module, and a sentence on where its weights come from. The module states its inputs.

    Raises:
        SpecError: The file is damaged, could run code, or holds a program that trains, keeps
            state or takes something other than tensors.
    """
    archive = read_archive(path)
    program = read_program(archive)
    class_name, conditions = class_of(program), has_conditions(program)
    source = io.BytesIO(archive.data)
    if not trust:
        try:
            source = cleaned(archive, program)
        except Harm as harm:
            raise harmful(archive.name, harm) from harm
    module = as_module(_loaded(archive, source), path.name, class_name, conditions=conditions)
    return module, f"{path.name}, sha256 {hashlib.sha256(archive.data).hexdigest()[:16]}"


def _loaded(archive: Archive, source: io.BytesIO) -> ExportedProgram:
    from torch.export.pt2_archive._package import load_pt2

    try:
        with quiet():
            return load_pt2(source).exported_programs["model"]
    except Exception as error:
        raise SpecError(
            f"{archive.name} cannot be loaded as a program of torch.export: {first_line(error)}",
            remedy="export it again with this PyTorch, or name the network as path/to/file.py:Net",
        ) from error
