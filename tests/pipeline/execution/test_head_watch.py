"""The word about a head that is gone."""

from __future__ import annotations

import logging
import socket
import threading
import time

import pytest

from pipeline.execution.head_watch import watched


def wait_for_word(caplog: pytest.LogCaptureFixture, count: int) -> None:
    end = time.monotonic() + 60
    while len(caplog.messages) < count:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_head_that_goes_away_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "facegpt")
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        with watched(address, every=0.01):
            head.accept()[0].close()
            assert caplog.messages == []
            head.close()
            wait_for_word(caplog, 1)
    assert len(caplog.messages) == 1
    assert f"the head of the Ray cluster at {address} does not answer" in caplog.text
    assert "the same command on a cluster with a head goes on from there" in caplog.text


def test_a_head_that_stays_is_no_line(caplog: pytest.LogCaptureFixture) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as head,
        watched(f"127.0.0.1:{head.getsockname()[1]}", every=0.01),
    ):
        for _ in range(5):
            head.accept()[0].close()
    assert caplog.messages == []


def test_a_head_that_cannot_be_reached_from_here_is_no_line(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    with watched(address, every=0.01):
        for thread in threading.enumerate():
            if thread.name == "head":
                thread.join(60)
                assert not thread.is_alive()
    assert caplog.messages == []
