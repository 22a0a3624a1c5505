# shellcheck shell=bash
# What the scripts of hack/ share. They run in the root of the checkout and speak as the cluster script does.

STATE=${FLOW_CLUSTER_STATE:-${XDG_CACHE_HOME:-$HOME/.cache}/flow-operator/cluster}
export PATH="$STATE/bin:$PWD/.venv/bin:$PATH"
REGISTRY=${REGISTRY:-localhost:5001}
CONTEXT=${CONTEXT:-kind-flow-operator}
NAMESPACE=${NAMESPACE:-flow-operator-system}

# say, die, elapsed, step and fingerprint
# shellcheck source=tests/cluster/lib/progress.sh
. tests/cluster/lib/progress.sh

kube() { kubectl --context "$CONTEXT" "$@"; }

usage() { # SCRIPT: the comment at its head
  sed -n '2,/^set/p' "$1" | grep '^#' | cut -c3- >&2
  exit 2
}

ca_bundle() { # the certificate authorities this machine trusts, those of a proxy included; nothing where none is found
  local file
  for file in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
    if [ -n "$file" ] && [ -s "$file" ]; then
      echo "$file"
      return
    fi
  done
}

# package_index, extra_indexes: what uv or pip is told on this machine; nothing where that is the public index.
package_index() { echo "${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-${PIP_INDEX_URL:-$(pip_config index-url)}}}"; }
extra_indexes() { echo "${UV_INDEX:-${UV_EXTRA_INDEX_URL:-${PIP_EXTRA_INDEX_URL:-$(pip_config extra-index-url)}}}"; }
pip_config() { python3 -m pip config get "global.$1" 2>/dev/null || true; }
