#!/usr/bin/env python3
"""Tests of run.py and its modules: python3 bench/run_test.py.

Programs are small scripts here, so that no figure depends on timing.
"""
import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import bars
import charts
import measure
import measured
import page
import peers
import plots
import run
import workloads

LINE = "bench workload=w peer=p version=1.2 allocator=libc.so.6 peak_kib=2048 check={check} wall_ms={ms}"


def entrant_result(figures, program="guide07", **options):
    """A Result from {entrant: [figures of each run]}."""
    result = measure.Result(workloads.Workload(program, program, (), **options))
    result.runs = figures
    return result


def judged(result, **options):
    bar = bars.Bar("bar", result.workload.name, options.pop("keys", ("ms",)), options.pop("limit", 0.5), **options)
    return bars.judge(bar, {result.workload.name: result})


class Scripts(unittest.TestCase):
    """A build folder whose programs are scripts."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = pathlib.Path(folder.name)
        saved = dict(os.environ)
        self.addCleanup(lambda: (os.environ.clear(), os.environ.update(saved)))
        os.environ["PEER_GO"] = str(self.build / "no-such-go")

    def program(self, name, peer, text):
        path = self.build / f"bench-{name}-{peer}"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    def programs(self, peer, text):
        for source in (peers.HERE / "c").glob("*.c"):
            self.program(source.stem, peer, text)

    def main(self, *arguments):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = run.main(["--build-dir", str(self.build), *arguments])
        return status, out.getvalue()


class OneRun(Scripts):
    def once(self, text, preload="", name="glibc"):
        return measure.run_once(peers.Peer(name, {}, preload), [self.program("x", "malloc", text)])

    def test_figures_come_from_the_last_line_and_from_outside(self):
        figures = self.once("echo noise; echo '" + LINE.format(check=7, ms="2.5") + "'")
        self.assertEqual((figures["check"], figures["wall_ms"], figures["peak_kib"]), ("7", 2.5, 2048.0))
        self.assertGreater(figures["wall_s"], 0)
        self.assertIn("cpu_s", figures)

    def test_a_check_over_53_bits_is_not_rounded(self):
        big = 2**64 - 1
        self.assertEqual(self.once(f"echo '{LINE.format(check=big, ms=1)}'")["check"], str(big))

    def test_a_program_that_fails_says_so(self):
        with self.assertRaisesRegex(measure.RunFailed, "exit status 3: out of luck"):
            self.once("echo out of luck >&2; exit 3")
        with self.assertRaisesRegex(measure.RunFailed, "exit status -9"):
            self.once("kill -9 $$")
        with self.assertRaisesRegex(measure.RunFailed, "no line of figures"):
            self.once("exit 0")
        with self.assertRaisesRegex(measure.RunFailed, "no check"):
            self.once("echo bench wall_ms=1")

    def test_an_allocator_that_is_not_in_use_is_not_measured(self):
        with self.assertRaisesRegex(measure.RunFailed, "malloc comes from libc.so.6"):
            self.once(f"echo '{LINE.format(check=1, ms=1)}'", "/nowhere/libmimalloc.so", "mimalloc")

    def test_settings_of_memory_managers_do_not_reach_the_programs(self):
        names = ["GOGC", "GC_MARKERS", "TRICOLOR_TRACE", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD"]
        os.environ.update({name: "x" for name in names}, KEPT="x")
        child = measure.child_environment("")
        self.assertEqual([name for name in names if name in child], [])
        self.assertIn("KEPT", child)


class Ratios(unittest.TestCase):
    def test_ratio_is_of_medians(self):
        result = entrant_result({("tricolor", ""): [{"ms": m, "check": "1"} for m in (1, 2, 90)],
                                 ("go", ""): [{"ms": m, "check": "1"} for m in (7, 8, 9)]})
        self.assertEqual(result.ratio(("tricolor", ""), ("go", ""), "ms"), 0.25)
        self.assertEqual(judged(result)["verdict"], "pass")
        self.assertEqual(judged(result, limit=0.2)["verdict"], "FAIL")

    def test_one_differing_check_takes_every_ratio_away(self):
        result = entrant_result({("tricolor", ""): [{"ms": 1, "check": "1"}, {"ms": 1, "check": "2"}],
                                 ("go", ""): [{"ms": 8, "check": "1"}]})
        self.assertIsNone(result.ratio(("tricolor", ""), ("go", ""), "ms"))
        self.assertEqual(judged(result)["verdict"], "refused: checks differ")

    def test_a_failed_side_gives_no_figure(self):
        result = entrant_result({("tricolor", ""): [{"ms": 1, "check": "1"}], ("go", ""): [{"ms": 8, "check": "1"}]})
        result.failed[("go", "")] = "died in its second run"
        self.assertEqual(judged(result)["verdict"], "no figure")

    def test_the_worst_size_decides_in_either_direction(self):
        result = entrant_result({("tricolor", ""): [{"a": 1, "b": 6, "check": "1"}],
                                 ("go", ""): [{"a": 10, "b": 10, "check": "1"}]})
        at_most = judged(result, keys=("a", "b"))
        self.assertEqual((at_most["figure"], at_most["verdict"]), (0.6, "FAIL"))
        at_least = judged(result, keys=("a", "b"), at_least=True)
        self.assertEqual((at_least["figure"], at_least["verdict"]), (0.1, "FAIL"))

    def test_every_bar_names_a_workload_and_variants_that_are_run(self):
        full = {w.name: w for w in workloads.workloads(False)}
        for bar in bars.bars():
            workload = full[bar.workload]
            self.assertIn(bar.variant, workload.variants.get("tricolor", ("",)))
            if not bar.absolute:
                self.assertIn(bar.peer_variant, workload.variants.get("go", ("",)))
            self.assertFalse({"tricolor", "go"} & set(workload.at_most), f"{bar.text} needs all runs")
            self.assertLessEqual(set(bar.groups), set(workload.groups), f"{bar.text}: --only GROUP would leave it out")
            if "latency" in bar.groups:
                self.assertEqual(workload.runs, workloads.LATENCY_RUNS, bar.text)

    def test_an_absolute_bar_is_about_tricolor_alone(self):
        result = entrant_result({("tricolor", "on"): [{"us": us, "check": "1"} for us in (400, 600, 900)]})
        options = {"variant": "on", "keys": ("us",), "absolute": True, "scale": 1e-3}
        within = judged(result, limit=0.6, **options)
        self.assertAlmostEqual(within["figure"], 0.6)
        self.assertEqual((within["verdict"], within["runs"]), ("pass", 3))
        self.assertEqual(judged(result, limit=0.5, **options)["verdict"], "FAIL")
        self.assertEqual(judged(result, limit=0.5, at_least=True, **options)["verdict"], "pass")
        self.assertEqual(judged(result, keys=("share",), absolute=True, variant="on")["verdict"], "no figure")

    def test_an_absolute_bar_is_refused_like_others_where_checks_differ(self):
        result = entrant_result({("tricolor", ""): [{"ms": 0.1, "check": "1"}], ("go", ""): [{"ms": 8, "check": "2"}]})
        self.assertEqual(judged(result, absolute=True)["verdict"], "refused: checks differ")


class Workloads(Scripts):
    def test_rounds_are_the_workloads_own_unless_asked_for(self):
        short = workloads.Workload("w", "w", (), runs=9, more_runs=2)
        self.assertEqual(measure.rounds_of(short, None, False), 18)
        self.assertEqual(measure.rounds_of(short, None, True), 2 * workloads.QUICK_RUNS)
        self.assertEqual(measure.rounds_of(short, 5, True), 10)

    def test_a_reference_has_rows_and_no_table(self):
        both = workloads.Workload("w", "w", ("{}",), references=("off",), variants={
            "tricolor": ("on", "off"), "go": ("on",), "glibc": ("off",)})
        found = {"tricolor": None, "go": None, "glibc": None}
        self.assertEqual(both.blocks(), ("on",))
        self.assertEqual(list(both.opponents(found, "on")),
                         [("tricolor", "on"), ("tricolor", "off"), ("go", "on"), ("glibc", "off")])
        self.assertIn(("tricolor", "off"), both.entrants(found))

    def test_what_needs_more_memory_than_there_is_is_not_run(self):
        large = workloads.Workload("w", "w", (), memory_mib=measure.available_mib() * 2)
        found = {"tricolor": peers.Peer("tricolor", {"w": self.program("w", "tricolor", "echo never")})}
        result = measure.run_workload(large, found, 1, measure.Clock(1))
        self.assertEqual((result.runs, result.failed), ({}, {}))
        self.assertRegex(result.cut, "^not run: it needs .* MiB")
        self.assertEqual(judged(result)["verdict"], "no figure")

    def test_every_program_is_there_for_every_peer(self):
        here = pathlib.Path(workloads.__file__).parent
        for workload in workloads.workloads(quick=False):
            self.assertTrue((here / "c" / f"{workload.program}.c").exists(), workload.program)
            if "go" in workload.peers:
                self.assertTrue((here / "go" / workload.program / "main.go").exists(), workload.program)

    def test_a_group_is_chosen_by_its_name(self):
        self.programs("tricolor", f"echo '{LINE.format(check=5, ms=1)} max_us=1'")
        status, text = self.main("--only", "latency", "--quick", "--runs", "1", "--peers", "tricolor")
        self.assertEqual(status, 0)
        self.assertRegex(text, r"(?m)^churn on +\(churn 400000 1000000 1 on; worst us")
        self.assertRegex(text, r"(?m)^tricolor off ")
        self.assertIn("bars of latency", text)
        self.assertIn("gcbench", text)
        self.assertNotIn("guide07", text)


class Whole(Scripts):
    def test_peers_that_are_not_there_are_named_and_the_rest_is_compared(self):
        self.programs("tricolor", f"echo '{LINE.format(check=5, ms=1)} total_ms=1 alloc_ms=1 collect_ms=0'")
        self.programs("malloc", f"echo '{LINE.format(check=5, ms=1)} total_ms=4 alloc_ms=3 collect_ms=1'")
        os.environ["PEER_MIMALLOC"] = str(self.build / "none.so")
        os.environ["PEER_JEMALLOC"] = str(self.build / "none.so")
        status, text = self.main("--only", "guide07", "--runs", "2")
        self.assertEqual(status, 0)
        self.assertRegex(text, r"go: skipped; .*no-such-go")
        self.assertRegex(text, r"bdwgc: skipped; bench-NAME-bdwgc is not in")
        self.assertRegex(text, r"mimalloc: skipped; PEER_MIMALLOC names")
        self.assertRegex(text, r"(?m)^glibc +6 .* 0\.25 +1\.00$")
        record = json.loads((self.build / "bench.json").read_text())
        self.assertEqual(len(record["workloads"]["guide07"]["runs"]["tricolor"]), 6)
        self.assertEqual(set(record["missing"]), {"go", "bdwgc", "mimalloc", "jemalloc"})

    def test_only_the_programs_of_the_chosen_workloads_are_needed(self):
        self.program("guide07", "tricolor", f"echo '{LINE.format(check=5, ms=1)} total_ms=1 alloc_ms=1 collect_ms=0'")
        self.assertEqual(self.main("--only", "guide07", "--runs", "1")[0], 0)
        status, text = self.main("--only", "guide07", "--only", "pusher", "--runs", "1")
        self.assertEqual(status, 1)
        self.assertIn("tricolor: skipped; bench-NAME-tricolor is not in", text)

    def test_differing_checks_are_shown_without_ratios_and_fail_the_run(self):
        self.programs("tricolor", f"echo '{LINE.format(check=5, ms=1)} total_ms=1 alloc_ms=1 collect_ms=0'")
        self.programs("bdwgc", f"echo '{LINE.format(check=6, ms=1)} total_ms=4 alloc_ms=3 collect_ms=1'")
        status, text = self.main("--only", "guide07", "--runs", "1")
        self.assertEqual(status, 1)
        self.assertIn("THE CHECKS DIFFER", text)
        self.assertRegex(text, r"check 6: bdwgc")
        self.assertNotIn("0.25", text)

    def test_without_tricolor_the_run_fails(self):
        self.programs("malloc", f"echo '{LINE.format(check=5, ms=1)} total_ms=4 alloc_ms=3 collect_ms=1'")
        status, text = self.main("--only", "guide07", "--runs", "1")
        self.assertEqual(status, 1)
        self.assertIn("tricolor: skipped", text)

    def test_an_unknown_workload_is_refused(self):
        with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()) as err:
            run.main(["--only", "nothing"])
        self.assertIn("binary-trees-16", err.getvalue())


LATENCY_LINE = (LINE + " gc_cpu_ms=1 stops=3 longest_stop_us=30 stop_p99_us=30 stops_us=8.0:2,30.0:1 p50_us=1 p99_us=2 "
                "p999_us=3 p9999_us=4 max_us={worst} ops_ns=1000:900,2000:99,{worst}000:1 windows={windows}")


class Page(Scripts):
    """What plots.py makes of results."""

    def setUp(self):
        super().setUp()
        self.page = self.build / "performance.md"
        self.page.write_text(plots.PAGE.read_text())

    def latency(self, peer, worst, windows, check=5):
        self.programs(peer, f"echo '{LATENCY_LINE.format(check=check, ms=1000, worst=worst, windows=windows)}'")

    def plot(self, *only):
        self.main("--only", ",".join(only), "--runs", "1", "--quick", "--peers", "bdwgc")
        with contextlib.redirect_stdout(io.StringIO()):
            plots.main([str(self.build / "bench.json"), "--page", str(self.page)])
        return self.page.read_text(), sorted(chart.name for chart in (self.build / "performance").iterdir())

    def test_the_page_has_a_place_for_every_part_and_without_results_none_is_measured(self):
        with contextlib.redirect_stdout(io.StringIO()):
            plots.main(["--page", str(self.page)])
        blocks = page.MARKED.findall(self.page.read_text())
        self.assertEqual(self.page.read_text().count(page.NOT_MEASURED), len(blocks))
        self.assertEqual(list((self.build / "performance").iterdir()), [])

    def test_a_place_without_a_part_is_refused(self):
        with self.assertRaisesRegex(ValueError, "places for .*other"):
            page.fill("<!-- results: other -->\n<!-- /results -->", {"machine": "x"})

    def test_figures_and_charts_are_those_of_the_results(self):
        self.latency("tricolor", 77, "10i,40o,44o win_median=40 win_inside=10 win_outside=44 win_share=0.2273")
        self.latency("bdwgc", 8800, "40,40 win_median=40")
        text, found = self.plot("churn")
        self.assertRegex(text, r"(?m)^\| churn \| tricolor \| 1\.00 .* \| 77\.0 \| 1\.00 \|")
        self.assertRegex(text, r"(?m)^\|  \| bdwgc \| 1\.00 .* \| 8,800 \|")
        self.assertRegex(text, r"(?m)^\| churn \| tricolor \| 40 .* \| 10 \| 44 \| 0\.227 \|")
        self.assertIn("A quick run", text)
        self.assertEqual(found, ["latency-churn.svg", "stops-churn.svg", "windows-churn.svg", "windows.svg"])
        for chart in found:
            root = xml.etree.ElementTree.parse(self.build / "performance" / chart).getroot()
            self.assertIn("tricolor", "".join(root.itertext()), chart)
            self.assertIn(f"(performance/{chart})", text)

    def test_charts_of_older_results_are_taken_away(self):
        self.latency("tricolor", 77, "40o")
        self.assertIn("latency-hide.svg", self.plot("hide")[1])
        self.assertEqual(self.plot("deep")[1], [])

    def test_a_workload_whose_checks_differ_is_named_and_left_out(self):
        self.latency("tricolor", 77, "40o")
        self.latency("bdwgc", 88, "40o", check=6)
        text, found = self.plot("hide")
        self.assertIn("hide: the programs did not do the same work", text)
        self.assertEqual(found, [])
        self.assertNotIn("| hide | tricolor", text)

    def test_the_last_file_counts(self):
        def record(ms):
            run_ = {"tricolor": [{"ms": ms}]}
            return {"bars": [], "quick": False,
                    "workloads": {"w": {"runs": run_, "checks_agree": True, "failed": {}, "cut": ""}}}

        results = measured.Results([record(1), record(2)])
        self.assertEqual(results.median("w", results.entrant("w", "tricolor"), "ms"), 2)


class Charts(unittest.TestCase):
    def test_the_longest_of_1000_lies_at_three_nines(self):
        points = plots.tail_points([(1000.0, 900), (2000.0, 99), (5000.0, 1)], 1e-3)
        self.assertEqual([y for _, y in points], [1, 1, 2, 2, 5, 5])
        for place, want in zip([x for x, _ in points], [0, 1, 1, 3, 3, 3]):
            self.assertAlmostEqual(place, want)

    def test_windows_keep_their_marks(self):
        self.assertEqual(measured.parse_windows("0i,12o,7"), [(0, "i"), (12, "o"), (7, "")])

    def test_axes_hold_all_values(self):
        for high in (0.3, 1, 7, 8.1, 99, 12345):
            axis = charts.linear_axis("", high)
            self.assertTrue(high <= axis.high and 2 <= len(axis.ticks) <= 9, high)
        axis = charts.log_axis("", [0.4, 31000], charts.duration)
        self.assertEqual((axis.low, axis.high), (0.1, 1e5))
        self.assertEqual([text for _, text in axis.ticks],
                         ["100 ns", "1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms"])


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    unittest.main()
