# One image for every command; without one it runs the agent. docs/image.md says what is in it, and how a release pins its base.
ARG BASE=node:24.21.0-bookworm-slim

FROM ${BASE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund
COPY src ./src
# Of what is installed: with --omit=dev npm would leave out whatever a development dependency needs as well.
RUN npm pkg delete devDependencies && npm sbom --sbom-format spdx >sbom.spdx.json
# A checkout may have been made with a umask that keeps other users out.
RUN rm package-lock.json && chmod -R a+rX,go-w /app
# The agent shares a PID namespace and the user id with TorchServe. A program that its user may run and not read is not
# dumpable, so that model code cannot read the agent's environment, memory or files through /proc. It holds only where the
# container drops every capability: with CAP_DAC_OVERRIDE still held at the start, the kernel counts node as readable.
#
# Linux shows processes to those of the same user and the same group. Where a pod says only runAsUser, the group is what the image
# has for that user, or else 0: of user 1000 the agent's image says what TorchServe's does.
#
# Of the system only what node is linked to comes along: no shell, no package manager. What Debian says of those packages goes to
# where scanners look for it in such images. It is glibc and says that it is Debian, because nvidia-smi and its libraries are put
# into the container by its runtime, at the place Debian looks for them.
RUN mkdir /image && mkdir -m 1777 /image/tmp \
  && cp --parents --dereference /usr/local/bin/node /etc/os-release /etc/debian_version /image \
  && cp --parents --dereference $(ldd /usr/local/bin/node | grep --only-matching '/[^ ]*') /image \
  && chmod 0711 /image/usr/local/bin/node \
  && echo 'model-server:x:1000:1000:::' >/image/etc/passwd \
  && mkdir -p /image/var/lib/dpkg/status.d \
  && for package in libc6 libgcc-s1 libstdc++6; do dpkg-query --status $package >/image/var/lib/dpkg/status.d/$package || exit; done \
  && mv /app /image/app

FROM scratch
ARG BASE
LABEL org.opencontainers.image.title=stoker \
  org.opencontainers.image.licenses=Apache-2.0 \
  org.opencontainers.image.base.name=${BASE}
COPY --from=build /image /
WORKDIR /app
ENV NODE_ENV=production
# In a pod the webhook or the manifest sets TorchServe's user id instead. Only the demo writes, to /tmp: the root may be read-only.
USER 65532:65532
EXPOSE 9790
ENTRYPOINT ["/usr/local/bin/node", "/app/src/main.ts"]
CMD ["agent"]
