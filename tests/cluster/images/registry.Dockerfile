# A stand-in for registry:2, with the same port, data directory and REGISTRY_... variables.
FROM flow-operator/debian:bookworm
RUN apt-get update -q \
 && apt-get install -y -q --no-install-recommends docker-registry \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb
RUN printf '%s\n' 'version: 0.1' 'log: {level: warn, accesslog: {disabled: true}}' \
    'storage: {filesystem: {rootdirectory: /var/lib/registry}, delete: {enabled: true}}' \
    'http: {addr: ":5000"}' > /etc/docker/registry/config.yml
VOLUME /var/lib/registry
EXPOSE 5000
ENTRYPOINT ["docker-registry", "serve", "/etc/docker/registry/config.yml"]
