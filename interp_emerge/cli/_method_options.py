"""Options of patching methods on the command line, made from the options that each method declares.

Reading them imports every method, so they are read only when the command runs or prints its help.
"""

from functools import cached_property
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp_emerge.cli._shared import Listing

if TYPE_CHECKING:
    from interp_emerge.patching.engines.options import Option

PREFIX = "method_option_"
"""Put in front of parameter names, to distinguish them from the command's own."""


class WithMethodOptions(Listing):
    """A command that takes the options of every patching method; `ctx.obj` holds the given ones, by name."""

    context_class = typer.Context

    @cached_property
    def of_methods(self) -> dict[str, Any]:
        """A parameter for each option of a method, by the option's name."""
        from interp_emerge.patching.scoring import all_options

        own = {str(parameter.name) for parameter in self.params}
        offered = [
            Parameter(
                f"{PREFIX}{name}",
                Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[str | None, typer.Option(flag_of(name, own), help=help_of(by_method))],
            )
            for name, by_method in all_options().items()
        ]

        def command(**_: str | None) -> None:
            """Never called: typer makes parameters from its signature."""

        command.__signature__ = Signature(offered)
        command.__annotations__ = {one.name: one.annotation for one in offered}
        app = typer.Typer(add_completion=False)
        app.command()(command)
        made = typer.main.get_command(app).params
        return {str(parameter.name).removeprefix(PREFIX): parameter for parameter in made}

    def get_params(self, ctx: Any) -> list[Any]:
        """The command's own parameters, then those of methods, then the option for help."""
        *own, last = super().get_params(ctx)
        return [*own, *self.of_methods.values(), last]

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        given = {name: ctx.params.pop(str(parameter.name)) for name, parameter in self.of_methods.items()}
        ctx.obj = {name: text for name, text in given.items() if text is not None}
        return super().invoke(ctx)


def flag_of(name: str, taken: set[str]) -> str:
    """The flag of an option; it begins with `method` if the command itself has an option of that name."""
    return f"--{'method-' if name in taken else ''}{name.replace('_', '-')}"


def help_of(by_method: "dict[str, Option]") -> str:
    """An option's meaning, the words that it takes, and the methods that have it, with their defaults."""
    first = next(iter(by_method.values()))
    words = f": {', '.join(first.choices)}" if first.choices and not first.is_list else ""
    listed = "; separated by commas" if first.is_list else ""
    methods: dict[str, list[str]] = {}
    for method, option in by_method.items():
        methods.setdefault(shown(option.default), []).append(method)
    named = "; ".join(f"{', '.join(names)}{f': {value}' if value else ''}" for value, names in methods.items())
    return f"{first.about}{words}{listed} [{named}]"


def shown(default: object) -> str:
    """A default value as it would be typed."""
    return "" if default is None else ",".join(default) if isinstance(default, tuple) else str(default)
