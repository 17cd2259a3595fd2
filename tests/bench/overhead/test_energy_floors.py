"""Joules from files and from NVML, peaks of memory, floors: counted operations and bytes."""

import sys
from types import SimpleNamespace

import pytest
import torch

from acdc.bench.overhead.bounds import Floors
from acdc.bench.overhead.energy import Rapl, find_meter
from acdc.bench.overhead.floors import Need, Operations, Rates, cache_bytes, count, floor, measure_rates
from acdc.bench.overhead.peak import Peak
from acdc.bench.overhead.sweeps import Point
from acdc.bench.overhead.variants import Variant
from acdc.engine.options import StoryOptions, make_options
from acdc.engine.outputs import Phase
from acdc.engine.scheduler.policy import SchedulerConfig

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
        assert "2 packages" in found.source
        (zones[0] / "energy_uj").write_text("600\n")
        assert found.meter.joules((100, 101), found.meter.read()) == pytest.approx(500e-6)

    def test_a_counter_that_began_again(self, tmp_path):
        meter = Rapl([zone(tmp_path, "intel-rapl:0", "package-0", 0, span=1000)])
        assert meter.joules((900,), (50,)) == pytest.approx(150e-6)

    def test_nobody_tells(self, tmp_path):
        assert find_meter(CPU, tmp_path) == (None, "unknown: this system has no RAPL files")
        (zone(tmp_path, "intel-rapl:0", "package-0", 0) / "energy_uj").write_text("secret")
        meter, expected = find_meter(CPU, tmp_path)
        assert meter is None
        assert "may not be read" in expected

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
        meter, expected = find_meter(torch.device("cuda"))
        assert meter is not None
        assert meter.handle == "GPU-12-34"
        assert "NVML" in expected
        assert meter.joules(meter.read(), meter.read()) == 1.5

        def refuse(handle):
            raise NVMLError("Not Supported")

        library.nvmlDeviceGetTotalEnergyConsumption = refuse
        assert find_meter(torch.device("cuda")) == (None, "unknown: NVML says Not Supported")

    def test_without_its_library(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pynvml", None)
        assert "nvidia-ml-py" in find_meter(torch.device("cuda")).source


class TestPeak:
    @pytest.mark.long
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

    def test_of_concurrent_phases_one_that_reads_hides_one_that_computes(self):
        rates = Rates(flops=100.0, bandwidth=10.0, cache_bytes=0)
        launches = [Need(10, 30), Need(200, 5)]
        assert floor(launches, rates, overlapped=False) == 5.0
        assert floor(iter(launches), rates, overlapped=True) == 3.5  # 35 bytes at 10 a second

    @pytest.mark.long
    def test_counts_of_the_tiny_bundle(self, tiny_engine):
        options = make_options(num_inference_steps=4).resolved(tiny_engine.defaults)
        one, two = (count(tiny_engine, options, n, 0)[1] for n in (1, 2))
        assert set(one) == {Phase.PREFILL, Phase.SAMPLE, Phase.VQ_DECODE, Phase.SDEDIT, Phase.VQ_ENCODE}
        for phase in (Phase.VQ_DECODE, Phase.SDEDIT, Phase.VQ_ENCODE):
            assert one[phase].flops > 0
            assert two[phase].bytes == one[phase].bytes  # a reading of the weights serves both
        for phase in (Phase.SAMPLE, Phase.VQ_DECODE, Phase.SDEDIT, Phase.VQ_ENCODE):
            assert two[phase].flops == 2 * one[phase].flops
        assert one[Phase.SAMPLE].bytes > 2 * one[Phase.PREFILL].bytes  # every pass reads them again

    @pytest.mark.long
    @pytest.mark.parametrize("context", ["window", "full"])
    def test_corrected_codes_of_the_first_frame_enter_with_the_second_sentence(self, tiny_engine, context):
        """In a window they take the place of the draft's, which is read again as well."""
        options = make_options(num_inference_steps=4, context=context).resolved(tiny_engine.defaults)
        silent = options.replace(feed_back=False)
        acdc, shown = (count(tiny_engine, asked, 1, 0) for asked in (options, silent))
        plain = count(tiny_engine, options.replace(correction=False), 1, 0)
        assert [set(needs) for needs in plain] == [{Phase.PREFILL, Phase.SAMPLE, Phase.VQ_DECODE}] * 2
        assert acdc[0][Phase.PREFILL] == plain[0][Phase.PREFILL]  # there is nothing before it
        more = acdc[1][Phase.PREFILL].flops - plain[1][Phase.PREFILL].flops
        assert (more > 0) == (context == "full")
        assert shown[1][Phase.PREFILL] == plain[1][Phase.PREFILL]
        assert acdc[0][Phase.SDEDIT] == acdc[1][Phase.SDEDIT]  # what is made once for all frames is in neither

    def test_codes_drawn_in_vain_are_in_no_floor(self, tiny_engine):
        """Passes of several codes compute more and read the weights less often: what is needed at least is the smaller
        of both."""
        found = {}
        for decoding in ("sequential", "parallel"):
            options = make_options(correction=False, decoding=decoding).resolved(tiny_engine.defaults)
            found[decoding] = count(tiny_engine, options, 1, 0)[1][Phase.SAMPLE]
        assert found["parallel"].flops == found["sequential"].flops
        assert found["parallel"].bytes < found["sequential"].bytes

    def test_a_draw_is_counted_with_the_windows_of_the_engines_own_plans(self, tiny_engine, monkeypatch):
        """Not with those of the eager models that are counted."""
        drawn = {}
        monkeypatch.setitem(tiny_engine.models.arm.stream.windows, "cpu", {"eager": {"1": [1]}, "inductor": {"1": [8]}})
        options = make_options(correction=False).resolved(tiny_engine.defaults)
        for backend in ("eager", "inductor"):
            monkeypatch.setattr(tiny_engine.models.arm, "draw_backend", backend)
            drawn[backend] = count(tiny_engine, options, 1, 0)[1][Phase.SAMPLE]
        assert drawn["inductor"].bytes < drawn["eager"].bytes
        assert drawn["inductor"].flops == drawn["eager"].flops

    def test_weights_that_a_cache_holds_are_read_once(self, tiny_engine):
        options = make_options(num_inference_steps=4, correction=False).resolved(tiny_engine.defaults)
        held, again = (count(tiny_engine, options, 1, cache)[1][Phase.SAMPLE] for cache in (2**30, 0))
        assert held.bytes < again.bytes
        weights = sum(value.numel() * value.element_size() for value in tiny_engine.models.arm.model.parameters())
        assert 0 < held.bytes <= weights

    @pytest.mark.long
    def test_more_steps_need_more(self, tiny_engine):
        asked = (make_options(num_inference_steps=n).resolved(tiny_engine.defaults) for n in (2, 8))
        few, many = (count(tiny_engine, options, 1, 0)[1][Phase.SDEDIT] for options in asked)
        assert many.flops > few.flops
        assert many.bytes > few.bytes

    @pytest.mark.parametrize(("copied", "read", "rate"), [(4.0, 1.5, 2**30 / 1.5), (1.0, 1.5, 2**31)])
    def test_reading_is_as_fast_as_the_faster_of_copies_and_sums(self, tiny_engine, monkeypatch, copied, read, rate):
        """Rate of 1 GiB, as if it took that number of seconds; a copy has read and written it."""
        monkeypatch.setattr("acdc.bench.overhead.floors.MATRIX", {"cpu": 64})
        monkeypatch.setattr("acdc.bench.overhead.floors.COPY_BYTES", 2**16)
        seconds = iter([1.0, copied / 2**14, read / 2**14])
        monkeypatch.setattr("acdc.bench.overhead.floors._best", lambda work, device: (work(), next(seconds))[1])
        rates = measure_rates(tiny_engine)
        assert rates.flops == 2 * 64**3
        assert rates.bandwidth == pytest.approx(rate)

    def test_rates_are_measured(self, tiny_engine, monkeypatch):
        monkeypatch.setattr("acdc.bench.overhead.floors.MATRIX", {"cpu": 64})
        monkeypatch.setattr("acdc.bench.overhead.floors.COPY_BYTES", 2**16)
        rates = measure_rates(tiny_engine)
        assert rates.flops > 0
        assert rates.bandwidth > 0

    def test_the_largest_cache(self, tmp_path):
        for k, size in enumerate(("32K", "1M", "?")):
            (tmp_path / f"index{k}").mkdir()
            (tmp_path / f"index{k}" / "size").write_text(f"{size}\n")
        assert cache_bytes(CPU, tmp_path) == 2**20
        assert cache_bytes(CPU, tmp_path / "none") == 0


class TestFloorsOfAStudy:
    """Bounds of given counts: an ARM that only reads 1 byte a frame, 3 with a corrected frame before it, and a
    correction of 2 operations, at 1 of either a second."""

    @pytest.fixture
    def floors(self, tiny_engine, monkeypatch):
        plain = {Phase.PREFILL: Need(0, 0), Phase.SAMPLE: Need(0, 1), Phase.VQ_DECODE: Need(0, 0)}
        first = {**plain, Phase.SDEDIT: Need(2, 0), Phase.VQ_ENCODE: Need(0, 0)}

        def counted(engine, options, stories, cache):
            assert (options.correction.first, options.correction.every) == (None, 1) or not options.correction.enabled
            found = [first, {**first, Phase.PREFILL: Need(0, 2)}] if options.correction.enabled else [plain, plain]
            return [{phase: Need(need.flops * stories, need.bytes) for phase, need in one.items()} for one in found]

        monkeypatch.setattr("acdc.bench.overhead.bounds.count", counted)
        return Floors(tiny_engine, Rates(1.0, 1.0, 0))

    def seconds(self, floors, frames, *, slots=1, n=1, correction=True, **options):
        variant = Variant("way", "", SchedulerConfig(slots=slots), correction)
        point = Point("", n, n, make_options(**options), (variant,))
        return floors.seconds_a_frame(point, variant, frames)

    def test_the_work_of_all_frames_is_added_before_the_longer_is_taken(self, floors):
        """Two frames, one of them corrected: 2 operations while 1 + 1 + 2 bytes move, not the mean of two maxima."""
        assert self.seconds(floors, [2], slots=2, correct_first=1) == 4 / 2
        assert self.seconds(floors, [1, 1], slots=2) == 4 / 2  # 4 operations while 2 bytes move

    def test_a_corrected_frame_is_entered_with_the_next_one(self, floors):
        assert self.seconds(floors, [1]) == 1 + 2
        assert self.seconds(floors, [3]) == (3 * 1 + 3 * 2 + 2 * 2) / 3
        assert self.seconds(floors, [3], correct_every=2) == (3 * 1 + 2 * 2 + 1 * 2) / 3
        assert self.seconds(floors, [3], correct_first=0) == 1
        assert self.seconds(floors, [3], correction=False) == 1

    def test_stories_side_by_side_share_what_is_read(self, floors):
        assert self.seconds(floors, [1], n=4) == (1 + 4 * 2) / 4
        assert self.seconds(floors, [1], n=4, correction=False) == 1 / 4

    def test_a_video_has_none(self, floors):
        variant = Variant("way", "", SchedulerConfig(slots=1))
        assert floors.seconds_a_frame(Point("", 4, 1, StoryOptions(), (variant,), chunk_frames=4), variant, [4]) is None
