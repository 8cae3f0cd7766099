#!/bin/sh
# The steps of the Docker image; a test runs each of them as the Dockerfile does (tests/server/test_deploy.py).
#
#   image.sh install SOURCE TARGET   puts Souvenir and what it needs into a virtual environment
#   image.sh slim TARGET             removes what nobody runs
#   image.sh user NAME DATA          makes the user that serves, and the folder of the memories
#   image.sh health URL              succeeds if a server there is up
set -eu

install() {
    python3 -m venv "$2"
    "$2/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check "$1"
}

slim() {
    "$1/bin/python" -m pip uninstall --quiet --yes --disable-pip-version-check pip 2>/dev/null || true
    find "$1" -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -rf {} +
}

user() {
    if ! id "$1" >/dev/null 2>&1; then
        useradd --system --no-create-home --shell /usr/sbin/nologin "$1"
    fi
    mkdir -p "$2"
    chown "$1" "$2"
    chmod 700 "$2"
}

health() {
    python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=3)' "$1"
}

"$@"
