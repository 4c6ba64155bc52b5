"""Files of a repository: in a folder, or on a stand-in for the Hub."""

import huggingface_hub.constants
import pytest

from space.errors import ChestXrayError, UsageError
from space.inference.repository import MissingFileError, UnreachableError, check_model, find_file, get_file
from tests.conftest import DEFAULT_MODEL, run_python
from tests.hub_server import serving

# In a process of its own, because the Hub's client reads its settings when it is imported.
PROGRAM = """
from space.errors import ChestXrayError
from space.inference.repository import find_file, get_file

print(get_file("user/model", "config.json").read_text())
print(get_file("user/set", "audit.json", kind="dataset").read_text())
print(find_file("user/model", "guard.safetensors"))
for name, file, revision in [
    ("user/model", "guard.safetensors", None), ("user/other", "config.json", None), ("user/model", "config.json", "v9")
]:
    try:
        get_file(name, file, revision)
    except ChestXrayError as error:
        print(error.exit_code, type(error).__name__, error)
"""


def test_a_folders_file_is_found_or_named_as_missing(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "folder").mkdir()
    assert get_file(str(tmp_path), "config.json") == find_file(str(tmp_path), "config.json") == tmp_path / "config.json"
    for name in ("guard.safetensors", "folder"):
        assert find_file(str(tmp_path), name) is None
        with pytest.raises(MissingFileError, match=f"has no {name}"):
            get_file(str(tmp_path), name)


def test_a_file_comes_from_the_hub_or_the_error_says_why_not(tmp_path):
    files = {"user/model/config.json": b"{1}", "datasets/user/set/audit.json": b"{2}"}
    with serving(files) as endpoint:
        environment = {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        done = run_python("-c", PROGRAM, **environment, HF_HOME=str(tmp_path), real=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "{1}",
        "{2}",
        "None",
        "2 MissingFileError the model user/model has no guard.safetensors on the Hub.",
        "2 UsageError the Hub has no model user/other, or you may not read it (try `hf auth login`).",
        "2 UsageError the Hub has no model user/model at v9, or you may not read it (try `hf auth login`).",
    ]


def test_without_the_hub_only_a_required_file_is_an_error():
    assert huggingface_hub.constants.HF_HUB_OFFLINE
    assert find_file("nobody/nothing", "guard.safetensors") is None
    with pytest.raises(UnreachableError, match=r"cannot be reached for config\.json of nobody/nothing") as caught:
        get_file("nobody/nothing", "config.json")
    assert caught.value.exit_code == ChestXrayError.exit_code


def test_a_name_that_is_none_is_a_usage_error():
    with pytest.raises(UsageError, match="OWNER/NAME"):
        get_file("a/b/c", "config.json")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nosuch", "no such file or folder"),
        ("space/nosuch", "no such file or folder"),
        ("space", "no config.json"),
        ("app.py", "no config.json"),
    ],
)
def test_a_mistake_in_a_models_name_is_told_without_the_hub(name, sentence):
    with pytest.raises(UsageError, match=f"^MODEL {name}: {sentence}"):
        check_model(name, "MODEL")


def test_a_model_that_may_be_one_passes():
    check_model(str(DEFAULT_MODEL), "MODEL")
    check_model("owner/name", "MODEL")
