"""Joules from files and from NVML, peaks of memory, floors: counted operations and bytes."""

import sys
from types import SimpleNamespace

import pytest
import torch

from acdc.engine.energy import Rapl, find_meter
from acdc.engine.floors import Need, Operations, Rates, cache_bytes, count, floor, measure_rates
from acdc.engine.story import Phase, StoryOptions
from acdc.engine.study.peak import Peak

CPU = torch.device("cpu")


def zone(root, name, title, energy, span=1000):
    path = root / name
    path.mkdir()
    for file, value in (("name", title), ("energy_uj", energy), ("max_energy_range_uj", span)):
        (path / file).write_text(f"{value}\n")
    return path


class TestEnergy:
    def test_packages_alone_are_counted(self, tmp_path):
        zones = [zone(tmp_path, f"intel-rapl:{k}", f"package-{k}", 100 + k) for k in range(2)]
        zone(tmp_path, "intel-rapl:0:0", "core", 7)
        zone(tmp_path, "intel-rapl:2", "psys", 7)
        found = find_meter(CPU, tmp_path)
        assert isinstance(found.meter, Rapl)
        assert found.meter.read() == (100, 101)
        assert "2 packages" in found.told
        (zones[0] / "energy_uj").write_text("600\n")
        assert found.meter.joules((100, 101), found.meter.read()) == pytest.approx(500e-6)

    def test_a_counter_that_began_again(self, tmp_path):
        meter = Rapl([zone(tmp_path, "intel-rapl:0", "package-0", 0, span=1000)])
        assert meter.joules((900,), (50,)) == pytest.approx(150e-6)

    def test_nobody_tells(self, tmp_path):
        assert find_meter(CPU, tmp_path) == (None, "not told: this system has no RAPL files")
        (zone(tmp_path, "intel-rapl:0", "package-0", 0) / "energy_uj").write_text("secret")
        meter, told = find_meter(CPU, tmp_path)
        assert meter is None
        assert "may not be read" in told

    def test_a_gpu_through_nvml(self, monkeypatch):
        class NVMLError(Exception):
            pass

        counted = iter([5000, 7500, 9000])
        library = SimpleNamespace(
            NVMLError=NVMLError,
            nvmlInit=lambda: None,
            nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
            nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(counted),
        )
        monkeypatch.setitem(sys.modules, "pynvml", library)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="12-34"))
        meter, told = find_meter(torch.device("cuda"))
        assert meter is not None
        assert meter.handle == "GPU-12-34"
        assert "NVML" in told
        assert meter.joules(meter.read(), meter.read()) == 1.5

        def refuse(handle):
            raise NVMLError("Not Supported")

        library.nvmlDeviceGetTotalEnergyConsumption = refuse
        assert find_meter(torch.device("cuda")) == (None, "not told: NVML says Not Supported")

    def test_without_its_library(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pynvml", None)
        assert "nvidia-ml-py" in find_meter(torch.device("cuda")).told


class TestPeak:
    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux lets the mark be reset")
    def test_what_is_taken_within_a_run_shows_and_is_gone_in_the_next(self):
        first = Peak(CPU)
        taken = torch.ones(64 * 2**18)  # 64 MiB
        with_it = first.rss_mib()
        del taken
        second = Peak(CPU)
        assert second.of_the_run
        assert with_it - second.rss_mib() > 50

    def test_a_process_whose_mark_stays(self, tmp_path):
        peak = Peak(CPU, tmp_path / "nothing")
        assert not peak.of_the_run
        assert peak.cuda_mib() == 0.0


class TestFloors:
    def test_operations_of_products_and_convolutions(self):
        with torch.no_grad(), Operations() as counted:
            torch.nn.functional.linear(torch.ones(2, 3, 5), torch.ones(7, 5))
            torch.nn.functional.conv2d(torch.ones(1, 2, 8, 8), torch.ones(4, 2, 3, 3), padding=1)
            torch.ones(9) + 1
        assert counted.flops == 2 * 6 * 5 * 7 + 2 * 4 * 2 * 9 * 64

    def test_the_longer_of_both(self):
        rates = Rates(flops=100.0, bandwidth=10.0, cache_bytes=0)
        assert Need(200, 10).seconds(rates) == 2.0
        assert Need(10, 30).seconds(rates) == 3.0

    def test_beside_each_other_a_phase_that_reads_hides_one_that_computes(self):
        rates = Rates(flops=100.0, bandwidth=10.0, cache_bytes=0)
        needs = {Phase.DRAW: Need(10, 30), Phase.CORRECT: Need(200, 5)}
        assert floor(needs, rates, overlapped=False) == 5.0
        assert floor(needs, rates, overlapped=True) == 3.5  # 35 bytes at 10 a second

    def test_counts_of_the_tiny_bundle(self, tiny_engine):
        options = StoryOptions(num_inference_steps=4).resolved(tiny_engine.defaults)
        one, two = (count(tiny_engine, options, n, 0) for n in (1, 2))
        assert set(one) == {Phase.PREFILL, Phase.DRAW, Phase.DECODE, Phase.CORRECT, Phase.ENCODE}
        for phase in (Phase.DECODE, Phase.CORRECT, Phase.ENCODE):
            assert one[phase].flops > 0
            assert two[phase].bytes == one[phase].bytes  # a reading of the weights serves both
        for phase in (Phase.DECODE, Phase.ENCODE):
            assert two[phase].flops == 2 * one[phase].flops
        assert one[Phase.DRAW].bytes > 2 * one[Phase.PREFILL].bytes  # every pass reads them anew

    def test_weights_that_a_cache_holds_are_read_once(self, tiny_engine):
        options = StoryOptions(num_inference_steps=4, correction=False).resolved(tiny_engine.defaults)
        held = count(tiny_engine, options, 1, 2**30)
        assert set(held) == {Phase.PREFILL, Phase.DRAW, Phase.DECODE}
        assert held[Phase.DRAW].bytes < count(tiny_engine, options, 1, 0)[Phase.DRAW].bytes
        weights = sum(value.numel() * value.element_size() for value in tiny_engine.models.arm.model.parameters())
        assert 0 < held[Phase.DRAW].bytes <= weights

    def test_more_steps_need_more(self, tiny_engine):
        few, many = (
            count(tiny_engine, StoryOptions(num_inference_steps=n).resolved(tiny_engine.defaults), 1, 0)[Phase.CORRECT]
            for n in (2, 8)
        )
        assert many.flops > few.flops
        assert many.bytes > few.bytes

    def test_rates_are_measured(self, tiny_engine, monkeypatch):
        monkeypatch.setattr("acdc.engine.floors.MATRIX", {"cpu": 64})
        monkeypatch.setattr("acdc.engine.floors.COPY_BYTES", 2**16)
        rates = measure_rates(tiny_engine)
        assert rates.flops > 0
        assert rates.bandwidth > 0

    def test_the_largest_cache(self, tmp_path):
        for k, size in enumerate(("32K", "1M", "?")):
            (tmp_path / f"index{k}").mkdir()
            (tmp_path / f"index{k}" / "size").write_text(f"{size}\n")
        assert cache_bytes(CPU, tmp_path) == 2**20
        assert cache_bytes(CPU, tmp_path / "none") == 0
