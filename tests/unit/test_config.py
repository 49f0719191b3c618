# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from notebookd.cli.output import size as cli_size
from notebookd.config import Config, DirectoryDatastore, QuotaOverride, RcloneDatastore, load_config, parse_config
from notebookd.config import load as loading
from notebookd.config.effective import keys_of, settings_of
from notebookd.errors import ConfigError
from notebookd.mover.report import readable_size as mover_size
from notebookd.spelling import did_you_mean
from notebookd.units import format_size, parse_price, parse_size, readable_size

INSTALLED = Path(__file__).parents[2] / "packaging" / "notebookd.toml"
EVERY_KEY = """
[paths]
state = "/srv/nb"
runtime = "/run/nb"
[api]
socket = "/run/nb/other.sock"
group = "people"
admin_group = "root"
[engine]
socket = "/run/engine.sock"
[gpus]
driver = "simulated"
simulated = 3
foreign_memory = "1GiB"
ignore_processes = ["Xorg", "gnome-shell"]
xid = { 94 = "quarantine", 109 = "note" }
leftover_memory = "2GiB"
lease_leftover = false
poll = "500ms"
[lifecycle]
max_running = "1d"
max_extension = "2d"
stop_grace = "5s"
start_timeout = "1m"
queue_timeout = "1h"
warn_before = ["10m", "2h"]
idle_stop = "4h"
start_after_boot = false
keep_workspace_on_delete = true
[gateway]
listen = "[::1]:9000"
domain = "gpu.example.org"
url = "https://{id}.gpu.example.org:8443/"
api = true
trusted_proxies = ["www-data", "33"]
[billing]
states = ["RUNNING", "RESTARTING"]
currency = "CHF"
[billing.rates]
"h100-1-gpu" = "2.80"
[quota]
gpus = 2
notebooks = 5
gpu_minutes_month = 600
[quota.user.alice]
gpus = 8
[quota.group.students]
gpus = 1
notebooks = 2
[[datastore]]
alias = "DATA"
type = "directory"
path = "/srv/datasets"
read = ["*"]
write = ["@staff", "alice"]
[[datastore]]
alias = "S3"
type = "rclone"
remote = "s3lab"
config = "/etc/notebookd/rclone.conf"
read = ["alice"]
write = []
[[image]]
editor = "jupyterlab"
framework = "pytorch"
version = "2.5"
image = "registry.example.org/lab/torch:2.5"
[[flavor]]
id = "h100-1-gpu"
cpus = 12
memory = "100GiB"
max = 2
default = true
[notebooks]
ca_file = "/etc/ssl/lab.pem"
[notebooks.env]
http_proxy = "http://proxy:3128"
[store]
min_free = "5GiB"
ballast = "1MiB"
"""


def problems_of(text: str, tmp_path: Path) -> dict[str, str]:
    """Key -> what is wrong with it, hint included."""
    file = tmp_path / "notebookd.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    problems = caught.value.details["problems"]
    assert all(problem["file"] == str(file) for problem in problems)
    return {problem["key"]: f"{problem['message']} {problem['hint'] or ''}" for problem in problems}


def test_an_empty_file_is_the_documented_defaults(tmp_path: Path) -> None:
    file = tmp_path / "notebookd.toml"
    file.write_text("")
    config = load_config(file)
    assert config.source == file
    assert config.paths.state == Path("/var/lib/notebookd")
    assert config.paths.routes == Path("/run/notebookd/routes")
    assert config.api.socket == Path("/run/notebookd/api.sock")
    assert config.engine.socket == Path("/run/notebookd-engine/engine.sock")
    assert (config.gpus.driver, config.gpus.foreign_memory_bytes, config.gpus.poll_s) == ("nvml", 256 * 1024**2, 5.0)
    assert config.lifecycle.max_running_s == 7 * 86400
    assert config.lifecycle.max_extension_s == 28 * 86400
    assert config.lifecycle.warn_before_s == (86400, 3600, 600)
    assert config.lifecycle.idle_stop_s is None
    assert (config.gateway.listen_host, config.gateway.listen_port, config.gateway.domain) == (
        "127.0.0.1",
        8421,
        "localhost",
    )
    assert config.gateway.url_of("n1") == "http://n1.localhost:8421/"
    assert config.billing.states == ("RUNNING",)
    assert (config.quota.default.gpus, config.quota.default.notebooks) == (4, 20)
    assert config.datastores == ()


def settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is in force with these values, but for the catalogue."""
    every = settings_of(parse_config(values, source=None))
    return {each.key: each.value for each in every if not each.key.startswith("image[")}


def test_the_installed_file_has_every_key_with_its_default() -> None:
    text = re.sub(r"^#(?! )", "", INSTALLED.read_text(), flags=re.MULTILINE)
    values = tomllib.loads(text.partition("# Examples")[0])
    assert set(keys_of(values)) == set(settings({}))
    assert settings(values) == settings({})
    assert {"flavor[0]", "datastore[1]", "quota.user.alice"} < set(settings(tomllib.loads(text)))


def test_every_key_arrives(tmp_path: Path) -> None:
    file = tmp_path / "notebookd.toml"
    file.write_text(EVERY_KEY)
    config = load_config(file)
    assert config.api.socket == Path("/run/nb/other.sock")
    assert (config.api.group, config.api.admin_group) == ("people", "root")
    assert config.gpus.simulated == 3
    assert config.gpus.poll_s == 0.5
    assert config.lifecycle.warn_before_s == (7200, 600)
    assert config.lifecycle.idle_stop_s == 4 * 3600
    assert config.lifecycle.start_after_boot is False
    assert config.lifecycle.keep_workspace_on_delete is True
    assert (config.gateway.listen_host, config.gateway.listen_port) == ("::1", 9000)
    assert config.gateway.api is True
    assert config.gateway.trusted_proxies == ("www-data", "33")
    assert config.gateway.url_of("n1") == "https://n1.gpu.example.org:8443/"
    assert config.billing.rates == {"h100-1-gpu": 2_800_000}
    assert config.quota.users == {"alice": QuotaOverride(gpus=8)}
    assert config.quota.groups == {"students": QuotaOverride(gpus=1, notebooks=2)}
    data, s3 = config.datastores
    assert isinstance(data, DirectoryDatastore)
    assert (data.path, data.write) == (Path("/srv/datasets"), ("@staff", "alice"))
    assert isinstance(s3, RcloneDatastore)
    assert (s3.remote, s3.read, s3.write) == ("s3lab", ("alice",), ())
    (flavor,) = config.flavors
    assert (flavor.cpus, flavor.memory_bytes, flavor.max_units, flavor.default) == (12, 100 * 1024**3, 2, True)
    assert config.store.min_free_bytes == 5 * 1024**3


def test_the_socket_follows_the_runtime_folder() -> None:
    config = parse_config({"paths": {"runtime": "/run/elsewhere"}}, source=None)
    assert config.api.socket == Path("/run/elsewhere/api.sock")


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    problems = problems_of(
        """
        [lifecycle]
        max_runing = "7d"
        stop_grace = 30
        start_timeout = "soon"
        warn_before = ["1h", "later"]
        [gpus]
        driver = "nvlm"
        foreign_memory = "256 megs"
        simulated = -1
        [gatewai]
        [quota.user.bob]
        gpu = 3
        """,
        tmp_path,
    )
    assert set(problems) == {
        "lifecycle.max_runing",
        "lifecycle.stop_grace",
        "lifecycle.start_timeout",
        "lifecycle.warn_before[1]",
        "gpus.driver",
        "gpus.foreign_memory",
        "gpus.simulated",
        "gatewai",
        "quota.user.bob.gpu",
    }
    assert "'max_running'" in problems["lifecycle.max_runing"]
    assert "'nvml'" in problems["gpus.driver"]
    assert "'gateway'" in problems["gatewai"]
    assert "'gpus'" in problems["quota.user.bob.gpu"]
    assert "256MiB" in problems["gpus.foreign_memory"]


def test_the_message_names_file_keys_and_hints(tmp_path: Path) -> None:
    file = tmp_path / "notebookd.toml"
    file.write_text('[lifecycle]\nmax_runing = "7d"\nstop_grace = 4\n')
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert caught.value.message == (
        f"cannot use {file}: 2 problems\n"
        "  lifecycle.stop_grace: must be text, not a whole number\n"
        "  lifecycle.max_runing: is not a known key (did you mean 'max_running'?)"
    )


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[lifecycle]\nmax_running = "10d"\nmax_extension = "1d"', "lifecycle.max_extension"),
        ('[lifecycle]\nidle_stop = "0s"', "lifecycle.idle_stop"),
        ('[lifecycle]\nidle_stop = "never"', "lifecycle.idle_stop"),
        ("[lifecycle]\nstart_after_boot = 1", "lifecycle.start_after_boot"),
        ("[quota]\ngpus = true", "quota.gpus"),
        ("[quota]\ngpus = -1", "quota.gpus"),
        ('[gateway]\nlisten = "8421"', "gateway.listen"),
        ('[gateway]\nlisten = "::1:8421"', "gateway.listen"),
        ('[gateway]\nlisten = "127.0.0.1:99999"', "gateway.listen"),
        ('[gateway]\nlisten = "localhost:8421"', "gateway.listen"),
        ('[gateway]\ndomain = "Local Host"', "gateway.domain"),
        ('[gateway]\nurl = "https://notebooks.example.org/"', "gateway.url"),
        ('[gateway]\nurl = "https://{id}.elsewhere.org/"', "gateway.url"),
        ('[gateway]\nurl = "https://{id}.localhost/jupyter/"', "gateway.url"),
        ('[gateway]\nurl = "javascript://{id}.localhost/"', "gateway.url"),
        ('[paths]\nstate = "var/lib"', "paths.state"),
        ('[api]\ngroup = ""', "api.group"),
        ('[api]\ngroup = "no such:thing"', "api.group"),
        ("[billing.rates]\nh100 = 2.8", "billing.rates.h100"),
        ('[billing.rates]\nh100 = "-1"', "billing.rates.h100"),
        ('[billing]\nstates = ["QUEUED"]', "billing.states"),
        ('[billing]\ncurrency = "euro"', "billing.currency"),
        ('[[datastore]]\nalias = "A"\ntype = "directory"\npath = "/srv/../etc"', "datastore[0].path"),
        ('[[datastore]]\nalias = "A"\ntype = "directory"', "datastore[0].path"),
        ('[[datastore]]\nalias = "A/B"\npath = "/srv"', "datastore[0].alias"),
        ('[[datastore]]\nalias = "A"\npath = "/a"\n[[datastore]]\nalias = "A"\npath = "/b"', "datastore[1].alias"),
        ('[[datastore]]\nalias = "A"\npath = "/srv"\nread = ["not: a name"]', "datastore[0].read[0]"),
        ('[[datastore]]\nalias = "A"\ntype = "rclone"\nremote = "s3:x"', "datastore[0].remote"),
        ('[[datastore]]\nalias = "A"\ntype = "rclone"\nremote = "s3"\npath = "/x"', "datastore[0].path"),
        ('[datastore]\nalias = "A"', "datastore"),
        ('[[flavor]]\nid = "a"\nmax = 0', "flavor[0].max"),
        ('[[flavor]]\nid = "a"\ngroups = ["@vision"]', "flavor[0].groups[0]"),
        ('[[flavor]]\nid = "a"\ngroups = ["vision", " b"]', "flavor[0].groups[1]"),
        ('[[flavor]]\nid = "a"\ngroups = "vision"', "flavor[0].groups"),
        ('[[flavor]]\nid = "a"\nmemory = "0GiB"', "flavor[0].memory"),
        ('[[flavor]]\nid = "a"\nshm = "0B"', "flavor[0].shm"),
        ('[[flavor]]\nid = "a"\ncpus = 0', "flavor[0].cpus"),
        ('[[flavor]]\nid = "a"\ncpus = 0.4', "flavor[0].cpus"),
        ('[[flavor]]\nid = "a"\ncpus = 1.5', "flavor[0].cpus"),
        ('[[flavor]]\nid = "a"\ndefault = true\n[[flavor]]\nid = "b"\ndefault = true', "flavor[1].default"),
        ('[[image]]\neditor = "jupyterlab"\nframework = "x"\nversion = "1"', "image[0].image"),
        ('[[image]]\neditor = "vscode"\nframework = "x"\nversion = "1"\nimage = "a:1"', "image[0].command"),
        ("x = 1", "x"),
    ],
)
def test_what_is_refused_is_named(text: str, key: str, tmp_path: Path) -> None:
    assert list(problems_of(text, tmp_path)) == [key]


def test_cpus_of_a_flavor_are_whole_and_never_rounded(tmp_path: Path) -> None:
    problems = problems_of('[[flavor]]\nid = "a"\ncpus = 1.5\n', tmp_path)
    assert problems == {"flavor[0].cpus": "must be a whole number, not a fraction "}


def test_a_syntax_error_has_its_line(tmp_path: Path) -> None:
    problems = problems_of('[gpus]\npoll = "5s"\ndriver = nvml\n', tmp_path)
    assert "line 3" in problems[""]


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "absent.toml")


def test_without_a_file_in_the_default_place_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "DEFAULT_PATH", tmp_path / "absent.toml")
    assert load_config(None).source is None


def test_a_byte_order_mark_and_line_ends_of_other_systems_are_taken(tmp_path: Path) -> None:
    (tmp_path / "catalogue.d").mkdir()
    added = b'\xef\xbb\xbf[[framework]]\r\nid = "mine"\r\nname = "Mine"\r\n'
    (tmp_path / "catalogue.d" / "mine.toml").write_bytes(added)
    (tmp_path / "dos.toml").write_bytes(b'\xef\xbb\xbf[gpus]\r\npoll = "5s"\r\n')
    config = load_config(tmp_path / "dos.toml")
    assert config.gpus.poll_s == 5
    assert "Mine" in {each.name for each in config.images.frameworks}
    (tmp_path / "wide.toml").write_bytes("[gpus]\n".encode("utf-16"))
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        load_config(tmp_path / "wide.toml")


@pytest.mark.parametrize(
    "name", ["CORP\\alice", "alice@corp.example", "4711", "domain users", "jörg", "j\\xf8rg", "a" * 256, "x$", "a"]
)
def test_a_directorys_names_are_taken_for_groups_and_readers(name: str) -> None:
    store = {"alias": "s", "path": "/srv", "read": [name, f"@{name}"]}
    quota = {"user": {name: {"gpus": 1}}, "group": {name: {"gpus": 2}}}
    api = {"group": name, "admin_group": f"{name}2"[-256:]}
    config = parse_config({"api": api, "quota": quota, "datastore": [store]}, source=None)
    assert (config.api.group, config.datastores[0].read) == (name, (name, f"@{name}"))
    assert config.quota.users[name].gpus == 1


@pytest.mark.parametrize("name", ["", " a", "a ", "a:b", "a\nb", "a\x1b[2J", "a\0", "a" * 257])
def test_what_can_be_nobodys_name_is_named(name: str) -> None:
    store = {"alias": "s", "path": "/srv", "read": [f"@{name}"]}
    with pytest.raises(ConfigError, match="names nobody"):
        parse_config({"datastore": [store]}, source=None)
    with pytest.raises(ConfigError, match=r"api\.group"):
        parse_config({"api": {"group": name}}, source=None)


def test_what_is_no_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(tmp_path / "latin.toml")
    with pytest.raises(ConfigError, match="directory"):
        load_config(tmp_path)


def test_a_longer_life_does_not_ask_for_a_longer_extension_too() -> None:
    config = parse_config({"lifecycle": {"max_running": "60d"}}, source=None)
    assert config.lifecycle.max_extension_s == 60 * 86400


@given(st.integers(min_value=0, max_value=2**62))
def test_sizes_survive_a_round_trip(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(min_value=0, max_value=2**62))
@example(0)
@example(1023)
@example(12 * 2**20 + 7)
def test_whoever_writes_a_size_for_people_writes_it_alike(size_bytes: int) -> None:
    said = readable_size(size_bytes)
    assert re.fullmatch(r"[0-9]+ B|[0-9]+\.[0-9] [KMGT]iB", said)
    assert said == cli_size(size_bytes) == mover_size(size_bytes)
    assert parse_size(said) == pytest.approx(size_bytes, rel=0.06)


@pytest.mark.parametrize("text", ["", "10", "MiB", "-1MiB", "1mib", "1 G", "1e3MiB", "9999999TiB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match=r"size|too large"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=10**9))
def test_prices_are_exact(micros: int) -> None:
    assert parse_price(f"{micros // 10**6}.{micros % 10**6:06d}") == micros


@pytest.mark.parametrize("text", ["", "free", "nan", "Infinity", "-0.01", "0.0000001", "1e99"])
def test_what_is_no_price(text: str) -> None:
    with pytest.raises(ValueError, match="price"):
        parse_price(text)


def test_a_near_miss_is_named_and_a_far_one_lists_what_there_is() -> None:
    assert did_you_mean("gup", ["gpu", "cpu"]) == "did you mean 'gpu'?"
    assert did_you_mean("zzzz", ["gpu", "cpu"]) == "known: gpu, cpu"
    assert did_you_mean("zzzz", []) is None


KEYS = sorted({*re.findall(r"[a-z_]{3,}", EVERY_KEY), "rates", "x"})
SCALARS = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.sampled_from(["5s", "1GiB", "off", "simulated", "/a", "rclone", "*", "jupyterlab", "\0", "/\0", "127.0.0.1:1"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=5),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYS) | st.text(), VALUES, max_size=6))
def test_any_table_is_a_configuration_or_a_list_of_problems(values: dict[str, object]) -> None:
    try:
        outcome: Config | list[object] = parse_config(values, source=None)
    except ConfigError as error:
        outcome = error.details["problems"]
    assert isinstance(outcome, Config) or outcome
