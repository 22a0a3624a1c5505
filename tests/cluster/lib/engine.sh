# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # one program in several files: `cluster` sources this
# The Docker engine: used when it answers, started when it is there, installed where that is a Debian root's business.

engine() {
  docker info >/dev/null 2>&1 && return
  engine_installed
  if [ -d /run/systemd/system ]; then
    step engine "starting the Docker engine" systemctl start docker
  else
    step engine "starting the Docker engine" start_dockerd
  fi
}

engine_installed() {
  command -v dockerd >/dev/null && [ "$(id -u)" = 0 ] && return
  if [ "$(id -u)" != 0 ]; then
    die "no Docker engine answers: $(docker info 2>&1 | grep -m 1 -iE 'cannot|denied|not found' || echo "docker info fails")" \
      "start Docker (and join the group docker), or run this as root on Debian, where it installs and starts docker.io"
  fi
  debian_packages docker.io iptables
}

debian_packages() { # NAME...
  command -v apt-get >/dev/null || die "$* missing, and this is not a Debian" "install them, then run this again"
  [ "$(id -u)" = 0 ] || die "$* missing" "as root: apt-get install $*"
  step packages "installing $* from Debian" apt_install "$@"
}

apt_install() {
  apt-get update -q || true # one broken source need not matter; the install below decides
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

# kind runs its nodes with --privileged, which asks for every capability. Where this machine itself
# lacks one, runc refuses; runc-available-caps stands in for it and drops what cannot be had.
start_dockerd() {
  local flags=()
  if lacks_capabilities; then
    install -m 755 "$here/runc-available-caps" "$STATE/runc-available-caps"
    flags=(--add-runtime "available-caps=$STATE/runc-available-caps" --default-runtime available-caps)
  fi
  stale_pid_file /var/run/docker.pid dockerd
  stale_pid_file /var/run/docker/containerd/containerd.pid containerd
  setsid nohup dockerd "${flags[@]}" >>"$STATE/dockerd.log" 2>&1 </dev/null &
  local pid=$!
  for _ in $(seq 300); do
    docker info >/dev/null 2>&1 && return
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.2
  done
  tail -n 20 "$STATE/dockerd.log"
  return 1
}

lacks_capabilities() {
  local have last
  have=$(awk '/^CapBnd/ {print $2}' /proc/self/status)
  last=$(cat /proc/sys/kernel/cap_last_cap)
  [ $((16#$have)) != $(((1 << (last + 1)) - 1)) ]
}

# After a hard stop the number may be another process's, or a dead one's that nobody has reaped;
# dockerd would refuse to start, or wait for a containerd that is none.
stale_pid_file() { # FILE PROGRAM
  [ -s "$1" ] || return 0
  grep -qs "$2" "/proc/$(cat "$1")/cmdline" || rm -f "$1"
}
