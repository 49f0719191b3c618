# SPDX-License-Identifier: Apache-2.0
"""What a notebook's environment is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebookd.adapters.trust import lay_bundle
from notebookd.domain.environment import CA_BUNDLE, CA_VARIABLES, RESERVED, for_containers, of_notebook, refusal
from notebookd.domain.spec import env_faults
from notebookd.errors import WorkspaceFault

CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nbGFi\n-----END CERTIFICATE-----\n"
PLATFORM = {"HOME": "/workspace"}


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA_VISIBLE_DEVICES",
        "NVIDIA_DRIVER_CAPABILITIES",
        "AMD_VISIBLE_DEVICES",
        "HABANA_VISIBLE_DEVICES",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "HOME",
        "PATH",
        "PYTHONHOME",
        "NOTEBOOK_ID",
        "NOTEBOOK_NAME",
    ],
)
def test_what_a_person_may_not_set_is_refused_with_the_reason(name: str) -> None:
    (fault,) = env_faults([("FINE", "1"), (name, "all")])
    assert fault.path == "$.envVars[1].name"
    assert fault.message == f"{name} cannot be set: {refusal(name)}"


@pytest.mark.parametrize("name", ["CUDA_VISIBLE_DEVICES", "PATHS", "MY_PATH", "LDFLAGS", "http_proxy", "PYTHONPATH"])
def test_what_looks_alike_may_be_set(name: str) -> None:
    assert refusal(name) is None
    assert list(env_faults([(name, "1")])) == []


def test_every_reason_is_a_sentence_for_people() -> None:
    assert all(" " in reason and reason[0] != "$" and not reason.endswith(".") for _, reason in RESERVED)


def test_no_container_has_gpus_by_its_environment_whatever_is_on_record() -> None:
    stored = [("NVIDIA_VISIBLE_DEVICES", "all"), ("LD_PRELOAD", "/workspace/x.so"), ("PATH", "/x"), ("A", "1")]
    made = of_notebook({"NVIDIA_VISIBLE_DEVICES": "all"}, stored, PLATFORM)
    assert made == {"NVIDIA_VISIBLE_DEVICES": "void", "A": "1", "HOME": "/workspace"}


def test_proxies_stand_in_both_cases_and_spare_this_machine() -> None:
    made = for_containers({"http_proxy": "http://proxy:3128", "PIP_INDEX_URL": "https://lab/simple"}, ca=False)
    assert made == {
        "http_proxy": "http://proxy:3128",
        "HTTP_PROXY": "http://proxy:3128",
        "no_proxy": "localhost,127.0.0.1,::1",
        "NO_PROXY": "localhost,127.0.0.1,::1",
        "PIP_INDEX_URL": "https://lab/simple",
    }


def test_what_is_spared_is_the_configurations_where_it_says_so() -> None:
    made = for_containers({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".lab"}, ca=False)
    assert (made["https_proxy"], made["no_proxy"], made["NO_PROXY"]) == ("http://proxy:3128", ".lab", ".lab")


def test_nothing_is_set_by_a_configuration_that_says_nothing() -> None:
    assert for_containers({}, ca=False) == {}


def test_the_ca_is_named_to_every_program_that_asks_for_one() -> None:
    assert for_containers({"PIP_CERT": "/elsewhere"}, ca=True) == dict.fromkeys(CA_VARIABLES, CA_BUNDLE) | {
        "PIP_CERT": "/elsewhere"
    }


def test_a_notebooks_own_variables_go_before_the_houses_in_either_case() -> None:
    house = for_containers({"http_proxy": "http://proxy:3128", "PIP_INDEX_URL": "https://lab/simple"}, ca=False)
    made = of_notebook(house, [("HTTP_PROXY", ""), ("PIP_INDEX_URL", "https://mine")], PLATFORM)
    assert made["HTTP_PROXY"] == ""
    assert "http_proxy" not in made
    assert made["PIP_INDEX_URL"] == "https://mine"
    assert made["no_proxy"] == "localhost,127.0.0.1,::1"


def test_the_ca_is_added_to_what_is_trusted_already(tmp_path: Path) -> None:
    ca = tmp_path / "lab.pem"
    ca.write_bytes(CERTIFICATE)
    mount = lay_bundle(tmp_path / "trust", "n", ca, b"the image's\n")
    assert (mount.target, mount.read_only) == (CA_BUNDLE, True)
    assert Path(mount.source).read_bytes() == b"the image's\n" + CERTIFICATE
    assert Path(mount.source).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(("text", "word"), [(b"bGFi", "PEM"), (None, "No such file")])
def test_a_file_without_certificates_is_named(tmp_path: Path, text: bytes | None, word: str) -> None:
    ca = tmp_path / "lab.pem"
    if text is not None:
        ca.write_bytes(text)
    with pytest.raises(WorkspaceFault, match=f"lab.pem.*{word}"):
        lay_bundle(tmp_path / "trust", "n", ca, None)
