#!/bin/bash
# What `make demo` ends with, given the figures of its two programs: stand-ins here, which write what they are told to.
# usage: test_demo.sh DEMO_SCRIPT
set -euo pipefail

demo=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "demo test: $*" >&2
  exit 1
}

# program NAME STATUS DIGEST PEAK_MB [LIMIT_MB]: a stand-in for one of the two.
program() {
  cat >"$work/$1" <<END
#!/bin/sh
while [ "\$1" != --json ]; do shift; done
cat >"\$2" <<JSON
{
  "digest": "$3",
  "queries": 1000,
  "asked_bytes": 10737418240,
  "seconds": 60.5,
  "num_gc": 3,
  "stop_longest_ns": 1000000,
  "largest_marked_bytes": 200000000,
  "peak_rss_growth_bytes": $4000000,
  "limit_bytes": ${5:-0}000000
}
JSON
echo "gc 1 @0.100s 1%: 0.1+1.0+0.1 ms clock" >&2
exit $2
END
  chmod +x "$work/$1"
}

# ends STATUS WORDS: the demonstration ends so and says so.
ends() {
  local status=0
  sh "$demo" "$work" >"$work/said" 2>&1 || status=$?
  [ "$status" -eq "$1" ] || fail "it ended with $status, not $1: $(cat "$work/said")"
  grep -q "$2" "$work/said" || fail "it did not say \"$2\": $(cat "$work/said")"
}

program textindex 0 abcd 400 440
program textindex-malloc 0 abcd 200
ends 0 "same answers, bars kept"

# At the bars, and with one digit more or less than what they are compared with.
program textindex 0 abcd 440 440
ends 0 "same answers, bars kept"
program textindex 0 abcd 95 440
ends 0 "same answers, bars kept"
program textindex 1 abcd 1200 440
program textindex-malloc 0 abcd 800
ends 1 "2.2 x marked + 8 MB .*BROKEN"

program textindex 0 abcd 400 440
program textindex-malloc 0 abcd 95
ends 1 "over malloc, at most 2.2 .*BROKEN"
program textindex 0 abcd 1200 1300
program textindex-malloc 0 abcd 240
ends 1 "over malloc, at most 2.2 .*BROKEN"

program textindex-malloc 0 abce 800
ends 1 DIFFERENT

program textindex-malloc 3 abcd 800
ends 3 "textindex-malloc\|malloc ended with status 3"
rm "$work/textindex-malloc"
ends 3 "no program textindex-malloc"
sh "$demo" --help >"$work/said"
grep -q "^usage: demo.sh" "$work/said" || fail "--help shows no usage"
echo "kept, broken, different and failing runs are told apart"
