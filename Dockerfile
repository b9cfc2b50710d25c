# One image for every command; without one it runs the agent.
# Debian and not Alpine: nvidia-smi is put into the container by its runtime and needs glibc.
ARG NODE_VERSION=24.21.0

FROM node:${NODE_VERSION}-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund
COPY src ./src
# A checkout may have been made with a umask that keeps other users out.
RUN chmod -R a+rX,go-w /app

FROM node:${NODE_VERSION}-bookworm-slim
# The agent shares a PID namespace and the user id with TorchServe. A program that its user may run and not read is not
# dumpable, so that model code cannot read the agent's environment, memory or files through /proc. It holds only where the
# container drops every capability: with CAP_DAC_OVERRIDE still held at the start, the kernel counts node as readable.
RUN chown root:root /usr/local/bin/node \
  && chmod 0711 /usr/local/bin/node \
  && rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack \
    /usr/local/bin/yarn /usr/local/bin/yarnpkg /opt/yarn-*
COPY --from=build /app /app
WORKDIR /app
ENV NODE_ENV=production
# In a pod the webhook or the manifest sets TorchServe's user id instead. Nothing is written: the root may be read-only.
USER 65532:65532
EXPOSE 9790
ENTRYPOINT ["/usr/local/bin/node", "/app/src/main.ts"]
CMD ["agent"]
