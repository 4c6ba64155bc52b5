"""Which models the page is asked to serve."""

import json

import pytest

from space.errors import UsageError
from space.web import model_choice as model_ids
from space.web.model_choice import BUNDLED, ModelId, choose_models, parse_model_ids

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folders(tmp_path, monkeypatch):
    for name in ("a", "b", "other/a"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").touch()
    monkeypatch.chdir(tmp_path)
    for variable in ("MODEL_ID",):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def test_folders_and_pinned_repositories_are_taken(folders):
    models = parse_model_ids(f" a, owner/some-model@{SHA} ,{folders / 'b'},")
    assert models == [ModelId("a"), ModelId("owner/some-model", SHA), ModelId(str(folders / "b"))]
    assert [one.shown for one in models] == ["a", "owner/some-model@0123456", "b"]
    assert models[0].link == "`a`"
    assert models[1].link == f"[`owner/some-model@0123456`](https://huggingface.co/owner/some-model/tree/{SHA})"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("owner/name", "40 digits"),
        ("owner/name@main", "40 digits"),
        (f"owner/name@{SHA[:7]}", "40 digits"),
        (f"owner/name@{SHA.upper()}", "40 digits"),
        (f"https://huggingface.co/owner/name@{SHA}", "40 digits"),
        ("", "0 models were named"),
        (" , ", "0 models were named"),
        (",".join(f"owner/m{n}@{SHA}" for n in range(6)), "6 models were named"),
        ("a,other/a", "two models have the name 'a'"),
        ("a,other/b", "no such folder"),
        ("nosuch", "no such folder"),
        ("other", "config.json and model.safetensors"),
    ],
)
def test_what_is_not_pinned_or_not_clear_is_refused(folders, text, sentence):
    with pytest.raises(UsageError, match=sentence):
        parse_model_ids(text)


def test_the_argument_goes_before_the_environment_and_that_before_the_pin(folders, monkeypatch):
    monkeypatch.setattr(model_ids, "PIN", folders / "model.json")
    assert choose_models(None) == [ModelId(str(BUNDLED))]
    pin = {"model": "owner/name", "revision": SHA, "trust_remote_code": True}  # as earlier versions wrote it
    (folders / "model.json").write_text(json.dumps(pin))
    assert choose_models(None) == [ModelId("owner/name", SHA)]
    monkeypatch.setenv("MODEL_ID", "b")
    assert choose_models(None) == [ModelId("b")]
    assert choose_models("a") == [ModelId("a")]
