"""Files that never go to the Hub: secrets, pickles, images of patients, what nobody knows."""

import pytest
from huggingface_hub import RepoCard

from hub.publishing.allowlist import collect, ready_card
from space.errors import UsageError
from tests.hub.pushing import push


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".env", "a secret"),
        ("id_rsa", "a secret"),
        ("optimizer.pt", "a pickle"),
        ("patient.png", "may show a patient"),
        ("figures/patient.png", "may show a patient"),
        ("notes.txt", "an unknown kind of file"),
    ],
)
def test_what_does_not_belong_there_stops_the_push(run, name, reason):
    (run / name).write_text("x")
    with pytest.raises(UsageError, match=reason) as caught:
        collect(run, "model")
    assert name in str(caught.value)


def test_a_link_stops_the_push(run, tmp_path):
    (run / "figures" / "more.png").symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(UsageError, match="a link"):
        collect(run, "model")


def test_a_token_in_a_text_stops_the_push(run):
    (run / "README.md").write_text((run / "README.md").read_text() + "\nhf_" + "a1B2" * 9)
    with pytest.raises(UsageError, match="looks like a Hugging Face token"):
        collect(run, "model")


def test_what_stays_here_is_left_out_without_a_word(run):
    for name in ("figures/local/mistakes.png", "checkpoints/step-10/model.safetensors", "pushed.json"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).touch()
    contents = collect(run, "model")
    assert {"figures/local/mistakes.png", "checkpoints/step-10/model.safetensors", "pushed.json"} <= {
        *contents.left_out
    }
    assert not {*contents.left_out} & contents.files.keys()


def test_the_cards_snippets_name_the_repository(run, tmp_path):
    contents = ready_card(collect(run, "model"), "someone/tiny", tmp_path)
    text = contents.files["README.md"].read_text()
    assert text == (run / "README.md").read_text().replace("DIR_OR_REPO", "someone/tiny")
    assert 'model="someone/tiny"' in text


def test_a_stated_licence_is_in_the_card(phantoms, tmp_path):
    before = RepoCard.load(phantoms / "README.md")
    card = RepoCard.load(ready_card(collect(phantoms, "dataset"), "a/b", tmp_path, "cc0-1.0").files["README.md"])
    assert card.data.to_dict() == before.data.to_dict() | {"license": "cc0-1.0"}
    assert card.text.endswith("Whoever published this states that the images are under cc0-1.0.\n")


@pytest.mark.parametrize(
    ("card", "says"), [(b"\xff", "is not UTF-8 text"), (b"---\n{: [\n---\n# Title\n", "has a damaged header")]
)
def test_a_card_that_cannot_be_read_stops_the_push(run, card, says):
    (run / "README.md").write_bytes(card)
    done = push("model", run, "someone/tiny", "--dry-run")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"error: {run / 'README.md'} {says}")
