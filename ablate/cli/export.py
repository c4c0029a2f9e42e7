"""``ablate export``: the table as a file, its format from the suffix."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ablate.cli.console import say
from ablate.cli.options import Layout, RecipePath, Selection, check_output, option
from ablate.report.formats import SUFFIXES


def export(
    recipe: RecipePath,
    output: Annotated[
        Path, option("FILE", f"Output file, ending in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.", "--output", "-o")
    ],
    selection: Selection,
    layout: Layout,
) -> int:
    """Write the table to a file, for a paper or a report.

    Example: ablate export digits.yaml -o table.tex --columns variant,valid_loss,verdict
    """
    from ablate.cli.show_table import flags_named
    from ablate.evidence.gather import table_of
    from ablate.report.formats import contents, format_from_suffix

    with flags_named():
        format = format_from_suffix(output)
    plan, store = selection.plan(recipe, metric=layout.metric, need_files=False), selection.store
    table = table_of(plan.record(), store)
    with flags_named():
        written = contents(table, format, layout.names, layout.sort, notes=layout.notes, style=layout.look)
    check_output(output)
    store.disk.deliver(output, written)
    say(f"Wrote {output}.")
    selection.mention_missing()
    selection.mention_last(plan.recipe, "export")
    return 0
