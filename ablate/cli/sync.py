"""``ablate sync``: publish to MLflow what is missing there."""

from __future__ import annotations

from ablate.cli.flags import DEFAULT_RUNS, Design, Only, RecipePath, Runs, Scale, Seeds, Sets, Uri, mention_last, read


def sync(
    recipe: RecipePath,
    seeds: Seeds = None,
    only: Only = None,
    design: Design = None,
    sets: Sets = None,
    scale: Scale = 1.0,
    runs: Runs = DEFAULT_RUNS,
    tracking_uri: Uri = None,
) -> int:
    """Publish to MLflow what a study has and MLflow lacks; trains nothing."""
    from ablate.cli.console import say, warn
    from ablate.planning.plan import make_plan
    from ablate.store.store import Store
    from ablate.tracking.publish import publish
    from ablate.tracking.rendering import rendering

    study = read(recipe, seeds, only, design, sets, scale, need_files=False)
    store = Store(runs.absolute())
    record = make_plan(study, store).record()
    published = publish(record, store, tracking_uri=tracking_uri, artifacts=rendering(record, store), check=True)
    mention_last(study, store, "sync")
    if not published.ok:
        warn(f"{published.reason} Nothing is lost; run it again when MLflow is back.")
        return 1
    if published.experiment is None:
        warn(
            f"{study.study} has nothing to publish yet: none of its runs has begun in {runs}. Train it with 'ablate run'."
        )
        return 1
    say(f"{study.study} is published at {published.uri}")
    return 0
