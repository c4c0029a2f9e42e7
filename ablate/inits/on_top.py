"""Initializations based on another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from ablate.inits.init import Init
from ablate.registry import Card, UnknownName, entries, lookup, register
from ablate.registry.lazy import torch
from ablate.tricks.trick import NoEffect

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ablate.data.dataset import Spec


class _IsInit:
    """Reads ``he_normal`` or ``{name: he_normal, mode: fan_out}``; with default settings, it is written as the name
    only.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self.read, serialization=core_schema.plain_serializer_function_ser_schema(self.write)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        named = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
        return {"anyOf": [{"type": "string"}, named], "description": "an init: its name, or {name: …, settings}"}

    @staticmethod
    def read(value: Any, info: ValidationInfo) -> Init:
        if isinstance(value, Init):
            return value
        fields = {"name": value} if isinstance(value, str) else dict(value) if isinstance(value, dict) else {}
        name = fields.pop("name", None)
        if not isinstance(name, str):
            raise ValueError("must be an init: its name, or {name: …} with its settings.")
        try:
            settings = lookup("init", name).settings
        except UnknownName as unknown:
            raise ValueError(f"{name!r} {unknown}") from None
        made = settings.model_validate(fields, context=info.context)
        assert isinstance(made, Init)
        return made

    @staticmethod
    def write(init: Init) -> Any:
        name = next(entry.name for entry in entries("init") if entry.settings is type(init))
        usual = type(init)().dump()
        chosen = {key: value for key, value in init.dump().items() if value != usual[key]}
        return {"name": name, **chosen} if chosen else name


InitBelow = Annotated[Init, _IsInit()]


class OnTop(Init):
    """Base: ``of`` initializes all parameters; subclasses modify some of them."""

    of: InitBelow = Field(default="he_normal", description="the initialization to modify", validate_default=True)

    def apply(self, model: nn.Module, seed: int) -> list[str]:
        return self.of.apply(model, seed)

    def check(self, model: nn.Module, spec: Spec) -> None:
        self.of.check(model, spec)

    def wants_data(self) -> bool:
        return self.of.wants_data()

    def adapt(self, model: nn.Module, inputs: Tensor, targets: Tensor, spec: Spec) -> None:
        self.of.adapt(model, inputs, targets, spec)


@register(
    "init",
    "zero_gamma",
    card=Card(
        "Sets the scale of each residual branch's last norm to zero.",
        source="Goyal et al. 2017, Accurate, Large Minibatch SGD, section 5.1; Zhang et al. 2019, Fixup",
        helps="For deep residual networks and large learning rates: every block starts as the identity.",
        costs="In the first step, only the scale of each branch is updated.",
        interacts="Requires a network with residual branches that end in a norm.",
    ),
)
class ZeroGamma(OnTop):
    """Initializes with ``of``, then sets the weight of the last norm of every residual branch to 0.

    A branch is the child named by the attribute ``residual_branch`` of a module's class, as in
    `ablate.layers.residual_block.ResidualBlock`.
    """

    def apply(self, model: nn.Module, seed: int) -> list[str]:
        """Raises `NoEffect` if no branch ends in a norm with a scale."""
        done = super().apply(model, seed)
        with torch.no_grad():
            for norm in _known_norms(model):
                norm.weight.zero_()  # type: ignore[operator]
        return done

    def check(self, model: nn.Module, spec: Spec) -> None:
        super().check(model, spec)
        _known_norms(model)


def _known_norms(model: nn.Module) -> list[nn.Module]:
    norms = last_norms(model)
    if not norms:
        raise NoEffect("zero_gamma has no effect: the network has no residual branch with a norm. Use another init.")
    return norms


def last_norms(model: nn.Module) -> list[nn.Module]:
    """The last norm with a scale of each residual branch."""
    homes = tuple(f"torch.nn.modules.{name}" for name in ("batchnorm", "instancenorm", "normalization"))
    found = []
    for block in model.modules():
        name = getattr(type(block), "residual_branch", None)
        if name is None:
            continue
        norms = [part for part in getattr(block, name).modules() if type(part).__module__ in homes]
        if norms and getattr(norms[-1], "weight", None) is not None:
            found.append(norms[-1])
    return found


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
