"""The Docker image without Docker: each step of the Dockerfile is run as it stands there, in a folder of its own."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")

HOST = dict(os.environ)
"""The environment before tests are kept from it: pip may be configured there."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell script for Linux")


def steps() -> list[list[str]]:
    """Return what follows each RUN."""
    return [line.removeprefix("RUN ").split() for line in DOCKERFILE.splitlines() if line.startswith("RUN ")]


def listed(instruction: str) -> list[str]:
    """Return the words of an instruction in JSON form."""
    [text] = re.findall(rf"^{instruction}.*?(\[.*\])$", DOCKERFILE, re.MULTILINE)
    return yaml.safe_load(text)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_every_step_of_the_image_works_and_it_serves_as_another_user(tmp_path: Path) -> None:
    source, data = tmp_path / "source", tmp_path / "data"
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    me = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    places = {
        "/opt/souvenir": str(tmp_path / "installed"),
        "/source": str(source),
        "/opt/image.sh": str(source / "deploy/image.sh"),
        "/data": str(data),
        "souvenir": me,  # an account of this machine is not ours to make
    }
    assert [step[2] for step in steps()] == ["install", "slim", "user"]
    for step in steps():
        command = [places.get(word, word.replace("/source/", f"{source}/")) for word in step]
        done = subprocess.run(command, env=HOST, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr[-2_000:]
    port = free_port()
    souvenir = str(tmp_path / "installed/bin/souvenir")
    assert listed("ENTRYPOINT") == ["souvenir"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SOUVENIR_STORE": str(data)}
    made = [souvenir, "token", "create", "--user", "anna"]
    subprocess.run(made, env=environment, check=True, timeout=60, capture_output=True)
    process = subprocess.Popen([souvenir, *listed("CMD"), "--port", str(port)], env=environment)
    try:
        health = [places.get(word, word.replace("8765", str(port))) for word in listed("HEALTHCHECK")[1:]]
        deadline = time.monotonic() + 60
        while subprocess.run(health, check=False, capture_output=True).returncode:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        process.terminate()
        assert process.wait(timeout=20) in (0, -15)
        assert subprocess.run(health, check=False, capture_output=True).returncode
    finally:
        process.kill()
        process.wait()


def test_the_image_runs_as_nobody_in_particular_and_keeps_the_data_outside() -> None:
    assert "\nUSER souvenir\n" in DOCKERFILE
    assert "\nVOLUME /data\n" in DOCKERFILE
    assert DOCKERFILE.index("\nUSER ") < DOCKERFILE.index("\nENTRYPOINT ")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_the_unit_of_systemd_is_in_order(tmp_path: Path) -> None:
    text = (ROOT / "deploy/souvenir.service").read_text("utf-8").replace("/opt/souvenir/bin/souvenir", "/bin/true")
    (tmp_path / "souvenir.service").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "souvenir.service"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "souvenir.service" not in done.stderr, done.stderr


def test_the_compose_file_has_two_servers_behind_a_proxy_that_knows_both() -> None:
    services = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text("utf-8"))["services"]
    assert set(services) == {"souvenir-1", "souvenir-2", "proxy"}
    for service in (services["souvenir-1"], services["souvenir-2"]):
        tokens = Path(service["environment"]["SOUVENIR_TOKENS"])
        assert f":{tokens.parent}" in service["volumes"][0]
        assert str(tokens.parent) in [step[-1] for step in steps() if step[2] == "user"]  # the one that it may write to
        assert "}}" not in json.dumps(service["environment"]["SOUVENIR_STORAGE_OPTIONS"])
    proxy = (ROOT / "deploy/proxy.conf").read_text("utf-8")
    for name in ("souvenir-1", "souvenir-2"):
        assert proxy.count(f"server {name}:8765") == 2
        assert services[name]["environment"]["SOUVENIR_STATELESS"] == "true"
