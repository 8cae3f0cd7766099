import importlib.metadata
import tomllib
from pathlib import Path

import store.errors

ROOT = Path(__file__).parents[2]


def test_no_other_distribution_owns_our_package_names() -> None:
    owners = importlib.metadata.packages_distributions()
    for name in ("server", "tools", "store"):
        # An editable install, as in development, does not list its packages; any other owner would show.
        assert set(owners.get(name, ["souvenir-mcp"])) == {"souvenir-mcp"}


def test_the_changelog_names_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_every_error_is_drawn_in_the_tree() -> None:
    drawing = store.errors.__doc__ or ""
    errors = [name for name, value in vars(store.errors).items() if isinstance(value, type)]
    assert len(errors) == 14
    assert [name for name in errors if name not in drawing] == []
