"""What a push makes of a repository: one commit, exactly the folder's files, nothing of anybody else's replaced."""

import re
import subprocess

import pytest
from huggingface_hub import HfApi

from hub.publishing.space_bundle import BUNDLED
from tests.conftest import REPOSITORY, run_python
from tests.hub.pushing import online, push, pushed
from tests.hub_state import COMMIT, Repository

REPO = "datasets/someone/phantoms"


def test_what_is_gone_here_goes_there_in_the_same_commit(hub, phantoms):
    assert push("dataset", phantoms, "someone/phantoms").returncode == 0
    first = pushed(phantoms)["commit"]
    (phantoms / "figures" / "sizes.png").unlink()
    done = push("dataset", phantoms, "someone/phantoms")
    assert done.returncode == 0, done.stderr
    assert "figures/sizes.png" not in hub.files(REPO)
    assert "figures/sizes.png" in hub.files(REPO, first)
    assert pushed(phantoms)["commit"] != first
    assert len(hub.repositories[REPO].commits) == 3


def test_the_same_content_makes_no_commit_and_sends_nothing(hub, phantoms):
    assert push("dataset", phantoms, "someone/phantoms").returncode == 0
    hub.requests.clear()
    again = push("dataset", phantoms, "someone/phantoms")
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("nothing new to push: ")
    assert len(hub.repositories[REPO].commits) == 2  # the empty one, and ours
    assert not [request for request in hub.requests if "/commit/" in request or "/lfs/" in request]


@pytest.mark.parametrize("arrives", [True, False])
def test_a_push_interrupted_at_its_commit_says_whether_it_arrived(hub, phantoms, monkeypatch, arrives):
    commit = HfApi.create_commit

    def interrupted(*args, **options):
        if arrives:
            commit(*args, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(HfApi, "create_commit", interrupted)
    done = push("dataset", phantoms, "someone/phantoms")
    head = hub.repositories[REPO].refs["main"]
    expected = (
        f"commit {head} was pushed, but not checked"
        if arrives
        else ("Nothing was pushed; if someone/phantoms was created, it is empty")
    )
    assert (done.returncode, done.stderr) == (1, f"error: interrupted: {expected}. Push again.\n")
    assert bool(hub.files(REPO)) == arrives


def test_an_empty_repository_that_stays_is_told_of(hub, phantoms):
    hub.fail("/commit/main", 400, 9)
    done = push("dataset", phantoms, "someone/phantoms")
    assert "Nothing was pushed; if someone/phantoms was created, it is empty; check" in done.stderr
    done = push("dataset", phantoms, "someone/phantoms")
    assert "Nothing was pushed; check" in done.stderr


@pytest.mark.parametrize(("options", "shown"), [((), False), (("--verbose",), True)])
def test_the_clients_warnings_are_shown_only_if_asked_for(hub, phantoms, options, shown):
    hub.fail("PUT /lfs", 500, 1)
    done = run_python("-m", "hub.push", "dataset", phantoms, "someone/phantoms", *options, **online(hub))
    assert done.returncode == 0, done.stderr
    assert ("Retrying in" in done.stderr) == shown


def test_a_branch_leaves_main_alone(hub, phantoms):
    assert push("dataset", phantoms, "someone/phantoms", "--revision", "trial").returncode == 0
    repository = hub.repositories[REPO]
    assert repository.refs["main"] == COMMIT
    assert repository.refs["trial"] == pushed(phantoms)["commit"]


def test_a_tag_never_moves(hub, phantoms):
    assert push("dataset", phantoms, "someone/phantoms", "--tag", "v1").returncode == 0
    repository = hub.repositories[REPO]
    first = repository.refs["v1"]
    assert push("dataset", phantoms, "someone/phantoms", "--tag", "v1").returncode == 0  # the same content
    (phantoms / "figures" / "sizes.png").unlink()
    done = push("dataset", phantoms, "someone/phantoms", "--tag", "v1")
    assert (done.returncode, f"--tag v1 is commit {first[:7]}" in done.stderr) == (2, True), done.stderr
    assert repository.refs == {"main": first, "v1": first}


def test_a_private_repository_stays_so(hub, phantoms):
    hub.repositories[REPO] = Repository(private=True)
    done = push("dataset", phantoms, "someone/phantoms", "--public")
    assert done.returncode == 0, done.stderr
    assert "was private before and stays private" in done.stdout
    assert pushed(phantoms)["public"] is False


def test_a_public_repository_is_not_pushed_to_unasked(hub, phantoms):
    hub.repositories[REPO] = Repository(private=False)
    done = push("dataset", phantoms, "someone/phantoms")
    assert (done.returncode, "exists and is public" in done.stderr) == (2, True)
    assert not hub.files(REPO)


def test_what_is_somebody_elses_is_not_replaced(hub, phantoms):
    hub.repositories[REPO] = Repository()
    hub.repositories[REPO].commits[COMMIT]["thesis.csv"] = b"years of work"
    done = push("dataset", phantoms, "someone/phantoms")
    assert (done.returncode, "holds other files (thesis.csv)" in done.stderr) == (2, True), done.stderr
    assert hub.files(REPO) == {"thesis.csv": b"years of work"}


def test_somebody_elses_commit_in_between_is_not_lost_sight_of(hub, phantoms):
    assert push("dataset", phantoms, "someone/phantoms").returncode == 0
    repository = hub.repositories[REPO]
    (phantoms / "figures" / "sizes.png").unlink()

    def colleague() -> None:
        files = repository.commits[repository.refs["main"]] | {"README.md": b"something else"}
        repository.commits["c" * 40], repository.refs["main"] = files, "c" * 40

    hub.before["/commit/main"] = colleague
    done = push("dataset", phantoms, "someone/phantoms")
    assert done.returncode == 0, done.stderr
    assert hub.files(REPO)["README.md"] != b"something else"
    assert "c" * 40 in repository.commits  # and theirs is in the history


def test_what_comes_back_changed_is_told(hub, phantoms):
    put = type(hub.objects).__setitem__

    class Garbling(dict):
        def __setitem__(self, oid, content):
            put(self, oid, content[:-1] + b"x")

    hub.objects = Garbling()
    done = push("dataset", phantoms, "someone/phantoms")
    assert (done.returncode, "returns a different" in done.stderr) == (1, True), done.stderr
    assert not (phantoms / "pushed.json").exists()


# A Space as the version before the present rooms pushed it: app.py and space/, flat.
OLD_SPACE = re.findall(
    r"\S+",
    """
LICENSE README.md requirements.txt app.py space/README.md space/__init__.py space/answers.py space/api.py
space/backends.py space/batch.py space/cache.py space/classifier.py space/default-model/config.json space/dicom.py
space/download.py space/errors.py space/examples/phantom_1.png space/examples/phantom_2.png space/gateway.py
space/gradcam.py space/gray_levels.py space/guard.py space/handlers.py space/in_order.py space/model_files.py
space/model_ids.py space/preprocessing.py space/remote_code.py space/requirements.txt space/served.py
space/settings.py space/texts/__init__.py space/texts/en.json space/texts/ru.json space/theme.py space/ui.py
space/uploads.py space/xray.py
""",
)


def test_a_space_of_an_earlier_version_is_replaced(hub):
    hub.repositories["spaces/someone/demo"] = Repository()
    old = dict.fromkeys([*OLD_SPACE, ".gitattributes"], b"of the earlier version")
    hub.repositories["spaces/someone/demo"].commits[COMMIT] |= old
    done = push("space", BUNDLED, "someone/demo")
    assert done.returncode == 0, done.stderr
    now = hub.files("spaces/someone/demo")
    tracked = subprocess.run(["git", "ls-files", "space"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    shipped = {file for file in tracked.stdout.split() if not file.startswith("space/lung-segmenter/")}
    assert shipped <= now.keys()
    assert not {"space/ui.py", "space/answers.py", "space/texts/english.py"} & now.keys()
    assert b"of the earlier version" not in {*now.values()} - {now[".gitattributes"]}
