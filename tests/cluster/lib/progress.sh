# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # one program in several files: `cluster` sources this
# What a person sees while waiting: a line when a step begins, a sign of life every 20 s, the log's end when it fails.

say() { printf '==> %s\n' "$*" >&2; }

die() { # die MESSAGE [REMEDY]
  printf 'error: %s\n' "$1" >&2
  [ -z "${2:-}" ] || printf '  %s\n' "$2" >&2
  exit 1
}

elapsed() { # elapsed [SINCE]: seconds as 75s or 1m15s
  local s=$((SECONDS - ${1:-0}))
  if [ "$s" -lt 60 ]; then echo "${s}s"; else echo "$((s / 60))m$((s % 60))s"; fi
}

# step NAME TEXT COMMAND...: run COMMAND with its output in $STATE/log/NAME.log.
# Call it as a plain statement: inside `if` or `||` bash would ignore errors within COMMAND.
step() {
  local log=$STATE/log/$1.log text=$2 start=$SECONDS pid
  shift 2
  mkdir -p "$STATE/log"
  [ ! -e "$log" ] || mv "$log" "$log.before" # the run that failed is often the one before
  say "$text ..."
  set -m # its own process group, so that an interrupt ends what the step has started too
  ("$@") >"$log" 2>&1 </dev/null 9>&- &
  pid=$!
  set +m
  # shellcheck disable=SC2064 # the pid of now is meant
  trap "kill -- -$pid 2>/dev/null; exit 130" INT TERM
  signs_of_life "$pid" "$start" "$text" "$log"
  if ! wait "$pid"; then
    trap - INT TERM
    printf -- '--- the last lines of %s\n' "$log" >&2
    tail -n 30 "$log" >&2
    die "failed after $(elapsed "$start"): $text" "the whole log: $log"
  fi
  trap - INT TERM
}

signs_of_life() { # PID START TEXT LOG
  local next=$(($2 + 20))
  while kill -0 "$1" 2>/dev/null; do
    sleep 0.2
    [ "$SECONDS" -ge "$next" ] || continue
    next=$((SECONDS + 20))
    say "    still at it, $(elapsed "$2") (log: $4)"
  done
}

locked() { # one command changes things at a time; the lock goes with the process
  mkdir -p "$STATE"
  exec 9>"$STATE/lock"
  flock -n 9 && return
  say "another cluster command is at work here; waiting for it"
  flock 9
}

fingerprint() { cat "$@" | sha256sum | cut -c1-12; }
