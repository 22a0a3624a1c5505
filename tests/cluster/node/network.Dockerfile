# What both a node and kube-proxy need.
FROM flow-operator/debian:bookworm
RUN apt-get update -q \
 && apt-get install -y -q --no-install-recommends conntrack ethtool iproute2 iptables kmod nftables \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb
