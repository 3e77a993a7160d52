import pytest
import torch

from dreamomni import runtime
from dreamomni.errors import ConfigError

CPU = torch.device("cpu")


def test_devices() -> None:
    assert runtime.pick_device("cpu") == CPU
    assert runtime.pick_device().type in ("cpu", "cuda")
    for name, words in [("gpu", "unknown"), ("meta", "not supported"), ("cuda:99", "not there")]:
        with pytest.raises(ConfigError, match=words):
            runtime.pick_device(name)


def test_dtypes() -> None:
    assert runtime.pick_dtype(None, CPU) is torch.float32
    assert runtime.pick_dtype(None, torch.device("cuda")) is torch.bfloat16
    assert runtime.pick_dtype("bf16", CPU) is torch.bfloat16
    assert runtime.pick_dtype("fp16", torch.device("cuda")) is torch.float16
    with pytest.raises(ConfigError, match="fp16"):
        runtime.pick_dtype("fp16", CPU)
    with pytest.raises(ConfigError, match="unknown"):
        runtime.pick_dtype("int8", CPU)


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_generators_take_every_64_bit_seed(seed: int) -> None:
    draws = [torch.rand(4, generator=runtime.cpu_generator(seed)) for _ in range(2)]
    assert torch.equal(*draws)
    assert not torch.equal(draws[0], torch.rand(4, generator=runtime.cpu_generator(12345)))


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(ConfigError, match="negative"):
        runtime.cpu_generator(-1)
    with pytest.raises(ConfigError, match="below 1"):
        runtime.set_threads(0)
    before = torch.get_num_threads()
    runtime.set_threads(None)
    assert torch.get_num_threads() == before


def test_versions_name_ours_and_torch() -> None:
    assert runtime.versions()["dreamomni"] != "unknown"
    assert runtime.versions()["torch"] == torch.__version__
