"""Processes that wait for each other never wait for one that is gone."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from torch.distributed import HashStore

from seqprobe.errors import LostProcess
from seqprobe.runner import life
from seqprobe.runner.life import Life
from seqprobe.runner.ranks import ALONE
from seqprobe.runner.torchrun import joined

SCRIPT = """
import os, signal, sys, time
from seqprobe.errors import LostProcess
from seqprobe.runner.torchrun import joined

how = sys.argv[1]
with joined(patience=3.0) as ranks:
    assert (ranks.size, ranks.first) == (2, os.environ["RANK"] == "0")
    with ranks.heeding():
        asked, said = [], (0.1 + 0.2, 5e-324, -1e23)
        assert ranks.told(tuple[float, ...], lambda: asked.append(ranks.rank) or said) == said
        assert asked == [0] * ranks.first
        found = ranks.gathered([f"{ranks.rank}a", f"{ranks.rank}b"])
        assert found == (["1a", "1b"] if ranks.first else [])
        if not ranks.first:
            if how == "fails":
                raise ValueError("what it was")
            if how != "ends":
                os.kill(os.getpid(), getattr(signal, how))
        try:
            ranks.gathered([])
            print("gathered")
        except LostProcess as lost:
            print(lost)
            raise SystemExit(lost.exit_code)
"""


@pytest.fixture
def together():
    """Start two processes as torchrun does; returns what the first one says, and how they end."""
    processes = []

    def start(how):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        shared |= {"TORCHELASTIC_RUN_ID": "test"}
        for rank in "01":
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", SCRIPT, how],
                    env=os.environ | shared | {"RANK": rank},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        first, second = processes
        said, complaint = first.communicate(timeout=60)
        if how == "SIGSTOP":
            second.kill()
        second.communicate(timeout=60)
        assert "Traceback" not in complaint, complaint
        return said.strip(), first.returncode, second.returncode

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_what_the_first_says_and_what_the_others_found(together):
    assert together("ends") == ("gathered", 0, 0)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("SIGKILL", "rank 1 was lost; got no sign of life. Run the same command again with"),
        ("SIGSTOP", "rank 1 was lost; got no sign of life. Run the same command again with"),
        ("fails", "rank 1 failed; got ValueError: what it was. Run the same command again with"),
    ],
)
def test_a_process_that_is_lost(together, how, said):
    started = time.monotonic()
    found, first, second = together(how)
    assert found.startswith(said)
    assert first == LostProcess.exit_code
    assert second != 0
    assert time.monotonic() - started < 50


def test_without_torchrun_nobody_is_waited_for(monkeypatch):
    """Nor in a job whose environment has the same names, nor in a loop that uses torchrun."""
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    before = signal.getsignal(signal.SIGTERM)
    with joined() as ranks:
        assert ranks is ALONE
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    with joined() as ranks:
        assert ranks is ALONE
    assert signal.getsignal(signal.SIGTERM) is before


class TestLife:
    @pytest.fixture
    def lives(self, monkeypatch):
        monkeypatch.setattr(life, "GRACE", 0.1)
        monkeypatch.setattr(life, "BEAT", 0.01)
        store = HashStore()
        lives = [Life(store, rank, 3, patience=0.5) for rank in range(3)]
        yield lives
        for each in lives:
            each.end("")

    def test_work_of_any_length_is_no_silence(self, lives):
        lives[0].check()
        time.sleep(0.7)
        lives[0].check()

    def test_a_silent_one_is_lost(self, lives):
        lives[2]._over.set()
        lives[0].check()
        time.sleep(0.3)
        lives[0].check()
        time.sleep(0.4)
        with pytest.raises(LostProcess, match=r"^rank 2 was lost; got no sign of life\. Run the"):
            lives[0].check()

    def test_who_complained_is_to_blame(self, lives):
        lives[1].end("the data is shorter than one sequence.")
        with pytest.raises(LostProcess, match=r"^rank 1 failed; got the data is shorter"):
            lives[0].check()

    def test_who_says_nothing_is_to_blame(self, lives):
        """The others say that they end because they were told to."""
        assert str(lives[1].lost()).startswith("rank 0 or rank 2 was lost")
        assert str(lives[0].lost()).startswith("rank 2 was lost")
        assert str(lives[2].lost()).startswith("the processes were told to end; got SIGTERM")

    def test_the_first_that_is_there_tells_the_user(self, lives):
        assert lives[1].end("")
        assert not lives[2].end("")
        assert lives[0].end("")
