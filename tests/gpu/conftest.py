"""Devices for tests: CUDA where there is one, and everywhere a second one without hardware."""

import pytest
import second_device
import torch

OBSTACLE = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """The second device stands aside for CUDA: torch knows one accelerator per process."""
    if torch.cuda.is_available():
        config.stash[OBSTACLE] = "there is a CUDA device"
    else:
        config.stash[OBSTACLE] = second_device.load()


@pytest.fixture(params=["second", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device that is not the CPU."""
    if request.param == "cuda":
        return request.getfixturevalue("cuda")
    if obstacle := request.config.stash[OBSTACLE]:
        pytest.skip(obstacle)
    return torch.device("second")


@pytest.fixture
def cuda() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device("cuda")
