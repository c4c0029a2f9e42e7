"""``ablate sync``: upload to MLflow what is missing there."""

from __future__ import annotations

from ablate.cli.console import say, warn
from ablate.cli.options import RecipePath, Selection, Uri


def sync(recipe: RecipePath, selection: Selection, tracking_uri: Uri = None) -> int:
    """Upload the results that are missing from MLflow, without training.

    Example: ablate sync digits.yaml --tracking-uri http://mlflow.example.org
    """
    from ablate.tracking.publish import publish
    from ablate.tracking.rendering import rendering

    plan, store = selection.plan(recipe, need_files=False), selection.store
    study, record = plan.recipe, plan.record()
    published = publish(record, store, tracking_uri=tracking_uri, artifacts=rendering(record, store), check=True)
    selection.mention_last(study, "sync")
    if not published.ok:
        warn(f"{published.reason} All results are saved locally. Run the command again to upload them.")
        return 1
    if published.experiment is None:
        where = f"no run has started in folder '{selection.runs}'"
        warn(f"{study.study}: No results to upload: {where}. Train the study with 'ablate run'.")
        return 1
    say(f"{study.study} is uploaded to {published.uri}")
    return 0
