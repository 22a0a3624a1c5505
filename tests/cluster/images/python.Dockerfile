# A stand-in for python:3.11-slim: Debian's Python 3.11, under both names, with a pip that may install.
FROM flow-operator/debian:bookworm
ENV LANG=C.UTF-8
RUN apt-get update -q \
 && apt-get install -y -q --no-install-recommends python3 python3-venv python3-pip tzdata \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb \
 && rm -f /usr/lib/python3.*/EXTERNALLY-MANAGED \
 && ln -s python3 /usr/bin/python
CMD ["python3"]
