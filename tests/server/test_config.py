from pathlib import Path

import platformdirs
import pytest

from server.config import Settings, load, variable
from store.errors import ConfigError


def test_without_any_setting_the_defaults_hold() -> None:
    loaded = load({})
    assert loaded.settings.embedder == "bundled"
    assert loaded.settings.user == "default"
    assert loaded.settings.store == Path(platformdirs.user_data_dir("souvenir", appauthor=False))
    assert set(loaded.origins.values()) == {"default"}


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('embedder = "none"\nuser = "from file"\n', "utf-8")
    loaded = load({"SOUVENIR_CONFIG": str(file), "SOUVENIR_USER": "from environment"})
    assert (loaded.settings.embedder, loaded.settings.user) == ("none", "from environment")
    assert loaded.origins["embedder"] == "configuration file"
    assert loaded.origins["user"] == "environment"
    assert loaded.origins["project"] == "default"


def test_an_empty_variable_does_not_count() -> None:
    assert load({"SOUVENIR_USER": "", "SOUVENIR_EMBEDDER": "  "}).settings.embedder == "bundled"


def test_a_store_is_an_absolute_folder_with_the_home_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert load({"SOUVENIR_STORE": "~/memories"}).settings.store == Path.home() / "memories"
    monkeypatch.chdir(tmp_path)
    assert load({"SOUVENIR_STORE": "db1"}).settings.store == tmp_path / "db1"


def test_a_secret_is_not_shown() -> None:
    settings = load({"OPENAI_API_KEY": "sk-very-secret"}).settings
    assert settings.openai_api_key.get_secret_value() == "sk-very-secret"
    assert "very" not in repr(settings)
    assert "very" not in str(settings.openai_api_key)


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        (
            {"SOUVENIR_EMBEDER": "none"},
            "SOUVENIR_EMBEDER is no setting. Did you mean SOUVENIR_EMBEDDER?",
        ),
        ({"SOUVENIR_BANANAS": "1"}, "SOUVENIR_BANANAS is no setting. `souvenir config` lists them."),
        (
            {"SOUVENIR_MIN_SCORE": "2"},
            "SOUVENIR_MIN_SCORE is '2': Input should be less than or equal to 1.",
        ),
        (
            {"SOUVENIR_EMBEDDER_TIMEOUT": "soon"},
            "SOUVENIR_EMBEDDER_TIMEOUT is 'soon': Input should be a valid number, unable to parse string as a number.",
        ),
        (
            {"SOUVENIR_LOG_LEVEL": "loud"},
            "SOUVENIR_LOG_LEVEL is 'LOUD': Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'.",
        ),
        (
            {"SOUVENIR_STORE": "ftp://bucket"},
            ("SOUVENIR_STORE is 'ftp://bucket': an address begins with s3://, gs://, az://, db://."),
        ),
        ({"SOUVENIR_CONFIG": "/no/such/file.toml"}, "SOUVENIR_CONFIG names /no/such/file.toml, which isn't there."),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(environ: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(environ)
    assert str(caught.value) == text


@pytest.mark.parametrize("content", ["embedder = ", b"\xff\xfe"])
def test_a_file_that_can_not_be_read_is_named(tmp_path: Path, content: str | bytes) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=r"config\.toml can't be read"):
        load({"SOUVENIR_CONFIG": str(file)})


def test_an_unknown_or_wrong_key_of_the_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("colour = 1\n", "utf-8")
    with pytest.raises(ConfigError, match=r"colour in .*config\.toml is no setting"):
        load({"SOUVENIR_CONFIG": str(file)})
    file.write_text("min_score = 7\n", "utf-8")
    with pytest.raises(ConfigError, match=r"min_score in .*config\.toml is '7'"):
        load({"SOUVENIR_CONFIG": str(file)})


def test_every_setting_has_a_description_and_a_variable() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert variable(name) == name.upper() or variable(name) == f"SOUVENIR_{name.upper()}"


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"SOUVENIR_STORE": "~nobody-here/x"}, "there is no such home folder"),
        ({"SOUVENIR_CONFIG": "~nobody-here/x"}, "there is no such home folder"),
        ({"SOUVENIR_OPENAI_BASE_URL": "localhost:11434"}, "pass an address such as http://localhost:11434/v1"),
        ({"SOUVENIR_OPENAI_BASE_URL": "http://localhost:99999/v1"}, "Port out of range 0-65535"),
        ({"SOUVENIR_PROJECT": "*"}, "'*' is for reading; name one, or leave it empty"),
    ],
)
def test_a_setting_that_would_fail_later_is_refused_now(environ: dict[str, str], text: str) -> None:
    [name] = environ
    with pytest.raises(ConfigError) as caught:
        load(environ)
    assert name in str(caught.value)
    assert text in str(caught.value)


def test_an_error_never_shows_the_key(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("openai_api_key = 123456\n", "utf-8")
    with pytest.raises(ConfigError) as caught:
        load({"SOUVENIR_CONFIG": str(file)})
    assert "123456" not in str(caught.value)
