# A stand-in for python:3.11-slim: Debian's Python 3.11, under both names, with a pip that may install.
FROM flow-operator/debian:bookworm
ENV LANG=C.UTF-8
RUN apt-get update -q \
 && apt-get install -y -q --no-install-recommends python3 python3-venv python3-pip tzdata \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb \
 && rm -f /usr/lib/python3.*/EXTERNALLY-MANAGED \
 && ln -s python3 /usr/bin/python
# As official images say it: the builder compiles bytecode with the same release.
ENV PYTHON_VERSION=3.11.2
RUN python3 -c 'import os, platform; assert platform.python_version() == os.environ["PYTHON_VERSION"]'
CMD ["python3"]
