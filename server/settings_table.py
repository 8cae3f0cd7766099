"""The table of settings in the README, generated: `python -m server.settings_table` prints it."""

from server.config import CONFIG_VARIABLE, Settings, variable


def settings_table() -> str:
    """Return all settings as a Markdown table, in the order of their definition."""
    rows = [
        f"| `{variable(name)}` | {_default(name)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    rows.append(f"| `{CONFIG_VARIABLE}` | the user's configuration folder | A TOML file with any of these settings. |")
    return "\n".join(["| variable | default | what it sets |", "|---|---|---|", *rows])


def _default(name: str) -> str:
    match name, Settings.model_fields[name].default:
        case "store", _:
            return "the user's data folder"
        case "openai_api_key", _:
            return "empty"
        case _, "":
            return "empty"
        case _, bool(value):
            return f"`{str(value).lower()}`"
        case _, value:
            return f"`{value}`"


if __name__ == "__main__":
    print(settings_table())  # noqa: T201 - what it is for
