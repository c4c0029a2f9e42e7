"""The loss that the network computes itself, because it also gets the targets."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from pydantic import Field

from ablate.losses.loss import Loss
from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.trees import Tree, children_of, described, length, pick, rebuilt

if TYPE_CHECKING:
    from torch import Tensor


class WithTargets(NamedTuple):
    """What a network gets that computes its own loss."""

    inputs: Tree
    targets: Tree


class WithLoss(NamedTuple):
    """What such a network returns: its loss, 0-d, in a stack (R,); and its prediction."""

    loss: Tree
    prediction: Tree


@register(
    "loss",
    "from_model",
    card=Card(
        "The loss that your network returns when it also gets the targets.",
        source="The convention of Hugging Face Transformers.",
        helps="For networks that compute their own loss. `batch` says how they get the targets.",
        costs="A batch counts by its number of samples, whatever the network divides by.",
        interacts="For metrics, `batch.output` names the prediction. The network must also work without targets.",
    ),
)
class FromModel(Loss):
    """``.loss`` or ``["loss"]`` of what the network returns; of a tuple, the first item."""

    any_targets: ClassVar[bool] = True

    part: str | Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="path of the loss in what the network returns; default: loss, or the first of a tuple"
    )

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        assert isinstance(prediction, WithLoss)
        loss: Tensor = prediction.loss
        return loss

    def weight(self, target: Tensor) -> Tensor | int:
        return length(target)

    def split(self, output: Tree) -> WithLoss:
        """The loss and the rest of what the network returned. Raises ValueError (one line) if there is no loss."""
        loss, rest = self._found(output)
        if not isinstance(loss, torch.Tensor) or loss.dim() != 0:
            what = described(output) if loss is None else f"{described(loss)} as its loss"
            raise ValueError(
                "loss (=from_model) requires a network that returns its loss, a 0-d tensor, when it is called with the "
                f"targets, but it returns {what}. Set loss.part to the place of the loss, or use another loss."
            )
        return WithLoss(loss, rest)

    def _found(self, output: Tree) -> tuple[Any, Tree]:
        if self.part is not None:
            return pick(output, self.part, "loss.part"), output
        if isinstance(output, torch.Tensor):
            return (output, output) if output.dim() == 0 else (None, output)
        if hasattr(output, "_replace"):
            return (output.loss, output._replace(loss=None)) if hasattr(output, "loss") else (None, output)
        if isinstance(output, tuple | list):
            first = output[0] if output else None
            return (first, output[1:]) if isinstance(first, torch.Tensor) and first.dim() == 0 else (None, output)
        children = children_of(output) or {}
        if is_dataclass(output) and "loss" in children:
            return children["loss"], rebuilt(output, children | {"loss": None})
        if children:
            return children.pop("loss", None), children
        return getattr(output, "loss", None), output


def prediction_of(output: Tree) -> Tree:
    """The prediction of a network, whether it also returns a loss or not."""
    return output.prediction if isinstance(output, WithLoss) else output
