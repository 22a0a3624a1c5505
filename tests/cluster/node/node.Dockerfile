# kind's images/base/Dockerfile, with Debian's runc and CNI plug-ins and the binaries built here.
FROM flow-operator/kind-network
RUN apt-get update -q \
 && apt-get install -y -q --no-install-recommends \
      systemd systemd-sysv dbus \
      util-linux mount libseccomp2 pigz e2fsprogs curl jq procps hostname socat \
      runc containernetworking-plugins \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb
COPY root/ /
# Only what a node shall run starts with it; binfmt is masked because it registers in the host's kernel.
# pause: the name kubeadm uses. restrict_oom_score_adj: where the machine has no CAP_SYS_RESOURCE,
# containerd may not lower a score; elsewhere it costs nothing that a test cluster would miss.
RUN find /lib/systemd/system/sysinit.target.wants/ -name systemd-tmpfiles-setup.service -delete \
 && rm -f /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/* \
      /lib/systemd/system/local-fs.target.wants/* /lib/systemd/system/basic.target.wants/* \
      /lib/systemd/system/sockets.target.wants/*udev* /lib/systemd/system/sockets.target.wants/*initctl* \
 && echo ReadKMsg=no >> /etc/systemd/journald.conf \
 && ln -sf /lib/systemd/systemd /sbin/init \
 && systemctl enable kubelet.service containerd.service undo-mount-hacks.service \
 && systemctl mask systemd-binfmt.service \
 && mkdir -p /etc/kubernetes/manifests /etc/cni/net.d /opt/cni \
 && ln -sfn /usr/lib/cni /opt/cni/bin \
 && sed -i -e 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' \
      -e 's|pause:3.10"|pause:3.10.1"|' /etc/containerd/config.toml \
 && ctr oci spec \
    | jq '.hooks.createContainer |= . + [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
    > /etc/containerd/cri-base.json
ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
