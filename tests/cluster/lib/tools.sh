# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # one program in several files: `cluster` sources this
# The binaries, from Go modules: go.mod pins every one of them. $BIN has what a person calls,
# $NODE_BIN what goes into images; apart, because a containerd on PATH would be picked up by dockerd.

NODE_BIN=$STATE/node-bin
K8S=$(awk '$1 == "k8s.io/kubernetes" {print $2}' "$here/go.mod")
HELM=$(awk '$1 == "helm.sh/helm/v3" {print $2}' "$here/go.mod")
CONTAINERD=$(awk '$1 == "github.com/containerd/containerd/v2" {print $2}' "$here/go.mod")
K8S_MINOR=$(cut -d. -f2 <<<"$K8S")
CLIENTS=(k8s.io/kubernetes/cmd/kubectl sigs.k8s.io/kind helm.sh/helm/v3/cmd/helm)

tools() { # kind, kubectl and helm; where images are built, what goes into them as well
  [ "$IMAGES" = official ] && clients_on_path && return
  if [ "$IMAGES" = built ]; then all_tools; else client_tools; fi
}

clients_on_path() { # of this machine; what is good enough need not be built
  [[ $(kind version 2>/dev/null) =~ v0\.(3[2-9]|[4-9][0-9]) ]] &&
    [[ $(kubectl version --client 2>/dev/null) =~ v1\.3[456]\. ]] &&
    [[ $(helm version --short 2>/dev/null) =~ ^v3\. ]]
}

all_tools() {
  stamped all && return
  go_here
  command -v gcc >/dev/null || debian_packages gcc libc6-dev
  step tools "building Kubernetes $K8S, containerd, etcd, CoreDNS, kind and helm (about 7 minutes on 2 cores, once)" build_all
  stamp all
  stamp clients
}

client_tools() {
  stamped clients && return
  go_here
  step tools "building kind, kubectl and helm (about 3 minutes on 2 cores, once)" build_clients
  stamp clients
}

go_here() {
  local want
  want=$(awk '$1 == "go" {print $2}' "$here/go.mod")
  command -v go >/dev/null || die "Go $want or newer is needed to build the tools, and there is none on PATH" \
    "install it from https://go.dev/dl or your distribution, or put kind 0.32+, kubectl 1.34-1.36 and helm 3 on PATH"
  (cd "$here" && go version >/dev/null 2>&1) ||
    die "Go $want or newer is needed to build the tools; here is $(cd / && GOTOOLCHAIN=local go env GOVERSION)" \
      "install a newer one from https://go.dev/dl, or set GOTOOLCHAIN=auto"
}

inputs() { fingerprint "$here"/{go.mod,coredns.go,lib/tools.sh}; }
stamped() { [ "$(cat "$STATE/built-$1" 2>/dev/null)" = "$(inputs)" ]; }
stamp() { inputs >"$STATE/built-$1"; }

tools_status() {
  if stamped all; then
    echo "kind, kubectl, helm and the node's, in $STATE"
  elif stamped clients; then
    echo "kind, kubectl, helm, in $BIN"
  else
    echo "not built"
  fi
}

go_build() { (cd "$here" && CGO_ENABLED=0 go build -mod=readonly -trimpath "$@"); }

# Without these the binaries call themselves v0.0.0-master, kubeadm refuses,
# and `helm template` holds a chart's kubeVersion against 1.20.
version_flags() {
  local package
  printf '%s' '-s -w'
  for package in component-base/version client-go/pkg/version; do
    printf " -X k8s.io/$package.%s" "gitVersion=$K8S" gitMajor=1 "gitMinor=$K8S_MINOR" gitTreeState=clean
  done
  printf ' -X helm.sh/helm/v3/%s' "internal/version.version=$HELM"
  for package in chartutil lint/rules; do
    printf " -X helm.sh/helm/v3/pkg/$package.%s" k8sVersionMajor=1 "k8sVersionMinor=$K8S_MINOR"
  done
}

build_clients() {
  mkdir -p "$BIN"
  go_build -ldflags "$(version_flags)" -o "$BIN/" "${CLIENTS[@]}"
}

build_all() { # Kubernetes, etcd, kind and helm in one go: they share what takes long
  mkdir -p "$BIN" "$NODE_BIN"
  go_build -ldflags "$(version_flags)" -o "$NODE_BIN/" "${CLIENTS[@]}" go.etcd.io/etcd/server/v3 \
    k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kubelet,kube-proxy,kubeadm}
  mv "$NODE_BIN"/{kind,helm} "$BIN/"
  cp "$NODE_BIN/kubectl" "$BIN/"
  mv "$NODE_BIN/server" "$NODE_BIN/etcd"
  go_build -ldflags "-s -w -X github.com/containerd/containerd/v2/version.Version=${CONTAINERD#v}" \
    -tags "no_btrfs no_devmapper no_zfs" -o "$NODE_BIN/" \
    github.com/containerd/containerd/v2/cmd/{containerd,ctr,containerd-shim-runc-v2}
  go_build -ldflags "-s -w" -o "$NODE_BIN/coredns" ./coredns.go
  gcc -Os -static "-DVERSION=${PAUSE##*:}" -o "$NODE_BIN/pause" "$(module k8s.io/kubernetes)/build/pause/linux/pause.c"
}

module() { (cd "$here" && go list -m -f '{{.Dir}}' "$1"); }
