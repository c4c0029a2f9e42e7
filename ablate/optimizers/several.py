"""Several optimizers, each for a part of the network's parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo, field_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from ablate.optimizers.build import first_match
from ablate.optimizers.optimizer import Optimizer
from ablate.printable import shortened
from ablate.recipe.own_arguments import scheduled
from ablate.recipe.settings import Choice
from ablate.recipe.targets import target_rule
from ablate.registry import Card, Named, UnknownName, lookup, register

if TYPE_CHECKING:
    from torch import Tensor


class _IsOptimizer:
    """Reads ``adamw``, ``{name: adamw, lr: 0.001}`` or ``{target: …}``; written without default settings."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self.read, serialization=core_schema.plain_serializer_function_ser_schema(self.write)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        known = [{"type": "object", "required": [key], "properties": {key: {"type": "string"}}} for key in NAMED]
        text = "an optimizer: its name, {name: …, settings} or {target: …, arguments}"
        return {"anyOf": [{"type": "string"}, *known], "description": text}

    @staticmethod
    def read(value: Any, info: ValidationInfo) -> Choice:
        if isinstance(value, Choice):
            return value
        fields = {"name": value} if isinstance(value, str) else dict(value) if isinstance(value, Mapping) else {}
        given = [key for key in NAMED if isinstance(fields.get(key), str)]
        if len(given) != 1:
            raise ValueError("must be an optimizer: its name, or a mapping with 'name' or 'target'.")
        chosen = fields.pop(given[0])
        context = info.context or {}
        if given == ["target"]:
            if (rule := target_rule(chosen, context.get("folder", Path()))) is not None:
                raise ValueError(f"target (={shortened(chosen)}) {rule}")
            return Choice("optimizer", None, chosen, scheduled(fields, context))
        try:
            settings = lookup("optimizer", chosen).settings
        except UnknownName as unknown:
            raise ValueError(f"name (={shortened(chosen)}) {unknown}") from None
        if not issubclass(settings, Optimizer):
            raise ValueError(f"name (={chosen}) must be that of a single optimizer. List its parts here instead.")
        plain = json.dumps(fields, default=lambda value: value.dump())
        return Choice("optimizer", chosen, None, settings.model_validate_json(plain, strict=True, context=context))

    @staticmethod
    def write(choice: Choice) -> dict[str, Any]:
        if choice.name is None:
            return choice.dump()
        usual = lookup("optimizer", choice.name).settings().dump()
        return {key: value for key, value in choice.dump().items() if key == "name" or value != usual[key]}


NAMED = ("name", "target")


class PartOf(Named):
    """An optimizer, and the parameters that it updates."""

    match: str | None = Field(
        default=None,
        description=(
            "shell pattern of parameter names, such as 'conv1.*'; '2d' matches all parameters with two or more axes, "
            "'1d' all others (biases and the parameters of norms); null, for the last part: all that are left"
        ),
    )
    use: Annotated[Choice, _IsOptimizer()] = Field(description="optimizer: {name: …, settings} or {target: …}")


@register(
    "optimizer",
    "several",
    card=Card(
        "Several optimizers, each for a part of the network.",
        source="common practice; Jordan et al. 2024, Muon, with AdamW for embeddings and the output layer",
        helps="For different update rules in one network, such as muon for matrices and sgd for biases and norms.",
        costs="The settings of every optimizer.",
        interacts=(
            "scale_lr, plateau and restart.factor change the learning rates of all parts. A single optimizer with "
            "different learning rates needs only its 'groups'."
        ),
    ),
)
class Several(Named):
    """``{name: several, parts: [{match: '2d', use: {name: muon, lr: 0.02}}, {use: {name: sgd, lr: 0.1}}]}``.

    A parameter belongs to the first part whose pattern it matches. Each optimizer has its own settings, schedules and
    groups. Optimizers whose step requires a closure are not supported.
    """

    parts: tuple[PartOf, ...] = Field(min_length=1, description="the optimizers with their parameters, in order")

    @field_validator("parts")
    @classmethod
    def different_patterns(cls, parts: tuple[PartOf, ...]) -> tuple[PartOf, ...]:
        patterns = [part.match for part in parts]
        for i, pattern in enumerate(patterns[:-1]):
            if pattern is None:
                raise ValueError(f"must have a 'match' in all but the last part, but part {i} has none.")
        for pattern in patterns:
            if patterns.count(pattern) > 1:
                raise ValueError(f"must have different patterns, but {pattern!r} is in two parts.")
        return parts

    def split(self, named: Mapping[str, Tensor], *, stacked: bool) -> list[tuple[str, PartOf, dict[str, Tensor]]]:
        """Each part with its path in the recipe and its parameters.

        Raises ValueError if it has none, or a parameter has no part.
        """
        members: dict[int | None, dict[str, Tensor]] = {}
        for name, parameter in named.items():
            place = first_match([part.match for part in self.parts], name, parameter.dim() - stacked)
            members.setdefault(place, {})[name] = parameter
        for i, part in enumerate(self.parts):
            if i not in members:
                what = "matches" if part.match is not None else "is for all other parameters, but there are"
                raise ValueError(
                    f"optimizer.parts.{i}.match (={part.match or 'null'}) {what} no remaining parameters. Correct the "
                    "pattern, or remove the part."
                )
        if left := members.get(None):
            some = ", ".join([*list(left)[:3], *(["…"] if len(left) > 3 else [])])
            raise ValueError(
                f"optimizer.parts match {len(named) - len(left)} of {len(named)} parameters, but not {some}. Add a "
                "part without 'match' for the others."
            )
        return [(f"optimizer.parts.{i}.use", part, members[i]) for i, part in enumerate(self.parts)]
