"""The entry point `souvenir-mcp`, which MCP clients start. It imports next to nothing before it can handle a signal."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from types import FrameType

from store.errors import SouvenirError

USAGE_STATUS = 2


def main(argv: Sequence[str] | None = None) -> None:
    """Serve over stdin and stdout until the input ends.

    Exit status 0 after a clean end, 2 with one line on stderr if a setting is wrong.
    """
    # An interrupt while libraries load is an end like any other; later ones end the input, see server/serving.py.
    signal.signal(signal.SIGINT, _end)
    parser = argparse.ArgumentParser(
        prog="souvenir-mcp",
        description="Souvenir's MCP server over stdio. MCP clients start it; to try it out: souvenir demo.",
    )
    parser.add_argument("--legacy", action="store_true", help="serve only the handshake protocol")
    parser.add_argument("--version", action="version", version=version("souvenir-mcp"))
    arguments = parser.parse_args(argv)
    try:
        from server.config import load

        settings = load().settings
        if arguments.legacy:
            settings = settings.model_copy(update={"legacy": True})

        from server.serving import run

        run(settings)
    except SouvenirError as error:
        print(f"souvenir: {error}", file=sys.stderr)  # noqa: T201 - the one line for whoever reads the client's log
        sys.exit(USAGE_STATUS)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - what a signal handler is given
    os._exit(0)


if __name__ == "__main__":
    main()
