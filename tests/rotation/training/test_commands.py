"""The commands `rotation train` and `rotation samples`, as processes: stopped, killed, misused."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from PIL import Image

from rotation.cli.train import train_command
from rotation.training.checkpoints import CHECKPOINT
from tests.rotation.modelling import tiny_folder


def log_of(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


COMMAND = [sys.executable, "-c", "from rotation.cli.train import train_command as t; t()"]


def start(out, *options):
    settings = [
        "--size",
        "16",
        "--patch",
        "1",
        "--width",
        "16,32",
        "--batch-size",
        "4",
        "--sheet",
        "4",
    ]
    data = ["--images", "30", "--holdout", "5", "--device", "cpu", "--out", str(out)]
    return subprocess.Popen(
        [*COMMAND, *settings, *data, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_told_to_stop_saves_and_the_same_one_goes_on(tmp_path, number):
    process = start(tmp_path, "--minutes", "60", "--preview-minutes", "0.005")
    wait_for(tmp_path / "log.jsonl", process)
    process.send_signal(number)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "Interrupted" in said
    done = log_of(tmp_path)[-1]["step"]
    process = start(tmp_path, "--steps", str(done + 2))
    said, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, complaint
    assert f"Finished, after {done + 2} steps" in said


def test_a_killed_command_goes_on_from_its_checkpoint(tmp_path):
    process = start(tmp_path, "--minutes", "60", "--checkpoint-minutes", "0.001")
    wait_for(tmp_path / CHECKPOINT, process)
    process.kill()
    process.communicate()
    process = start(tmp_path, "--minutes", "0.001")
    said, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, complaint
    assert "Finished" in said


def wait_for(path, process):
    while not path.is_file():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "--minutes or --steps"),
        (("--steps", "1", "--width", "16;32"), "16;32"),
        (("--steps", "1", "--width", "16"), "not 16. The default"),
        (("--steps", "1", "--data", "no-such-folder"), "no-such-folder"),
        (("--steps", "1", "--init", "no-such-model"), "no model folder"),
        (("--steps", "1", "--device", "cuda:99"), "cuda:99"),
    ],
)
def test_wrong_options_end_with_a_message_and_no_traceback(tmp_path, options, message):
    small = ["--size", "16", "--patch", "1", "--device", "cpu", "--out", str(tmp_path)]
    ended = CliRunner().invoke(train_command, [*small, *options])
    assert isinstance(ended.exception, SystemExit)
    assert ended.exit_code in (1, 2)
    assert message in ended.output


def test_a_wrong_device_is_told_before_images_are_prepared(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("rotation.cli.train._training_images", lambda *given: asked.append(given))
    words = ["--steps", "1", "--device", "cuda:99", "--out", str(tmp_path)]
    ended = CliRunner().invoke(train_command, words)
    assert ended.exit_code == 1
    assert "cuda:99" in ended.output
    assert asked == []


def draw(*options):
    command = [sys.executable, "-c", "from rotation.cli.train import samples_command as s; s()"]
    return subprocess.run(
        [*command, "--device", "cpu", *options], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_sheets_are_drawn_by_command(tmp_path):
    model = tiny_folder(tmp_path / "m")
    options = ["--model", model, "--count", "10", "--steps", "2"]
    assert draw(*options, "--out", tmp_path / "samples.png").returncode == 0
    done = draw(*options, "--reconstruct", "--iterations", "2", "--out", tmp_path / "again.png")
    assert "Mean squared error" in done.stdout, done.stderr
    with (
        Image.open(tmp_path / "samples.png") as samples,
        Image.open(tmp_path / "again.png") as both,
    ):
        assert both.height == 2 * samples.height - 2


def test_a_sheet_of_no_model_is_refused(tmp_path):
    done = draw("--model", tmp_path / "none", "--out", tmp_path / "x.png")
    assert done.returncode == 1
    assert "no model folder" in done.stderr
