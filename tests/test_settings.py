"""Settings: one table, four sources, one precedence."""

from dataclasses import fields
from pathlib import Path

import pytest

from backlit_server.command_line import read_command, shown
from backlit_server.settings import BadSettings, Settings

NAMES = [f.name for f in fields(Settings)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "backlit.toml"
    path.write_text('port = 3\nlog_level = "warning"\nreflection = true\nstore = "/srv/models"\n')
    return path


PRECEDENCE = [
    # flag, environment, file -> value and origin
    (["--port", "1"], {"BACKLIT_PORT": "2"}, True, (1, "flag")),
    (["--port", "1"], {}, True, (1, "flag")),
    ([], {"BACKLIT_PORT": "2"}, True, (2, "environment")),
    ([], {"BACKLIT_PORT": "2"}, False, (2, "environment")),
    ([], {"BACKLIT_PORT": ""}, True, (3, "file")),
    ([], {}, True, (3, "file")),
    ([], {}, False, (50051, "default")),
]


@pytest.mark.parametrize(("flags", "environment", "with_file", "expected"), PRECEDENCE)
def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(file, flags, environment, with_file, expected):
    config = ["--config", str(file)] if with_file else []
    command = read_command([*flags, *config], environment)
    assert (command.settings.port, command.origins["port"]) == expected


def test_the_file_may_be_named_by_the_environment_and_a_flag_names_another(file, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text("port = 4")
    environment = {"BACKLIT_CONFIG": str(file)}
    assert read_command([], environment).settings.port == 3
    assert read_command(["--config", str(other)], environment).settings.port == 4


def test_values_have_their_types_whatever_the_source(file):
    settings = read_command(["--config", str(file), "--tls-cert", "c.pem"], {"BACKLIT_PRIVATE": "yes"}).settings
    assert (settings.reflection, settings.private, settings.store) == (True, True, Path("/srv/models"))
    assert settings.tls_cert == Path.cwd() / "c.pem"
    assert settings.tls_key is None


PRELOADED = {"2": 2, "0": 0, "vgg": "vgg", "vgg,resnet-50": "vgg,resnet-50", "12345678": "12345678", "7c": "7c"}


@pytest.mark.parametrize("told", PRELOADED)
def test_models_to_be_made_ready_are_a_number_or_names(tmp_path: Path, told: str):
    expected = PRELOADED[told]
    assert read_command(["--preload", told], {}).settings.preload == expected
    file = tmp_path / "one.toml"
    file.write_text(f"preload = {expected!r}")
    assert read_command(["--config", str(file)], {}).settings.preload == expected


@pytest.mark.parametrize(("flags", "value"), [(["--reflection"], True), (["--no-reflection"], False)])
def test_a_switch_can_be_turned_off_again(file, flags, value):
    assert read_command(["--config", str(file), *flags], {}).settings.reflection is value


VALUES: dict[str, str] = {
    "host": "::1",
    "port": "7",
    "store": "/srv",
    "device": "cuda:1,cuda:2,cpu",
    "precision": "half",
    "tf32": "True",
    "deterministic": "True",
    "convolution_search": "exhaustive",
    "cpu_memory_mb": "7",
    "gpu_memory_mb": "7",
    "threads": "7",
    "memory": "7",
    "features_mb": "7",
    "cache_gb": "7",
    "preload": "7",
    "metrics_port": "7",
    "trace_endpoint": "http://collector:4317",
    "metrics_host": "::",
    "max_message_mb": "7",
    "max_picture_megapixels": "7",
    "max_upload_mb": "7",
    "max_store_gb": "7",
    "max_questions": "7",
    "max_batch": "7",
    "batch_delay_ms": "7",
    "admission_seconds": "7",
    "upload_idle_seconds": "7",
    "yield_seconds": "9",
    "grace_seconds": "7",
    "tls_cert": "/c.pem",
    "tls_key": "/k.pem",
    "tls_client_ca": "/a.pem",
    "token_file": "/t",
    "allow_plaintext": "True",
    "reflection": "True",
    "log_format": "json",
    "log_level": "debug",
    "private": "True",
}


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_a_flag_a_variable_and_a_key(name, tmp_path):
    value = VALUES[name]
    file = tmp_path / "one.toml"
    file.write_text(f'{name} = "{value}"')
    flag = f"--{name.replace('_', '-')}"
    commands = [
        read_command([flag] if value == "True" else [flag, value], {}),
        read_command([], {f"BACKLIT_{name.upper()}": value}),
        read_command(["--config", str(file)], {}),
    ]
    assert [str(getattr(command.settings, name)) for command in commands] == [value] * 3
    assert [command.origins[name] for command in commands] == ["flag", "environment", "file"]


REFUSED = {
    "an unknown flag": (["--prot", "1"], {}, "", "--prot"),
    "an abbreviated flag": (["--tls-c", "x"], {}, "", "--tls-c"),
    "a word": (["--port", "many"], {}, "", "--port: 'many' is not a whole number"),
    "a port too large": ([], {"BACKLIT_PORT": "70000"}, "", "BACKLIT_PORT: '70000' is not between 0 and 65535"),
    "an unknown device": (["--device", "gpu"], {}, "", "auto, cpu, cuda, cuda:N or require-cuda"),
    "a list of devices with a hole": (["--device", "cuda:0,,cuda:1"], {}, "", "or several of them with commas"),
    "an unknown precision": (["--precision", "fp16"], {}, "", "one of single, half"),
    "no questions": (["--max-questions", "0"], {}, "", "at least 1"),
    "an unknown format": ([], {"BACKLIT_LOG_FORMAT": "xml"}, "", "one of human, json"),
    "a half true switch": ([], {"BACKLIT_PRIVATE": "maybe"}, "", "'maybe' is not true or false"),
    "an unknown key": ([], {}, "max_mesage_mb = 1", "no setting 'max_mesage_mb'; did you mean max_message_mb?"),
    "a key far from any": ([], {}, "xyz = 1", "there are host, port"),
    "a bad key in the file": ([], {}, "port = 1.5", "port in "),
    "a list": ([], {}, "host = []", "is not a text"),
    "fewer models than none": (["--preload=-1"], {}, "", "a number of models, or names or digests with commas"),
    "models with a hole": (["--preload", "a,,b"], {}, "", "a number of models, or names or digests with commas"),
    "half a model": ([], {}, "preload = 0.5", "0.5 is not a whole number or a text"),
    "not TOML": ([], {}, "port: 1", "not a TOML file"),
    "a missing file": (["--config", "/nowhere.toml"], {}, "", "cannot read the settings file /nowhere.toml"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_setting_is_refused_in_one_line_that_names_it(case, tmp_path):
    flags, environment, content, words = REFUSED[case]
    if content:
        file = tmp_path / "bad.toml"
        file.write_text(content)
        flags = ["--config", str(file)]
    with pytest.raises(BadSettings) as refusal:
        read_command(flags, environment)
    assert words in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_user_without_a_home_is_asked_for_a_store(monkeypatch):
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(BadSettings, match="--store"):
        read_command([], {})
    assert read_command(["--store", "/x"], {}).settings.store == Path("/x")


def test_show_config_lists_every_setting_with_its_value_and_origin(file):
    command = read_command(["--config", str(file), "--threads", "2", "--show-config"], {"BACKLIT_HOST": "::1"})
    rows = {line.split()[0]: line.split()[1:] for line in shown(command).splitlines()}
    assert command.show_config
    assert list(rows) == NAMES
    assert rows["threads"] == ["2", "flag"]
    assert rows["host"] == ["::1", "environment"]
    assert rows["port"] == ["3", "file"]
    assert rows["device"] == ["auto", "default"]
