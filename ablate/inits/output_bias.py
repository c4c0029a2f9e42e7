"""Initialize the output bias with the average of the targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ablate.inits.on_top import OnTop
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ablate.data.dataset import Spec


@register(
    "init",
    "output_bias",
    card=Card(
        "Sets the output bias to the training targets' mean or class frequencies.",
        source="Karpathy 2019, A Recipe for Training Neural Networks; Lin et al. 2017, Focal Loss, section 3.3",
        helps="For targets far from 0 and imbalanced classes: the first epochs need not learn the average.",
        costs="One pass over the training targets.",
        interacts=(
            "normalise_targets has the same effect for regression by changing the data; output_bias keeps their scale."
        ),
    ),
)
class OutputBias(OnTop):
    """Initializes with ``of``, then sets the bias of the network's last linear or convolution layer.

    ``auto``: log((count + 1)/(n + classes)) for class indices, the mean of the known targets for regression.
    ``log_odds``, for the loss bce: log(p/(1 − p)) of each output's mean p, clipped to 1/(n + 2) from 0 and 1.
    """

    value: Literal["auto", "log_odds"] = Field(
        default="auto", description="auto: log frequencies of classes, mean of regression targets; log_odds: for bce"
    )

    def wants_data(self) -> bool:
        return True

    def adapt(self, model: nn.Module, inputs: Tensor, targets: Tensor, spec: Spec) -> None:
        """Raises ValueError if the last layer has no bias with one number per output."""
        super().adapt(model, inputs, targets, spec)
        values = self.marginal(targets, spec)
        bias = _output_bias(model, len(values))
        with torch.no_grad():
            bias.copy_(values)

    def check(self, model: nn.Module, spec: Spec) -> None:
        super().check(model, spec)
        _output_bias(model, spec.outputs)

    def marginal(self, targets: Tensor, spec: Spec) -> Tensor:
        """The best constant output: float64 (outputs,)."""
        classes = not targets.is_floating_point()
        if classes and spec.outputs > 1:
            known = targets[targets >= 0]
            counts = torch.bincount(known, minlength=spec.outputs).double()
            if self.value == "auto":
                return ((counts + 1) / (counts.sum() + spec.outputs)).log()
            mean = counts / counts.sum()
        else:
            columns = targets.double().reshape(len(targets), -1) if not classes else targets.double().unsqueeze(-1)
            columns = torch.where(columns >= 0, columns, torch.nan) if classes else columns
            mean = columns.nanmean(dim=0).nan_to_num(0.0)
        if self.value == "auto" and not classes:
            return mean
        share = 1 / (len(targets) + 2)
        return mean.clamp(share, 1 - share).logit()


def _output_bias(model: nn.Module, outputs: int) -> Tensor:
    """The bias of the network's last linear or convolution layer.

    Raises ValueError if it does not have one number per output.
    """
    kinds = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)
    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, kinds)]
    name, bias = (layers[-1][0], layers[-1][1].bias) if layers else ("none", None)
    if bias is None or tuple(bias.shape) != (outputs,):
        raise ValueError(
            f"init (=output_bias) requires a last layer with a bias for each of the {outputs} outputs, but the "
            f"network's is {name}. Use another init."
        )
    return bias
