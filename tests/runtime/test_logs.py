"""The log: on disk at once, bounded, one line a message, and no reason to stop a search."""

import logging
import subprocess
import sys

import pytest

from kerastune.runtime import logs
from kerastune.study.run_directory import RunDir

logger = logs.logger


def test_a_line_is_on_disk_at_once_and_an_error_with_its_trace(tmp_path):
    path = tmp_path / "kerastune.log"
    with pytest.raises(RuntimeError), logs.to_file(path):
        logger.info("%d steps", 7)
        assert path.read_text().endswith(" 7 steps\n")
        raise RuntimeError("a bug")
    assert (
        "Ended early.\nTraceback" in path.read_text()
        and "RuntimeError: a bug\n" in path.read_text()
    )
    logger.info("later")
    assert "later" not in path.read_text()


def test_log_files_are_bounded_and_the_latest_lines_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "LOG_BYTES", 2000)
    run_dir = RunDir(tmp_path)
    with logs.to_file(run_dir.log):
        for number in range(500):
            logger.info("line %04d %s", number, "x" * 50)
            assert f"line {number:04}" in run_dir.log.read_text()
    found = {path for path in tmp_path.iterdir()}
    assert found == set(logs.files(run_dir.log)) and len(found) == 1 + logs.OLDER
    assert all(path.stat().st_size <= 2000 for path in found)
    run_dir.lock.touch()
    assert run_dir.is_ours()  # the older files, too
    run_dir.clear()
    assert {path.name for path in tmp_path.iterdir()} == {run_dir.lock.name}


def test_a_message_is_one_line_and_moves_no_cursor(tmp_path):
    path = tmp_path / "kerastune.log"
    with logs.to_file(path):
        logger.info("name %s", "a\nforged line \x1b[2J\r\x9b1m\0\u2028b\tc")
    (line,) = path.read_text().splitlines()
    assert line.endswith(r"name a\nforged line \x1b[2J\r\x9b1m\x00\u2028b" + "\tc")


def test_a_log_that_cannot_be_written_any_more_is_told_once_and_stops_nothing(tmp_path, caplog):
    path = tmp_path / "kerastune.log"
    with logs.to_file(path):
        handler = logger.handlers[-1]
        logger.info("first")
        full = open("/dev/full", "w")
        handler.stream, own = full, handler.stream
        logger.info("second")
        logger.info("third")
        handler.stream = own
        with pytest.raises(OSError):
            full.close()
    warnings = [
        record.getMessage() for record in caplog.records if record.levelno == logging.WARNING
    ]
    assert (
        len(warnings) == 1
        and "No space left" in warnings[0]
        and "on the screen only" in warnings[0]
    )
    assert [line.split()[-1] for line in path.read_text().splitlines()] == ["first"]


def test_a_line_is_shown_once_also_where_a_library_sets_up_the_root_logger():
    code = (
        "import logging; from kerastune.runtime import logs; logs.to_screen(verbose=True); "
        "logging.basicConfig(); logs.logger.warning('mine'); "
        "logging.getLogger('a').warning('theirs')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stderr.count("mine"), done.stderr.count("theirs")) == (1, 1)


def test_many_models_that_predict_once_each_are_no_reason_to_warn(caplog, monkeypatch):
    import keras
    import numpy as np
    import tensorflow as tf

    def warned():
        caplog.clear()
        for _ in range(8):
            model = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])
            model.compile(loss="mse")
            model.predict(np.zeros([4, 2]), verbose=0)
            model.evaluate(np.zeros([4, 2]), np.zeros([4, 1]), verbose=0)
        return "retracing" in caplog.text

    @tf.function
    def own(value):
        return value

    tf.get_logger().addHandler(caplog.handler)
    monkeypatch.setattr(tf.get_logger(), "level", logging.WARNING)  # whatever ran before
    try:
        with logs.many_models():
            assert not warned()
            for value in range(8):
                own(value)
            assert "retracing" in caplog.text
    finally:
        tf.get_logger().removeHandler(caplog.handler)
    assert not tf.get_logger().filters
