"""An output layer that begins with what the data are on average."""

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
        helps="Targets far from 0 and unlike classes: the first epochs need not learn the average.",
        costs="Nothing but a look at the targets.",
        interacts="normalise_targets does the same for numbers by changing the data; this leaves their scale.",
    ),
)
class OutputBias(OnTop):
    """Values of ``of``, then the bias of the network's last linear or convolution layer.

    ``auto``: class numbers give log((count + 1)/(n + classes)), numbers their mean over what is known. ``log_odds``, for the loss bce: log(p/(1 − p)) of each
    output's mean p, kept within 1/(n + 2) of 0 and 1.
    """

    value: Literal["auto", "log_odds"] = Field(
        default="auto", description="auto: log frequencies of classes, mean of numbers; log_odds: for bce"
    )

    def wants_data(self) -> bool:
        return True

    def adapt(self, model: nn.Module, inputs: Tensor, targets: Tensor, spec: Spec) -> None:
        """Raises ValueError where the last layer has no bias of the outputs' number."""
        super().adapt(model, inputs, targets, spec)
        values = self.marginal(targets, spec)
        bias = _output_bias(model, len(values))
        with torch.no_grad():
            bias.copy_(values)

    def check(self, model: nn.Module, spec: Spec) -> None:
        super().check(model, spec)
        _output_bias(model, spec.outputs)

    def marginal(self, targets: Tensor, spec: Spec) -> Tensor:
        """What a network should say that knows nothing of its inputs: float64 (outputs,)."""
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
    """The bias of the network's last linear or convolution layer. Raises ValueError where it is not one number for each output."""
    kinds = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)
    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, kinds)]
    name, bias = (layers[-1][0], layers[-1][1].bias) if layers else ("none", None)
    if bias is None or tuple(bias.shape) != (outputs,):
        raise ValueError(
            f"init (=output_bias) needs a last layer with a bias for each of the {outputs} outputs; the network's is {name}. Use another init."
        )
    return bias
