#!/usr/bin/env bash
# Subject:  promtool and Prometheus 2.42.0 (Debian 12): `interval` of a rule group in a unit test
# Expected: `promtool test rules` evaluates a group as often as its `interval` says, and one without
#           at `evaluation_interval`, as the keys of the same names work in a server.
# Observed: promtool evaluates every group at `evaluation_interval`, and ignores `interval`. A
#           recorded series that exists now and then in the server (a group that runs less often
#           than series go stale, by default after 5 minutes) is always there in the test. So the
#           test proves that an alert on it fires, and the server never raises it: its `for`
#           begins again at each gap. No evaluation_interval makes the test agree if groups differ.
# Source:   https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/ beside
#           https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/#rule_group
# Remedy:   give groups no interval of their own, at least none above the staleness, or test
#           each file with its interval alone.
set -euo pipefail
for tool in prometheus promtool curl python3; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install prometheus curl python3" >&2; exit 2; }
done
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
cd "$dir"
prometheus --version 2>&1 | head -n 1
promtool --version 2>&1 | head -n 1
# rules INTERVAL_OF_RECORDED INTERVAL_OF_ALERTS FOR
rules() {
  cat <<YAML
groups:
  - name: recorded
    interval: $1
    rules:
      - record: fleet:up:sum
        expr: sum(up)
  - name: alerts
    interval: $2
    rules:
      - alert: FleetUp
        expr: fleet:up:sum >= 1
        for: $3
YAML
}
rules 10m 1m 15m >tested.yaml
rules 6s 600ms 9s >served.yaml # a hundredth of each, as of the staleness of five minutes below
cat >test.yaml <<'YAML'
rule_files: [tested.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'up{instance="a"}', values: '1x60'}
    promql_expr_test:
      - {expr: 'count_over_time(fleet:up:sum[40m]) > bool 30', eval_time: 50m, exp_samples: [{labels: '{}', value: 1}]}
      - {expr: 'count(count_over_time(ALERTS{alertstate="firing"}[40m]))', eval_time: 50m, exp_samples: [{labels: '{}', value: 1}]}
YAML
if promtool test rules test.yaml >promtool.log 2>&1; then
  echo "promtool: 40 minutes: more than 30 evaluations of the first group, and the alert fires" | tee out
else
  echo "promtool: fewer evaluations, or no alert" | tee out
  cat promtool.log >&2
fi
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >prometheus.yaml <<YAML
global: {scrape_interval: 600ms, scrape_timeout: 600ms, evaluation_interval: 600ms}
rule_files: [served.yaml]
scrape_configs:
  - {job_name: self, static_configs: [{targets: ["127.0.0.1:$port"]}]}
YAML
prometheus --config.file=prometheus.yaml --storage.tsdb.path="$dir/data" --web.listen-address="127.0.0.1:$port" \
  --query.lookback-delta=3s >prometheus.log 2>&1 &
value() {
  curl --disable --silent --max-time 10 --get --data-urlencode "query=$1" "http://127.0.0.1:$port/api/v1/query" |
    python3 -c 'import json, sys; print(*(s["value"][1] for s in json.load(sys.stdin)["data"]["result"]))'
}
curl --disable --silent --retry 20 --retry-connrefused --retry-delay 1 --output /dev/null "http://127.0.0.1:$port/-/ready"
sleep 36
ups=$(value 'count_over_time(up[24s])')
records=$(value 'count_over_time(fleet:up:sum[24s])')
pending=$(value 'count(count_over_time(ALERTS{alertstate="pending"}[24s]))')
firing=$(value 'count(count_over_time(ALERTS{alertstate="firing"}[24s]))')
echo "Prometheus, 24 s: ${ups:-0} scrapes, ${records:-0} evaluations of the first group, alert pending ${pending:-never}, firing ${firing:-never}"
[ "${ups:-0}" -gt 30 ] && [ "${records:-0}" -ge 3 ] && [ "${records:-0}" -le 5 ] && [ "${pending:-0}" = 1 ] && [ -z "$firing" ] &&
  grep -q 'more than 30' out || { echo "CHANGED: not as described above" >&2; tail -n 5 prometheus.log >&2; exit 1; }
