# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # one program in several files: `cluster` sources this
# kind's local-registry recipe: localhost:5001 on the host and, through containerd's hosts.toml, on the nodes.

REGISTRY=kind-registry

registry() {
  running "$REGISTRY" && return
  if docker container inspect "$REGISTRY" >/dev/null 2>&1; then
    docker start "$REGISTRY" >/dev/null && return
    docker rm -f "$REGISTRY" >/dev/null # its image or network is gone; its data is in the volume
  fi
  registry_image
  step registry "starting the registry on localhost:5001" run_registry "$IMAGE"
}

running() { [ "$(docker container inspect -f '{{.State.Running}}' "$1" 2>/dev/null)" = true ]; }

run_registry() { # IMAGE
  docker rm -f "$REGISTRY" 2>/dev/null || true
  docker run -d --name "$REGISTRY" --restart=always -p 127.0.0.1:5001:5000 \
    -v "$REGISTRY:/var/lib/registry" -e REGISTRY_STORAGE_DELETE_ENABLED=true "$1"
  for _ in $(seq 100); do
    api "" && return
    sleep 0.1
  done
  docker logs --tail 20 "$REGISTRY"
  return 1
}

api() { # PATH [CURL_OPTION...]
  curl -sf -m 3 --noproxy '*' -o /dev/null "${@:2}" "http://127.0.0.1:5001/v2/$1"
}

in_registry() {
  api python/manifests/3.11-slim -I -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' \
    -H 'Accept: application/vnd.docker.distribution.manifest.list.v2+json' \
    -H 'Accept: application/vnd.oci.image.index.v1+json' -H 'Accept: application/vnd.oci.image.manifest.v1+json'
}

python_image() { # also after the registry has lost its data
  local want
  want="$IMAGES $(fingerprint "$here/images/python.Dockerfile")"
  [ "$(cat "$STATE/python-pushed" 2>/dev/null)" = "$want" ] && in_registry && return
  python_source
  docker tag "$IMAGE" "$PYTHON_IMAGE"
  step python-push "pushing $PYTHON_IMAGE" docker push -q "$PYTHON_IMAGE"
  echo "$want" >"$STATE/python-pushed"
}
