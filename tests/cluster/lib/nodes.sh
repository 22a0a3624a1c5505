# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # one program in several files: `cluster` sources this
# The kind cluster: found healthy, started, healed, or made anew.

kube() { kubectl --context "kind-$CLUSTER" --request-timeout=5s "$@"; }

nodes() { docker ps -a --filter "label=io.x-k8s.kind.cluster=$CLUSTER" --format '{{.Names}}' | sort; }

cluster_ready() {
  # One that somebody made with kind itself has no sum, and is kept.
  if [ -n "$(nodes)" ] && [ -s "$STATE/kind-config.sum" ] && [ "$(<"$STATE/kind-config.sum")" != "$(config_sum)" ]; then
    say "kind-config.yaml is not the one that the cluster was made of: making it anew"
    delete_cluster
  fi
  if [ -n "$(nodes)" ]; then
    start_nodes
    wire
    healthy && return
    say "waiting for the cluster to be healthy"
    within 60 healthy && return
    say "it did not heal in 60 s ($(ailment)): making it anew"
    delete_cluster
  fi
  create_cluster
}

config_sum() { sha256sum <"$CONFIG" | cut -d' ' -f1; }

start_nodes() {
  local node stopped=()
  for node in $(nodes); do running "$node" || stopped+=("$node"); done
  [ ${#stopped[@]} = 0 ] && return
  say "starting ${stopped[*]}"
  # One that does not start makes the cluster unhealthy, and what is unhealthy is made anew.
  docker start "${stopped[@]}" >/dev/null || true
}

create_cluster() {
  command -v curl >/dev/null || debian_packages curl
  node_image
  step create "creating the cluster (about 40 s)" kind create cluster --config "$CONFIG" --image "$IMAGE"
  config_sum >"$STATE/kind-config.sum"
  wire
  within 120 healthy || die "the cluster is not healthy after 2 minutes: $(ailment)" "kubectl --context kind-$CLUSTER get pods -A tells more"
}

delete_cluster() {
  [ -n "$(nodes)" ] || return 0
  say "deleting the cluster"
  rm -f "$STATE/kind-config.sum"
  kind delete cluster -q --name "$CLUSTER" || nodes | xargs -r docker rm -fv >/dev/null
}

# What the cluster and the registry must know of each other; fast when they know it already.
wire() {
  local node
  docker network connect kind "$REGISTRY" 2>/dev/null || true
  for node in $(nodes); do
    docker exec "$node" sh -c 'cd /etc/containerd && [ -s certs.d/localhost:5001/hosts.toml ] || {
      mkdir -p certs.d/localhost:5001
      printf "[host.\"http://kind-registry:5000\"]\n" > certs.d/localhost:5001/hosts.toml; }' || true
  done
  kubectl config get-contexts "kind-$CLUSTER" >/dev/null 2>&1 || kind export kubeconfig -q --name "$CLUSTER" || true
}

# tells_of_registry: https://kind.sigs.k8s.io/docs/user/local-registry/
tells_of_registry() {
  kube -n kube-public get configmap local-registry-hosting >/dev/null 2>&1 && return
  kube apply -f - >/dev/null <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: local-registry-hosting, namespace: kube-public}
data:
  localRegistryHosting.v1: |
    host: "localhost:5001"
    help: "https://kind.sigs.k8s.io/docs/user/local-registry/"
Y
}

healthy() { [ -z "$(ailment)" ]; }

# ailment: the first thing that is wrong, in words; nothing when all is well.
ailment() {
  local node
  kube get --raw /readyz >/dev/null 2>&1 || { echo "the API server does not answer"; return; }
  for node in $(nodes); do node_ailment "$node" | grep . && return; done
  dns_ready || { echo "CoreDNS is not ready"; return; }
  tells_of_registry || echo "the ConfigMap local-registry-hosting cannot be written"
}

# With node/check, which asks DNS itself: just after a start the API still says ready of what is gone,
# and a little later DNS still answers through what the API has begun to take away.
dns_ready() {
  [[ $(kube -n kube-system get endpointslices -l kubernetes.io/service-name=kube-dns \
    -o 'jsonpath={.items[*].endpoints[*].conditions.ready}' 2>/dev/null) =~ ^true(\ true)*$ ]]
}

node_ailment() { # NODE
  running "$1" || { echo "$1 is stopped"; return; }
  [ "$(kube get node "$1" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null)" = True ] || { echo "$1 is not Ready"; return; }
  # shellcheck disable=SC2046 # one word per route
  docker exec -i "$1" bash -s $(others "$1") <"$here/node/check" 2>&1 | sed "s/^/$1: /"
}

others() { # NODE: CIDR@ADDRESS of every other node, with the address it has now
  local node
  for node in $(nodes); do
    [ "$node" = "$1" ] || printf '%s@%s\n' "$(kube get node "$node" -o 'jsonpath={.spec.podCIDR}')" \
      "$(docker container inspect -f '{{.NetworkSettings.Networks.kind.IPAddress}}' "$node")"
  done
}

within() { # SECONDS COMMAND: try until it succeeds
  local start=$SECONDS next=$((SECONDS + 20))
  until "${@:2}"; do
    [ $((SECONDS - start)) -lt "$1" ] || return 1
    if [ "$SECONDS" -ge "$next" ]; then
      next=$((SECONDS + 20))
      say "    still at it, $(elapsed "$start"): $(ailment)"
    fi
    sleep 1
  done
}

cluster_status() {
  [ -n "$(nodes)" ] || { printf '%-9s %s\n' cluster absent; return; }
  docker ps -a --filter "label=io.x-k8s.kind.cluster=$CLUSTER" --format '{{.Names}} {{.Status}} ({{.Image}})' | sed 's/^/node      /'
  printf '%-9s %s\n' health "$(ailment | grep . || echo "well: context kind-$CLUSTER")"
}
