"""Initializations that modify another initialization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from ablate.inits.init import Init
from ablate.registry import UnknownName, entries, lookup

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
