# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # one program in several files: `cluster` sources this
# Where images come from: the published ones where they can be pulled, else built here from Go modules and Debian.

LABEL=flow-operator.test-cluster
PYTHON_IMAGE=localhost:5001/python:3.11-slim
# The image that kind v0.32 (go.mod) lists for Kubernetes 1.35.
OFFICIAL_NODE=kindest/node:v1.35.5@sha256:ce977ae6d65918d0b58a5f8b5e940429c2ce42fa3a5619ec2bbc60b949c0ac95
OFFICIAL_REGISTRY=registry:2
OFFICIAL_PYTHON=python:3.11-slim
DEBIAN=flow-operator/debian:bookworm
# What kubeadm asks for by name.
COREDNS=registry.k8s.io/coredns/coredns:v1.13.1
PAUSE=registry.k8s.io/pause:3.10.1
ETCD=registry.k8s.io/etcd:3.6.6-0
COMPONENTS=(registry.k8s.io/kube-{apiserver,controller-manager,scheduler,proxy}:"$K8S" "$COREDNS" "$PAUSE" "$ETCD")

# Sets IMAGES to official or built: decided once, remembered until `down`.
choose_images() {
  IMAGES=${FLOW_CLUSTER_IMAGES:-$(cat "$STATE/images" 2>/dev/null || true)}
  if [ -z "$IMAGES" ]; then
    IMAGES=built
    ! timeout 4 docker manifest inspect "$OFFICIAL_REGISTRY" >/dev/null 2>&1 || IMAGES=official
    echo "$IMAGES" >"$STATE/images"
  fi
  [[ $IMAGES = official || $IMAGES = built ]] ||
    die "FLOW_CLUSTER_IMAGES is '$IMAGES'" "set it to official or built, or leave it unset to have the machine asked"
}

have() { docker image inspect "$1" >/dev/null 2>&1; }

pull() { # NAME IMAGE
  have "$2" || step "$1-image" "pulling $2 (FLOW_CLUSTER_IMAGES=built builds it instead)" docker pull -q "$2"
}

# node_image, registry_image and python_source put the image there and its name in IMAGE.
node_image() {
  if [ "$IMAGES" = official ]; then
    IMAGE=$OFFICIAL_NODE
    pull node "$IMAGE"
    return
  fi
  IMAGE=flow-operator/kind-node:$K8S-$(fingerprint "$here"/{go.mod,coredns.go,lib/tools.sh,lib/images.sh,node/*.Dockerfile,node/*.yaml})
  have "$IMAGE" && return
  all_tools
  debian_image
  step node-image "building the node image for Kubernetes $K8S (about 1 minute, once)" build_node "$IMAGE"
}

registry_image() { simple_image registry "$OFFICIAL_REGISTRY" "building the registry image from Debian's docker-registry"; }
python_source() { simple_image python "$OFFICIAL_PYTHON" "building the Python base image from Debian's packages"; }

simple_image() { # NAME OFFICIAL TEXT
  if [ "$IMAGES" = official ]; then
    IMAGE=$2
    pull "$1" "$IMAGE"
    return
  fi
  IMAGE=flow-operator/$1:$(fingerprint "$here/images/$1.Dockerfile")
  have "$IMAGE" && return
  debian_image
  step "$1-image" "$3" build "$IMAGE" "$here/images/$1.Dockerfile" "$here/images"
}

# The classic builder: every client has it, also the ones without buildx, and it knows --label and --network.
build() { # IMAGE DOCKERFILE CONTEXT [OPTION...]
  DOCKER_BUILDKIT=0 docker build --label "$LABEL=1" -t "$1" -f "$2" "${@:4}" "$3"
}

debian_image() {
  have "$DEBIAN" && return
  command -v debootstrap >/dev/null || debian_packages debootstrap
  [ "$(id -u)" = 0 ] || die "building a Debian image needs root" "run this as root, or where the published images can be pulled"
  step debian "bootstrapping Debian (about 20 s, once)" build_debian
}

build_debian() { # a stand-in for debian:bookworm-slim: no documentation, no translations, no services started
  local root=$STATE/build/debian
  rm -rf "$root"
  mkdir -p "$root"
  debootstrap --variant=minbase --include=ca-certificates bookworm "$root"
  printf 'path-exclude /usr/share/%s/*\n' doc info locale man >"$root/etc/dpkg/dpkg.cfg.d/slim"
  rm -rf "$root"/usr/share/{doc,info,locale,man}/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  tar -C "$root" -c . | docker import --change "LABEL $LABEL=1" - "$DEBIAN"
  rm -rf "$root"
}

build_node() { # IMAGE
  local context=$STATE/build/node network=flow-operator/kind-network base=flow-operator/kind-base
  rm -rf "$context"
  mkdir -p "$context"
  build "$network" "$here/node/network.Dockerfile" "$here/node"
  node_files "$context"
  build "$base" "$here/node/node.Dockerfile" "$context"
  component_images "$network"
  rm -rf "$context"
  commit_with_images "$base" "$1"
  docker image rm "${COMPONENTS[@]}" # they are in the node now
}

node_files() { # DIR: kind's own files, the binaries and our manifests, as they shall lie in the node
  local files
  files=$(module sigs.k8s.io/kind)/images/base/files
  mkdir -p "$1"/root/usr/{bin,local/bin} "$1"/root/kind/{bin,manifests} "$1/root/etc"
  cp -r "$files/etc" "$1/root/"
  cp "$files"/usr/local/bin/* "$1/root/usr/local/bin/"
  cp "$files"/kind/bin/* "$1/root/kind/bin/"
  cp "$NODE_BIN"/{containerd,ctr,containerd-shim-runc-v2} "$1/root/usr/local/bin/"
  cp "$NODE_BIN"/{kubeadm,kubelet,kubectl} "$1/root/usr/bin/"
  cp "$here"/node/default-{cni,storage}.yaml "$1/root/kind/manifests/"
  sed -i "s|KUBERNETES_VERSION|$K8S|" "$1/root/kind/manifests/default-cni.yaml"
  printf %s "$K8S" >"$1/root/kind/version"
  chmod -R u=rwX,go=rX "$1/root" # the module cache is read-only
  chmod 755 "$1"/root/kind/bin/* "$1"/root/usr/local/bin/* "$1"/root/usr/bin/*
}

component_images() { # NETWORK_IMAGE: what kubeadm will ask containerd for
  local name
  for name in kube-apiserver kube-controller-manager kube-scheduler; do
    component "registry.k8s.io/$name:$K8S" scratch "$name"
  done
  component "registry.k8s.io/kube-proxy:$K8S" "$1" kube-proxy kubectl # kubectl: for the CNI DaemonSet
  component "$ETCD" scratch etcd
  component "$PAUSE" scratch pause /
  component "$COREDNS" scratch coredns /
}

component() { # IMAGE BASE BINARY [BINARY|/]
  local context=$STATE/build/component dir=/usr/local/bin
  [ "${4:-}" != / ] || dir=
  rm -rf "$context"
  mkdir -p "$context"
  cp "$NODE_BIN/$3" "$context/"
  [ -z "$dir" ] || [ -z "${4:-}" ] || cp "$NODE_BIN/$4" "$context/"
  printf 'FROM %s\nCOPY . %s/\nENTRYPOINT ["%s/%s"]\n' "$2" "$dir" "$dir" "$3" >"$context.Dockerfile"
  build "$1" "$context.Dockerfile" "$context"
  rm -rf "$context" "$context.Dockerfile"
}

commit_with_images() { # BASE IMAGE: what a node needs at its start is in its containerd already
  local container=flow-operator-node-build
  docker rm -f "$container" 2>/dev/null || true
  docker run -d --name "$container" --privileged --entrypoint sleep "$1" infinity
  docker exec -d "$container" containerd
  for _ in $(seq 100); do
    docker exec "$container" ctr version >/dev/null 2>&1 && break
    sleep 0.2
  done
  docker save "${COMPONENTS[@]}" |
    docker exec -i "$container" ctr -n k8s.io images import --local --label=io.cri-containerd.pinned=pinned --no-unpack -
  docker exec "$container" sh -c 'pkill containerd; while pgrep -x containerd; do sleep 0.1; done'
  docker commit --change 'ENTRYPOINT ["/usr/local/bin/entrypoint","/sbin/init"]' --change 'CMD []' "$container" "$2"
  docker rm -f "$container"
}
