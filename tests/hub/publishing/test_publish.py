"""A push from end to end: what is gathered and checked, what is said, what a dry run shows."""

from tests.conftest import DEFAULT_MODEL, REPOSITORY
from tests.hub.pushing import push, pushed


def test_a_dry_run_summarises_and_contacts_nobody(hub, run, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "")
    (run / "figures" / "local").mkdir(exist_ok=True)
    (run / "figures" / "local" / "mistakes.png").touch()
    done = push("model", run, "someone/tiny", "--dry-run")
    assert done.returncode == 0, done.stderr
    largest = (run / "model.safetensors").stat().st_size
    files = [path for path in run.rglob("*") if path.is_file() and path.parent.name != "local"]
    named = (run / "README.md").read_text().replace("DIR_OR_REPO", "someone/tiny")
    total = sum(path.stat().st_size for path in files if path.name != "README.md") + len(named.encode())
    lines = done.stdout.splitlines()
    assert lines[0] == (
        f"would push to someone/tiny (model, private), branch main: {len(files)} files, {total:,} bytes"
    )
    assert lines[1] == f"  {largest:>14,}  model.safetensors"
    assert f"  and {len(files) - 5} smaller files" in lines
    assert "left out: figures/local/mistakes.png" in lines
    assert f"card: {run / 'README.md'}, which begins:" in lines
    assert lines[-4].startswith("  # ")
    assert len(lines) <= 16
    assert not hub.requests


def test_a_dry_run_of_a_space_names_the_card_that_it_is_made_from(hub):
    done = push("space", DEFAULT_MODEL, "someone/demo", "--dry-run", "--public")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("would push to someone/demo (space, public), branch main: ")
    assert f"card: {REPOSITORY / 'space' / 'README.md'}, which begins:" in done.stdout.splitlines()
    assert not hub.requests


def test_a_folder_without_a_card_is_not_pushed(hub, run):
    (run / "README.md").unlink()
    done = push("model", run, "someone/tiny")
    assert (done.returncode, done.stderr) == (2, f"error: {run} has no README.md. Nothing is pushed without a card.\n")
    assert not hub.requests


def test_an_interrupted_check_tells_which_commit_is_unchecked(hub, run, monkeypatch):
    def interrupt_the_second(folder):
        if folder != run:
            raise KeyboardInterrupt

    monkeypatch.setattr("hub.publishing.publish.verify_in_fresh_process", interrupt_the_second)
    done = push("model", run, "someone/tiny")
    commit = hub.repositories["models/someone/tiny"].refs["main"]
    sentence = f"error: interrupted: commit {commit} was pushed, but not checked. Push again.\n"
    assert (done.returncode, done.stderr) == (1, sentence)
    assert not (run / "pushed.json").exists()


def test_a_push_of_the_bundled_model_leaves_the_code_as_it_is(hub, monkeypatch):
    monkeypatch.setattr("hub.publishing.publish.verify_in_fresh_process", lambda folder: None)  # takes most of a minute
    before = sorted(DEFAULT_MODEL.iterdir())
    done = push("model", DEFAULT_MODEL, "someone/bundled")
    after = sorted(DEFAULT_MODEL.iterdir())
    (DEFAULT_MODEL / "pushed.json").unlink(missing_ok=True)
    assert done.returncode == 0, done.stderr
    assert after == before


def test_pushed_json_says_where_it_went(hub, phantoms):
    done = push("dataset", phantoms, "someone/phantoms", "--revision", "trial", "--tag", "v1")
    assert done.returncode == 0, done.stderr
    noted = pushed(phantoms)
    commit = hub.repositories["datasets/someone/phantoms"].refs["trial"]
    assert noted.pop("url") == f"{hub.endpoint}/datasets/someone/phantoms/tree/{commit}"
    assert noted == {
        "repo": "someone/phantoms", "kind": "dataset", "commit": commit, "revision": "trial", "tag": "v1",
        "public": False,
    }  # fmt: skip
    assert done.stdout.startswith("pushed: ")
