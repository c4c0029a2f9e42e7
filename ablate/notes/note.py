"""A typed remark about runs or variants: what is noted, not how it reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Kind = Literal[
    # of a run, from its training
    "text",
    "not_stacked",
    "loss_not_vmapped",
    "stack_not_compiled",
    "not_compiled",
    "missing_targets",
    "not_finite_inputs",
    "targets_stay",
    "not_repeatable",
    "unnamed",
    "ignores_seed",
    "initial_weights",
    "initial_average",
    "not_finite",
    "skipped_steps",
    # of predictions
    "other_range",
    # of runs that others logged
    "no_seed",
    "left_out",
    "repeated_seed",
    "text_seeds",
    "first_is_baseline",
    "no_seeds",
    # of a variant, from its runs
    "ended_badly",
    "not_measured",
    "not_reported",
    "missing_values",
    "short_curve",
    "same_result",
    "mixed_torch",
    "mixed_device",
    "mixed_python",
    "mixed_ablate",
    "mixed_threads",
    "unfinished",
    # of a variant beside its parent
    "parent_missing",
    "parent_diverged",
    "parent_failed",
    "not_positive",
    "parent_unfinished",
    "no_common_seed",
    "other_loss",
    "other_loss_settings",
    "other_scaling",
    "other_units",
    "identical",
    "same_metric",
    "paired_on_some",
    "outlier",
    "scatters_more",
    "same_difference",
    "init_not_paired",
    "start_not_paired",
    "no_effect_at_first",
    "first_seeds",
    "topped_up",
    "over_all",
    "tuned",
    "tuned_at_edge",
    "not_tuned",
    # what a variant and its parent differ in beside the variant's change
    "other_search",
    "other_epochs",
    "other_length",
    "other_batch_size",
    "other_data",
    "other_validation",
    "other_steps",
    "other_samples",
    "other_torch",
    "other_device",
    "other_python",
    "other_ablate",
    # of a variant's curves
    "diverged_at",
    "diverging",
    "learned_nothing",
    "oscillates",
    "overfits",
    "not_converged",
    "gap",
    "underfits",
    "flat",
    "dead_units",
    "large_updates",
    "small_updates",
    "few_samples",
    # of a plan
    "new",
    "changed",
    "more_runs",
    "stale",
    "not_tracked",
    "read_again",
    "not_kept",
]

KINDS: tuple[Kind, ...] = get_args(Kind)

STORED: Mapping[Kind, Mapping[str, type | tuple[type, ...]]] = {
    "text": {"text": str},
    "not_stacked": {"reason": str},
    "loss_not_vmapped": {},
    "stack_not_compiled": {},
    "not_compiled": {"reason": str},
    "missing_targets": {},
    "not_finite_inputs": {"count": int, "total": int, "split": str, "first": int},
    "targets_stay": {"tricks": list},
    "not_repeatable": {},
    "unnamed": {"columns": list},
    "ignores_seed": {},
    "initial_weights": {"source": str, "taken": int, "total": int, "left": list, "more": int},
    "initial_average": {"steps": int, "share": (int, float), "decay": (int, float)},
    "skipped_steps": {"skipped": int, "steps": int},
    "not_finite": {"metric": str, "value": str, "at": str},
    "no_seed": {},
}
"""The kinds that a run's files hold, each with the types of its values."""


@dataclass(frozen=True)
class Note:
    """One remark. ``values`` are what it depends on, in plain JSON values.

    ``variant`` is empty where the note belongs to a run or to a row of a table. ``seeds`` (or folds) are those that it
    holds for, empty for all.
    """

    kind: Kind
    variant: str = ""
    seeds: tuple[int, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.kind, self.variant, self.seeds))

    def dump(self) -> dict[str, Any]:
        """The note in plain JSON values, without empty fields."""
        tree = {"kind": self.kind, "variant": self.variant, "seeds": list(self.seeds), "values": dict(self.values)}
        return {key: value for key, value in tree.items() if value}

    @classmethod
    def load(cls, tree: Mapping[str, Any]) -> Note:
        """From `dump`. A kind of a later version becomes text."""
        if tree["kind"] not in KINDS:
            return cls("text", values={"text": str(tree["kind"]).replace("_", " ")})
        return cls(tree["kind"], tree.get("variant", ""), tuple(tree.get("seeds", ())), tree.get("values", {}))


def as_notes(given: Iterable[Note | str]) -> list[Note]:
    """Notes as they are; a user's sentences as notes of kind ``text``."""
    return [one if isinstance(one, Note) else Note("text", values={"text": str(one)}) for one in given]
