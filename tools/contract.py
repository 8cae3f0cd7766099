"""What all five tools have in common: strict arguments, compact schemas, errors that a model can act on."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar, cast

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, to_json

from store.errors import SouvenirError

MAX_PROBLEMS = 3

P = ParamSpec("P")
R = TypeVar("R")


class StrictTool(Tool):
    """A tool that refuses arguments it does not know, and says in one line what was wrong with the others."""

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        """Run the tool; what it refuses reaches the model in our words, without the SDK's prefix."""
        try:
            return await super().run(arguments, context, convert_result)
        except UnexpectedToolError:
            raise
        except ToolError as error:
            cause = error.__cause__
            text = _explained(self, cause) if isinstance(cause, ValidationError) else str(cause or error)
            raise ToolError(text) from cause


def strict_tool(
    function: Callable[..., Awaitable[CallToolResult]], *, title: str, annotations: ToolAnnotations
) -> StrictTool:
    """Return the function as a tool: its docstring is the description, its signature the schema."""
    description = " ".join((function.__doc__ or "").split())
    made = StrictTool.from_function(_told(function), title=title, description=description, annotations=annotations)
    tool = cast("StrictTool", made)  # a classmethod that is typed to return its base
    arguments = tool.fn_metadata.arg_model
    arguments.model_config["extra"] = "forbid"
    arguments.model_rebuild(force=True)
    tool.parameters = _without(arguments.model_json_schema(by_alias=True), _NOISE)
    tool.fn_metadata.output_schema = _published(tool.fn_metadata.output_schema or {})
    return tool


def answer(result: BaseModel) -> CallToolResult:
    """Return a result as text and as structured content: the same facts, because some clients show only one."""
    structured = result.model_dump(mode="json", exclude_defaults=True)
    text = to_json(structured).decode()
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=structured)


def _told(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Let our own errors reach the model as text; anything else is a bug and stays one."""

    @functools.wraps(function)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await function(*args, **kwargs)
        except SouvenirError as error:
            raise ToolError(str(error)) from error

    return wrapper


def _explained(tool: Tool, error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    more = f" And {len(problems) - MAX_PROBLEMS} more." if len(problems) > MAX_PROBLEMS else ""
    return " ".join(_problem(tool, details) for details in problems[:MAX_PROBLEMS]) + more


def _problem(tool: Tool, details: ErrorDetails) -> str:
    where = ".".join(str(part) for part in details["loc"])[:60]
    given = repr(details["input"])
    shown = given if len(given) <= 60 else given[:57] + "..."
    match details["type"]:
        case "missing":
            return f"{where} is missing."
        case "extra_forbidden":
            valid = ", ".join(cast("dict[str, object]", tool.parameters["properties"]))
            return f"{where} is no argument of {tool.name}; valid are {valid}."
        case "literal_error":
            return f"{where} is {shown}; valid are {details.get('ctx', {}).get('expected')}."
        case _:
            return f"{where} is {shown}: {details['msg']}."


_NOISE = frozenset({"title"})
"""Titles are a quarter of a schema's size and repeat the names."""

_OUTPUT_NOISE = frozenset({"title", "description", "default", "additionalProperties"})
"""A model reads results themselves; the schema of an output is for programs, which want names and types."""


def _published(output: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an output: what is always there, with the entries of lists in place of references.

    The rest comes and goes, and all five tools' definitions have to fit into 10 kB of a model's context.
    """
    compact = _without(output, _OUTPUT_NOISE)
    entries = {
        f"#/$defs/{name}": {"type": "object", "properties": _told_by_output(entry)}
        for name, entry in compact.pop("$defs", {}).items()
    }
    for value in compact["properties"].values():
        if "items" in value:
            value["items"] = entries.get(value["items"].get("$ref"), value["items"])
    compact["properties"] = {
        name: {"type": "object"} if "$ref" in value else value for name, value in _told_by_output(compact).items()
    }
    compact["required"] = list(compact["properties"])
    return compact


_SAID_ELSEWHERE = frozenset({"type", "created_at", "updated_at", "notice"})
"""Fields that input schemas explain already, and the one that is for the model alone."""


def _told_by_output(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: schema["properties"][name] for name in schema["required"] if name not in _SAID_ELSEWHERE}


def _without(schema: dict[str, Any], noise: frozenset[str]) -> dict[str, Any]:
    """Return the schema without these keywords, wherever they are keywords and not names of properties."""
    return cast("dict[str, Any]", _stripped(schema, noise))


def _stripped(node: object, noise: frozenset[str], *, names: bool = False) -> object:
    match node:
        case dict():
            entries = cast("dict[str, object]", node)
            return {
                key: _stripped(value, noise, names=key in ("properties", "$defs"))
                for key, value in entries.items()
                if names or key not in noise
            }
        case list():
            return [_stripped(item, noise) for item in cast("list[object]", node)]
        case _:
            return node
