# The runtime image (a flow's pod, a Dask scheduler, a Dask worker) and the operator's (operator, builder pod, Dask's
# controller). hack/images builds and pushes both; by hand, with BuildKit or without:
#   docker build --target runtime -t runtime . && docker build --target operator -t operator .
# Packages lie in folders of their own, not in the interpreter's, so that the builder can put the runtime's on any base.
ARG BASE=python:3.11-slim

# ---- build: uv, and the packages of both images. Nothing of it is left in them but what is copied by name.
FROM ${BASE} AS build
# A mirror instead of the public index, for pip and for uv; unset: the public one.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG UV_DEFAULT_INDEX
ARG UV_INDEX
WORKDIR /build
# .build/ca.crt may be there (behind a proxy that intercepts TLS) or not: a pattern may match nothing.
COPY requirements/operator.lock requirements/runtime.lock .build/ca.cr[t] ./
RUN if [ -s ca.crt ]; then cat ca.crt >>/etc/ssl/certs/ca-certificates.crt; fi
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    PATH=/build/uv/bin:$PATH UV_NO_CACHE=1 UV_LINK_MODE=copy UV_NO_BUILD=1 UV_SYSTEM_PYTHON=1 PYTHONHASHSEED=0
RUN awk '/^[a-z]/ {mine = /^uv==/} mine' operator.lock >uv.lock \
 && python3 -m pip install -q --no-cache-dir --disable-pip-version-check --require-hashes --root-user-action=ignore --target /build/uv -r uv.lock

# Bytecode is compiled here: runner pods start sooner, on a read-only root too. By hash and unchecked, because the
# times that ordinary bytecode is checked against do not survive layers. bin/ goes: its scripts name this interpreter.
# Hash seed and platform are those of images/bytecode.py and images/uv.py: where a base lacks the runtime, the builder
# copies this folder, and a laptop, which has none, must come to the same bytes.
RUN uv pip install -q --no-deps --require-hashes --python-platform "$(uname -m)-unknown-linux-gnu" \
    --target /opt/flow-operator/lib -r runtime.lock \
 && cd /opt/flow-operator/lib && rm -rf bin .lock && find . -type d -name tests -prune -exec rm -rf {} + \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash .
# The operator's packages without those of the runtime, which it shares. Of bin/ only uv is a program by itself.
RUN uv pip install -q --no-deps --require-hashes --target /opt/flow-operator/operator -r operator.lock \
 && uv pip uninstall -q --target /opt/flow-operator/operator -r runtime.lock \
 && cd /opt/flow-operator/operator && rm -f .lock && find bin -type f ! -name uv -delete \
 && find . -type d -name tests -prune -exec rm -rf {} + \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash .

# ---- code: ours, with the metadata that importlib.metadata.version("flow-operator") reads.
FROM ${BASE} AS code
WORKDIR /opt/flow-operator/lib
ARG PYTHON=3.11
COPY pyproject.toml /build/
RUN python3 -c "import pathlib, platform, tomllib; \
project = tomllib.loads(pathlib.Path('/build/pyproject.toml').read_text())['project']; \
assert (platform.python_version() + '.').startswith('$PYTHON.'), 'the label flow-operator.io/python says $PYTHON'; \
info = pathlib.Path('flow_operator-' + project['version'] + '.dist-info'); \
info.mkdir(); \
(info / 'METADATA').write_text('Metadata-Version: 2.1\nName: flow-operator\nVersion: ' + project['version'] + '\n')"
COPY operator/flow_operator flow_operator
RUN python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash .

# ---- base: what both images share. Dependencies come first, so that a change of code moves kilobytes.
FROM ${BASE} AS base
# USER: the numeric user has no name, and getpass.getuser() (kopf asks, flows may) raises without one.
ENV PYTHONPATH=/opt/flow-operator/deps:/opt/flow-operator/lib PYTHONUNBUFFERED=1 HOME=/tmp USER=flow
COPY --from=build /opt/flow-operator/lib /opt/flow-operator/lib
WORKDIR /tmp
USER 65532:65532

# ---- the runtime image
FROM base AS runtime
COPY --from=code /opt/flow-operator/lib /opt/flow-operator/lib
# What this runtime is, for the builder: an image that carries the label needs no runtime layer.
ARG VERSION=dev
ARG PYTHON=3.11
LABEL flow-operator.io/runtime=${VERSION} flow-operator.io/python=${PYTHON} \
      org.opencontainers.image.title="flow-operator runtime" org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.licenses=Apache-2.0

# ---- the operator's image
FROM base AS operator
COPY --from=build /opt/flow-operator/operator /opt/flow-operator/operator
COPY requirements/runtime.lock /opt/flow-operator/requirements/
# Safe path: nothing is ever imported from the working directory, which is writable.
ENV PYTHONPATH=/opt/flow-operator/operator:/opt/flow-operator/lib PYTHONSAFEPATH=1 \
    PATH=/opt/flow-operator/operator/bin:$PATH \
    FLOW_OPERATOR_RUNTIME_LOCK=/opt/flow-operator/requirements/runtime.lock
COPY --from=code /opt/flow-operator/lib /opt/flow-operator/lib
ARG VERSION=dev
ARG PYTHON=3.11
LABEL flow-operator.io/runtime=${VERSION} flow-operator.io/python=${PYTHON} \
      org.opencontainers.image.title="flow-operator" org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.licenses=Apache-2.0
EXPOSE 8080
ENTRYPOINT ["python3", "-m", "flow_operator.controller"]
